"""The facade that controllers and the CLI call: one Rollout, one store."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from rollway.routers.engine import Engine, Observation, Result, needs_of
from rollway.routers.errors import (
    AmbiguousError,
    ForbiddenError,
    NotFoundError,
    NotVerifiedError,
    RefusedError,
    RollwayError,
    StalePlanError,
)
from rollway.routers.guards import Limits, lift
from rollway.routers.model import (
    CANARY,
    STABLE,
    Evidence,
    Finding,
    Need,
    Outcome,
    Severity,
    Traffic,
    Verdict,
    dig,
)
from rollway.routers.rollout import parse_rollout
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollway.routers.model import (
        HeaderRoute,
        LiveObject,
        Manifest,
        MirrorRoute,
        Rollout,
    )
    from rollway.routers.plan import DryRun, Plan
    from rollway.routers.probes import Probe
    from rollway.routers.stores import Store

ROLLOUT_GROUP, ROLLOUT_KIND = "argoproj.io", "Rollout"
TIMEOUT_S = 30.0
"""How long a data plane may take to show the evidence, unless told otherwise."""
WAIT_INTERVAL_S = 1.0
"""How often readiness is looked at while waiting for it."""


def read_rollout(store: Store, name: str, namespace: str = "") -> Rollout:
    """Read the Rollout of that name; without a namespace, the only one of that name in the store.

    Raises:
        NotFoundError: there is none.
        AmbiguousError: several namespaces have one.
        ManifestError: it has faults.
    """
    need = Need(ROLLOUT_GROUP, ROLLOUT_KIND, name, namespace, required=False)
    found = sorted(
        (item for ref, item in store.read([need]).items() if need.matches(ref)),
        key=lambda item: item.ref.namespace,
    )
    if not found:
        store.read([replace(need, required=True)])
        raise NotFoundError(f"Rollout {name} is not in the store")
    if len(found) > 1:
        raise AmbiguousError(
            f"Rollout {name} is in the namespaces {', '.join(item.ref.namespace for item in found)}",
            hint="say which one with -n",
        )
    return rollout_of(found[0])


def read_rollouts(
    store: Store, namespace: str = "", name: str = ""
) -> list[tuple[LiveObject, Rollout | RollwayError]]:
    """Read every Rollout (of that name), in order of namespace and name; one with faults comes with its error instead of a Rollout."""
    need = Need(ROLLOUT_GROUP, ROLLOUT_KIND, name, namespace, required=False, unique=True)
    found = [item for ref, item in store.read([need]).items() if need.matches(ref)]
    rollouts: list[tuple[LiveObject, Rollout | RollwayError]] = []
    for item in sorted(found, key=lambda item: (item.ref.namespace, item.ref.name)):
        try:
            rollouts.append((item, rollout_of(item)))
        except RollwayError as error:
            rollouts.append((item, error))
    return rollouts


def rollout_of(rollout: LiveObject) -> Rollout:
    """Read a Rollout that a store returned; faults are told with file and line where the store knows them."""
    return parse_rollout(rollout.manifest, namespace=rollout.ref.namespace, locate=rollout.locate)


def known_as(rollout: Rollout, store: Store) -> Rollout:
    """Return a route from a file with the uid that its Rollout has in the store, if it is there and may be read.

    What rollway makes for it then belongs to that Rollout, and goes with it.
    """
    need = Need(ROLLOUT_GROUP, ROLLOUT_KIND, rollout.name, rollout.namespace, required=False)
    try:
        found = store.read([need]).manifest(rollout.ref)
    except ForbiddenError:
        return rollout
    uid = dig(found, "metadata", "uid") if found else None
    return replace(rollout, uid=uid) if isinstance(uid, str) else rollout


class WriteOptions(TypedDict, total=False):
    """What every writing call takes by keyword."""

    adopt: bool
    """Take over an object that belongs to somebody else."""
    expect: str
    """The fingerprint of the reviewed plan; refuse when the plan is another one now."""
    dry_run: DryRun
    """Plan and check, and write nothing; `"server"` lets the store check the writes as well (admission)."""
    verify: Evidence | None
    """The evidence to reach (default: the highest that the store has)."""
    timeout: float
    """How many seconds the data plane may take to show the evidence (default: 30)."""
    on_failure: Literal["stop", "back"]
    """When it was written and the evidence is not reached: leave it (default), or send all traffic to stable."""
    wait: float
    """How many seconds to wait for destinations that are not ready yet, instead of refusing at once."""
    waiting: Callable[[Sequence[Finding]], None]
    """Called with what is waited for, each time that it was looked at."""


@dataclass(frozen=True)
class TrafficRouter:
    """Move the traffic of one Rollout, with all the backends that it names at once.

    Every call starts from the live objects; there is no memory between calls. Safe to use from many threads for
    different Rollouts.
    """

    rollout: Rollout
    store: Store
    limits: Limits = field(default_factory=Limits)
    probes: tuple[Probe, ...] = ()
    """What can be asked beside the store: data planes, or a URL that answers from them."""

    @property
    def _engine(self) -> Engine:
        return Engine(self.store, self.limits, self.probes)

    def observe(self, *, check: bool = False) -> Observation:
        """Return what the live objects say, one by one and together.

        With `check`, what the data planes say to them as well, and with probes whether they have loaded each.
        """
        live = self.store.read(needs_of(self.rollout))
        observation = self._engine.observe(self.rollout, live)
        if not check:
            return observation
        try:
            findings = self._engine.check(self.rollout, self._said(observation), live)
        except RefusedError as error:
            problem = Finding("cannot-carry-weights", Severity.REFUSAL, None, error.message, error.hint)
            findings = (*observation.findings, problem)
        loaded = self._engine.loaded(self.rollout, observation.traffic, live) if observation.traffic else ()
        return replace(observation, findings=findings, loaded=loaded)

    def plan(self, traffic: Traffic | int | str, *, adopt: bool = False) -> Plan | None:
        """Return the changes that the wish needs, or None when there are none. Writes nothing.

        Raises what `rollway.routers.engine.Engine.plan` raises.
        """
        return self._engine.plan(self.rollout, self._traffic(traffic), adopt=adopt)

    def apply(self, plan: Plan, *, expect: str = "", dry_run: DryRun = False) -> Result:
        """Write a plan; plans again after a conflict, puts back after a failure.

        Raises what `rollway.routers.engine.Engine.apply` raises.
        """
        return self._engine.apply(plan, expect=expect, dry_run=dry_run)

    def set_traffic(self, traffic: Traffic, **options: Unpack[WriteOptions]) -> Result:
        """Plan, guard, apply and verify one wish. The same call twice writes nothing the second time.

        Raises:
            NotVerifiedError: it was written, and what is there is not what was asked.
            RollwayError: anything that `plan` and `apply` raise.
        """
        engine, level = self._engine, options.get("verify")
        expect, dry_run = options.get("expect", ""), options.get("dry_run", False)
        engine.probes_for(self.rollout, level)
        proposal = self._ready(traffic, options)
        if proposal.plan:
            result = engine.apply(proposal.plan, expect=expect, dry_run=dry_run)
        elif expect:
            raise StalePlanError(
                f"nothing has to change for {self.rollout.ref} now, so plan {expect} is out of date"
            )
        else:
            engine.refuse_idle(proposal)
            result = replace(proposal, dry_run=dry_run, findings=proposal.live.notes)
        try:
            return engine.confirm(result, traffic, level, options.get("timeout", TIMEOUT_S))
        except NotVerifiedError as error:
            if options.get("on_failure") != "back" or not traffic.split.canary:
                raise
            raise self._back(error) from error

    def _back(self, reason: NotVerifiedError) -> NotVerifiedError:
        """Send all traffic to stable, and return the reason with what came of that."""
        try:
            self.set_weight(0, verify=Evidence.WRITTEN)
        except RollwayError as error:
            return NotVerifiedError(f"{reason.message}; going back to stable failed as well: {error.message}")
        return NotVerifiedError(f"{reason.message}; all traffic was sent back to stable")

    def set_weight(self, weight: int | str, **options: Unpack[WriteOptions]) -> Result:
        """Give the canary a weight: `20` (of the total), `"0.5%"` or `"5/1000"`. See `set_traffic`.

        Raises:
            WeightError: the weight cannot be read, is out of range, or is not possible for blue-green.
        """
        return self.set_traffic(self._traffic(weight), **options)

    def switch(self, to: str, **options: Unpack[WriteOptions]) -> Result:
        """Send all traffic to `"stable"` or `"canary"` in one plan (blue-green: active or preview). See `set_traffic`.

        Raises:
            ValueError: `to` is neither of the two.
        """
        weights = {STABLE: 0, CANARY: self.rollout.total}
        if to not in weights:
            raise ValueError(f"switch to {to!r}: give {STABLE!r} or {CANARY!r}")
        return self.set_weight(weights[to], **options)

    def set_header_route(self, header_route: HeaderRoute) -> Result:
        """Send requests with matching headers to the canary; an equally named route is replaced.

        Raises:
            UnsupportedError: a backend of the Rollout has no header routes.
        """
        now = self._now()
        others = tuple(item for item in now.header_routes if item.name != header_route.name)
        return self.set_traffic(replace(now, header_routes=(*others, header_route)))

    def set_mirror_route(self, mirror_route: MirrorRoute) -> Result:
        """Copy matching requests to the canary; an equally named route is replaced.

        Raises:
            UnsupportedError: a backend of the Rollout has no mirror routes.
        """
        now = self._now()
        others = tuple(item for item in now.mirror_routes if item.name != mirror_route.name)
        return self.set_traffic(replace(now, mirror_routes=(*others, mirror_route)))

    def remove_managed_routes(self) -> Result:
        """Remove every header and mirror route and keep the weights."""
        return self.set_traffic(Traffic(self._now().split))

    def verify(
        self,
        traffic: Traffic | int | str | None = None,
        level: Evidence | None = None,
        timeout: float = 0,
    ) -> Verdict:
        """Compare a wish with what is there; without one, ask whether all objects agree with each other.

        A data plane that does not follow yet is asked again for `timeout` seconds.

        Raises:
            UnsupportedError: neither the store nor the probes can show that level of evidence.
        """
        self._engine.probes_for(self.rollout, level)
        live = self.store.read(needs_of(self.rollout))
        want = (
            self._traffic(traffic)
            if traffic is not None
            else self._said(self._engine.observe(self.rollout, live))
        )
        return self._engine.verify(self.rollout, want, level, live, timeout)

    def check(self) -> Sequence[Finding]:
        """Return what the data planes say to the objects as they are now."""
        live = self.store.read(needs_of(self.rollout))
        want = self._said(self._engine.observe(self.rollout, live))
        return self._engine.check(self.rollout, want, live)

    def render(self, weight: int | str) -> list[Manifest]:
        """Return the objects as the weight wants them. Writes nothing."""
        return self._engine.wanted(self.rollout, self._traffic(weight))

    def reset(self, *, adopt: bool = False, dry_run: DryRun = False) -> list[Result]:
        """Send all traffic to stable, verify it, then delete the objects that are ours.

        Returns:
            One result for each of the two steps that had something to do.

        Raises:
            NotVerifiedError: the traffic did not go to stable; nothing was deleted.
        """
        engine = self._engine
        all_stable = Traffic(Split(0, self.rollout.total))
        results: list[Result] = []
        last = engine.propose(self.rollout, all_stable, adopt=adopt, create=False)
        if last.plan:
            last = engine.apply(last.plan, dry_run=dry_run)
            results.append(last)
        if not dry_run:
            verdict = engine.verify(self.rollout, all_stable, live=last.live, timeout=TIMEOUT_S)
            if verdict.outcome is Outcome.DIFFERS:
                raise NotVerifiedError(
                    f"{self.rollout.ref} {verdict.outcome.value}: {verdict.reason}; nothing was deleted"
                )
        removal = engine.plan_removal(self.rollout, adopt=adopt, live=last.live)
        if removal:
            results.append(engine.apply(removal, dry_run=dry_run))
        return results

    def _ready(self, traffic: Traffic, options: WriteOptions) -> Result:
        """Return a proposal, waiting as long as the options allow for what can still become ready."""
        deadline = time.monotonic() + options.get("wait", 0)
        while True:
            proposal = self._engine.propose(self.rollout, traffic, adopt=options.get("adopt", False))
            pending = [
                found
                for found in lift(proposal.findings, self.limits.allow)
                if found.transient and found.severity is Severity.REFUSAL
            ]
            left = deadline - time.monotonic()
            if not pending or left <= 0:
                return proposal
            if "waiting" in options:
                options["waiting"](pending)
            time.sleep(min(WAIT_INTERVAL_S, left))

    def _traffic(self, wish: Traffic | int | str) -> Traffic:
        return wish if isinstance(wish, Traffic) else Traffic(self.rollout.split(wish))

    def _now(self) -> Traffic:
        return self._said(self.observe())

    def _said(self, observation: Observation) -> Traffic:
        """Return the traffic that the objects agree on; of objects that do not, what the first one says."""
        if observation.traffic:
            return observation.traffic
        said = (reading.traffic for reading in observation.readings if reading.traffic)
        return next(said, Traffic(Split(0, self.rollout.total)))
