"""Which pods the Services of a Rollout select, by the pod-template hash. Pure.

Source: Argo Rollouts, `rollout/service.go`. Different on purpose: a Service moves only to pods that are ready to serve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.controller.spec import Canary
from rollway.controller.subsets import shown_subsets
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from rollway.controller.progress import Progress
    from rollway.controller.release import Plan, Release
    from rollway.controller.spec import BlueGreen
    from rollway.controller.world import ReplicaSet
    from rollway.routers.objects import Manifest


def selected_hash(service: Manifest | None) -> str:
    """Return the hash that a Service selects; empty where it selects the pods of every release."""
    return str(dig(service, "spec", "selector", HASH_LABEL) or "")


def role_services(strategy: Canary | BlueGreen, progress: Progress) -> tuple[str, str]:
    """Return the Services of stable and canary now; ping and pong swap at each promotion."""
    pair = strategy.ping_pong if isinstance(strategy, Canary) else None
    if pair is None:
        return strategy.stable_service, strategy.canary_service
    ping, pong = pair
    return (ping, pong) if progress.stable_ping_pong == "ping" else (pong, ping)


def select(release: Release, plan: Plan, services: tuple[str, str], *, free: bool) -> None:
    """Let the stable and the canary Service select their roles, as far as there are pods for it.

    `free` means that no weight leads to the canary Service, so that it may move to another release.
    """
    stable_service, canary_service = services
    if stable_service and release.stable:
        _move(release, plan, stable_service, release.stable)
    if not canary_service:
        return
    target = release.stable if plan.progress.aborted else release.new
    if target and (free or not selected_hash(release.world.services.get(canary_service))):
        _move(release, plan, canary_service, target)


def _move(release: Release, plan: Plan, name: str, target: ReplicaSet) -> None:
    """Let a Service select a ReplicaSet that has available pods; when it is first narrowed, it leads to all of them before."""
    selected = selected_hash(release.world.services.get(name))
    if selected == target.pod_hash:
        return
    if release.is_empty or (target.available if selected else is_reached_by(release, name, target)):
        plan.selectors[name] = target.pod_hash
        return
    needed = 1 if selected else max(target.desired, 1)
    verb = "are available" if target.available < needed else "are behind it"
    count = target.available if target.available < needed else len(_reached(release, name, target))
    plan.waiting.append(
        f"{count} of {needed} pods that Service {name} is to select (ReplicaSet {target.name}) {verb}"
    )


def is_reached_by(release: Release, name: str, target: ReplicaSet) -> bool:
    """Return whether all pods of a ReplicaSet are available, and a Service that may serve others as well leads to them."""
    needed = max(target.desired, 1)
    return target.available >= needed and len(_reached(release, name, target)) >= needed


def _reached(release: Release, name: str, target: ReplicaSet) -> set[str]:
    """Return the ready pods of a ReplicaSet behind a Service."""
    pods = {pod.name for pod in release.world.pods if pod.pod_hash == target.pod_hash}
    return pods & release.world.endpoints.get(name, frozenset())


def referenced(release: Release, replica_set: ReplicaSet) -> bool:
    """Return whether a Service or a subset of the Rollout selects a ReplicaSet, or a Service still leads to its pods."""
    if replica_set.pod_hash in (shown_subsets(release) or ()):
        return True
    pods = {pod.name for pod in release.world.pods if pod.pod_hash == replica_set.pod_hash}
    return any(
        selected_hash(service) == replica_set.pod_hash
        or (selected_hash(service) and release.world.endpoints.get(name, frozenset()) & pods)
        for name, service in release.world.services.items()
    )
