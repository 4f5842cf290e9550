"""Compute what a reset removes: it deletes what is ours, and gives back what was taken over. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers import guards, ownership
from rollway.routers.errors import NotVerifiedError
from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.in_charge import controller_in_charge
from rollway.routers.model import Context
from rollway.routers.objects import Access, LiveObject
from rollway.routers.observation import observe
from rollway.routers.plan import Change, removal_of
from rollway.routers.planning import (
    Proposal,
    Simulation,
    keeping_stable,
    needs_of,
    plan_of,
    propose,
    store_notes,
    wanted_traffic,
)
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live
    from rollway.routers.plan import Plan

FINDINGS = (
    FindingCode(
        "given-back",
        "An object that was taken over with `--adopt` is put back as it was before, instead of being deleted.",
        "Nothing: it is a note. The weight that the object had then counts again.",
        "Delete the object if it is not needed.",
    ),
)


def propose_removal(
    rollout: Rollout, live: Live, *, adopt: bool = False, everything: bool = False
) -> Proposal:
    """Return the deletion of every managed object of the Rollout that exists; one that was taken over is given back.

    An object without which stable does not get all traffic stays, unless `everything` is asked for.

    Raises:
        ForeignOwnerError: one of them belongs to somebody else.
    """
    context = Context(rollout, Traffic(Split(0, rollout.total)), live)
    changes: list[Change] = []
    for need in needs_of(rollout):
        present = live.get(need.ref) if need.access is Access.MANAGED else None
        if present is None or (need.keeps_stable and not everything):
            continue
        if not adopt:
            ownership.refuse_foreign(present.ref, present.manifest, rollout)
        changes.append(removal_of(present, need))
    notes = store_notes(context.want, live)
    if not changes:
        return Proposal(context, None, notes)
    kept = [LiveObject(change.ref, change.after, change.version) for change in changes if change.after]
    after = live.after(kept, [change.ref for change in changes if not change.after])
    findings = (*controller_in_charge(rollout), *_given_back(rollout, after, kept), *notes)
    simulation = Simulation(tuple(changes), after, findings)
    return Proposal(context, plan_of(context, simulation, adopt=adopt, removal=True), findings)


def _given_back(rollout: Rollout, after: Live, kept: Sequence[LiveObject]) -> Iterator[Finding]:
    """Note what becomes of an object that was taken over, and the weight that it gives the canary again."""
    refs = {item.ref for item in kept}
    for reading in observe(rollout, after).readings if refs else ():
        if reading.ref in refs:
            weight = guards.canary_weight(reading)
            again = f", so the canary has {weight} of {rollout.total} there again" if weight else ""
            message = f"was there before rollway, and is put back as it was{again}"
            yield Finding("given-back", Severity.NOTE, reading.ref, message, "delete it if it is not needed")


def refuse_overtaken(removal: Plan, live: Live) -> None:
    """Raise NotVerifiedError when another call has given the canary traffic since all of it went to stable."""
    rollout = removal.rollout
    if observe(rollout, _without_given_back(removal, live)).serves_canary:
        raise NotVerifiedError(
            f"{rollout.ref}: another call has given the canary traffic again during the reset, so no more is deleted",
            retryable=True,
        )


def _without_given_back(removal: Plan, live: Live) -> Live:
    """Return the objects without those that a removal has given back already, which are none of ours any more."""
    gone = [
        change.ref
        for change in removal.changes
        if change.after
        and change.ref in live
        and not ownership.owned_by(live[change.ref].manifest, removal.rollout)
    ]
    return live.after((), gone)


def propose_again(plan: Plan, live: Live) -> Proposal:
    """Return what is left to do for the same wish, from objects that were read anew.

    Raises what `propose` and `propose_removal` raise, and NotVerifiedError where a canary has traffic again whose
    objects would be deleted.
    """
    if plan.removal:
        refuse_overtaken(plan, live)
        live = _without_given_back(plan, live)
        everything = any(change.ref in keeping_stable(plan.rollout) for change in plan.changes)
        return propose_removal(plan.rollout, live, adopt=plan.adopt, everything=everything)
    want = wanted_traffic(plan.rollout, plan.wish or plan.want, live)
    return propose(Context(plan.rollout, want, live), plan.wish, adopt=plan.adopt, create=plan.create)
