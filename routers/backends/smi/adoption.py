"""The stanza for a mesh with SMI: the Service that clients call is the root, and its TrafficSplit is made later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.adoption import Adoption, Proposal, refusal, routes_in
from rollway.routers.backends.smi.versions import GROUP
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from rollway.routers.objects import Live, ObjectRef


def propose(service: ObjectRef, _canary: str, live: Live) -> Proposal:
    """Propose a TrafficSplit of the Rollout's own; nothing shows whether a mesh carries the traffic, so a user has to ask for it."""
    findings = [
        refusal(
            "adopt-foreign-split",
            item.ref,
            f"shares the traffic of Service {service.name}",
            "delete it first",
        )
        for item in routes_in(live, GROUP, "TrafficSplit", service.namespace)
        if dig(item.manifest, "spec", "service") == service.name
    ]
    return Proposal({}, findings=tuple(findings))


ADOPTION = Adoption(((GROUP, "TrafficSplit"),), propose)
