"""Whether a controller moves the traffic of a Rollout, so that what somebody else writes does not stay. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.model import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.model import Rollout

FINDINGS = (
    FindingCode(
        "controller-in-charge",
        "A controller is taking the Rollout through its steps, or switches its Services, by its status; or rollway's own "
        "controller runs it, by its label.",
        "The controller writes its own weight back at its next step, or its own selectors. That of rollway does so at once.",
        "Let the controller finish, or abort the release there. With rollway's controller, `rollway set-weight` in a cluster "
        "lets it hold the weight.",
    ),
    FindingCode(
        "held-weight",
        "Somebody has set a weight by hand on a Rollout of rollway's controller, which holds it in place of its steps.",
        "Nothing: it is a note. The release pauses until a promote, an abort, another update or a release of the weight.",
        "Promote, abort, or let it go with `rollway set-weight NAME --release`.",
    ),
)


def controller_in_charge(rollout: Rollout) -> Iterator[Finding]:
    """Refuse to move a Rollout whose controller writes its own traffic back: at its next step, or at any time."""
    if not rollout.is_managed:
        yield from _moving(rollout)
        return
    name = rollout.name
    remedy = f"`rollway promote {name}` and `rollway abort {name}` move the release"
    if rollout.strategy is Strategy.CANARY:
        remedy = f"`rollway set-weight {name} WEIGHT` in the cluster lets it hold a weight, {remedy}"
    message = "rollway's controller runs it, and would write its own traffic back at once"
    yield Finding("controller-in-charge", Severity.REFUSAL, rollout.ref, message, remedy)


def controller_findings(rollout: Rollout) -> Iterator[Finding]:
    """Yield what a reader should know: whether a controller moves the Rollout now, and a weight that it holds.

    That of rollway takes weights, so that nothing is refused for it.
    """
    if not rollout.is_managed:
        yield from _moving(rollout)
    if rollout.held and rollout.held.weight <= rollout.total:
        remedy = f"`rollway set-weight {rollout.name} --release` lets it go"
        yield Finding("held-weight", Severity.NOTE, rollout.ref, rollout.held.text(rollout.total), remedy)


def _moving(rollout: Rollout) -> Iterator[Finding]:
    """Refuse to move a Rollout that a controller takes through its steps now."""
    status, count = rollout.status, len(rollout.steps)
    step = status.current_step
    if status.phase in ("Progressing", "Paused") and step is not None and step < count:
        message = (
            f"a controller is moving it (status: {status.phase}, step {step + 1} of {count}), and would write its own "
            "weight back"
        )
        remedy = "let the controller finish, or abort there"
        if rollout.instance_id:
            remedy += f"; if it is one of rollway's, `rollway set-weight {rollout.name} WEIGHT --hold` lets it hold a weight"
        yield Finding("controller-in-charge", Severity.REFUSAL, rollout.ref, message, remedy)
    if status.phase in ("Progressing", "Paused") and rollout.hashes is not None:
        message = f"a controller is moving it (status: {status.phase}), and would switch the Services back"
        remedy = "let the controller promote or abort the release"
        yield Finding("controller-in-charge", Severity.REFUSAL, rollout.ref, message, remedy)
