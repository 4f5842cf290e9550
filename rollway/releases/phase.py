"""The phase of a Rollout, and what it waits for. Pure.

Source: Argo Rollouts v1.10, `utils/rollout/rolloututil.go`: `GetRolloutPhase` for clients, `CalculateRolloutPhase` for
the controller.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.objects import dig

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

HEALTHY, DEGRADED, PROGRESSING, PAUSED = "Healthy", "Degraded", "Progressing", "Paused"

ABORTED = "RolloutAborted"
"""The reason of the condition Progressing while an update is aborted."""
_TIMED_OUT = "ProgressDeadlineExceeded"
_WORKLOAD_GENERATION = "rollout.argoproj.io/workload-generation"


class Phase(NamedTuple):
    """A phase, and why it is not Healthy; the message is empty when it is."""

    name: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.message}" if self.message else self.name


def phase_of(rollout: Manifest) -> Phase:
    """Return the phase that a client shows.

    What a user has just written counts before the controller has seen it. A status without `phase` (Argo Rollouts
    before 1.0) is read as the controller would.
    """
    pending = unobserved(rollout)
    if pending:
        return Phase(PROGRESSING, f"waiting for {pending}")
    phase = dig(rollout, "status", "phase")
    if phase:
        return Phase(str(phase), str(dig(rollout, "status", "message") or ""))
    return calculated_phase(rollout)


def calculated_phase(rollout: Manifest) -> Phase:
    """Return the phase that a controller writes, from the spec and the other fields of the status."""
    spec, status = rollout.get("spec") or {}, rollout.get("status") or {}
    return (
        _broken(status)
        or _paused(spec, status)
        or Phase(PROGRESSING if (message := _progress(spec, status)) else HEALTHY, message)
    )


def replicas_of(rollout: Manifest) -> int:
    """Return how many pods a Rollout asks for; without the field it is one."""
    count = dig(rollout, "spec", "replicas")
    return 1 if count is None else int(count)


def is_promoted(rollout: Manifest) -> bool:
    """Return whether the stable release is the current one, so that no update is under way."""
    return bool(dig(rollout, "status", "stableRS") == dig(rollout, "status", "currentPodHash"))


def is_observed(rollout: Manifest) -> bool:
    """Return whether the status is about the present spec.

    Source: `isGenerationObserved`; Argo Rollouts before 0.10 wrote a hash where the number is.
    """
    observed = str(dig(rollout, "status", "observedGeneration") or "")
    generation = dig(rollout, "metadata", "generation") or 0
    return not observed.isdecimal() or int(observed) >= generation


def unobserved(rollout: Manifest) -> str:
    """Return what somebody has written and no controller has seen; empty when there is nothing."""
    status = rollout.get("status") or {}
    if not is_observed(rollout):
        return "rollout spec update to be observed"
    if status.get("controllerPause") and not status.get("pauseConditions"):
        return "rollout to unpause"
    if dig(rollout, "spec", "workloadRef") and not _is_workload_observed(rollout):
        return "rollout spec update to be observed for the reference workload"
    # Argo's own clients show the old "Degraded" until the controller has taken up the retry.
    if not status.get("abort") and any(item.get("reason") == ABORTED for item in _conditions(status)):
        return "the retry to be observed"
    return ""


def _is_workload_observed(rollout: Manifest) -> bool:
    wanted = str(dig(rollout, "metadata", "annotations", _WORKLOAD_GENERATION) or "")
    observed = str(dig(rollout, "status", "workloadObservedGeneration") or "")
    return not (wanted.isdecimal() and observed.isdecimal()) or int(wanted) == int(observed)


def _conditions(status: dict[str, Any]) -> list[dict[str, Any]]:
    return status.get("conditions") or []


def _broken(status: dict[str, Any]) -> Phase | None:
    for condition in _conditions(status):
        message = condition.get("message", "")
        if condition.get("type") == "InvalidSpec":
            return Phase(DEGRADED, f"InvalidSpec: {message}")
        if condition.get("reason") in (ABORTED, _TIMED_OUT):
            return Phase(DEGRADED, f"{condition['reason']}: {message}")
    return None


def _paused(spec: dict[str, Any], status: dict[str, Any]) -> Phase | None:
    if spec.get("paused"):
        return Phase(PAUSED, "manually paused")
    pauses = status.get("pauseConditions")
    return Phase(PAUSED, str(pauses[0].get("reason", ""))) if pauses else None


def _progress(spec: dict[str, Any], status: dict[str, Any]) -> str:
    """Return what is still to be done; empty when the release is complete."""
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if spec.get("restartAt") and not is_same_time(spec["restartAt"], status.get("restartedAt")):
        return "rollout is restarting"
    if updated < replicas_of({"spec": spec}):
        return "more replicas need to be updated"
    if available < updated:
        return "updated replicas are still becoming available"
    stable, current = status.get("stableRS", ""), status.get("currentPodHash", "")
    complete = bool(stable) and stable == current
    strategy = spec.get("strategy") or {}
    if "blueGreen" in strategy:
        return _blue_green_progress(strategy["blueGreen"], status, current, complete=complete)
    return _canary_progress(strategy["canary"], status, complete=complete) if "canary" in strategy else ""


def _canary_progress(strategy: dict[str, Any], status: dict[str, Any], *, complete: bool) -> str:
    # With traffic routing, and with blue-green, old pods stay on purpose for some time.
    is_basic = "trafficRouting" not in strategy
    if is_basic and status.get("replicas", 0) > status.get("updatedReplicas", 0):
        return "old replicas are pending termination"
    return "" if complete else "waiting for all steps to complete"


def _blue_green_progress(
    strategy: dict[str, Any], status: dict[str, Any], current: str, *, complete: bool
) -> str:
    active = dig(status, "blueGreen", "activeSelector")
    if not active or active != current:
        return "active service cutover pending"
    if complete:
        return ""
    phase = dig(status, "blueGreen", "postPromotionAnalysisRunStatus", "status")
    ended = phase in ("Successful", "Failed", "Error", "Inconclusive")
    if strategy.get("postPromotionAnalysis") and not ended:
        return "waiting for analysis to complete"
    return "waiting for post-promotion verification to complete"


def time_of(text: object) -> datetime | None:
    """Read a time as Kubernetes writes it (RFC 3339, with its zone); None for anything else."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def write_time(when: datetime) -> str:
    """Write a time as Kubernetes does: RFC 3339, in whole seconds, UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_same_time(one: object, other: object) -> bool:
    """Return whether two texts are the same moment."""
    moment = time_of(one)
    return moment is not None and moment == time_of(other)
