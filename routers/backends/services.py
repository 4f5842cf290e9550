"""The Services of a route, as every backend needs them: to check ports, and to say when they are not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routers.model import Finding, Need, ObjectRef, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from routers.model import Live, Route


def service_refs(route: Route) -> Sequence[ObjectRef]:
    """Return the stable and the canary Service; none for a route that is split by subsets alone."""
    names = (route.stable_service, route.canary_service)
    return [ObjectRef("", "Service", route.namespace, name) for name in names if name]


def service_needs(route: Route) -> Sequence[Need]:
    """Ask for the Services, where the store has them."""
    return [Need("", "Service", ref.name, ref.namespace, required=False) for ref in service_refs(route)]


def unknown_services(route: Route, live: Live) -> Iterator[Finding]:
    """Note the Services that the store does not have; in a cluster their endpoints are looked at instead."""
    if live.running:
        return
    for ref in service_refs(route):
        if ref not in live:
            yield Finding("service-unknown", Severity.NOTE, ref, "is not in the store, so it was not checked")
