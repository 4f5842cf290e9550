"""The conditions of a Rollout's status. Pure.

Types, reasons and messages: Argo Rollouts, `utils/conditions/conditions.go`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.releases.phase import time_of, write_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rollway.controller.release import Plan, Release
    from rollway.routers.objects import Manifest

PROGRESSING = "Progressing"
_KINDS = ("Available", "Paused", "Completed", "Healthy")


class Condition(NamedTuple):
    """One condition as it is to be; `renew` gives it a new update time even if nothing else of it changes."""

    type: str
    status: str
    reason: str
    message: str
    renew: bool = False


def find(conditions: list[Manifest], kind: str) -> Manifest | None:
    """Return the condition of a type."""
    return next((entry for entry in conditions if entry.get("type") == kind), None)


def with_condition(conditions: list[Manifest], condition: Condition, now: datetime) -> list[Manifest]:
    """Return the conditions with one of them as it is to be; one with the same status and reason stays untouched."""
    old = find(conditions, condition.type)
    same_status = old is not None and old.get("status") == condition.status
    if old and same_status and old.get("reason") == condition.reason and not condition.renew:
        return conditions
    written = write_time(now)
    entry = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastUpdateTime": written,
        "lastTransitionTime": old.get("lastTransitionTime", written) if old and same_status else written,
    }
    return [*(each for each in conditions if each.get("type") != condition.type), entry]


def without(conditions: list[Manifest], *kinds: str) -> list[Manifest]:
    """Return the conditions that are of none of some types."""
    return [entry for entry in conditions if entry.get("type") not in kinds]


def invalid(name: str, faults: tuple[str, ...]) -> Condition:
    """Return the condition of a Rollout whose spec has faults; every fault is in it."""
    message = f'The Rollout "{name}" is invalid: ' + "; ".join(faults)
    return Condition("InvalidSpec", "True", "InvalidSpec", message, renew=False)


def not_created(name: str, error: str) -> Condition:
    """Return the condition of a Rollout whose new ReplicaSet, of this name, the API server refuses."""
    message = f'Failed to create new replica set "{name}": {error}'
    return Condition(PROGRESSING, "False", "ReplicaSetCreateError", message)


def conditions_of(
    release: Release, plan: Plan, fields: Mapping[str, Any], *, arrived: bool
) -> list[Manifest]:
    """Return the conditions for a status with these fields; `arrived` means that all traffic is where it stays."""
    before: list[Manifest] = list(release.status.get("conditions") or ())
    now, after = release.now, without(before, "InvalidSpec")
    healthy = arrived and is_healthy(release, fields)
    progressing = _progressing(release, plan, fields, healthy=healthy)
    if progressing:
        after = with_condition(after, progressing, now)
    available = _is_available(release, fields)
    text = "Rollout has minimum availability" if available else "Rollout does not have minimum availability"
    after = with_condition(after, Condition("Available", _word(available), "AvailableReason", text), now)
    paused = bool(fields.get("pauseConditions")) or release.spec.paused
    if paused or find(after, "Paused"):
        text = "Rollout is paused" if paused else "Rollout is not paused"
        after = with_condition(after, Condition("Paused", _word(paused), "RolloutPaused", text), now)
    completed = fields.get("stableRS") == fields.get("currentPodHash")
    text = "RolloutCompleted" if completed else "RolloutNotCompleted"
    after = with_condition(after, Condition("Completed", _word(completed), "RolloutCompleted", text), now)
    if healthy or find(after, "Healthy"):
        text = "Rollout is healthy" if healthy else "Rollout is not healthy"
        after = with_condition(after, Condition("Healthy", _word(healthy), "RolloutHealthy", text), now)
    return after


def _word(true: bool) -> str:
    return "True" if true else "False"


def is_healthy(release: Release, fields: Mapping[str, Any]) -> bool:
    """Return whether a status shows a release that is complete, with all its pods."""
    n = release.spec.replicas
    if not (
        fields.get("updatedReplicas", 0) == fields.get("availableReplicas", 0) == n
        and fields.get("stableRS") == fields.get("currentPodHash")
    ):
        return False
    blue_green = fields.get("blueGreen")
    if blue_green is not None:
        active = blue_green.get("activeSelector")
        return release.spec.strategy.routed or bool(active == fields.get("currentPodHash"))
    return bool(fields.get("replicas", 0) == n)


def _is_available(release: Release, fields: Mapping[str, Any]) -> bool:
    return bool(fields.get("availableReplicas", 0) >= release.spec.replicas)


def _progressing(
    release: Release, plan: Plan, fields: Mapping[str, Any], *, healthy: bool
) -> Condition | None:
    """Return the condition `Progressing` as it is to be; None where it stays as it is."""
    old = find(list(release.status.get("conditions") or ()), PROGRESSING) or {}
    reason, name = old.get("reason", ""), release.new.name
    if plan.progress.aborted:
        cause = f": {plan.progress.abort_message}" if plan.progress.abort_message else ""
        text = f"Rollout aborted update to revision {release.revision}{cause}"
        return Condition(PROGRESSING, "False", "RolloutAborted", text)
    if not release.new_exists and not release.spec.paused:
        return Condition(
            PROGRESSING, "True", "NewReplicaSetCreated", f'Created new replica set "{name}"', renew=True
        )
    if reason == "RolloutAborted" and not release.restarted and not plan.progress.fully_promoted:
        return Condition(PROGRESSING, "Unknown", "RolloutRetry", "Retrying Rollout after abort")
    if fields.get("pauseConditions") or release.spec.paused:
        return Condition(PROGRESSING, "Unknown", "RolloutPaused", "Rollout is paused")
    if reason == "RolloutPaused":
        return Condition(PROGRESSING, "Unknown", "RolloutResumed", "Rollout is resumed")
    if healthy:
        return Condition(
            PROGRESSING, "True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.'
        )
    if _has_progressed(release, fields) or not old:
        return Condition(
            PROGRESSING, "True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.', renew=True
        )
    if plan.progress.fully_promoted and reason == "NewReplicaSetAvailable":
        return Condition(
            PROGRESSING, "True", "ReplicaSetNotAvailable", "Rollout does not have minimum availability"
        )
    if is_timed_out(release, plan):
        return timed_out(name)
    return None


def timed_out(name: str) -> Condition:
    """Return the condition of a release that made no progress in time."""
    return Condition(
        PROGRESSING, "False", "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.'
    )


def _has_progressed(release: Release, fields: Mapping[str, Any]) -> bool:
    """Return whether a status shows more than the one before: pods, a step, a Service, a promotion."""
    old = release.status
    grown = any(fields.get(key, 0) > (old.get(key) or 0) for key in ("readyReplicas", "availableReplicas"))
    moved = any(
        fields.get(key) != old.get(key)
        for key in ("updatedReplicas", "currentStepIndex", "currentStepHash", "stableRS", "currentPodHash")
    )
    selectors = [
        (fields.get("blueGreen") or {}).get(key) != (old.get("blueGreen") or {}).get(key)
        for key in ("activeSelector", "previewSelector")
    ]

    def rest(status: Mapping[str, Any]) -> int:
        return int(status.get("replicas") or 0) - int(status.get("updatedReplicas") or 0)

    return grown or moved or any(selectors) or rest(fields) < rest(old)


def is_timed_out(release: Release, plan: Plan) -> bool:
    """Return whether the release has made no progress for its deadline; notes when that comes due."""
    old = find(list(release.status.get("conditions") or ()), PROGRESSING) or {}
    updated = time_of(old.get("lastUpdateTime"))
    waits = any(each.deadline for each in release.others)
    if (
        updated is None
        or not plan.deadline_applies
        or waits
        or old.get("reason") in ("RolloutAborted", "RolloutPaused", "NewReplicaSetAvailable")
    ):
        return False
    due = updated + timedelta(seconds=release.spec.progress_deadline)
    if release.now > due:
        return True
    plan.times.append(due + timedelta(seconds=1))
    return False
