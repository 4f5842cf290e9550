"""What a canary release does now: pods, Services, traffic, and how far it goes on. Pure.

Sources: Argo Rollouts, `rollout/canary.go` and `utils/replicaset/canary.go`. Different on purpose: weight goes only to pods
that are ready, and nothing that traffic may still reach gets fewer pods before the evidence for the new weight is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.controller import old_replica_sets, subsets
from rollway.controller.held_weights import plan_held_weight
from rollway.controller.release import Plan
from rollway.controller.routing import (
    end_aborted,
    is_drained,
    is_proven,
    promoted,
    promoted_wish,
)
from rollway.controller.scaling import Bounds, Count, Counts, nearest_counts, next_counts, reduced, share
from rollway.controller.services import role_services, select, selected_hash
from rollway.controller.steps import complete_step, pass_pauses, routes_at, scale_at, weight_at
from rollway.controller.subsets import shown_weight
from rollway.routers.steps import Pause
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.controller.release import Release
    from rollway.controller.spec import Canary


def plan_canary(release: Release) -> Plan:
    """Return what is to be done now."""
    plan = Plan(release.progress, events=list(release.began))
    plan_held_weight(release, plan)
    if not release.spec.paused and not release.held:
        pass_pauses(release, plan)
    if release.canary.routed:
        _plan_routed(release, plan)
    else:
        _plan_alone(release, plan)
    if not release.spec.paused and not release.held:
        _go_on(release, plan)
    return plan


def _plan_alone(release: Release, plan: Plan) -> None:
    """Plan the pods whose share alone is the weight, as Services without a router divide requests."""
    spec, strategy, new, stable = release.spec, release.canary, release.new, release.stable
    select(release, plan, role_services(strategy, release.progress), free=True)
    bounds = Bounds(spec.replicas, strategy.max_surge, strategy.max_unavailable)
    if stable is None or stable.name == new.name:
        plan.pods[new.name] = spec.replicas
    else:
        weight = 0 if plan.progress.aborted else weight_at(strategy, plan.progress.index)
        goal = nearest_counts(spec.replicas, weight, strategy.total, strategy.max_surge)
        others = sum(each.desired for each in release.others)
        current = Count(new.desired, new.available), Count(stable.desired, stable.available)
        counts = next_counts(bounds, goal, *current, others)
        # One of the two at a time, stable first: both together could fall below what has to be available.
        plan.pods[stable.name] = counts.stable
        plan.pods[new.name] = counts.canary if counts.stable == stable.desired else new.desired
        _keep_halted(release, plan, new.name)
    growing = any(pods > _desired(release, name) for name, pods in plan.pods.items())
    if not growing and not spec.paused:
        kept = reduced(
            bounds, [Count(each.desired, each.available) for each in release.others], release.available
        )
        for each, pods in zip(release.others, kept, strict=True):
            plan.pods[each.name] = pods


def _desired(release: Release, name: str) -> int:
    return next(each.desired for each in release.all_sets if each.name == name)


def _keep_halted(release: Release, plan: Plan, name: str) -> None:
    """Keep the canary as it is while the Rollout is paused by hand, unless the Rollout was scaled."""
    if release.spec.paused and not old_replica_sets.is_scaling(release):
        plan.pods[name] = release.new.desired


def _plan_routed(release: Release, plan: Plan) -> None:
    """Plan pods and traffic: pods before weight, and evidence before fewer pods."""
    strategy, new, stable = release.canary, release.new, release.stable
    weight = _weight_wanted(release, plan)
    plan.wish = subsets.set_traffic(release, plan, _wish(release, plan, weight))
    wish = plan.wish.wish
    proven = is_proven(release, plan, wish)
    drained = is_drained(release, plan, wish)
    free = (not wish.split.canary and proven) or subsets.only_canary_serves(release, plan)
    select(release, plan, role_services(strategy, release.progress), free=free)
    if stable is None or stable.name == new.name:
        plan.pods[new.name] = release.spec.replicas
    else:
        counts = _routed_counts(release, plan, weight, wish)
        for each, pods in ((new, counts.canary), (stable, counts.stable)):
            plan.pods[each.name] = pods if drained else max(pods, each.desired)
        _keep_halted(release, plan, new.name)
        if plan.progress.aborted and not (strategy.dynamic_stable_scale and strategy.abort_delay is None):
            end_aborted(release, plan, settled=drained and not wish.split.canary)
        plan.deadlines[stable.name] = None
    if not plan.progress.aborted:
        plan.deadlines[new.name] = None
    settled = drained and not (plan.progress.fully_promoted and wish.split.canary)
    if not release.spec.paused:
        old_replica_sets.wind_down(release, plan, settled=settled)


def _weight_wanted(release: Release, plan: Plan) -> int:
    """Return the weight that the release is to have, whether its pods are ready for it or not."""
    if plan.progress.aborted or plan.progress.fully_promoted:
        return 0
    return release.held.weight if release.held else weight_at(release.canary, plan.progress.index)


def _wish(release: Release, plan: Plan, weight: int) -> Traffic:
    """Return the traffic that is safe to ask for now, on the way to a weight."""
    strategy, shown, total = release.canary, shown_weight(release), release.canary.total
    stable_service, canary_service = role_services(strategy, release.progress)
    if plan.progress.fully_promoted:
        return promoted_wish(release, plan, stable_service)
    if release.is_empty:
        return Traffic(Split(0, total))
    if release.spec.paused:
        weight = min(weight, shown)
    if not _leads_to_new(release, canary_service):
        if weight:
            place = "Service" if canary_service else "subset"
            plan.waiting.append(
                f"ReplicaSet {release.new.name} has no pod that is available and in its {place}"
            )
        return Traffic(Split(_carried_by_stable(release, plan, 0, shown) if shown else 0, total))
    if canary_service and not release.serves(canary_service, release.new) and weight > shown:
        plan.waiting.append(
            f"Service {canary_service} does not lead to pods of ReplicaSet {release.new.name} yet"
        )
        weight = shown
    if weight > shown:
        needed = strategy.threshold.needed(_canary_pods(release, plan, weight))
        if release.new.available < needed:
            plan.waiting.append(
                f"{release.new.available} of {needed} pods of ReplicaSet {release.new.name} are available"
            )
            weight = shown
    elif weight < shown:
        weight = _carried_by_stable(release, plan, weight, shown)
    return _with_routes(release, plan, weight)


def _leads_to_new(release: Release, canary_service: str) -> bool:
    """Return whether the new release has pods, and what leads to the canary selects it."""
    selected = selected_hash(release.world.services.get(canary_service))
    by_service = not canary_service or selected == release.new.pod_hash
    return bool(release.new.available) and by_service and subsets.canary_is_new(release)


def _with_routes(release: Release, plan: Plan, weight: int) -> Traffic:
    """Return a weight with the routes of the steps, which need pods of the canary to lead to."""
    if not _canary_pods(release, plan, weight):
        return Traffic(Split(weight, release.canary.total))
    if plan.progress.aborted or plan.progress.promote_full:
        return Traffic(Split(weight, release.canary.total))
    return routes_at(release.canary, plan.progress.index, weight)


def _carried_by_stable(release: Release, plan: Plan, weight: int, shown: int) -> int:
    """Return the weight down to which the available pods of stable can take the rest."""
    strategy, replicas, available = release.canary, release.spec.replicas, release.stable_available
    if not available:
        plan.waiting.append("no pod of the stable ReplicaSet is available")
        return shown
    if not subsets.stable_is_selected(release):
        plan.waiting.append("the stable subset does not select the stable ReplicaSet yet")
        return shown
    if not strategy.dynamic_stable_scale or not replicas:
        return weight
    lowest = strategy.total - strategy.total * min(available, replicas) // replicas
    if lowest > weight:
        plan.waiting.append(f"{available} of {replicas} pods of the stable ReplicaSet are available")
    return min(max(weight, lowest), shown)


def _canary_pods(release: Release, plan: Plan, weight: int) -> int:
    """Return the pods of the canary for a weight, or those that a step asks for; none of a Rollout at 0 replicas."""
    strategy, replicas, index = release.canary, release.spec.replicas, plan.progress.index
    if not replicas:
        return 0
    scale = scale_at(strategy, index) if not plan.progress.aborted else None
    if scale and scale.replicas is not None:
        return scale.replicas
    if scale and scale.weight is not None:
        return share(replicas, scale.weight, 100)
    return _at_least(strategy, replicas, share(replicas, weight, strategy.total))


def _at_least(strategy: Canary, replicas: int, pods: int) -> int:
    """Apply `minPodsPerReplicaSet`, which leaves none at none."""
    return max(pods, min(strategy.min_pods, replicas)) if pods else 0


def _routed_counts(release: Release, plan: Plan, weight: int, wish: Traffic) -> Counts:
    """Return the pods of both; those of stable stay whole unless the stable scale is dynamic."""
    strategy, replicas, total = release.canary, release.spec.replicas, release.canary.total
    # What is live counts as well: nothing shrinks below it before the weight has moved.
    canary = _canary_pods(release, plan, max(weight, wish.split.canary))
    if not strategy.dynamic_stable_scale:
        return Counts(canary, replicas)
    least = min(weight, wish.split.canary)
    if not _leads_to_new(release, role_services(strategy, release.progress)[1]):
        least = 0  # what a superseded release serves goes back to stable first
    stable = _at_least(strategy, replicas, share(replicas, total - least, total))
    return Counts(canary, stable)


def _go_on(release: Release, plan: Plan) -> None:
    """Complete the current step, or the release, when what it asks for is there."""
    strategy, index = release.canary, plan.progress.index
    if plan.progress.aborted or plan.progress.fully_promoted or not _is_reached(release, plan):
        return
    if index is not None and index < len(strategy.steps):
        if not isinstance(strategy.steps[index], Pause):
            complete_step(release, plan)
        return
    needed = strategy.threshold.needed(release.spec.replicas)
    if release.new.available >= needed:
        _promote(release, plan)


def _is_reached(release: Release, plan: Plan) -> bool:
    """Return whether pods and traffic are as the current step asks for."""
    strategy, new, stable = release.canary, release.new, release.stable
    if not release.new_exists:
        return False
    wanted = plan.pods.get(new.name, 0)
    if new.desired != wanted or new.available < strategy.threshold.needed(wanted):
        return False
    if stable and not strategy.dynamic_stable_scale and stable.desired != plan.pods.get(stable.name):
        return False
    if not strategy.routed:
        goal = nearest_counts(
            release.spec.replicas,
            weight_at(strategy, plan.progress.index),
            strategy.total,
            strategy.max_surge,
        )
        pods = stable.desired if stable else 0
        return (
            wanted == goal.canary
            and pods == goal.stable
            and not any(each.available for each in release.others)
        )
    traffic, weight = release.world.traffic, weight_at(strategy, plan.progress.index)
    if release.is_empty:
        wish = Traffic(Split(0, strategy.total))
    elif weight and not _leads_to_new(release, role_services(strategy, release.progress)[1]):
        return False
    else:
        wish = _with_routes(release, plan, weight)
    return traffic is not None and traffic.proves(wish, traffic.subsets)


def _promote(release: Release, plan: Plan) -> None:
    """Make the current release the stable one."""
    strategy, progress = release.canary, plan.progress
    swapped = {"": "ping", "pong": "ping", "ping": "pong"}[progress.stable_ping_pong]
    count = len(strategy.steps)
    why = f"Completed all {count} canary steps" if count else "Completed the canary update"
    if progress.promote_full:
        why = "Full promotion requested"
    promoted(release, plan, why, stable_ping_pong=swapped if strategy.ping_pong else "")
