"""The workload that a Rollout took its pod template from (`workloadRef`), and how its pods end. Pure.

Source: Argo Rollouts, `rollout/templateref.go` and `rollout/replicaset.go`. Different on purpose: the pods of a Deployment
go only when the Services lead to those of the Rollout, and after the delay that old pods of a release get.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rollway.controller.decision import Patch
from rollway.controller.routing import is_drained
from rollway.controller.services import role_services, selected_hash
from rollway.controller.spec import SCALE_DOWN_DELAY_S
from rollway.controller.world import SCALE_DOWN_DEADLINE, WORKLOAD_GENERATION, whole_second
from rollway.releases.phase import replicas_of, time_of, write_time
from rollway.routers.objects import ObjectRef, dig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.controller.decision import Write
    from rollway.controller.release import Plan, Release
    from rollway.routers.objects import Manifest

ON_SUCCESS, PROGRESSIVELY = "onsuccess", "progressively"


def plan_workload(release: Release, plan: Plan) -> None:
    """Plan how many pods a Deployment keeps, and until when, while the Rollout takes over from it."""
    reference, workload = release.spec.workload_ref, release.world.workload
    if not reference or workload is None or workload["kind"] != "Deployment" or release.revision != 1:
        return
    present, kind = replicas_of(workload), reference.get("scaleDown")
    if not present or kind not in (ON_SUCCESS, PROGRESSIVELY):
        return
    if not _is_moved(release, plan):
        plan.waiting.append(
            f"the pods of {reference['kind']} {reference['name']} stay until users have those of the Rollout"
        )
        plan.workload = _deadline_operations(workload, None)
        # The last one goes when no Service leads to it any more.
        kept = max(
            release.spec.replicas - _in_rotation(release, plan), 1 if _stable_service(release, plan) else 0
        )
        if kind == PROGRESSIVELY and kept < present:
            plan.workload += _replicas_operations(workload, kept)
        return
    due, delay = time_of(dig(workload, "metadata", "annotations", SCALE_DOWN_DEADLINE)), _delay(release, plan)
    if not delay or (due and release.now >= due):
        plan.workload = (*_replicas_operations(workload, 0), *_deadline_operations(workload, None))
        return
    if due is None:
        due = whole_second(release.now) + timedelta(seconds=delay)
        plan.workload = _deadline_operations(workload, write_time(due))
    plan.times.append(due)


def workload_writes(release: Release, plan: Plan) -> list[Write]:
    """Return the annotation with the workload's generation, and the patch of the workload where its pods are to go."""
    reference, workload = release.spec.workload_ref, release.world.workload
    if not reference or workload is None:
        return []
    writes: list[Write] = []
    generation = str(workload["metadata"].get("generation", 0))
    rollout = release.world.rollout
    if dig(rollout, "metadata", "annotations", WORKLOAD_GENERATION) != generation:
        ref = ObjectRef("argoproj.io", "Rollout", release.spec.namespace, release.spec.name)
        writes.append(Patch(ref, _annotation(rollout, WORKLOAD_GENERATION, generation)))
    if plan.workload:
        ref = ObjectRef("apps", workload["kind"], release.spec.namespace, workload["metadata"]["name"])
        writes.append(Patch(ref, plan.workload))
    return writes


def _is_moved(release: Release, plan: Plan) -> bool:
    """Return whether the Rollout alone carries the users: all pods available, and all ways lead to them alone."""
    new = release.new
    if not plan.progress.fully_promoted or new.available < release.spec.replicas:
        return False
    if plan.wish and not is_drained(release, plan, plan.wish.wish):
        return False
    service = _stable_service(release, plan)
    if not service:
        return True
    # The pods of the Deployment have no hash, so a Service without one leads to them as well.
    reached = release.world.endpoints.get(service, frozenset())
    selected = selected_hash(release.world.services.get(service))
    return selected == new.pod_hash and bool(reached or release.is_empty) and reached <= _own_pods(release)


def _stable_service(release: Release, plan: Plan) -> str:
    return role_services(release.spec.strategy, plan.progress)[0]


def _own_pods(release: Release) -> set[str]:
    return {pod.name for pod in release.world.pods if pod.pod_hash == release.new.pod_hash}


def _in_rotation(release: Release, plan: Plan) -> int:
    """Return how many pods of the Rollout are ready, and reached where it has a Service."""
    service = _stable_service(release, plan)
    if not service:
        return release.new.ready
    reached = release.world.endpoints.get(service, frozenset()) & _own_pods(release)
    return min(len(reached), release.new.ready)


def _delay(release: Release, plan: Plan) -> int:
    """Return for how many seconds pods are kept that no Service leads to any more; without a Service there is no such time."""
    if not _stable_service(release, plan):
        return 0
    given = release.spec.strategy.scale_down_delay
    return SCALE_DOWN_DELAY_S if given is None else given


def _replicas_operations(workload: Manifest, pods: int) -> tuple[Mapping[str, Any], ...]:
    """Return the change of the replicas, if they are still those that were observed."""
    return (
        {"op": "test", "path": "/spec/replicas", "value": replicas_of(workload)},
        {"op": "replace", "path": "/spec/replicas", "value": pods},
    )


def _deadline_operations(workload: Manifest, text: str | None) -> tuple[Mapping[str, Any], ...]:
    """Return what writes the time until which the pods are kept; None removes it."""
    if text is not None:
        return _annotation(workload, SCALE_DOWN_DEADLINE, text)
    if dig(workload, "metadata", "annotations", SCALE_DOWN_DEADLINE) is None:
        return ()
    return ({"op": "remove", "path": f"/metadata/annotations/{SCALE_DOWN_DEADLINE}"},)


def _annotation(manifest: Manifest, key: str, value: str) -> tuple[Mapping[str, Any], ...]:
    if manifest["metadata"].get("annotations") is None:
        return ({"op": "add", "path": "/metadata/annotations", "value": {key: value}},)
    return ({"op": "add", "path": "/metadata/annotations/" + key.replace("/", "~1"), "value": value},)
