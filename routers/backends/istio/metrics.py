"""What Istio's proxies count of a Rollout's requests. Source: Istio, "Istio Standard Metrics"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.istio.managed_routes import live_routes
from rollway.routers.backends.istio.virtual_service import (
    destination_of,
    find_targets,
    ref_of,
    routes_of,
    rule_ref,
    stanza_of,
)
from rollway.routers.model import CANARY, STABLE
from rollway.routers.objects import dig
from rollway.routers.probes.http import NoAnswerError
from rollway.routers.probes.prometheus import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.routers.backends.istio.stanza import IstioVirtualService
    from rollway.routers.backends.istio.virtual_service import Destination
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live


def metric(rollout: Rollout, live: Live) -> Metric:
    """Return what gateways and sidecars count of the requests that they send on."""
    roles: dict[Destination, str] = {}
    for service in stanza_of(rollout).virtual_services:
        ref = ref_of(service)
        manifest = live[ref].manifest
        targets = find_targets(rollout, service, live)
        for target in targets:
            if target.section != "http":
                raise NoAnswerError(f"{target.part} of {ref} has no requests to count")
            items = manifest["spec"]["http"][target.index]["route"]
            for position, role in ((target.stable, STABLE), (target.canary, CANARY)):
                roles[destination_of(items[position], ref.namespace)] = role
    for service in stanza_of(rollout).virtual_services:
        _refuse_other_ways(rollout, service, live, roles)
    hosts = {place.host for place in roles}
    versions = _versions(rollout, live) if rule_ref(rollout) else {}

    def role_of(labels: Mapping[str, str]) -> str | None:
        host = labels.get("destination_service", "")
        if host not in hosts:
            return None
        if versions:
            version = labels.get("destination_version", "")
            return versions.get(version, f"version {version!r}")
        return next(role for place, role in roles.items() if place.host == host)

    listed = "|".join(sorted(hosts)).replace(".", "[.]")
    selector = f'istio_requests_total{{reporter="source",destination_service=~"{listed}"}}'
    return Metric(selector, role_of, "response_code")


def _refuse_other_ways(
    rollout: Rollout, service: IstioVirtualService, live: Live, roles: Mapping[Destination, str]
) -> None:
    """Raise NoAnswerError where another route of a VirtualService leads to the same destinations."""
    ref = ref_of(service)
    # Mirror routes share the weights, and only the requests that are answered are counted at the source.
    mirrors = [item.position for item in live_routes(rollout, service, live) if len(item.entry["route"]) > 1]
    carrying = {*mirrors, *(target.index for target in find_targets(rollout, service, live))}
    for index, entry in enumerate(routes_of(ref, live[ref].manifest, "http")):
        places = [destination_of(item, ref.namespace) for item in entry.get("route") or ()]
        if index not in carrying and any(place in roles for place in places):
            name = entry.get("name") or f"http[{index}]"
            raise NoAnswerError(
                f"{ref}: {name} leads to the same destinations, and the metrics do not distinguish its requests"
            )


def _versions(rollout: Rollout, live: Live) -> dict[str, str]:
    """Return the role of each value that `destination_version` has: the label `version` of the pods of a subset."""
    ref, rule = rule_ref(rollout), stanza_of(rollout).destination_rule
    assert ref is not None, "the route splits by subsets"
    assert rule is not None, "the route splits by subsets"
    labels = {
        dig(subset, "name"): dig(subset, "labels", "version")
        for subset in dig(live[ref].manifest, "spec", "subsets") or ()
    }
    versions = {
        str(labels.get(rule.stable_subset_name) or ""): STABLE,
        str(labels.get(rule.canary_subset_name) or ""): CANARY,
    }
    if len(versions) < 2 or "" in versions:
        raise NoAnswerError(
            f"{ref}: the subsets do not differ in the label version, the only one of a pod that istio_requests_total has"
        )
    return versions
