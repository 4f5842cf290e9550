"""How long a release takes, as the status reports it. Pure.

Source: Argo Rollouts, `RolloutDuration` in `pkg/apis/rollouts/v1alpha1/types.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.releases.phase import write_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.controller.release import Plan, Release


def duration_of(release: Release, plan: Plan, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return when the release began and ended, and how."""
    old = dict(release.status.get("duration") or {})
    now = write_time(release.now)
    retried = bool(release.status.get("abortedAt")) and not plan.progress.aborted
    if not release.status.get("currentPodHash") or release.restarted or retried:
        return {"rolloutStartedAt": now}
    if not old or old.get("finishedAt"):
        return old
    if plan.progress.aborted:
        return {**old, "finishedAt": now, "completionStatus": "Aborted"}
    done = fields.get("stableRS") == fields.get("currentPodHash")
    if done and release.new.available >= release.spec.replicas:
        full = bool(release.status.get("promoteFull"))
        return {**old, "finishedAt": now, "completionStatus": "FastPromoted" if full else "Promoted"}
    return old
