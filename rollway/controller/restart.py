"""Restart the pods of a Rollout (`restartAt`) by evictions, never more at once than may be missing. Pure.

Source: Argo Rollouts, `rollout/restart.go`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rollway.controller.decision import Evict
from rollway.releases.phase import time_of
from rollway.routers.objects import ObjectRef

if TYPE_CHECKING:
    from rollway.controller.decision import Write
    from rollway.controller.release import Plan, Release
    from rollway.controller.world import Pod

_LOOK_AGAIN_S = 30


def plan_restart(release: Release, plan: Plan) -> None:
    """Note that a restart is complete, or when it is to go on."""
    asked, text = release.spec.restart_at, _asked(release)
    if asked is None or plan.progress.restarted_at == text:
        return
    if release.now < asked:
        plan.times.append(asked)
    elif not _old_pods(release):
        plan.progress = replace(plan.progress, restarted_at=text)
    else:
        plan.times.append(release.now + timedelta(seconds=_LOOK_AGAIN_S))


def _asked(release: Release) -> str:
    return str(release.world.rollout["spec"].get("restartAt") or "")


def _old_pods(release: Release) -> list[Pod]:
    """Return the pods from before the restart was asked for: of stable, then new, then older releases."""
    asked = release.spec.restart_at
    sets = [release.stable, release.new, *release.others]
    order = {each.pod_hash: place for place, each in reversed([*enumerate(sets)]) if each}
    old = [
        pod
        for pod in release.world.pods
        if pod.pod_hash in order and (created := time_of(pod.created)) and asked and created < asked
    ]
    return sorted(old, key=lambda pod: (order[pod.pod_hash], pod.created, pod.name))


def evictions(release: Release, plan: Plan) -> list[Write]:
    """Return the evictions that leave enough pods available."""
    asked = release.spec.restart_at
    if asked is None or release.now < asked or plan.progress.restarted_at == _asked(release):
        return []
    going = [pod for pod in _old_pods(release) if not pod.deleting]
    # A ReplicaSet counts a pod that was just evicted until its next status.
    serving = sum(pod.ready and not pod.deleting for pod in release.world.pods)
    wanted = max(release.spec.replicas, sum(each.desired for each in release.all_sets))
    room = min(release.available, serving) - (wanted - max(release.spec.strategy.max_unavailable, 1))
    namespace = release.spec.namespace
    return [Evict(ObjectRef("", "Pod", namespace, pod.name)) for pod in going[: max(room, 0)]]
