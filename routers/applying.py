"""Write a plan: every change in order, planned again after a conflict, put back after a failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rollway.routers import guards
from rollway.routers.errors import (
    ApplyError,
    ConflictError,
    RollwayError,
    StalePlanError,
    UncertainError,
)
from rollway.routers.guards import Limits
from rollway.routers.model import Live
from rollway.routers.planning import needs_of, propose_again, refuse_idle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.model import Finding, LiveObject, ObjectRef, Rollout, Verdict
    from rollway.routers.plan import Change, DryRun, Plan
    from rollway.routers.stores import Store

ATTEMPTS = 6
"""How often a plan is made and tried before a conflict is given up."""


@dataclass(frozen=True)
class Result:
    """What a call did: the plan (None when nothing had to change), what was written, and the evidence.

    `live` holds the objects as the plan saw them, with those that were written as the store answered.
    """

    rollout: Rollout
    plan: Plan | None
    written: tuple[ObjectRef, ...] = ()
    verdict: Verdict | None = None
    dry_run: DryRun = False
    findings: tuple[Finding, ...] = ()
    live: Live = field(default_factory=lambda: Live(()), compare=False, repr=False)

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self.written)


@dataclass(frozen=True)
class Writer:
    """Write plans to a store, within limits."""

    store: Store
    limits: Limits = field(default_factory=Limits)

    def apply(self, plan: Plan, *, expect: str = "", dry_run: DryRun = False) -> Result:
        """Check the limits, write every change, and put back what was written when one fails for good.

        With `dry_run="server"` the store checks every write as if it were one (admission included) and keeps none.

        A conflict is planned again from a fresh read, a bounded number of times; with `expect` it is refused, because
        the reviewed plan is no longer the one that would happen.

        Raises:
            RefusedError: a limit or a data plane says no; nothing was written.
            StalePlanError: the plan is not the one with the expected fingerprint.
            ApplyError: a write failed after others; tells what was put back and what was not.
            StoreError: the first write failed; nothing was written.
        """
        if expect and plan.fingerprint != expect:
            raise StalePlanError(
                f"the plan for {plan.rollout.ref} has fingerprint {plan.fingerprint} now, not {expect}: an object or the wish has changed",
                hint="look at `rollway plan` again",
            )
        guards.enforce(plan, self.limits)
        findings = guards.lift(plan.findings, self.limits.allow)
        if dry_run or len(plan.changes) > 1:  # the write of a single change finds the same
            self.check(plan)
        if dry_run:
            if dry_run == "server":
                for change in plan.changes:
                    self.store.write(change, dry_run=True)
            return Result(plan.rollout, plan, dry_run=dry_run, findings=findings, live=plan.observed)
        journal: list[Change] = []
        try:
            live = self._write_all(plan, journal)
        except ConflictError as conflict:
            if expect and not isinstance(conflict, UncertainError):
                raise self._put_back(
                    journal, StalePlanError(f"{conflict.message} after it was reviewed")
                ) from conflict
            live = self._retry(plan, journal, conflict)
        except BaseException as error:
            raise self._put_back(journal, error) from error
        written = tuple(dict.fromkeys(change.ref for change in journal))
        return Result(plan.rollout, plan, written, findings=findings, live=live)

    def check(self, plan: Plan) -> None:
        """Raise what the store knows by itself against any change of a plan, so that none is written in vain."""
        for change in plan.changes:
            self.store.check(change)

    def _write_all(self, plan: Plan, journal: list[Change]) -> Live:
        """Write every change, and return the objects as they are now."""
        written: list[LiveObject] = []
        deleted: list[ObjectRef] = []
        for change in plan.changes:
            stored = self.store.write(change)
            journal.append(change.inverse(stored.version if stored else ""))
            if stored:
                written.append(stored)
            else:
                deleted.append(change.ref)
        return plan.observed.after(written, deleted)

    def _retry(self, plan: Plan, journal: list[Change], conflict: ConflictError) -> Live:
        """Plan again from a fresh read and write what is left, until it works or the attempts are used up.

        Returns the objects as they are then.
        """
        import tenacity  # noqa: PLC0415 - 30 ms that only a conflict costs

        @tenacity.retry(
            retry=tenacity.retry_if_exception_type(ConflictError),
            stop=tenacity.stop_after_attempt(ATTEMPTS - 1),
            wait=tenacity.wait_random_exponential(multiplier=0.02, max=1),
            reraise=True,
        )
        def again() -> Live:
            proposal = propose_again(plan, self.store.read(needs_of(plan.rollout)))
            refuse_idle(proposal, self.limits)
            if proposal.plan is None:
                return proposal.context.live
            guards.enforce(proposal.plan, self.limits)
            return self._write_all(proposal.plan, journal)

        try:
            return again()
        except BaseException as error:
            unknown = conflict.message if isinstance(conflict, UncertainError) else ""
            raise self._put_back(journal, error, unknown) from error

    def _put_back(self, journal: Sequence[Change], error: BaseException, unknown: str = "") -> BaseException:
        """Undo the writes in reverse order; return the error to raise, with the exact state of every object.

        `unknown` tells of a write whose answer got lost, so that it can neither be counted on nor undone.
        """
        if not journal and not unknown:
            return error
        restored: list[str] = []
        stuck: list[str] = []
        for undo in reversed(journal):
            try:
                self.store.write(undo)
                restored.append(str(undo.ref))
            except RollwayError as failure:
                stuck.append(f"{undo.ref} ({failure.message})")
        if not isinstance(error, RollwayError):
            return error
        state = [f"put back: {', '.join(restored)}"] if restored else []
        state += [f"NOT put back, still as this plan wrote it: {', '.join(stuck)}"] if stuck else []
        state += [unknown] if unknown else []
        hint = "run the same command again: it goes on from here"
        if not stuck and not unknown:
            hint = "nothing is left half done"
        return ApplyError("\n  ".join([error.message, *state]), hint=hint)
