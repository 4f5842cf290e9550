"""Let rollway's controller hold a weight, wait until it is there, and prove it as any other weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Unpack

from rollway.releases.acting import carry_out, on_rollout
from rollway.releases.holding import hold_weight, is_taken_up, refuse_strategy, take_back
from rollway.routers import guards
from rollway.routers.applying import Result, refuse_stale
from rollway.routers.errors import ConflictError, NotReachedError, NotVerifiedError
from rollway.routers.findings import Finding, Severity
from rollway.routers.held_weight import HELD_WEIGHT, held_weight_of
from rollway.routers.lookup import find_rollout
from rollway.routers.objects import dig
from rollway.routers.router import TIMEOUT_S
from rollway.routers.traffic import Evidence, Outcome, Traffic
from rollway.routers.waiting import looks_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollway.releases.acting import Aim
    from rollway.releases.verbs import Effect
    from rollway.routers.held_weight import HeldWeight
    from rollway.routers.objects import Manifest
    from rollway.routers.plan import DryRun, Plan
    from rollway.routers.router import TrafficRouter
    from rollway.routers.traffic import Verdict
    from rollway.routers.weights import Split
    from rollway.routers.write_options import WriteOptions

ANSWER_S = 20.0
"""How long a controller may take to report that it holds a weight: the Lease of one that was killed runs out after 15 s."""
LOOK_S = 0.25
_NOTICED_S = 1.0
"""What takes longer is reported as being waited for."""
_ITS_OWN = frozenset({"controller-in-charge", "endpoints-not-ready", "subset-not-ready"})
"""The refusals that are the controller's own matter: it moves weight only to pods that are ready."""


class Held(NamedTuple):
    """What came of it, and the weight that is held now; None where there was nothing to hold, or by a dry run."""

    result: Result
    weight: HeldWeight | None


def reviewable(router: TrafficRouter) -> TrafficRouter:
    """Return the router whose plans are those of the controller, within the limits of the caller."""
    limits = router.limits._replace(allow=router.limits.allow | _ITS_OWN)
    return replace(router, limits=limits)


def set_held_weight(
    router: TrafficRouter, weight: int | str, by: str, **options: Unpack[WriteOptions]
) -> Held:
    """Ask the controller to hold a weight for `by`, wait until it is there, and prove it.

    The plan of the weight is within the limits of the router, or nothing is asked for. `timeout` and `wait` together are
    how long the controller may take.

    Raises:
        RefusedError: the weight cannot be held, or a limit refuses its plan.
        NotReachedError: no controller has answered; the annotation is taken back.
        NotVerifiedError: the weight is held, and was not reached or proven in time.
        ConflictError: somebody has ended it, or holds another weight, meanwhile.
    """
    refuse_strategy(find_rollout(router.store, router.rollout.name, router.rollout.namespace).manifest)
    wanted, reviewed = router.rollout.split(weight), reviewable(router)
    plan = reviewed.plan(wanted.canary)
    if plan:
        refuse_stale(plan, options.get("expect", ""))
        guards.enforce(plan, reviewed.limits)
    hold = _Hold(router, wanted, by, options.get("waiting", lambda _pending: None))
    dry_run = options.get("dry_run", False)
    aim = hold.ask(dry_run)
    result = _result(router, wanted, plan, aim, dry_run)
    if dry_run:
        return Held(result, None)
    held = _held_by(aim)
    if held:
        hold.await_answer(held, aim)
    try:
        if held:
            hold.await_weight(held, options.get("timeout", TIMEOUT_S) + options.get("wait", 0))
        verdict = _prove(router, wanted, options.get("verify"), options.get("timeout", TIMEOUT_S))
    except NotVerifiedError as error:
        if options.get("on_failure") == "back" and held and wanted.canary:
            raise hold.back(error) from error
        raise
    return Held(replace(result, verdict=verdict), held)


