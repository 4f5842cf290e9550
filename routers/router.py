"""The facade that controllers and the CLI call: one Rollout, one store."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Unpack

from rollway.routers import agreeing, planning, removing
from rollway.routers.applying import Result, Writer, read_again
from rollway.routers.errors import AmbiguousError, NotVerifiedError, RefusedError, RollwayError
from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.guards import Limits, lift
from rollway.routers.model import CANARY, STABLE, Context
from rollway.routers.observation import observe
from rollway.routers.traffic import Evidence, Outcome, Traffic, Verdict
from rollway.routers.verifying import Verifier
from rollway.routers.waiting import looks_within
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest
    from rollway.routers.observation import Observation
    from rollway.routers.plan import DryRun, Plan, TrafficWish
    from rollway.routers.planning import Proposal
    from rollway.routers.probes import Probe
    from rollway.routers.stores import Store
    from rollway.routers.traffic import HeaderRoute, MirrorRoute
    from rollway.routers.write_options import WriteOptions

FINDINGS = (
    FindingCode(
        "cannot-carry-weights",
        "The objects are such that no weight above 0 can be written into them.",
        "It would have to change what is not rollway's, or guess.",
        "Follow the message about the object.",
    ),
)

TIMEOUT_S = 30.0
"""How long a data plane may take to show the evidence, unless the caller sets another."""
WAIT_INTERVAL_S = 1.0
"""How often readiness is looked at while waiting for it."""


@dataclass(frozen=True)
class TrafficRouter:
    """Move the traffic of one Rollout, with all the backends that it names at once.

    Every call starts from the live objects. Safe to use from many threads for different Rollouts.
    """

    rollout: Rollout
    store: Store
    limits: Limits = field(default_factory=Limits)
    probes: tuple[Probe, ...] = ()
    """What can be asked beside the store: data planes, or a URL that answers from them."""
    find_probes: Callable[[Live], Sequence[Probe]] | None = None
    """What finds more of them by the live objects; it is called after a write for which no level of evidence was named."""

    def __post_init__(self) -> None:
        if not self.rollout.roles_known:
            raise AmbiguousError(
                f"{self.rollout.ref} uses pingPong, and its status does not show which Service is stable",
                hint="let the live objects decide with `rollway.routers.roles.known_roles`, or name it",
            )

    @property
    def _writer(self) -> Writer:
        return Writer(self.store, self.limits)

    @property
    def _verifier(self) -> Verifier:
        return Verifier(self.store, self.limits, self.probes)

    def observe(self, *, check: bool = False) -> Observation:
        """Return what the live objects show, one by one and together.

        With `check`, what the data planes do with them as well, and with probes whether they have loaded each.
        """
        live = self._read()
        observation = observe(self.rollout, live)
        if not check:
            return observation
        context = Context(self.rollout, observation.nearest_traffic, live)
        try:
            findings = planning.check(context)
        except RefusedError as error:
            problem = Finding("cannot-carry-weights", Severity.REFUSAL, None, error.message, error.hint)
            findings = (*observation.findings, problem)
        loaded = self._verifier.loaded(context) if observation.traffic else ()
        return observation._replace(findings=findings, loaded=loaded)

    def plan(self, traffic: Traffic | int | str, *, adopt: bool = False) -> Plan | None:
        """Return the changes that the wish needs, or None when there are none. Writes nothing.

        Raises:
            UnsupportedError: a backend lacks a feature of the wish.
            NotFoundError, AmbiguousError, ManifestError: the objects do not fit the Rollout.
            ForeignOwnerError: an object of ours by name belongs to somebody else.
            RefusedError: nothing has to change, and yet a data plane would not do what the objects ask for.
            StoreError: the store could not write the plan, as far as it knows without asking anybody.
        """
        proposal = self._propose(self._wish(traffic), adopt=adopt)
        planning.refuse_idle(proposal, self.limits)
        if proposal.plan:
            self._writer.check(proposal.plan)
        return proposal.plan

    def apply(self, plan: Plan, *, expect: str = "", dry_run: DryRun = False) -> Result:
        """Write a plan; plans again after a conflict, puts back after a failure.

        Raises what `rollway.routers.applying.Writer.apply` raises.
        """
        with self.store.lock(self.rollout) as alone:
            result = self._writer.apply(plan, expect=expect, dry_run=dry_run)
            return result if alone else agreeing.settle(self._writer, result, reviewed=bool(expect))

    def set_traffic(self, traffic: Traffic, **options: Unpack[WriteOptions]) -> Result:
        """Plan, guard, apply and verify one wish: exactly this split and these routes.

        The same call twice writes nothing the second time.

        Raises:
            NotVerifiedError: it was written, and what is there is not what was asked.
            RollwayError: anything that `plan` and `apply` raise.
        """
        return self._set(traffic, options)

    def _set(self, wish: TrafficWish, options: WriteOptions, *, create: bool = True) -> Result:
        """Plan, guard, apply and verify a wish. What it rests on is read under the lock, and again whenever it is planned."""
        verifier, level = self._verifier, options.get("verify")
        verifier.probes_for(self.rollout, level)
        self._await_readiness(wish, options)
        with self.store.lock(self.rollout) as alone:
            result = self._write(wish, options, create=create)
            if not alone:
                result = agreeing.settle(self._writer, result, reviewed=bool(options.get("expect")))
        want = result.want
        if result.changed and not isinstance(wish, Traffic):
            want = planning.wanted_traffic(self.rollout, wish, result.live)
        # The data planes are asked without the lock: going back to stable must not wait for that.
        if self.find_probes and level is None and not result.dry_run:
            verifier = verifier._replace(probes=(*verifier.probes, *self.find_probes(result.live)))
        try:
            changed = result if want is result.want else replace(result, want=want)
            return verifier.confirm(changed, level, options.get("timeout", TIMEOUT_S))
        except NotVerifiedError as error:
            if options.get("on_failure") != "back" or want.is_all_stable:
                raise
            raise self._back(error) from error

    def _write(self, wish: TrafficWish, options: WriteOptions, *, create: bool) -> Result:
        """Plan a wish and write what has to change."""
        expect, dry_run = options.get("expect", ""), options.get("dry_run", False)
        proposal = self._propose(wish, adopt=options.get("adopt", False), create=create)
        if proposal.plan:
            return self._writer.apply(proposal.plan, expect=expect, dry_run=dry_run)
        # Also with `expect`: the reviewed plan was applied already, or somebody else did the same.
        planning.refuse_idle(proposal, self.limits)
        _, want, live = proposal.context
        notes = lift(planning.store_notes(want, live), self.limits.allow)
        return Result(self.rollout, want, None, dry_run=dry_run, findings=notes, live=live)

    def _back(self, reason: NotVerifiedError) -> NotVerifiedError:
        """Send all traffic to stable, and return the reason with what came of that."""
        try:
            self.switch(STABLE, verify=Evidence.WRITTEN)
        except RollwayError as error:
            return NotVerifiedError(f"{reason.message}; going back to stable failed as well: {error.message}")
        return NotVerifiedError(f"{reason.message}; all traffic was sent back to stable")

    def set_weight(self, weight: int | str, **options: Unpack[WriteOptions]) -> Result:
        """Give the canary a weight: `20` (of the total), `"0.5%"` or `"5/1000"`; header and mirror routes stay as they are.

        See `set_traffic`.

        Raises:
            WeightError: the weight cannot be read, is out of range, or is not possible for blue-green.
        """
        return self._set(self._wish(weight), options)

    def switch(self, to: str, **options: Unpack[WriteOptions]) -> Result:
        """Send all traffic to `"stable"` or `"canary"` in one plan (blue-green: active or preview). See `set_traffic`.

        The Rollout's header and mirror routes are removed with it: nobody needs a way of their own any more.

        Raises:
            ValueError: `to` is neither of the two.
        """
        weights = {STABLE: 0, CANARY: self.rollout.total}
        if to not in weights:
            raise ValueError(f"switch to {to!r}: give {STABLE!r} or {CANARY!r}")
        return self._set(Traffic(self.rollout.split(weights[to])), options)

    def set_header_route(self, header_route: HeaderRoute, **options: Unpack[WriteOptions]) -> Result:
        """Send requests with matching headers to the canary and keep the weights; a route of that name is replaced.

        See `set_traffic`.

        Raises:
            UnsupportedError: a backend of the Rollout has no header routes, or cannot express this one.
            RefusedError: `managedRoutes` does not have the name, or the objects do not agree on a weight.
        """
        return self._set_route(header_route, options)

    def set_mirror_route(self, mirror_route: MirrorRoute, **options: Unpack[WriteOptions]) -> Result:
        """Copy matching requests to the canary and keep the weights; a route of that name is replaced. See `set_traffic`.

        Raises:
            UnsupportedError: a backend of the Rollout has no mirror routes, or cannot express this one.
            RefusedError: `managedRoutes` does not have the name, or the objects do not agree on a weight.
        """
        return self._set_route(mirror_route, options)

    def remove_header_route(self, name: str | None, **options: Unpack[WriteOptions]) -> Result:
        """Remove a header route, if it is there, and keep everything else; None: all of them. See `set_traffic`.

        Raises:
            RefusedError: `managedRoutes` does not have the name, or the objects do not agree on a weight.
        """
        return self._remove(name, lambda now: now.header_routes, options)

    def remove_mirror_route(self, name: str | None, **options: Unpack[WriteOptions]) -> Result:
        """Remove a mirror route, if it is there, and keep everything else; None: all of them. See `set_traffic`.

        Raises:
            RefusedError: `managedRoutes` does not have the name, or the objects do not agree on a weight.
        """
        return self._remove(name, lambda now: now.mirror_routes, options)

    def remove_managed_routes(self, **options: Unpack[WriteOptions]) -> Result:
        """Remove every header and mirror route of the Rollout and keep the weights. See `set_traffic`.

        Raises:
            RefusedError: the objects do not agree on a weight.
        """
        return self._change_routes(lambda now: Traffic(now.split), options, create=False)

    def _set_route(self, route: HeaderRoute | MirrorRoute, options: WriteOptions) -> Result:
        planning.refuse_unsupported(self.rollout, Traffic(self.rollout.split(0)).with_route(route))
        return self._change_routes(lambda now: now.with_route(route), options)

    def _remove(
        self,
        name: str | None,
        of_kind: Callable[[Traffic], Sequence[HeaderRoute | MirrorRoute]],
        options: WriteOptions,
    ) -> Result:
        """Remove the route of a name, or all (None), of those that are of a kind."""
        if name is not None:
            planning.refuse_unmanaged(self.rollout, name)

        def change(now: Traffic) -> Traffic:
            return now.without({route.name for route in of_kind(now) if name in (None, route.name)})

        return self._change_routes(change, options, create=False)

    def _change_routes(
        self, change: Callable[[Traffic], Traffic], options: WriteOptions, *, create: bool = True
    ) -> Result:
        """Change the routes that the objects show, and no weight; an object that is absent has none to remove."""

        def wish(live: Live) -> Traffic:
            return change(observe(self.rollout, live).agreed_traffic)

        return self._set(wish, options, create=create)

    def verify(
        self,
        traffic: Traffic | int | str | None = None,
        level: Evidence | None = None,
        timeout: float = 0,
    ) -> Verdict:
        """Compare a wish with what is there; without one, ask whether all objects agree with each other.

        A data plane that does not follow yet is asked again for `timeout` seconds. See `Verifier.verify` for what it raises.
        """
        self._verifier.probes_for(self.rollout, level)
        context = self._context(None if traffic is None else self._wish(traffic))
        observation = observe(self.rollout, context.live)
        if traffic is None and observation.disagreement:
            reason = observation.disagreement.message
            return Verdict(Outcome.DIFFERS, Evidence.WRITTEN, observation.readings, reason)
        return self._verifier.verify(context, level, timeout)

    def check(self) -> Sequence[Finding]:
        """Return what the data planes do with the objects as they are now."""
        return planning.check(self._context())

    def render(self, weight: int | str) -> list[Manifest]:
        """Return the objects as the weight wants them. Writes nothing."""
        return planning.wanted_objects(self._context(self._wish(weight)))

    def reset(
        self, *, adopt: bool = False, dry_run: DryRun = False, everything: bool = False
    ) -> list[Result]:
        """Send all traffic to stable, verify it, then delete the objects that are ours.

        An object by which alone stable gets all traffic stays (a TrafficSplit whose root Service is not the stable
        one), and is made where it is absent, unless `everything` is to be deleted.

        Returns:
            One result for each of the two steps that had something to do.

        Raises:
            NotVerifiedError: the traffic did not go to stable; nothing was deleted.
        """
        results: list[Result] = []

        def attempt() -> None:
            self._reset(results, adopt=adopt, dry_run=dry_run, everything=everything, alone=alone)

        with self.store.lock(self.rollout) as alone:
            if alone or dry_run:
                attempt()
            else:
                agreeing.until_settled(attempt)
        return results

    def _reset(
        self, results: list[Result], *, adopt: bool, dry_run: DryRun, everything: bool, alone: bool
    ) -> None:
        """Take both steps of a reset, and add what each has done."""
        all_stable = Traffic(Split(0, self.rollout.total))
        proposal = self._propose(all_stable, adopt=adopt, create=False, everything=everything)
        context = proposal.context
        if proposal.plan:
            results.append(self._writer.apply(proposal.plan, dry_run=dry_run))
            context = context._replace(live=results[-1].live)
        if not dry_run:
            # Where nothing was written, what was just read is as new as it needs to be.
            if proposal.plan and not alone:
                context = read_again(self.store, context)
            verdict = self._verifier.verify(context, timeout=TIMEOUT_S)
            if verdict.outcome is Outcome.DIFFERS:
                raise NotVerifiedError(
                    f"{self.rollout.ref} {verdict.outcome.value}: {verdict.reason}; nothing was deleted",
                    retryable=not alone,
                )
        removal = removing.propose_removal(
            self.rollout, context.live, adopt=adopt, everything=everything
        ).plan
        if removal:
            results.append(self._writer.apply(removal, dry_run=dry_run))
            if not alone and not dry_run:
                context = read_again(self.store, context._replace(live=results[-1].live))
                removing.refuse_overtaken(removal, context.live)

    def _read(self) -> Live:
        return self.store.read(planning.needs_of(self.rollout))

    def _context(self, wish: TrafficWish | None = None) -> Context:
        """Return a wish with the objects as they are now; without a wish, with what the objects show."""
        live = self._read()
        if wish is None:
            return Context(self.rollout, observe(self.rollout, live).nearest_traffic, live)
        return Context(self.rollout, planning.wanted_traffic(self.rollout, wish, live), live)

    def _propose(
        self, wish: TrafficWish, *, adopt: bool = False, create: bool = True, everything: bool = False
    ) -> Proposal:
        if isinstance(wish, Traffic):
            planning.refuse_unsupported(self.rollout, wish)
        return planning.propose(
            self._context(wish),
            None if isinstance(wish, Traffic) else wish,
            adopt=adopt,
            create=create,
            everything=everything,
        )

    def _await_readiness(self, wish: TrafficWish, options: WriteOptions) -> None:
        """Wait as long as the options allow for what can still become ready."""
        for left in looks_within(options.get("wait", 0), WAIT_INTERVAL_S):
            if not left:
                return  # what is not ready now is refused by the plan
            proposal = self._propose(wish, adopt=options.get("adopt", False))
            pending = [
                finding
                for finding in lift(proposal.findings, self.limits.allow)
                if finding.transient and finding.severity is Severity.REFUSAL
            ]
            if not pending:
                return
            if "waiting" in options:
                options["waiting"](pending)

    def _wish(self, wish: Traffic | int | str) -> TrafficWish:
        """Read a wish; a weight alone keeps the header and mirror routes that are live."""
        if isinstance(wish, Traffic):
            return wish
        split = self.rollout.split(wish)
        if not self.rollout.managed_routes:
            return Traffic(split)  # no route could be the Rollout's own
        return lambda live: replace(observe(self.rollout, live).nearest_traffic, split=split)
