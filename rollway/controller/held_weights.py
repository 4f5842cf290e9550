"""A weight that somebody holds by hand: while it holds, it stands in place of the weight of the step. Pure.

Not in Argo Rollouts. It ends with the update or the step that it is for, so whoever promotes, aborts or supersedes the
update ends it, whatever tool that is done with.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rollway.controller.decision import Patch
from rollway.controller.progress import CANARY_PAUSE
from rollway.controller.spec import Canary
from rollway.routers.held_weight import HELD_WEIGHT, held_weight_of
from rollway.routers.held_weight import held_weight_faults as faults_of_annotation
from rollway.routers.objects import ObjectRef
from rollway.routers.rollout import dotted
from rollway.routers.steps import Pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.controller.decision import Write
    from rollway.controller.release import Plan, Release
    from rollway.controller.spec import RolloutSpec
    from rollway.routers.held_weight import HeldWeight
    from rollway.routers.objects import Manifest


def held_weight_faults(rollout: Manifest, spec: RolloutSpec) -> Iterator[str]:
    """Yield what is wrong with the annotation; nothing where the update ends it anyway."""
    status = rollout.get("status") or {}
    if status.get("abort") or status.get("promoteFull"):
        return
    for path, message in faults_of_annotation(rollout):
        yield f"{dotted(path)}: {message}; `rollway set-weight {spec.name} --release` removes it"
    held, place = held_weight_of(rollout), f"metadata.annotations.{HELD_WEIGHT}"
    if held is None or held.pod_hash != status.get("currentPodHash"):
        return
    strategy = spec.strategy
    if not isinstance(strategy, Canary) or not strategy.routed:
        yield f"{place}: only a canary with trafficRouting has a weight that can be held"
    elif held.weight > strategy.total:
        yield f"{place}: weight {held.weight} is outside 0..{strategy.total}"


def with_held_weight(release: Release) -> Release:
    """Return the release with the weight that is held now, if one is."""
    held, progress = held_weight_of(release.world.rollout), release.progress
    if held is None or release.restarted or progress.fully_promoted or progress.aborted:
        return release
    # A promotion takes the pause away, or goes to another step.
    if progress.promote_full or progress.resumed or held.step != progress.index:
        return release
    return replace(release, held=held) if held.pod_hash == progress.pod_hash else release


def plan_held_weight(release: Release, plan: Plan) -> None:
    """Let the release pause while a weight is held, and go on at the same step when it is not any more."""
    index, steps = plan.progress.index, release.canary.steps
    pause = plan.progress.pause(CANARY_PAUSE)
    if release.held:
        plan.deadline_applies = False
        _report(release, plan, release.held)
        if pause is None:
            plan.progress = plan.progress.with_pause(CANARY_PAUSE, release.now)
            plan.event("RolloutPaused", f"Rollout is paused ({CANARY_PAUSE})")
        return
    at_pause = index is not None and index < len(steps) and isinstance(steps[index], Pause)
    if not at_pause and (pause or plan.progress.resumed):
        plan.progress = plan.progress.without_pauses()
        plan.event("RolloutResumed", "Rollout is resumed")


def _report(release: Release, plan: Plan, held: HeldWeight) -> None:
    """Report a weight that is held from now on, which the status does not show yet."""
    text = held.text(release.canary.total)
    if text not in str(release.status.get("message") or ""):
        plan.event("WeightHeld", text[0].upper() + text[1:])


def held_weight_writes(release: Release, plan: Plan) -> list[Write]:
    """Remove the annotation of a weight that is held no more, if it is still the one that was observed."""
    annotations = release.world.rollout["metadata"].get("annotations") or {}
    if release.held or HELD_WEIGHT not in annotations:
        return []
    path = "/metadata/annotations/" + HELD_WEIGHT.replace("/", "~1")
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": path, "value": annotations[HELD_WEIGHT]},
        {"op": "remove", "path": path},
    ]
    plan.event("WeightReleased", f"The weight is held by hand no more: {_end(release)}")
    ref = ObjectRef("argoproj.io", "Rollout", release.spec.namespace, release.spec.name)
    return [Patch(ref, tuple(operations))]


def _end(release: Release) -> str:
    """Return why a weight is held no more."""
    if release.progress.aborted:
        return "the update is aborted"
    return "another update has begun" if release.restarted else "the update has gone on"


def held_message(release: Release, plan: Plan, held: HeldWeight) -> str:
    """Return the message of a status while a weight is held: by whom, since when, and what it waits for."""
    parts = [held.text(release.spec.strategy.total), *plan.waiting[:1]]
    return "; ".join(["manually paused", *parts] if release.spec.paused else parts)
