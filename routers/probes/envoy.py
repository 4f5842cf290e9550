"""Evidence `loaded` from Istio: the route configuration that each Envoy has, by its admin interface.

istiod's own view is not asked: it says "synced" before a change reached any proxy. Source: Envoy, "Administration
interface", /config_dump; Istio, pilot/pkg/networking/core/route (names of clusters and routes).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from routers.backends.virtual_service import find_targets, host_name, ref_of, stanza_of
from routers.model import Evidence, Outcome, Verdict, dig
from routers.probes.documents import NoAnswerError, ask_each, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from routers.backends.virtual_service import Target
    from routers.model import Live, Manifest, ObjectRef, Route, Traffic
    from routers.probes.documents import Address, Find

_DUMP = "/config_dump?resource=dynamic_route_configs"
_REJECTED = "/stats?filter=%5C.rds%5C..*update_rejected&format=json"


class Destination(NamedTuple):
    """Where an Envoy cluster of Istio leads: `outbound|PORT|SUBSET|HOST`."""

    host: str
    subset: str


@dataclass(frozen=True)
class EnvoyProbe:
    """Ask the admin interface (port 15000 on the pod's loopback) of every gateway and sidecar that is given."""

    find: Find
    """Where every pod is."""
    evidence: Evidence = Evidence.LOADED
    routers: frozenset[str] = frozenset({"istio"})

    def judge(self, route: Route, want: Traffic, live: Live) -> Verdict:
        """Compare the routes that each Envoy has with the VirtualServices."""

        def look(address: Address) -> Verdict:
            verdict = compare(fetch(address, _DUMP), route, want, live)
            if verdict.outcome is not Outcome.DIFFERS:
                return verdict
            return verdict._replace(reason=verdict.reason + _rejections(address))

        return ask_each("Envoy", self.find, route, live, look)


def compare(document: Any, route: Route, want: Traffic, live: Live) -> Verdict:
    """Compare the route configurations that one Envoy has with the VirtualServices; needs no network."""
    try:
        loaded = list(_routes(document))
    except (TypeError, KeyError, AttributeError, ValueError):
        return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason="answered something else than its routes")
    differences: list[str] = []
    for service in stanza_of(route).virtual_services:
        ref = ref_of(service)
        targets = find_targets(route, service, live)
        other = [target.part for target in targets if target.section != "http"]
        if other:
            reason = (
                f"shows no weights of {', '.join(other)}: only HTTP routes are in its route configuration"
            )
            return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason=reason)
        differences += _differences(loaded, ref, targets, live[ref].manifest)
    if differences:
        return Verdict(Outcome.DIFFERS, Evidence.LOADED, reason="; ".join(dict.fromkeys(differences)))
    return Verdict(Outcome.MATCHES, Evidence.LOADED, reason=f"has canary {want.split}")


class _Loaded(NamedTuple):
    """One route of Envoy: the Istio object that it comes from, its name, and its weights."""

    source: str
    name: str
    weights: Mapping[Destination, int]


def _routes(document: Any) -> Iterator[_Loaded]:
    for config in document.get("configs", []):
        for host in config["route_config"].get("virtual_hosts", []):
            for entry in host.get("routes", []):
                source = dig(entry, "metadata", "filter_metadata", "istio", "config")
                action = entry.get("route")
                if not isinstance(source, str) or action is None:
                    continue
                if "cluster" in action:
                    weights = {_destination(action["cluster"]): 1}
                else:
                    clusters = action["weighted_clusters"]["clusters"]
                    weights = {}
                    for cluster in clusters:
                        at = _destination(cluster["name"])
                        weights[at] = weights.get(at, 0) + int(cluster.get("weight", 0))
                yield _Loaded(source, str(entry.get("name") or ""), weights)


def _destination(cluster: str) -> Destination:
    _direction, _port, subset, host = cluster.split("|")
    return Destination(host, subset)


def _differences(
    loaded: list[_Loaded], ref: ObjectRef, targets: Sequence[Target], manifest: Manifest
) -> Iterator[str]:
    end = f"/namespaces/{ref.namespace}/virtual-service/{ref.name}"
    ours = [entry for entry in loaded if entry.source.endswith(end)]
    if not ours:
        yield f"has no route of {ref}"
        return
    for target in targets:
        items = manifest["spec"]["http"][target.index]["route"]
        places = [
            Destination(
                host_name(str(dig(item, "destination", "host")), ref.namespace),
                str(dig(item, "destination", "subset") or ""),
            )
            for item in items
        ]
        wanted = _shares(dict(zip(places, target.weights, strict=True)))
        # Where no route has a name, the ones that lead to our destinations are meant.
        same = [
            entry
            for entry in ours
            if entry.name.partition(".")[0] == target.name
            and (target.name or not wanted.keys().isdisjoint(entry.weights))
        ]
        if not same:
            yield f"has no {target.part} of {ref}"
        for entry in same:
            if _shares(entry.weights) != wanted:
                told = ", ".join(
                    f"{place.host.partition('.')[0]}{'/' + place.subset if place.subset else ''} {weight}"
                    for place, weight in entry.weights.items()
                )
                yield f"has {told} for {target.part} of {ref}"


def _shares(weights: Mapping[Destination, int]) -> dict[Destination, Fraction]:
    """Return what each destination gets; those that get nothing are left out, as istiod leaves them out."""
    total = sum(weights.values())
    return {place: Fraction(weight, total) for place, weight in weights.items() if weight} if total else {}


def _rejections(address: Address) -> str:
    """Say that Envoy has rejected updates, if it has."""
    try:
        stats = fetch(address, _REJECTED).get("stats", [])
        count = sum(int(entry.get("value", 0)) for entry in stats)
    except (NoAnswerError, AttributeError, TypeError, ValueError):
        return ""
    return f" (it has rejected {count} updates of its routes since it started)" if count else ""
