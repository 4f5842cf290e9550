"""What a blue-green release does now: the preview, the pause, the switch and the way back. Pure.

Source: Argo Rollouts, `rollout/bluegreen.go`. Different on purpose: with `trafficRouting` the switch is a weight of the
routers, and without it the switch goes through `TrafficRouter` as well, so that it is refused and proven alike.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rollway.controller import old_replica_sets, subsets
from rollway.controller.progress import BLUE_GREEN_PAUSE
from rollway.controller.release import Plan
from rollway.controller.routing import (
    end_aborted,
    is_drained,
    is_proven,
    promoted,
    promoted_wish,
)
from rollway.controller.services import is_reached_by, select, selected_hash
from rollway.controller.subsets import shown_weight
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.controller.release import Release


def plan_blue_green(release: Release) -> Plan:
    """Return what is to be done now."""
    spec, strategy, new, stable = release.spec, release.blue_green, release.new, release.stable
    plan = Plan(release.progress, events=list(release.began))
    ready = _is_ready(release, plan)
    go = ready and not spec.paused and _may_switch(release, plan)
    _size(release, plan)
    saturated = new.desired == new.available == spec.replicas == plan.pods[new.name]
    wish = _wish(release, plan, switch=go and saturated)
    if wish is not None:
        plan.wish = subsets.set_traffic(release, plan, wish)
        wish = plan.wish.wish
    proven = wish is not None and is_proven(release, plan, wish)
    if strategy.routed:
        services = (strategy.stable_service, strategy.canary_service)
        select(release, plan, services, free=not shown_weight(release))
    elif not spec.paused:
        # The active Service carries the traffic; the other one shows the new release, also while nothing else is to be done.
        select(release, plan, ("", strategy.canary_service), free=True)
    if stable and stable.name != new.name:
        plan.deadlines[stable.name] = None
        if plan.progress.aborted:
            back = wish is not None and is_drained(release, plan, wish) and not wish.split.canary
            end_aborted(release, plan, settled=back)
    if not plan.progress.aborted:
        plan.deadlines[new.name] = None
    switched = wish is not None and (wish.split.canary or release.is_empty)
    if go and saturated and proven and switched and not plan.progress.fully_promoted:
        full = plan.progress.promote_full
        promoted(release, plan, "Full promotion requested" if full else "Completed blue-green update")
        proven = False  # what the weight means has changed with that
    if not spec.paused:
        drained = proven and wish is not None and is_drained(release, plan, wish)
        old_replica_sets.wind_down(release, plan, settled=drained and not shown_weight(release))
    return plan


def _size(release: Release, plan: Plan) -> None:
    """Give stable all of its pods, and the new release its own number until the preview is accepted."""
    spec, strategy, new, stable = release.spec, release.blue_green, release.new, release.stable
    plan.pods[new.name] = spec.replicas
    if stable is None or stable.name == new.name:
        return
    plan.pods[stable.name] = spec.replicas
    progress = plan.progress
    if strategy.preview_replicas is not None and not (
        progress.preview_checked or progress.promote_full or shown_weight(release)
    ):
        plan.pods[new.name] = strategy.preview_replicas
    if spec.paused and not old_replica_sets.is_scaling(release):
        plan.pods[new.name] = new.desired


def _is_ready(release: Release, plan: Plan) -> bool:
    """Return whether the new release has all the pods that it needs for now."""
    spec, strategy, new = release.spec, release.blue_green, release.new
    wanted = spec.replicas
    if strategy.preview_replicas is not None and not plan.progress.preview_checked:
        wanted = min(strategy.preview_replicas, wanted)
    if not release.new_exists or new.available < wanted:
        plan.waiting.append(f"{new.available} of {wanted} pods of ReplicaSet {new.name} are available")
        return False
    return True


def _may_switch(release: Release, plan: Plan) -> bool:
    """Return whether people and time let the users go to the new release; a pause begins where they have to."""
    strategy, progress = release.blue_green, plan.progress
    if progress.aborted or progress.fully_promoted:
        return False
    if progress.preview_checked or progress.promote_full:
        return True
    if _is_fast_track(release) or _is_switched(release):
        return True
    if strategy.auto_promotion and not strategy.auto_promotion_seconds:
        plan.progress = replace(progress, preview_checked=strategy.preview_replicas is not None)
        return True
    begun = progress.pause(BLUE_GREEN_PAUSE)
    plan.deadline_applies = False
    if begun is None and not progress.resumed:
        plan.progress = progress.with_pause(BLUE_GREEN_PAUSE, release.now)
        plan.event("RolloutPaused", f"Rollout is paused ({BLUE_GREEN_PAUSE})")
        if strategy.auto_promotion_seconds and strategy.auto_promotion:
            plan.times.append(release.now + timedelta(seconds=strategy.auto_promotion_seconds))
        return False
    if begun is not None:
        if not strategy.auto_promotion or not strategy.auto_promotion_seconds:
            plan.waiting.append("promote ends the pause")
            return False
        due = begun.started + timedelta(seconds=strategy.auto_promotion_seconds)
        if release.now < due:
            plan.times.append(due)
            return False
    plan.progress = replace(progress.without_pauses(), preview_checked=True)
    plan.event("RolloutResumed", "Rollout is resumed")
    plan.deadline_applies = True
    return True


def _is_fast_track(release: Release) -> bool:
    """Return whether this goes back to a release that still has its pods, which needs no pause."""
    new, stable = release.new, release.stable
    return (
        release.new_exists
        and stable is not None
        and new.created < stable.created
        and new.deadline is not None
        and release.now < new.deadline
    )


def _is_switched(release: Release) -> bool:
    """Return whether the users are with the new release already, and it serves them."""
    strategy, new = release.blue_green, release.new
    service = strategy.canary_service if strategy.routed else strategy.stable_service
    selected = selected_hash(release.world.services.get(service))
    return bool(shown_weight(release)) and selected == new.pod_hash and new.available > 0


def _wish(release: Release, plan: Plan, *, switch: bool) -> Traffic | None:
    """Return the traffic to ask for now; None while the active Service keeps what it leads to, without a router."""
    wish = _traffic_wanted(release, plan, switch=switch)
    if release.blue_green.routed:
        return wish
    service = release.blue_green.stable_service
    if release.is_empty and not plan.progress.fully_promoted:
        return wish
    if not wish.split.canary:
        return None if _is_kept(release, service) else wish
    narrowed = selected_hash(release.world.services.get(service))
    return wish if narrowed or is_reached_by(release, service, release.new) else None


def _is_kept(release: Release, service: str) -> bool:
    """Return whether the active Service has to wait for pods of stable: for all where it selects no hash."""
    selected = selected_hash(release.world.services.get(service))
    target = release.stable or release.new
    if selected == target.pod_hash:
        return False
    if release.is_empty and (selected or not release.world.endpoints.get(service)):
        return False  # nobody is served, so there is nobody to wait for
    if selected:
        return not target.available
    return target.available < release.spec.replicas or not is_reached_by(release, service, target)


def _traffic_wanted(release: Release, plan: Plan, *, switch: bool) -> Traffic:
    """Return the traffic that is safe where the Services lead to one release each."""
    strategy, total = release.blue_green, release.blue_green.total
    if plan.progress.fully_promoted and strategy.routed:
        return promoted_wish(release, plan, strategy.stable_service)
    if plan.progress.fully_promoted:
        return Traffic(Split(0, total))
    if release.is_empty:
        return Traffic(Split(0, total))
    if plan.progress.aborted:
        return _back(release, plan)
    switched = _is_switched(release)
    if switch or switched:
        # What was switched stays, unless it serves nobody.
        reached = not strategy.routed or switched or release.serves(strategy.canary_service, release.new)
        prepared = switched or subsets.canary_is_new(release)
        if reached and prepared:
            return Traffic(Split(total, total))
        place = "the canary subset" if reached else f"Service {strategy.canary_service}"
        plan.waiting.append(f"{place} has to lead to pods of the new release")
    return _back(release, plan)


def _back(release: Release, plan: Plan) -> Traffic:
    """Return the traffic back to stable, once that has a pod for it."""
    shown, total = shown_weight(release), release.blue_green.total
    if shown and not release.stable_available:
        plan.waiting.append("no pod of the stable ReplicaSet is available")
        return Traffic(Split(shown, total))
    if shown and not subsets.stable_is_selected(release):
        plan.waiting.append("the stable subset does not select the stable ReplicaSet yet")
        return Traffic(Split(shown, total))
    return Traffic(Split(0, total))
