"""The Services of a route, as every backend needs them: to check ports, and to report Services that are not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.objects import Need, ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live

FINDINGS = (
    FindingCode(
        "service-unknown",
        "A Service that the Rollout names is not among the manifests.",
        "Nothing, if it is created elsewhere; a wrong name is answered with 503 once it gets traffic.",
        "Keep the Service beside the other manifests, or check its name.",
    ),
)


def service_refs(rollout: Rollout) -> Sequence[ObjectRef]:
    """Return the stable and the canary Service; none for a route that is split by subsets alone."""
    names = (rollout.stable_service, rollout.canary_service)
    return [ObjectRef("", "Service", rollout.namespace, name) for name in names if name]


def service_needs(rollout: Rollout) -> Sequence[Need]:
    """Ask for the Services, where the store has them."""
    return [Need("", "Service", ref.name, ref.namespace, required=False) for ref in service_refs(rollout)]


def unknown_services(rollout: Rollout, live: Live) -> Iterator[Finding]:
    """Note the Services that the store does not have; in a cluster their endpoints are looked at instead."""
    if live.running:
        return
    for ref in service_refs(rollout):
        if ref not in live:
            yield Finding("service-unknown", Severity.NOTE, ref, "is not in the store, so it was not checked")
