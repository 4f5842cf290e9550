"""Evidence `accepted` from Gateway API: what every controller reports in the status of every route of the Rollout.

It rests on the objects alone. It does not show that a data plane has loaded anything: no condition of a route does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollway.routers.backends.gateway.routes import find_routes
from rollway.routers.backends.gateway.status import acceptance, parents_of
from rollway.routers.probes import worst_outcome
from rollway.routers.traffic import Evidence, ObjectVerdict, Outcome, Verdict

if TYPE_CHECKING:
    from rollway.routers.model import Context
    from rollway.routers.objects import Manifest, ObjectRef


@dataclass(frozen=True)
class AcceptedProbe:
    """Ask for nothing but the objects that the store has read."""

    evidence: Evidence = Evidence.ACCEPTED
    backends: frozenset[str] = frozenset({"gateway"})

    def judge(self, context: Context) -> Verdict:
        """Return whether every controller of every parent has accepted every route in its present generation."""
        verdicts = [
            verdict
            for ref, _ in find_routes(context.rollout, context.live)
            for verdict in _judged(ref, context.live[ref].manifest)
        ]
        outcome, reason = worst_outcome(verdicts)
        if outcome is Outcome.MATCHES:
            reason = "; ".join(dict.fromkeys(verdict.reason for verdict in verdicts))
        return Verdict(outcome, Evidence.ACCEPTED, reason=reason)


def _judged(ref: ObjectRef, manifest: Manifest) -> list[ObjectVerdict]:
    parents = parents_of(manifest)
    verdicts = [verdict for parent in parents for verdict in acceptance(parent)]
    if not parents:
        verdicts = [(Outcome.UNKNOWN, "is attached to no parent")]
    return [ObjectVerdict(ref, outcome, f"{ref}: {reason}") for outcome, reason in verdicts]


PROBE = AcceptedProbe()
