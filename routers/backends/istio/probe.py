"""Evidence `loaded` from Istio: the VirtualServices compared with the routes that each Envoy has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.istio.loaded_routes import destinations, differs, expected
from rollway.routers.backends.istio.managed_routes import live_routes
from rollway.routers.backends.istio.subsets import subset_pods
from rollway.routers.backends.istio.virtual_service import (
    destination_of,
    find_targets,
    ref_of,
    routes_of,
    rule_ref,
    stanza_of,
)
from rollway.routers.objects import dig
from rollway.routers.probes import worst
from rollway.routers.probes.envoy import EnvoyEndpointsProbe, EnvoyProbe, shares
from rollway.routers.probes.http import summary
from rollway.routers.traffic import ObjectVerdict, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from rollway.routers.backends.istio.loaded_routes import Expected
    from rollway.routers.backends.istio.managed_routes import Narrowing
    from rollway.routers.backends.istio.stanza import IstioVirtualService
    from rollway.routers.backends.istio.subsets import SubsetPods
    from rollway.routers.backends.istio.virtual_service import Target
    from rollway.routers.model import Context
    from rollway.routers.objects import Manifest, ObjectRef
    from rollway.routers.probes.envoy import LoadedEndpoints, LoadedRoute
    from rollway.routers.probes.http import Find
    from rollway.routers.traffic import Verdict


class IstioProbe(EnvoyProbe):
    """Ask every Envoy for its routes, and for the endpoints of the subsets whose hashes the Rollout asks for."""

    def judge(self, context: Context) -> Verdict:
        """Compare the routes, and then the endpoints, that each Envoy has with the routing objects."""
        verdict = super().judge(context)
        ref = rule_ref(context.rollout)
        if ref is None or context.rollout.subsets is None or verdict.outcome is not Outcome.MATCHES:
            return verdict
        endpoints = EnvoyEndpointsProbe(
            self.find, self.backend, lambda _context: [ref], compare_endpoints, self.istiod
        ).judge(context)
        return worst([verdict, endpoints])


def envoy_probe(find: Find, istiod: Find | None = None) -> EnvoyProbe:
    """Return the probe that asks these Envoys, and this istiod for the reasons of a rejection."""
    return IstioProbe(find, "istio", _objects, compare, istiod)


def compare_endpoints(loaded: Sequence[LoadedEndpoints], context: Context) -> Verdict:
    """Compare the endpoints that one Envoy has for each subset with the pods that have its labels; needs no network.

    Pods come and go all the time. So an address counts that is known to be that of a pod without the labels, and a subset
    without any address of a ready pod that has them.
    """
    ref = rule_ref(context.rollout)
    assert ref is not None, "only a split by subsets is compared"
    subsets = list(subset_pods(context.rollout, context.live))
    differences = [difference for subset in subsets for difference in _endpoint_differences(loaded, subset)]
    outcome = Outcome.DIFFERS if differences else Outcome.MATCHES
    same = (
        "has the pods of both subsets" if subsets else "was not asked for subsets, whose pods are elsewhere"
    )
    reason = "; ".join(dict.fromkeys(differences)) or same
    return summary([ObjectVerdict(ref, outcome, reason)])


def _endpoint_differences(loaded: Sequence[LoadedEndpoints], subset: SubsetPods) -> Iterator[str]:
    clusters = [each for each in loaded if each.cluster[:2] == (subset.host, subset.name)]
    if not clusters:
        yield f"has no cluster of subset {subset.name} of {subset.host}"
    for each in clusters:
        foreign = sorted(each.addresses & subset.others)
        if foreign:
            yield f"has {', '.join(foreign)} in subset {subset.name}, which is no pod with its labels"
        elif subset.ready and not each.addresses & subset.ready:
            yield f"has no ready pod of subset {subset.name} yet"


def compare(loaded: Sequence[LoadedRoute], context: Context) -> Verdict:
    """Compare the routes that one Envoy has with the VirtualServices; needs no network."""
    rollout, want, live = context
    verdicts: list[ObjectVerdict] = []
    for service in stanza_of(rollout).virtual_services:
        ref = ref_of(service)
        targets = find_targets(rollout, service, live)
        other = [target.part for target in targets if target.section != "http"]
        if other:
            reason = (
                f"shows no weights of {', '.join(other)}: only HTTP routes are in its route configuration"
            )
            verdicts.append(ObjectVerdict(ref, Outcome.UNKNOWN, reason))
            continue
        if not dig(live[ref].manifest, "spec", "hosts"):
            reason = "is a delegate, and Envoy names routes after the VirtualService that delegates to it"
            verdicts.append(ObjectVerdict(ref, Outcome.UNKNOWN, reason))
            continue
        differences = list(dict.fromkeys(_differences(loaded, service, context)))
        outcome = Outcome.DIFFERS if differences else Outcome.MATCHES
        names = [route.name for route in want.routes]
        has = " and ".join([f"canary {want.split}", *(f"route {name}" for name in names)])
        verdicts.append(ObjectVerdict(ref, outcome, "; ".join(differences) or f"has {has}"))
    return summary(verdicts)


def _objects(context: Context) -> list[ObjectRef]:
    return [ref_of(service) for service in stanza_of(context.rollout).virtual_services]


def _differences(
    loaded: Sequence[LoadedRoute], service: IstioVirtualService, context: Context
) -> Iterator[str]:
    rollout, _, live = context
    ref = ref_of(service)
    entries = routes_of(ref, live[ref].manifest, "http")
    end = f"/namespaces/{ref.namespace}/virtual-service/{ref.name}"
    names = {str(entry.get("name") or "") for entry in entries} | {*rollout.managed_routes}
    ours = [(_name(entry, names), entry) for entry in loaded if entry.source.endswith(end)]
    if not ours:
        yield f"has no route of {ref}"
        return
    reached = list(expected(entries, ref.namespace))
    hidden = _hidden({index for index, _ in reached}, live_routes(rollout, service, live))
    for target in find_targets(rollout, service, live):
        if target.index not in hidden:
            yield from _weight_differences(ours, target, entries[target.index])
    for name in rollout.managed_routes:
        wanted = [route for index, route in reached if entries[index].get("name") == name]
        yield from _route_differences(ours, name, wanted, ref)


def _name(entry: LoadedRoute, names: Collection[str]) -> str:
    """Return the name of the http route that a route comes from: Istio appends `.` and the name of the match block."""
    fitting = [name for name in names if name == entry.name or entry.name.startswith(f"{name}.")]
    return max(fitting, key=len, default=entry.name.partition(".")[0])


def _hidden(reached: Collection[int], narrowings: Iterable[Narrowing]) -> set[int]:
    """Return the weighted routes of which Envoy has none, because a mirror route takes all their requests."""
    return {
        narrowing.target.index
        for narrowing in narrowings
        if narrowing.position in reached and narrowing.target.index not in reached
    }


def _weight_differences(
    ours: Sequence[tuple[str, LoadedRoute]], target: Target, entry: Manifest
) -> Iterator[str]:
    places = [destination_of(item, target.ref.namespace) for item in entry["route"]]
    wanted = shares(dict(zip(places, target.weights, strict=True)))
    # Where no route has a name, the ones that lead to our destinations are meant.
    same = [
        weights
        for name, route in ours
        for weights in [destinations(route.weights)]
        if name == target.name and (target.name or not wanted.keys().isdisjoint(weights))
    ]
    if not same:
        yield f"has no {target.part} of {target.ref}"
    for weights in same:
        if shares(weights) != wanted:
            listed = ", ".join(
                f"{place.host.partition('.')[0]}{'/' + place.subset if place.subset else ''} {weight}"
                for place, weight in weights.items()
            )
            yield f"has {listed} for {target.part} of {target.ref}"


def _route_differences(
    ours: Sequence[tuple[str, LoadedRoute]], name: str, wanted: Sequence[Expected], ref: ObjectRef
) -> Iterator[str]:
    """Yield whether each virtual host has the header or mirror routes of a name, as they are wanted and no others."""
    hosts: dict[tuple[str, ...], list[LoadedRoute]] = {}
    for known_name, entry in ours:
        have = hosts.setdefault((entry.table, *entry.domains), [])
        if known_name == name:
            have.append(entry)
    if not any(hosts.values()):
        if wanted:
            yield f"has no http route {name} of {ref}"
    elif not wanted:
        yield f"still has http route {name} of {ref}"
    elif any(differs(have, wanted) for have in hosts.values()):
        yield f"has another http route {name} of {ref}"
