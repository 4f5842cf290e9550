"""Limits that a caller sets on a plan, and the refusals of the data planes. All reasons are reported at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.errors import RefusedError
from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.plan import Action
from rollway.routers.weights import parse_weight

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.plan import Plan
    from rollway.routers.traffic import Reading

FINDINGS = (
    FindingCode(
        "over-max-step",
        "The canary's weight would change by more than `--max-step` in one plan.",
        "More users than was wanted move at once.",
        "Go there in smaller steps, or give a larger `--max-step`.",
    ),
    FindingCode(
        "stable-not-kept",
        "Stable would get no traffic, and `--keep-stable` is given.",
        "Nobody is left on the version that is known to work.",
        "Give a weight below the total, or leave out `--keep-stable`.",
    ),
    FindingCode(
        "creation-off",
        "An object would be created, and `--no-create` is given.",
        "The cluster or the directory gets an object that was not wanted.",
        "Leave out `--no-create`.",
    ),
    FindingCode(
        "deletion-off",
        "An object would be deleted, and `--no-delete` is given.",
        "An object is gone that was to stay.",
        "Leave out `--no-delete`.",
    ),
)


class Limits(NamedTuple):
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
        finding._replace(severity=Severity.NOTE) if finding.code in allow else finding for finding in findings
    )


def enforce(plan: Plan, limits: Limits) -> None:
    """Raise RefusedError with every reason why the plan must not be applied."""
    name = f"{plan.rollout.namespace}/{plan.rollout.name}"
    refuse(
        f"the plan for Rollout {name} is refused:", [*_broken_limits(plan, limits), *plan.findings], limits
    )


def refuse(message: str, findings: Sequence[Finding], limits: Limits) -> None:
    """Raise RefusedError when the limits do not allow some findings; each line of it names the flag that lifts one."""
    reasons = refusals(findings, limits)
    if reasons:
        raise RefusedError(message, reasons=reasons, lines=[line_of(reason) for reason in reasons])


def refusals(findings: Sequence[Finding], limits: Limits) -> list[Finding]:
    """Return the refusals that the limits do not allow."""
    return [finding for finding in lift(findings, limits.allow) if finding.severity is Severity.REFUSAL]


def line_of(refusal: Finding) -> str:
    """Write a refusal with the flag that lifts it."""
    if any(refusal.code == entry.code for entry in FINDINGS):
        return f"{refusal.message} ({refusal.remedy})"
    return f"{refusal} (--allow {refusal.code})"


def _broken_limits(plan: Plan, limits: Limits) -> Iterator[Finding]:
    total = plan.rollout.total
    if limits.max_step is not None:
        largest = parse_weight(limits.max_step, total)
        step = max((abs(canary_weight(new) - old) for old, new in _steps(plan)), default=0)
        if step > largest:
            message = f"the step is {step} of {total}, over the limit of {largest}"
            yield Finding("over-max-step", Severity.REFUSAL, None, message, f"--max-step {step}")
    if limits.keep_stable and any(
        reading.traffic and not reading.traffic.split.stable for reading in plan.after
    ):
        message = "stable would get 0, and the limit is at least 1"
        yield Finding("stable-not-kept", Severity.REFUSAL, None, message, "leave out --keep-stable")
    if not limits.create:
        created = _changed(plan, Action.CREATE)
        if created:
            yield Finding("creation-off", Severity.REFUSAL, None, created, "leave out --no-create")
    if not limits.delete:
        deleted = _changed(plan, Action.DELETE)
        if deleted:
            yield Finding("deletion-off", Severity.REFUSAL, None, deleted, "leave out --no-delete")


def _changed(plan: Plan, action: Action) -> str:
    """Write what a plan does too much of; empty when it does none."""
    refs = [str(change.ref) for change in plan.changes if change.action is action]
    return f"{len(refs)} to {action.value} ({', '.join(refs)}), and the limit is 0" if refs else ""


def _steps(plan: Plan) -> Iterator[tuple[int, Reading]]:
    before = {(reading.ref, reading.part): canary_weight(reading) for reading in plan.before}
    for reading in plan.after:
        yield before.get((reading.ref, reading.part), 0), reading


def canary_weight(reading: Reading) -> int:
    """Return the canary's weight that a reading means; an object that does not exist gives it nothing."""
    return reading.traffic.split.canary if reading.traffic else 0
