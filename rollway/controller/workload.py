"""The workload that a Rollout took its pod template from (`workloadRef`), and how its pods end. Pure.

Source: Argo Rollouts, `rollout/templateref.go` and `rollout/replicaset.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.controller.decision import Patch
from rollway.controller.world import WORKLOAD_GENERATION
from rollway.routers.objects import ObjectRef, dig

if TYPE_CHECKING:
    from rollway.controller.decision import Write
    from rollway.controller.release import Plan, Release

ON_SUCCESS, PROGRESSIVELY = "onsuccess", "progressively"


def plan_workload(release: Release, plan: Plan) -> None:
    """Note that the pods of the workload are still needed."""
    reference = release.spec.workload_ref
    if reference and reference.get("scaleDown") == ON_SUCCESS and not _is_moved(release, plan):
        plan.waiting.append(
            f"the pods of {reference['kind']} {reference['name']} stay until the Rollout is healthy"
        )


def workload_writes(release: Release, plan: Plan) -> list[Write]:
    """Return the annotation with the workload's generation, and the patch of its replicas where they are to be fewer."""
    reference, workload = release.spec.workload_ref, release.world.workload
    if not reference or workload is None:
        return []
    writes: list[Write] = []
    generation = str(workload["metadata"].get("generation", 0))
    annotations = release.world.rollout["metadata"].get("annotations")
    if (annotations or {}).get(WORKLOAD_GENERATION) != generation:
        path, value = "/metadata/annotations/" + WORKLOAD_GENERATION.replace("/", "~1"), generation
        operation: dict[str, Any] = {"op": "add", "path": path, "value": value}
        if annotations is None:
            operation = {
                "op": "add",
                "path": "/metadata/annotations",
                "value": {WORKLOAD_GENERATION: generation},
            }
        ref = ObjectRef("argoproj.io", "Rollout", release.spec.namespace, release.spec.name)
        writes.append(Patch(ref, (operation,)))
    pods = _pods(release, plan)
    present = dig(workload, "spec", "replicas")
    if workload["kind"] == "Deployment" and pods is not None and present is not None and pods < present:
        ref = ObjectRef("apps", "Deployment", release.spec.namespace, workload["metadata"]["name"])
        operations = (
            {"op": "test", "path": "/spec/replicas", "value": present},
            {"op": "replace", "path": "/spec/replicas", "value": pods},
        )
        writes.append(Patch(ref, operations))
    return writes


def _pods(release: Release, plan: Plan) -> int | None:
    """Return how many pods the Deployment is to keep; None where that is its own matter."""
    reference = release.spec.workload_ref or {}
    kind = reference.get("scaleDown")
    if release.revision != 1 or kind not in (ON_SUCCESS, PROGRESSIVELY):
        return None
    if _is_moved(release, plan):
        return 0
    return max(release.spec.replicas - release.new.ready, 0) if kind == PROGRESSIVELY else None


def _is_moved(release: Release, plan: Plan) -> bool:
    """Return whether the Rollout alone carries the users: all pods available, and its Services lead to them."""
    strategy, new = release.spec.strategy, release.new
    if not plan.progress.fully_promoted or new.available < release.spec.replicas:
        return False
    service = strategy.stable_service
    return not service or release.serves(service, new)
