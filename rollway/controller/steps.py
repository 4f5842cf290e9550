"""The steps of a canary: which one is current, when it is done, and what the steps so far ask for. Pure.

Source: Argo Rollouts, `rollout/canary.go` and `rollout/pause.go`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rollway.controller.canary_scale import SetCanaryScale
from rollway.controller.progress import CANARY_PAUSE
from rollway.routers.objects import dig
from rollway.routers.route_steps import RemoveRoute, SetRoute
from rollway.routers.steps import Pause, SetWeight
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.controller.release import Plan, Release
    from rollway.controller.spec import Canary, CanaryStep


def weight_at(strategy: Canary, index: int | None) -> int:
    """Return the weight that the steps ask for up to an index; all of it behind the last step."""
    steps = strategy.steps
    if index is None or index >= len(steps):
        return strategy.total
    weights = [step.weight for step in steps[: index + 1] if isinstance(step, SetWeight)]
    return weights[-1] if weights else 0


def scale_at(strategy: Canary, index: int | None) -> SetCanaryScale | None:
    """Return the number of pods that the steps ask for apart from the weight; None where the weight decides."""
    steps = strategy.steps
    if index is None or index >= len(steps):
        return None
    scales = [step for step in steps[: index + 1] if isinstance(step, SetCanaryScale)]
    return scales[-1] if scales and scales[-1] != SetCanaryScale() else None


def routes_at(strategy: Canary, index: int | None, weight: int) -> Traffic:
    """Return a weight with the header and mirror routes that the steps have set up to an index, and not removed."""
    traffic = Traffic(Split(weight, strategy.total))
    if index is None or index >= len(strategy.steps):
        return traffic
    for step in strategy.steps[: index + 1]:
        if isinstance(step, SetRoute):
            traffic = traffic.with_route(step.route)
        elif isinstance(step, RemoveRoute):
            traffic = traffic.without([step.name])
    return traffic.ordered(strategy.managed_routes)


def pass_pauses(release: Release, plan: Plan) -> None:
    """Go on behind each pause that is over, and begin the one that is reached."""
    strategy, index = release.canary, plan.progress.index
    steps = strategy.steps
    while index is not None and index < len(steps) and isinstance(pause := steps[index], Pause):
        if not _is_over(release, plan, pause):
            return
        plan.progress = replace(plan.progress.without_pauses(), index=index + 1)
        completed(release, plan, index)
        index += 1


def _is_over(release: Release, plan: Plan, step: Pause) -> bool:
    """Return whether a pause is over; one that is not begins, or comes due later."""
    begun = plan.progress.pause(CANARY_PAUSE)
    plan.deadline_applies = False
    if begun is None:
        if plan.progress.resumed:
            plan.deadline_applies = True
            return True
        begin_pause(release, plan, step)
        return False
    if step.seconds is None:
        plan.waiting.append("promote ends the pause")
        return False
    due = begun.started + timedelta(seconds=step.seconds)
    if release.now >= due:
        plan.deadline_applies = True
        return True
    plan.times.append(due)
    return False


def begin_pause(release: Release, plan: Plan, step: Pause) -> None:
    """Note that a pause begins now."""
    plan.progress = plan.progress.with_pause(CANARY_PAUSE, release.now)
    plan.event("RolloutPaused", f"Rollout is paused ({CANARY_PAUSE})")
    plan.deadline_applies = False
    if step.seconds is not None:
        plan.times.append(release.now + timedelta(seconds=step.seconds))


def complete_step(release: Release, plan: Plan) -> None:
    """Go on behind the current step, which is done, and begin the pause that follows."""
    index, steps = plan.progress.index, release.canary.steps
    if index is None or index >= len(steps):
        return
    plan.progress = replace(plan.progress, index=index + 1)
    completed(release, plan, index)
    if index + 1 < len(steps) and isinstance(following := steps[index + 1], Pause):
        begin_pause(release, plan, following)


def completed(release: Release, plan: Plan, index: int) -> None:
    """Add the Event of a step that is done."""
    steps = release.canary.steps
    text = _text(steps[index], (release.canary.step_manifests or ())[index])
    plan.event("RolloutStepCompleted", f"Rollout step {index + 1}/{len(steps)} completed ({text})")


def _text(step: CanaryStep, manifest: dict[str, Any]) -> str:
    """Write a step as the Events of Argo Rollouts do."""
    if isinstance(step, SetWeight):
        return f"setWeight: {step.weight}"
    if isinstance(step, Pause):
        duration = dig(manifest, "pause", "duration")
        return "pause" if duration is None else f"pause: {duration}"
    if isinstance(step, SetCanaryScale):
        inner = ", ".join(f"{key}: {value}" for key, value in manifest["setCanaryScale"].items())
        return f"setCanaryScale{{{inner}}}"
    key = next(iter(manifest))
    return f"{key}: {dig(manifest, key, 'name')}"
