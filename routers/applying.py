"""Write a plan: every change in order, planned again after a conflict, put back after a failure.

A write whose answer got lost is neither counted on nor given up: the next read shows whether it is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rollway.routers import guards
from rollway.routers.errors import (
    ApplyError,
    ConflictError,
    RollwayError,
    StalePlanError,
    UncertainError,
    is_retryable,
)
from rollway.routers.guards import Limits
from rollway.routers.model import Context
from rollway.routers.objects import Live, Need
from rollway.routers.observation import observe
from rollway.routers.plan import Action
from rollway.routers.planning import needs_of, refuse_idle, target_needs
from rollway.routers.removing import propose_again

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.findings import Finding
    from rollway.routers.model import Rollout
    from rollway.routers.objects import LiveObject, ObjectRef
    from rollway.routers.plan import Change, DryRun, Plan
    from rollway.routers.stores import Store
    from rollway.routers.traffic import Traffic, Verdict

ATTEMPTS = 6
"""How often a plan is made and tried before a conflict is given up."""


@dataclass(frozen=True)
class Result:
    """What a call did: the traffic that was wanted, the plan (None when nothing had to change), what was written, and the evidence.

    `live` holds the objects as the plan saw them, with those that were written as the store answered.
    """

    rollout: Rollout
    want: Traffic
    plan: Plan | None = None
    written: tuple[ObjectRef, ...] = ()
    verdict: Verdict | None = None
    dry_run: DryRun = False
    findings: tuple[Finding, ...] = ()
    live: Live = field(default_factory=lambda: Live(()), compare=False, repr=False)

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self.written)


def refuse_stale(plan: Plan, expect: str) -> None:
    """Raise StalePlanError when a plan is not the one with the fingerprint that is expected (empty: any)."""
    if expect and plan.fingerprint != expect:
        raise StalePlanError(
            f"the plan for {plan.rollout.ref} has fingerprint {plan.fingerprint} now, not {expect}: an object or the wish has changed",
            hint="look at `rollway plan` again",
        )


class Writer(NamedTuple):
    """Write plans to a store, within limits."""

    store: Store
    limits: Limits = Limits()

    def apply(self, plan: Plan, *, expect: str = "", dry_run: DryRun = False) -> Result:
        """Check the limits, write every change, and put back what was written when one fails for good.

        With `dry_run="server"` the store checks every write as if it were one (admission included) and keeps none.

        A conflict is planned again from a fresh read, a bounded number of times; with `expect` it is refused, because
        the reviewed plan is no longer the one that would happen.

        Raises:
            RefusedError: a limit or a data plane refuses; nothing was written.
            StalePlanError: the plan is not the one with the expected fingerprint.
            ApplyError: a write failed after others; has what was put back and what was not.
            StoreError: the first write failed; nothing was written.
        """
        refuse_stale(plan, expect)
        guards.enforce(plan, self.limits)
        findings = guards.lift(plan.findings, self.limits.allow)
        if dry_run or len(plan.changes) > 1:  # the write of a single change finds the same
            self.check(plan)
        if dry_run:
            if dry_run == "server":
                for change in plan.changes:
                    self.store.write(change, dry_run=True)
            return Result(
                plan.rollout, plan.want, plan, dry_run=dry_run, findings=findings, live=plan.observed
            )
        journal = Journal(self.store)
        try:
            live = self._write(plan, journal, reviewed=bool(expect))
        except BaseException as error:
            raise self._with_agreement(plan, journal.put_back(error)) from error
        return Result(plan.rollout, plan.want, plan, journal.refs, findings=findings, live=live)

    def _with_agreement(self, plan: Plan, failure: BaseException) -> BaseException:
        """Return the failure of a call that has put its writes back, with what all objects show after that.

        Others who write at the same time may have relied on one of these writes, so that now the objects disagree.
        """
        if not isinstance(failure, ApplyError):
            return failure
        with self.store.lock(plan.rollout) as alone:
            if alone:
                return failure
        try:
            context = read_again(self.store, Context(plan.rollout, plan.want, plan.observed))
            disagreement = observe(plan.rollout, context.live).disagreement
        except RollwayError as error:
            state, hint = f"NOT known whether the objects agree: {error.message}", failure.hint
        else:
            if disagreement is None:
                return failure
            state, hint = disagreement.message, disagreement.remedy
        return ApplyError(f"{failure.message}\n  {state}", hint=hint, retryable=failure.retryable)

    def check(self, plan: Plan) -> None:
        """Raise what the store knows by itself against any change of a plan, so that none is written in vain."""
        for change in plan.changes:
            self.store.check(change)

    def _write(self, plan: Plan, journal: Journal, *, reviewed: bool) -> Live:
        """Write a plan, and after a conflict what is left of it; return the objects as they are then."""
        try:
            return journal.write(plan)
        except ConflictError as conflict:
            if reviewed and not isinstance(conflict, UncertainError):
                raise StalePlanError(f"{conflict.message} after it was reviewed") from conflict
            return self._write_rest(plan, journal, reviewed=reviewed)

    def _write_rest(self, plan: Plan, journal: Journal, *, reviewed: bool) -> Live:
        """Plan again from a fresh read and write what is left, until it works or the attempts are used up."""
        import tenacity  # noqa: PLC0415 - 30 ms that only a conflict costs

        @tenacity.retry(
            retry=tenacity.retry_if_exception(is_retryable),
            stop=tenacity.stop_after_attempt(ATTEMPTS - 1),
            wait=tenacity.wait_random_exponential(multiplier=0.02, max=1),
            reraise=True,
        )
        def again() -> Live:
            live = self.store.read(needs_of(plan.rollout))
            journal.settle(live)
            proposal = propose_again(plan, live)
            refuse_idle(proposal, self.limits)
            rest = proposal.plan
            if rest is None:
                return live
            if reviewed and not all(change in plan.changes for change in rest.changes):
                raise StalePlanError(
                    f"the objects of {plan.rollout.ref} have changed after the plan was reviewed"
                )
            guards.enforce(rest, self.limits)
            return journal.write(rest)

        return again()


def read_again(store: Store, context: Context) -> Context:
    """Return the context with the objects that carry weights as they are at this moment."""
    needs = target_needs(context.rollout)
    fresh = store.read(needs)
    asked = [need.ref for need in needs if need.name]
    for need in needs:
        if not need.name:
            asked += [item.ref for item in context.live.of(need.group, need.kind) if need.matches(item.ref)]
    gone = [ref for ref in asked if ref not in fresh]
    return context._replace(live=context.live.after(fresh.values(), gone))


class Stored(NamedTuple):
    """One write that is stored: the change, and the object as the store answered it (None after a deletion)."""

    change: Change
    answer: LiveObject | None


@dataclass(eq=False, repr=False)
class Journal:
    """What one call has written to a store, so that it can be put back.

    `uncertain` holds the writes whose answer got lost, until a fresh read shows whether they are stored.
    """

    store: Store
    stored: list[Stored] = field(default_factory=list)
    uncertain: list[Change] = field(default_factory=list)

    @property
    def refs(self) -> tuple[ObjectRef, ...]:
        """The objects that were written, each once."""
        return tuple(dict.fromkeys(entry.change.ref for entry in self.stored))

    def write(self, plan: Plan) -> Live:
        """Write every change of a plan in order, and return the objects as they are then."""
        written: list[LiveObject] = []
        deleted: list[ObjectRef] = []
        for change in plan.changes:
            try:
                answer = self.store.write(change)
            except BaseException as error:
                # An interrupt may come after the write was stored, just as an answer may get lost.
                if isinstance(error, UncertainError) or not isinstance(error, RollwayError):
                    self.uncertain.append(change)
                raise
            made = change
            if answer and change.action is not Action.PATCH:
                # Of an object of ours, what is to be put back is what the store made of it.
                made = change._replace(after=answer.manifest)
            self.stored.append(Stored(made, answer))
            if answer:
                written.append(answer)
            else:
                deleted.append(change.ref)
        return plan.observed.after(written, deleted)

    def settle(self, live: Live) -> None:
        """Find out from objects that were read anew which of the uncertain writes are stored."""
        for change in self.uncertain:
            present = live.get(change.ref)
            if change.is_in(present):
                self.stored.append(Stored(change, present))
        self.uncertain.clear()

    def put_back(self, error: BaseException) -> BaseException:
        """Undo the writes in reverse order; return the error to raise, with the exact state of every object."""
        absent, unknown = self._settle_afresh()
        if not self.stored and not absent and not unknown:
            return error
        restored: list[str] = []
        stuck: list[str] = []
        for entry in reversed(self.stored):
            try:
                self._undo(entry)
                restored.append(str(entry.change.ref))
            except RollwayError as failure:
                stuck.append(f"{entry.change.ref} ({failure.message})")
        if not isinstance(error, RollwayError):
            return error
        states = {
            "put back": restored,
            "NOT put back, still as this plan wrote it": stuck,
            "not written, as a fresh read shows": absent,
            "NOT known whether it was written": unknown,
        }
        lines = [f"{state}: {', '.join(names)}" for state, names in states.items() if names]
        hint = "run the same command again: it goes on from here"
        if not stuck and not unknown:
            hint = "nothing is left half done"
        return ApplyError("\n  ".join([error.message, *lines]), hint=hint, retryable=error.retryable)

    def _settle_afresh(self) -> tuple[list[str], list[str]]:
        """Settle what is uncertain; return what a fresh read shows not to be stored, and what cannot be known."""
        lost = list(self.uncertain)
        if not lost:
            return [], []
        try:
            self.settle(self._read([change.ref for change in lost]))
        except RollwayError:
            return [], [str(change.ref) for change in lost]
        stored = {id(entry.change) for entry in self.stored}
        return [str(change.ref) for change in lost if id(change) not in stored], []

    def _undo(self, entry: Stored) -> None:
        """Take one write out of its object, whatever became of the object since.

        Raises:
            RollwayError: the store does not take it.
        """
        change, present = entry
        for attempt in range(ATTEMPTS):
            undo = change.inverse(present)
            if undo is None:
                return
            try:
                self.store.write(undo)
            except ConflictError:
                if attempt + 1 == ATTEMPTS:
                    raise
                present = self._read([undo.ref]).get(undo.ref)
            else:
                return

    def _read(self, refs: Sequence[ObjectRef]) -> Live:
        needs = [Need(ref.group, ref.kind, ref.name, ref.namespace, required=False) for ref in refs]
        return self.store.read(needs)
