"""Compare a wish with what is really there: in the objects, in the data planes, and in counted requests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from rollway.routers import guards
from rollway.routers.backends import packages
from rollway.routers.errors import NotVerifiedError, RefusedError, UnsupportedError
from rollway.routers.guards import Limits
from rollway.routers.model import Context
from rollway.routers.objects import without_server_fields
from rollway.routers.observation import observe
from rollway.routers.plan import Action
from rollway.routers.planning import needs_of, simulate
from rollway.routers.probes import covering, prove
from rollway.routers.traffic import Evidence, Outcome, Verdict

if TYPE_CHECKING:
    from rollway.routers.applying import Result
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live
    from rollway.routers.plan import Plan
    from rollway.routers.probes import Probe
    from rollway.routers.stores import Store
    from rollway.routers.traffic import ObjectVerdict

PROBED = (Evidence.ACCEPTED, Evidence.LOADED, Evidence.MEASURED)
"""The levels that only a probe shows, the lowest first."""


def written(context: Context, limits: Limits) -> Verdict:
    """Compare the wish with the objects, and with what the data planes would do with them."""
    readings = observe(context.rollout, context.live).readings
    try:
        simulation = simulate(context, adopt=True)
    except RefusedError as error:
        return Verdict(Outcome.UNKNOWN, Evidence.WRITTEN, readings, error.message)
    changes = simulation.changes
    doubts = [reading for reading in readings if reading.outcome]
    if doubts and context.want.is_all_stable:
        outcomes = [reading.outcome for reading in doubts]
        outcome = Outcome.DIFFERS if Outcome.DIFFERS in outcomes else Outcome.UNKNOWN
        reasons = "; ".join(f"{reading.ref}: {reading.reason}" for reading in doubts)
        return Verdict(outcome, Evidence.WRITTEN, readings, reasons)
    # An absent object is as good as one that gives the canary nothing.
    absent = all(change.action is Action.CREATE for change in changes) and context.want.is_all_stable
    if changes and not absent:
        names = ", ".join(str(change.ref) for change in changes)
        return Verdict(Outcome.DIFFERS, Evidence.WRITTEN, readings, f"not as asked: {names}")
    refused = guards.refusals(simulation.findings, limits)
    if refused:
        return Verdict(Outcome.UNKNOWN, Evidence.WRITTEN, readings, "; ".join(map(guards.line_of, refused)))
    return Verdict(Outcome.MATCHES, Evidence.WRITTEN, readings)


class Verifier(NamedTuple):
    """Show how much is known about a wish: by the objects of a store, and by what the probes ask."""

    store: Store
    limits: Limits = Limits()
    probes: tuple[Probe, ...] = ()

    def loaded(self, context: Context) -> tuple[ObjectVerdict, ...]:
        """Ask the data planes once whether they have what the objects show."""
        probes = [probe for probe in self.probes if probe.evidence is Evidence.LOADED]
        return tuple(verdict for probe in probes for verdict in probe.judge(context).objects)

    def verify(self, context: Context, level: Evidence | None = None, timeout: float = 0) -> Verdict:
        """Compare the wish with what is really there, at a level of evidence (default: the highest there is).

        A data plane that does not follow yet is asked again for `timeout` seconds.

        Raises:
            UnsupportedError: neither the store nor the probes can show that level.
        """
        probes = self.probes_for(context.rollout, level)
        return self._proved(written(context, self.limits), probes, context, timeout)

    def confirm(self, result: Result, level: Evidence | None = None, timeout: float = 0) -> Result:
        """Add the verdict to a result, and raise NotVerifiedError unless it matches.

        What the store answered to each write is what it holds, so `written` needs no further reading.
        """
        if result.dry_run:
            return result
        probes = self.probes_for(result.rollout, level)
        context = Context(result.rollout, result.want, result.live)
        if result.plan and _stored_as_planned(result.plan, result.live):
            # What was planned was judged then; judging the same objects again would show no more.
            verdict = Verdict(Outcome.MATCHES, Evidence.WRITTEN, result.plan.after)
        elif result.plan is None:
            # The reading that showed no difference is the evidence that all is written.
            verdict = Verdict(Outcome.MATCHES, Evidence.WRITTEN)
        else:
            verdict = written(context, self.limits)
        verdict = self._proved(verdict, probes, context, timeout)
        if verdict.outcome is not Outcome.MATCHES:
            raise NotVerifiedError(f"{result.rollout.ref} {verdict.outcome.value}: {verdict.reason}")
        return replace(result, verdict=verdict)

    def probes_for(self, rollout: Rollout, level: Evidence | None) -> tuple[Probe, ...]:
        """Return the probes that show a level of evidence, the lowest level first (None: every one that there is).

        Raises:
            UnsupportedError: neither the store nor the probes can show that level for every backend of the Rollout.
        """
        if not self.probes and (level is None or level <= self.store.evidence):
            return ()
        by_level = {step: covering(self.probes, rollout, step) for step in PROBED}
        if level is not None and level > self.store.evidence and not by_level.get(level):
            highest = max([self.store.evidence, *(step for step, probes in by_level.items() if probes)])
            raise UnsupportedError(
                f"evidence {level.name.lower()!r} cannot be shown for {rollout.ref}; the highest here is {highest.name.lower()!r}",
                hint=_hint(level),
            )
        return tuple(
            probe for step, probes in by_level.items() if level is None or step <= level for probe in probes
        )

    def _read_again(self, context: Context) -> Context:
        """Return the context with all objects as they are now: a status may rest on other objects than the written ones."""
        return context._replace(live=self.store.read(needs_of(context.rollout)))

    def _proved(
        self, verdict: Verdict, probes: tuple[Probe, ...], context: Context, timeout: float
    ) -> Verdict:
        """Add what the data planes report to a verdict on the objects."""
        if not probes or verdict.outcome is not Outcome.MATCHES:
            return verdict
        return prove(probes, context, timeout, self._read_again)._replace(readings=verdict.readings)


def _hint(level: Evidence) -> str:
    """Return what would show a level of evidence."""
    if level is Evidence.ACCEPTED:
        names = ", ".join(package.name for package in packages() if package.status_probe)
        return f"accepted needs a cluster, whose controllers report it in the status of the objects; backends: {names}"
    if level is Evidence.MEASURED:
        return "measured needs a --url or a --prometheus"
    options = ", ".join(package.ways for package in packages() if package.addresses)
    return f"loaded needs the address of the data plane of every backend ({options})"


def _stored_as_planned(plan: Plan, live: Live) -> bool:
    """Return whether every change of a plan is in the store as it was planned, whatever the server added."""
    return all(
        change.ref not in live
        if change.after is None
        else change.ref in live
        and without_server_fields(live[change.ref].manifest) == without_server_fields(change.after)
        for change in plan.changes
    )
