"""Evidence `accepted` from Services alone: the controller of EndpointSlices has followed the selector.

It rests on the objects that the cluster holds. It does not show that kube-proxy has loaded them: nobody can ask that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollway.routers.backends.endpoints import ready_targets
from rollway.routers.backends.service.pods import ready_pods
from rollway.routers.backends.service.release import active_ref, selected_hash
from rollway.routers.traffic import Evidence, Outcome, Verdict

if TYPE_CHECKING:
    from rollway.routers.model import Context


@dataclass(frozen=True)
class AcceptedProbe:
    """Ask for nothing but the objects that the store has read."""

    evidence: Evidence = Evidence.ACCEPTED
    backends: frozenset[str] = frozenset({"service"})

    def judge(self, context: Context) -> Verdict:
        """Return whether the ready endpoints of the active Service are exactly the ready pods that it selects."""
        ref = active_ref(context.rollout)
        service = context.live[ref].manifest
        pod_hash = selected_hash(ref, service)
        pods = ready_pods(ref, service, context.live, pod_hash)
        endpoints = ready_targets(ref, context.live)
        if pods and pods == endpoints:
            reason = f"its EndpointSlices have the {len(pods)} ready pods of {pod_hash}"
            return Verdict(Outcome.MATCHES, Evidence.ACCEPTED, reason=f"{ref}: {reason}")
        missing, foreign = len(pods - endpoints), len(endpoints - pods)
        reason = f"its EndpointSlices lack {missing} of {len(pods)} ready pods of {pod_hash}, and have {foreign} others"
        return Verdict(Outcome.DIFFERS, Evidence.ACCEPTED, reason=f"{ref}: {reason}")


PROBE = AcceptedProbe()
