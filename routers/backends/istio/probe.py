"""Evidence `loaded` from Istio: the VirtualServices compared with the routes that each Envoy has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.istio.virtual_service import (
    Destination,
    destination_of,
    find_targets,
    ref_of,
    stanza_of,
)
from rollway.routers.probes.envoy import EnvoyProbe, shares
from rollway.routers.probes.http import summary
from rollway.routers.traffic import ObjectVerdict, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rollway.routers.backends.istio.virtual_service import Target
    from rollway.routers.model import Context
    from rollway.routers.objects import Manifest, ObjectRef
    from rollway.routers.probes.envoy import Cluster, LoadedRoute
    from rollway.routers.probes.http import Find
    from rollway.routers.traffic import Verdict


def envoy_probe(find: Find, istiod: Find | None = None) -> EnvoyProbe:
    """Return the probe that asks these Envoys, and this istiod for the reasons of a rejection."""
    return EnvoyProbe(find, istiod, "istio", _objects, compare)


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
        differences = list(dict.fromkeys(_differences(loaded, ref, targets, live[ref].manifest)))
        outcome = Outcome.DIFFERS if differences else Outcome.MATCHES
        verdicts.append(ObjectVerdict(ref, outcome, "; ".join(differences) or f"has canary {want.split}"))
    return summary(verdicts)


def _objects(context: Context) -> list[ObjectRef]:
    return [ref_of(service) for service in stanza_of(context.rollout).virtual_services]


def _differences(
    loaded: Sequence[LoadedRoute], ref: ObjectRef, targets: Sequence[Target], manifest: Manifest
) -> Iterator[str]:
    end = f"/namespaces/{ref.namespace}/virtual-service/{ref.name}"
    ours = [(entry.name, _destinations(entry.weights)) for entry in loaded if entry.source.endswith(end)]
    if not ours:
        yield f"has no route of {ref}"
        return
    for target in targets:
        items = manifest["spec"]["http"][target.index]["route"]
        places = [destination_of(item, ref.namespace) for item in items]
        wanted = shares(dict(zip(places, target.weights, strict=True)))
        # Where no route has a name, the ones that lead to our destinations are meant.
        same = [
            weights
            for name, weights in ours
            if name.partition(".")[0] == target.name
            and (target.name or not wanted.keys().isdisjoint(weights))
        ]
        if not same:
            yield f"has no {target.part} of {ref}"
        for weights in same:
            if shares(weights) != wanted:
                listed = ", ".join(
                    f"{place.host.partition('.')[0]}{'/' + place.subset if place.subset else ''} {weight}"
                    for place, weight in weights.items()
                )
                yield f"has {listed} for {target.part} of {ref}"


def _destinations(weights: Mapping[Cluster, int]) -> dict[Destination, int]:
    """Return the weights by destination, whatever its port."""
    places: dict[Destination, int] = {}
    for cluster, weight in weights.items():
        place = Destination(cluster.host, cluster.subset)
        places[place] = places.get(place, 0) + weight
    return places
