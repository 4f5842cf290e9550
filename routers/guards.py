"""Limits that a caller sets on a plan, and the refusals of the data planes. All reasons are reported at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rollway.routers.errors import RefusedError
from rollway.routers.model import Severity
from rollway.routers.plan import Action
from rollway.routers.weights import parse_weight

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.model import Finding, Reading
    from rollway.routers.plan import Plan


@dataclass(frozen=True)
class Limits:
    """What a plan may do. Each limit is off unless asked for; what a data plane needs is on unless allowed.

    `max_step` is the largest change of the canary's weight in one plan, in the words of a weight (20, 5%, 1/10).
    `allow` holds the codes of refusals that become notes instead.
    """

    max_step: int | str | None = None
    keep_stable: bool = False
    create: bool = True
    delete: bool = True
    allow: frozenset[str] = frozenset()


def lift(findings: Sequence[Finding], allow: frozenset[str]) -> tuple[Finding, ...]:
    """Turn the refusals whose code is allowed into notes."""
    return tuple(
        replace(found, severity=Severity.NOTE) if found.code in allow else found for found in findings
    )


def enforce(plan: Plan, limits: Limits) -> None:
    """Raise RefusedError with every reason why the plan must not be applied; each names the flag that lifts it."""
    reasons = [*_broken_limits(plan, limits), *refusals(plan.findings, limits)]
    if reasons:
        raise RefusedError(
            f"the plan for Rollout {plan.rollout.namespace}/{plan.rollout.name} is refused:", reasons=reasons
        )


def refusals(findings: Sequence[Finding], limits: Limits) -> list[str]:
    """Write the refusals that the limits do not allow, one line each."""
    return [
        f"{found} (--allow {found.code})"
        for found in lift(findings, limits.allow)
        if found.severity is Severity.REFUSAL
    ]


def _broken_limits(plan: Plan, limits: Limits) -> Iterator[str]:
    total = plan.rollout.total
    if limits.max_step is not None:
        largest = parse_weight(limits.max_step, total)
        step = max((abs(canary_weight(new) - old) for old, new in _steps(plan)), default=0)
        if step > largest:
            yield f"the step is {step} of {total}, over the limit of {largest} (--max-step {step})"
    if limits.keep_stable and any(
        reading.traffic and not reading.traffic.split.stable for reading in plan.after
    ):
        yield "stable would get 0, and the limit is at least 1 (leave out --keep-stable)"
    for action, allowed, flag in (
        (Action.CREATE, limits.create, "--no-create"),
        (Action.DELETE, limits.delete, "--no-delete"),
    ):
        refs = [str(change.ref) for change in plan.changes if change.action is action]
        if refs and not allowed:
            yield f"{len(refs)} to {action.value} ({', '.join(refs)}), and the limit is 0 (leave out {flag})"


def _steps(plan: Plan) -> Iterator[tuple[int, Reading]]:
    before = {(reading.ref, reading.part): canary_weight(reading) for reading in plan.before}
    for reading in plan.after:
        yield before.get((reading.ref, reading.part), 0), reading


def canary_weight(reading: Reading) -> int:
    """Return the canary's weight that a reading means; an object that does not exist gives it nothing."""
    return reading.traffic.split.canary if reading.traffic else 0