@dataclass(frozen=True)
class _Hold:
    """Hold one weight on one Rollout."""

    router: TrafficRouter
    wanted: Split
    by: str
    waiting: Callable[[Sequence[Finding]], None]

    def ask(self, dry_run: DryRun = False) -> Aim:
        """Write the annotation; what the controller has still to see is waited for."""
        rollout, now = self.router.rollout, datetime.now(UTC)

        def verb(manifest: Manifest) -> Effect:
            return hold_weight(manifest, self.wanted.canary, self.by, now)

        for left in looks_within(ANSWER_S, LOOK_S):
            try:
                return carry_out(
                    self.router.store, rollout.name, rollout.namespace, on_rollout(verb), dry_run
                )
            except ConflictError as error:
                if not left:
                    raise
                self._report(error.message)
        raise AssertionError("the last look returns or raises")

    def await_answer(self, held: HeldWeight, aim: Aim) -> None:
        """Wait until the controller reports the weight; take the annotation back when none does."""
        rollout = self.router.rollout
        for left in looks_within(ANSWER_S, LOOK_S):
            if is_taken_up(self._look(held), held):
                return
            if not left:
                break
            if left < ANSWER_S - _NOTICED_S:
                self._report("its controller has not answered yet")
        before = dig(aim.rollout.manifest, "metadata", "annotations", HELD_WEIGHT)
        verb = on_rollout(lambda manifest: take_back(manifest, held, before))
        carry_out(self.router.store, rollout.name, rollout.namespace, verb)
        raise NotReachedError(
            f"{rollout.ref}: no controller of rollway has answered in {ANSWER_S:.0f} s, so nothing has moved, and the weight "
            "is not held",
            hint="start `rollway controller` for its instance id, or write the objects without it: --allow controller-in-charge",
            ref=rollout.ref,
        )

    def await_weight(self, held: HeldWeight, seconds: float) -> None:
        """Wait until the controller has moved the weight."""
        for left in looks_within(seconds, LOOK_S):
            manifest = self._look(held)
            shown = dig(manifest, "status", "canary", "weights", "canary", "weight")
            if (shown or 0) == held.weight:
                return
            message = str(dig(manifest, "status", "message") or "")
            if not left:
                raise NotVerifiedError(f"{self.router.rollout.ref} is not there in time: {message}")
            self._report(message)

    def back(self, reason: NotVerifiedError) -> NotVerifiedError:
        """Let the controller send all traffic to stable, and return the reason with what came of that."""
        replace(self, wanted=self.router.rollout.split(0)).ask()
        return NotVerifiedError(
            f"{reason.message}; weight 0 is held instead, so all traffic goes back to stable"
        )

    def _look(self, held: HeldWeight) -> Manifest:
        """Return the Rollout as it is now, while the weight is held."""
        rollout = self.router.rollout
        manifest = find_rollout(self.router.store, rollout.name, rollout.namespace).manifest
        now = held_weight_of(manifest)
        if now != held:
            what = f"another weight is held: {now.text(rollout.total)}" if now else "it is held no more"
            message = str(dig(manifest, "status", "message") or dig(manifest, "status", "phase") or "")
            raise ConflictError(
                f"{rollout.ref}: somebody has acted on it meanwhile, and {what} ({message})", retryable=False
            )
        return manifest

    def _report(self, message: str) -> None:
        ref = self.router.rollout.ref
        self.waiting([Finding("held-weight", Severity.NOTE, ref, message.removeprefix(f"{ref}: "))])


def _held_by(aim: Aim) -> HeldWeight | None:
    """Return the weight that an annotation holds: the one that was written, or the same one from before."""
    for operation in aim.effect.spec:
        if operation["op"] == "add":
            value = operation["value"]
            annotations = value if isinstance(value, dict) else {HELD_WEIGHT: value}
            return held_weight_of({"metadata": {"annotations": annotations}})
    return held_weight_of(aim.rollout.manifest)


def _result(router: TrafficRouter, wanted: Split, plan: Plan | None, aim: Aim, dry_run: DryRun) -> Result:
    want = plan.want if plan else replace(router.observe().nearest_traffic, split=wanted)
    notes = tuple(finding for finding in plan.findings if finding.severity is Severity.NOTE) if plan else ()
    written = (aim.rollout.ref,) if aim.effect.changes and not dry_run else ()
    return Result(router.rollout, want, plan, written, dry_run=dry_run, findings=notes)


def _prove(router: TrafficRouter, wanted: Split, level: Evidence | None, timeout: float) -> Verdict:
    """Return the evidence for a weight.

    Raises:
        NotVerifiedError: it is not there in time.
    """
    verdict = router.verify(_with_routes(router, wanted), level, timeout)
    if verdict.outcome is not Outcome.MATCHES:
        raise NotVerifiedError(f"{router.rollout.ref} {verdict.outcome.value}: {verdict.reason}")
    return verdict


def _with_routes(router: TrafficRouter, wanted: Split) -> Traffic:
    """Return a weight with the header and mirror routes that the steps of the release have set."""
    return replace(router.observe().nearest_traffic, split=wanted)
