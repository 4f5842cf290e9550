"""Evidence `loaded` from Istio: the route configuration that each Envoy has, by its admin interface.

istiod's own view is no evidence: it shows "synced" before a change reached any proxy. It is asked only why an Envoy
rejected an update, which Envoy's admin interface does not show. Source: Envoy, "Administration
interface", /config_dump; Istio, pilot/pkg/networking/core/route (names of clusters and routes).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.backends.istio.virtual_service import (
    Destination,
    destination_of,
    find_targets,
    ref_of,
    stanza_of,
)
from rollway.routers.objects import dig
from rollway.routers.probes.http import NoAnswerError, ask_each, fetch, summary, unknown
from rollway.routers.traffic import Evidence, ObjectVerdict, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rollway.routers.backends.istio.virtual_service import Target
    from rollway.routers.model import Context, Rollout
    from rollway.routers.objects import Manifest, ObjectRef
    from rollway.routers.probes.http import Address, Find
    from rollway.routers.traffic import Verdict

_DUMP = "/config_dump?resource=dynamic_route_configs"
_ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_REJECTED = "/stats?filter=%5C.rds%5C..*update_rejected&format=json"


@dataclass(frozen=True)
class EnvoyProbe:
    """Ask the admin interface (port 15000 on the pod's loopback) of every gateway and sidecar that is given."""

    find: Find
    """Where every pod is."""
    istiod: Find | None = None
    """Where istiod answers (port 8080 on the pod's loopback), which knows why an Envoy rejected an update."""
    evidence: Evidence = Evidence.LOADED
    backends: frozenset[str] = frozenset({"istio"})

    def judge(self, context: Context) -> Verdict:
        """Compare the routes that each Envoy has with the VirtualServices."""

        def look(address: Address) -> Verdict:
            verdict = compare(fetch(address, _DUMP), context)
            if verdict.outcome is not Outcome.DIFFERS:
                return verdict
            count = _rejections(address)
            if not count:
                return verdict
            rejecting.append(address)
            rejected = f"it has rejected {count} updates of its routes since it started"
            return verdict._replace(reason=f"{verdict.reason} ({rejected})")

        rejecting: list[Address] = []
        verdict = ask_each("Envoy", self.find, context, _objects(context.rollout), look)
        # istiod knows the reasons of all of them, so it is asked once.
        why = self._reasons(context) if rejecting else []
        return verdict._replace(reason="; ".join([verdict.reason, *why]))

    def _reasons(self, context: Context) -> list[str]:
        """Return what istiod knows of rejections now; nothing where it cannot be asked, since it is no evidence."""
        reasons: list[str] = []
        if self.istiod is not None:
            with contextlib.suppress(NoAnswerError):
                for address in self.istiod(context.rollout, context.live):
                    reasons += _rejection_reasons(fetch(address, "/debug/syncz"))
        return reasons


def _rejection_reasons(document: Any) -> Iterator[str]:
    """Yield why proxies rejected their routes, of the list that istiod has of its proxies."""
    for proxy in document if isinstance(document, list) else ():
        error = dig(proxy, "resources", _ROUTES, "lastError")
        if isinstance(error, str) and error:
            # Envoy writes the whole route table first, and what is wrong with it in the last line.
            yield f"{dig(proxy, 'proxy')} reports: {error.strip().splitlines()[-1].lstrip(': ')}"


def compare(document: Any, context: Context) -> Verdict:
    """Compare the route configurations that one Envoy has with the VirtualServices; needs no network."""
    rollout, want, live = context
    try:
        loaded = list(_routes(document))
    except (TypeError, KeyError, AttributeError, ValueError):
        return unknown(_objects(rollout), "answered something else than its routes")
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
        differences = list(dict.fromkeys(_differences(loaded, ref, targets, live[ref].manifest)))
        outcome = Outcome.DIFFERS if differences else Outcome.MATCHES
        verdicts.append(ObjectVerdict(ref, outcome, "; ".join(differences) or f"has canary {want.split}"))
    return summary(verdicts)


def _objects(rollout: Rollout) -> list[ObjectRef]:
    return [ref_of(service) for service in stanza_of(rollout).virtual_services]


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
                        place = _destination(cluster["name"])
                        weights[place] = weights.get(place, 0) + int(cluster.get("weight", 0))
                yield _Loaded(source, str(entry.get("name") or ""), weights)


def _destination(cluster: str) -> Destination:
    """Return where an Envoy cluster of Istio leads: `outbound|PORT|SUBSET|HOST`."""
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
        places = [destination_of(item, ref.namespace) for item in items]
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
                weights = ", ".join(
                    f"{place.host.partition('.')[0]}{'/' + place.subset if place.subset else ''} {weight}"
                    for place, weight in entry.weights.items()
                )
                yield f"has {weights} for {target.part} of {ref}"


def _shares(weights: Mapping[Destination, int]) -> dict[Destination, Fraction]:
    """Return what each destination gets; those that get nothing are left out, as istiod leaves them out."""
    total = sum(weights.values())
    return {place: Fraction(weight, total) for place, weight in weights.items() if weight} if total else {}


def _rejections(address: Address) -> int:
    """Return how many updates of its routes an Envoy has rejected; 0 also where it does not report it."""
    try:
        stats = fetch(address, _REJECTED).get("stats", [])
        return sum(int(entry.get("value", 0)) for entry in stats)
    except (NoAnswerError, AttributeError, TypeError, ValueError):
        return 0
