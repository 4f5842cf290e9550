"""The one engine: reads, plans, guards, writes, retries after conflicts, puts back after failures, and verifies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rollway.routers import guards, ownership
from rollway.routers.backends import BUILTIN, backend, backends_of
from rollway.routers.errors import (
    ApplyError,
    ConflictError,
    ManifestError,
    NotVerifiedError,
    RefusedError,
    RollwayError,
    StalePlanError,
    UncertainError,
    UnsupportedError,
    WeightError,
)
from rollway.routers.guards import Limits
from rollway.routers.model import (
    Access,
    Evidence,
    Live,
    LiveObject,
    Need,
    Outcome,
    Traffic,
    Verdict,
    without_server_fields,
)
from rollway.routers.plan import Action, Change, Plan, change_for, fingerprint
from rollway.routers.probes import covering, prove
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.backends import Backend
    from rollway.routers.model import Finding, Manifest, ObjectRef, ObjectVerdict, Reading, Rollout
    from rollway.routers.plan import DryRun
    from rollway.routers.probes import Probe
    from rollway.routers.stores import Store

ATTEMPTS = 6
"""How often a plan is made and tried before a conflict is given up."""


@dataclass(frozen=True)
class Observation:
    """What the live objects say: one reading for each object or route, and the traffic if they agree."""

    rollout: Rollout
    readings: tuple[Reading, ...]
    findings: tuple[Finding, ...] = ()
    evidence: Evidence = Evidence.WRITTEN
    loaded: tuple[ObjectVerdict, ...] = ()
    """Whether the data planes have what each object says; empty where none was asked."""

    @property
    def traffic(self) -> Traffic | None:
        """The traffic that all objects agree on; an absent object gives the canary nothing. None when they differ."""
        nothing = Traffic(Split(0, self.rollout.total))
        said = {reading.traffic or nothing for reading in self.readings}
        return said.pop() if len(said) == 1 else None


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
class Engine:
    """Everything that needs a store. Holds no state of its own: every call starts from the live objects."""

    store: Store
    limits: Limits = field(default_factory=Limits)
    probes: tuple[Probe, ...] = ()

    def observe(self, rollout: Rollout, live: Live | None = None) -> Observation:
        """Read what the live objects say; `live` saves the reading when the caller has them already."""
        if live is None:
            live = self.store.read(needs_of(rollout))
        readings = tuple(reading for part in backends_of(rollout) for reading in part.observe(rollout, live))
        return Observation(rollout, readings, live.notes)

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> tuple[Finding, ...]:
        """Return what the data planes would say if the wish were written, and change nothing."""
        return self._compute(rollout, want, live, adopt=True)[2]

    def loaded(self, rollout: Rollout, want: Traffic, live: Live) -> tuple[ObjectVerdict, ...]:
        """Ask the data planes once whether they have what the objects say, which is `want`."""
        probes = [probe for probe in self.probes if probe.evidence is Evidence.LOADED]
        return tuple(found for probe in probes for found in probe.judge(rollout, want, live).objects)

    def wanted(self, rollout: Rollout, want: Traffic) -> list[Manifest]:
        """Return the objects as the wish wants them, stamped, without comparing or changing any."""
        live = self.store.read(needs_of(rollout))
        return [
            ownership.stamp(wanted, rollout)
            if need.access is Access.MANAGED
            else without_server_fields(wanted)
            for part in backends_of(rollout)
            for need, wanted in _rendered(part, rollout, want, live)
        ]

    def plan(
        self, rollout: Rollout, want: Traffic, *, adopt: bool = False, create: bool = True
    ) -> Plan | None:
        """Return what has to change for the wish, or None. With `create` off, absent objects stay absent.

        Raises:
            UnsupportedError: a backend lacks a feature of the wish.
            NotFoundError, AmbiguousError, ManifestError: the objects do not fit the Rollout.
            ForeignOwnerError: an object of ours by name belongs to somebody else.
            RefusedError: nothing has to change, and yet a data plane would not do what the objects say.
        """
        proposal = self.propose(rollout, want, adopt=adopt, create=create)
        if create:
            self.refuse_idle(proposal)
        return proposal.plan

    def propose(self, rollout: Rollout, want: Traffic, *, adopt: bool = False, create: bool = True) -> Result:
        """Return the plan, or that there is none, with the findings and the objects that tell it; writes nothing.

        Raises what `plan` raises, except that it leaves an idle proposal that does not work to `refuse_idle`.
        """
        refuse_unsupported(rollout, want)
        live = self.store.read(needs_of(rollout))
        changes, simulated, findings = self._compute(rollout, want, live, adopt=adopt)
        if not create:
            changes = [change for change in changes if change.action is not Action.CREATE]
        if not changes:
            return Result(rollout, None, findings=findings, live=live)
        plan = replace(self._value(rollout, want, live, changes, simulated, findings), adopt=adopt)
        return Result(rollout, plan, findings=findings, live=live)

    def refuse_idle(self, proposal: Result) -> None:
        """Raise RefusedError when nothing has to change, and yet a data plane would not do what the objects say."""
        reasons = [] if proposal.plan else guards.refusals(proposal.findings, self.limits)
        if reasons:
            raise RefusedError(
                f"nothing to change for {proposal.rollout.ref}, and yet it does not work:", reasons=reasons
            )

    def plan_removal(self, rollout: Rollout, *, adopt: bool = False, live: Live | None = None) -> Plan | None:
        """Return the deletion of every managed object of the route that exists, or None; `live` saves the reading.

        Raises:
            ForeignOwnerError: one of them belongs to somebody else.
        """
        needs = needs_of(rollout)
        if live is None:
            live = self.store.read(needs)
        changes: list[Change] = []
        for need in needs:
            found = live.get(need.ref) if need.access is Access.MANAGED else None
            if found is None:
                continue
            if not adopt:
                ownership.refuse_foreign(found.ref, found.manifest, rollout)
            changes.append(
                Change(Action.DELETE, found.ref, found.manifest, None, (), found.version, need.derived_from)
            )
        if not changes:
            return None
        simulated = live.after((), [change.ref for change in changes])
        want = Traffic(Split(0, rollout.total))
        plan = self._value(rollout, want, live, changes, simulated, live.notes)
        return replace(plan, adopt=adopt, removal=True)

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

    def verify(
        self,
        rollout: Rollout,
        want: Traffic,
        level: Evidence | None = None,
        live: Live | None = None,
        timeout: float = 0,
    ) -> Verdict:
        """Compare the wish with what is really there, at a level of evidence (default: the highest there is).

        `live` are the objects as the store just answered them, where the caller has them. A data plane that does not
        follow yet is asked again for `timeout` seconds.

        Raises:
            UnsupportedError: neither the store nor the probes can show that level.
        """
        probes = self.probes_for(rollout, level)
        if live is None:
            live = self.store.read(needs_of(rollout))
        written = self._written(rollout, want, live)
        return self._proved(written, probes, rollout, want, live, timeout)

    def _written(self, rollout: Rollout, want: Traffic, live: Live) -> Verdict:
        observation = self.observe(rollout, live)
        try:
            changes, _, findings = self._compute(rollout, want, live, adopt=True)
        except RefusedError as error:
            return Verdict(Outcome.UNKNOWN, Evidence.WRITTEN, observation.readings, error.message)
        refused = guards.refusals(findings, self.limits)
        if changes:
            # An absent object is as good as one that gives the canary nothing.
            absent = all(change.action is Action.CREATE for change in changes) and not want.split.canary
            if not absent:
                names = ", ".join(str(change.ref) for change in changes)
                return Verdict(
                    Outcome.DIFFERS, Evidence.WRITTEN, observation.readings, f"not as asked: {names}"
                )
        if refused:
            return Verdict(Outcome.UNKNOWN, Evidence.WRITTEN, observation.readings, "; ".join(refused))
        return Verdict(Outcome.MATCHES, Evidence.WRITTEN, observation.readings)

    def _proved(
        self,
        written: Verdict,
        probes: Sequence[Probe],
        rollout: Rollout,
        want: Traffic,
        live: Live,
        timeout: float,
    ) -> Verdict:
        """Add what the data planes say to a verdict on the objects."""
        if not probes or written.outcome is not Outcome.MATCHES:
            return written
        return prove(probes, rollout, want, live, timeout)._replace(readings=written.readings)

    def probes_for(self, rollout: Rollout, level: Evidence | None) -> tuple[Probe, ...]:
        """Return the probes that show a level of evidence, the lowest level first (None: every one that there is).

        Raises:
            UnsupportedError: neither the store nor the probes can show that level for every router of the route.
        """
        found = {
            step: covering(self.probes, rollout, step)
            for step in (Evidence.ACCEPTED, Evidence.LOADED, Evidence.MEASURED)
        }
        if level is not None and level > self.store.evidence and not found.get(level):
            highest = max([self.store.evidence, *(step for step, probes in found.items() if probes)])
            raise UnsupportedError(
                f"evidence {level.name.lower()!r} cannot be shown for {rollout.ref}; the highest here is {highest.name.lower()!r}",
                hint="loaded needs the address of the data plane of every router (--nginx-status, --envoy-admin), "
                "measured a --url or a --prometheus",
            )
        return tuple(
            probe for step, probes in found.items() if level is None or step <= level for probe in probes
        )

    def confirm(
        self, result: Result, want: Traffic, level: Evidence | None = None, timeout: float = 0
    ) -> Result:
        """Add the verdict to a result, and raise NotVerifiedError unless it matches.

        What the store answered to each write is what it holds, so `written` needs no further reading.
        """
        if result.dry_run:
            return result
        probes = self.probes_for(result.rollout, level)
        if result.plan and _stored_as_planned(result.plan, result.live):
            # What was planned was judged then; judging the same objects again would tell no more.
            verdict = Verdict(Outcome.MATCHES, Evidence.WRITTEN, result.plan.after)
        elif result.plan is None:
            # The reading that showed no difference is the evidence that all is written.
            verdict = Verdict(Outcome.MATCHES, Evidence.WRITTEN)
        else:
            verdict = self._written(result.rollout, want, result.live)
        verdict = self._proved(verdict, probes, result.rollout, want, result.live, timeout)
        if verdict.outcome is not Outcome.MATCHES:
            raise NotVerifiedError(f"{result.rollout.ref} {verdict.outcome.value}: {verdict.reason}")
        return replace(result, verdict=verdict)

    def _compute(
        self, rollout: Rollout, want: Traffic, live: Live, *, adopt: bool
    ) -> tuple[list[Change], Live, tuple[Finding, ...]]:
        """Return the changes, the objects as they would be after them, and what the data planes say to those."""
        changes: list[Change] = []
        after: dict[ObjectRef, LiveObject] = {}
        for part in backends_of(rollout):
            for need, wanted in _rendered(part, rollout, want, live):
                found = live.get(need.ref)
                change = change_for(need, found, wanted, rollout, adopt=adopt)
                if change:
                    changes.append(change)
                    assert change.after is not None, "rendering never deletes"
                    after[need.ref] = LiveObject(need.ref, change.after, found.version if found else "")
        simulated = live.after(after.values())
        findings = [
            finding for part in backends_of(rollout) for finding in part.check(rollout, want, simulated)
        ]
        return changes, simulated, (*dict.fromkeys(findings), *live.notes)

    def _value(
        self,
        rollout: Rollout,
        want: Traffic,
        live: Live,
        changes: Sequence[Change],
        simulated: Live,
        findings: tuple[Finding, ...],
    ) -> Plan:
        try:
            before = self.observe(rollout, live).readings
        except ManifestError:
            before = ()  # our own object is garbage, which is what this plan mends
        after = self.observe(rollout, simulated).readings
        # An object that only a whole-kind need asked for counts by what was found out from it, not by its version.
        versions = {
            need.ref: live[need.ref].version for need in needs_of(rollout) if need.name and need.ref in live
        }
        mark = fingerprint(rollout, want, versions, changes, findings)
        return Plan(rollout, want, tuple(changes), before, after, findings, mark, observed=live)

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
            if plan.removal:
                live = self.store.read(needs_of(plan.rollout))
                fresh = self.plan_removal(plan.rollout, adopt=plan.adopt, live=live)
            else:
                create = any(change.action is Action.CREATE for change in plan.changes)
                proposal = self.propose(plan.rollout, plan.want, adopt=plan.adopt, create=create)
                self.refuse_idle(proposal)
                live, fresh = proposal.live, proposal.plan
            if fresh is None:
                return live
            guards.enforce(fresh, self.limits)
            return self._write_all(fresh, journal)

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


def _stored_as_planned(plan: Plan, live: Live) -> bool:
    """Tell whether every change of a plan is in the store as it was planned, whatever the server added."""
    return all(
        change.ref not in live
        if change.after is None
        else change.ref in live
        and without_server_fields(live[change.ref].manifest) == without_server_fields(change.after)
        for change in plan.changes
    )


def needs_of(rollout: Rollout) -> list[Need]:
    """Return what the backends of a route need, each object once, with the strongest access that was asked for."""
    strength = [Access.READ, Access.SHARED, Access.MANAGED]
    needs: dict[tuple[str, str, str, str, str], Need] = {}
    for part in backends_of(rollout):
        for need in part.needs(rollout):
            key = (need.group, need.kind, need.namespace, need.name, need.selector)
            if key not in needs or strength.index(need.access) > strength.index(needs[key].access):
                needs[key] = need
    return list(needs.values())


def wanted_changes(rollout: Rollout, want: Traffic, live: Live, access: Access) -> list[Change]:
    """Return what the wish would change in the objects of one access, whatever the data planes say to it."""
    return [
        change
        for part in backends_of(rollout)
        for need, wanted in _rendered(part, rollout, want, live)
        if need.access is access
        and (change := change_for(need, live.get(need.ref), wanted, rollout, adopt=True))
    ]


def refuse_unsupported(rollout: Rollout, want: Traffic) -> None:
    """Raise UnsupportedError when a backend of the route lacks a feature of the wish, WeightError for another total."""
    if want.split.total != rollout.total:
        raise WeightError(
            f"the wish counts out of {want.split.total}, and {rollout.ref} out of {rollout.total}"
        )
    for part in backends_of(rollout):
        missing = part.capabilities.missing(want)
        if missing:
            able = [name for name in BUILTIN if not backend(name).capabilities.missing(want)]
            raise UnsupportedError(
                f"backend {part.name} cannot do {missing}, which {rollout.ref} asks for",
                hint=f"backends that can: {', '.join(able) or 'none yet'}",
            )


def _rendered(part: Backend, rollout: Rollout, want: Traffic, live: Live) -> list[tuple[Need, Manifest]]:
    """Render with one backend, and pair each object with the need that allows it to be written."""
    writable = {
        need.ref: need for need in part.needs(rollout) if need.name and need.access is not Access.READ
    }
    pairs = []
    for wanted in part.render(rollout, want, live):
        metadata = wanted["metadata"]
        ref = next(
            (
                ref
                for ref in writable
                if (ref.kind, ref.name) == (wanted["kind"], metadata["name"])
                and ref.namespace == metadata.get("namespace", ref.namespace)
            ),
            None,
        )
        if ref is None:
            raise RollwayError(
                f"backend {part.name} rendered {wanted['kind']} {metadata['name']}, which it did not ask to write"
            )
        pairs.append((writable[ref], wanted))
    return pairs
