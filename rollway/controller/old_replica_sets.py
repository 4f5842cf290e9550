"""The end of ReplicaSets that are neither new nor stable: evidence, then a delay, then no pods. Pure.

Source: Argo Rollouts, `rollout/replicaset.go` (`scaleDownDelaySeconds`, `scaleDownDelayRevisionLimit`). Different on purpose:
the release before a superseded one gets the delay as well, and no delay begins before the traffic has left.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rollway.controller.services import referenced
from rollway.controller.spec import SCALE_DOWN_DELAY_S
from rollway.controller.world import DESIRED_REPLICAS, whole_second

if TYPE_CHECKING:
    from rollway.controller.release import Plan, Release
    from rollway.controller.world import ReplicaSet


def is_scaling(release: Release) -> bool:
    """Return whether the Rollout was scaled since its ReplicaSets were."""
    return any(
        each.desired
        and each.annotations.get(DESIRED_REPLICAS, str(release.spec.replicas)) != str(release.spec.replicas)
        for each in release.all_sets
    )


def wind_down(release: Release, plan: Plan, *, settled: bool) -> None:
    """Set the deadlines of old ReplicaSets with pods, once traffic is settled, and take the pods of those that are due."""
    strategy = release.spec.strategy
    limit = strategy.scale_down_revision_limit
    marked = 0
    for each in release.others:
        if not each.desired:
            continue
        # A Rollout that is to have no pods at all keeps none for a Service either.
        needed = release.spec.replicas and referenced(release, each)
        if not settled or needed:
            plan.waiting.append(f"ReplicaSet {each.name} keeps its pods while traffic may reach them")
            continue
        if (each.deadline and release.now >= each.deadline) or (limit is not None and marked >= limit):
            plan.pods[each.name] = 0
        else:
            marked += 1
            _wait(release, plan, each)


def _wait(release: Release, plan: Plan, replica_set: ReplicaSet) -> None:
    """Keep the pods of an old ReplicaSet for its delay; one that has a deadline already keeps that."""
    strategy, due = release.spec.strategy, replica_set.deadline
    if due is None:
        delay = SCALE_DOWN_DELAY_S if strategy.scale_down_delay is None else strategy.scale_down_delay
        # With a dynamic stable scale its pods have followed the weight.
        if not delay or getattr(strategy, "dynamic_stable_scale", False):
            plan.pods[replica_set.name] = 0
            return
        due = whole_second(release.now) + timedelta(seconds=delay)
        plan.deadlines[replica_set.name] = due
    plan.times.append(due)
