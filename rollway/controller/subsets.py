"""Which pods the subsets of a router select, by the pod-template hash. Pure.

A subset moves to another release only while nothing leads to it, and a weight only to a subset whose data plane has answered
since. So users never reach a subset that is on its way.

Source: Argo Rollouts, `UpdateHash` in `rollout/trafficrouting/istio/istio.go`. Different on purpose: Argo moves the canary subset
as soon as the new ReplicaSet is there, and refuses while any pod of it is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.controller.decision import SetTraffic
from rollway.controller.scaling import share
from rollway.routers.traffic import SubsetHashes

if TYPE_CHECKING:
    from rollway.controller.release import Plan, Release
    from rollway.controller.world import ReplicaSet
    from rollway.routers.traffic import Traffic


def shown_weight(release: Release) -> int:
    """Return the weight of the canary that the routing objects show; 0 where they show none."""
    traffic = release.world.traffic
    return traffic.shown.split.canary if traffic and traffic.shown else 0


def shown_subsets(release: Release) -> SubsetHashes | None:
    """Return what the subsets select; None where no router has subsets."""
    traffic = release.world.traffic
    return traffic.subsets if traffic else None


def set_traffic(release: Release, plan: Plan, wish: Traffic) -> SetTraffic:
    """Return a wish with the hashes of the subsets.

    More leads to a subset only when the data plane has the pods that it selects: until then the wish is what is shown.
    """
    hashes, traffic = wanted_subsets(release, plan, wish), release.world.traffic
    if traffic and traffic.shown and hashes and not (hashes == traffic.subsets and is_settled(release)):
        shown = traffic.shown
        more = wish.split.canary > shown.split.canary or not set(wish.routes) <= set(shown.routes)
        wish = shown if more else wish
    return SetTraffic(wish, plan.progress.stable, release.new.pod_hash, hashes)


def wanted_subsets(release: Release, plan: Plan, wish: Traffic) -> SubsetHashes | None:
    """Return what the subsets are to select beside a wish; None where no router has subsets."""
    shown = shown_subsets(release)
    if shown is None:
        return None
    stable, canary = shown
    if release.stable and _has_pods(release, plan, "stable", stable, release.stable, whole=_serves(release)):
        stable = release.stable.pod_hash
    target = release.stable if plan.progress.aborted else release.new
    free = _is_unused(release, wish) or only_canary_serves(release, plan)
    if target and free and _has_pods(release, plan, "canary", canary, target, whole=False):
        canary = target.pod_hash
    return SubsetHashes(stable, canary)


def _serves(release: Release) -> bool:
    """Return whether the stable subset has traffic, and a pod for it, be it one of another release."""
    shown = shown_subsets(release)
    selected = [each for each in release.all_sets if shown and each.pod_hash == shown.stable]
    full = shown_weight(release) == release.spec.strategy.total
    return not full and any(each.available for each in selected)


def _has_pods(
    release: Release, plan: Plan, role: str, selected: str, target: ReplicaSet, *, whole: bool
) -> bool:
    """Return whether a subset can select a ReplicaSet; one that had no hash, and so the pods of every release, needs it whole."""
    needed = 1 if selected and not whole else _all_pods(release, target)
    if selected == target.pod_hash or target.available >= needed or release.is_empty:
        return True
    plan.waiting.append(
        f"{target.available} of {needed} pods that the {role} subset is to select (ReplicaSet {target.name}) are available"
    )
    return False


def _all_pods(release: Release, target: ReplicaSet) -> int:
    """Return how many pods a ReplicaSet has when it is whole; a Rollout that was just scaled may ask for more than it has."""
    dynamic = getattr(release.spec.strategy, "dynamic_stable_scale", False)
    alone = release.progress.fully_promoted or (target == release.stable and not dynamic)
    return max(target.desired, release.spec.replicas if alone else 1, 1)


def _is_unused(release: Release, wish: Traffic) -> bool:
    """Return whether nothing leads to the canary subset, and nothing is to."""
    traffic = release.world.traffic
    return wish.is_all_stable and traffic is not None and traffic.proves(wish, traffic.subsets)


def only_canary_serves(release: Release, plan: Plan) -> bool:
    """Return whether stable has no pod that could take the weight of the canary, and the new release has those for it.

    What leads to the canary then moves to the new release under its weight: else a bad stable release would keep users on a
    superseded one for good.
    """
    strategy, shown = release.spec.strategy, shown_weight(release)
    if not shown or release.stable_available or plan.progress.aborted:
        return False
    if getattr(strategy, "dynamic_stable_scale", False) and not plan.progress.promote_full:
        return False  # stable has no pods at full weight, and gets them back
    return release.new.available >= share(release.spec.replicas, shown, strategy.total)


def canary_is_new(release: Release) -> bool:
    """Return whether the canary subset, if there is one, selects the new release, and that has a pod that is ready."""
    shown = shown_subsets(release)
    new = release.new.pod_hash
    ready = any(pod.pod_hash == new and pod.ready and not pod.deleting for pod in release.world.pods)
    return shown is None or (shown.canary == new and ready)


def stable_is_selected(release: Release) -> bool:
    """Return whether the stable subset, if there is one, selects the stable release."""
    shown = shown_subsets(release)
    return shown is None or release.is_empty or (release.stable or release.new).pod_hash == shown.stable


def is_settled(release: Release) -> bool:
    """Return whether the subsets, if there are any, are as the data plane has them."""
    traffic = release.world.traffic
    return traffic is None or traffic.subsets is None or release.is_empty or traffic.is_proven
