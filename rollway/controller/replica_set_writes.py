"""The patch that brings one ReplicaSet to what is planned: pods, deadline, revision and copied annotations. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.controller.decision import Adopt, Patch
from rollway.controller.pod_metadata import recorded
from rollway.controller.replica_sets import copied_annotations, ephemeral_record, injected, owner_reference
from rollway.controller.world import (
    DESIRED_REPLICAS,
    EPHEMERAL_METADATA,
    REVISION_HISTORY,
    SCALE_DOWN_DEADLINE,
)
from rollway.releases.phase import write_time
from rollway.releases.revisions import REVISION
from rollway.routers.objects import ObjectRef

if TYPE_CHECKING:
    from rollway.controller.decision import Write
    from rollway.controller.release import Plan, Release
    from rollway.controller.world import ReplicaSet


def patch_of(release: Release, plan: Plan, replica_set: ReplicaSet) -> Patch | None:
    """Return the JSON Patch for one ReplicaSet; None where it is as planned. It tests the pods that it changes."""
    operations: list[dict[str, Any]] = []
    desired, pods = replica_set.desired, plan.pods.get(replica_set.name, replica_set.desired)
    if pods != desired:
        operations.append({"op": "test", "path": "/spec/replicas", "value": desired})
        operations.append({"op": "replace", "path": "/spec/replicas", "value": pods})
        way = "up" if pods > desired else "down"
        text = f"Scaled {way} ReplicaSet {replica_set.name} (revision {_revision(release, replica_set)}) from {desired} to {pods}"
        plan.event("ScalingReplicaSet", text)
    operations += _annotations(release, plan, replica_set, pods)
    if replica_set.name == release.new.name:
        operations += _min_ready(release, replica_set)
    metadata = plan.metadata.get(replica_set.name)
    if metadata is not None:
        template = injected(replica_set.template, metadata, recorded(replica_set))
        operations.append({"op": "replace", "path": "/spec/template", "value": template})
    if not operations:
        return None
    ref = ObjectRef("apps", "ReplicaSet", release.spec.namespace, replica_set.name)
    return Patch(ref, tuple(operations))


def adoptions(release: Release) -> list[Write]:
    """Adopt the ReplicaSets that nobody owns: the garbage collector keeps them for ever, where the Rollout is deleted."""
    writes: list[Write] = []
    for each in release.world.replica_sets:
        metadata = each.manifest["metadata"]
        owners = metadata.get("ownerReferences") or ()
        if not any(owner.get("controller") for owner in owners):
            ref = ObjectRef("apps", "ReplicaSet", release.spec.namespace, each.name)
            owner = owner_reference(release.world.rollout)
            writes.append(Adopt(ref, metadata.get("resourceVersion", ""), (*owners, owner)))
    return writes


def _revision(release: Release, replica_set: ReplicaSet) -> int:
    return release.revision if replica_set.name == release.new.name else replica_set.revision


def _annotations(release: Release, plan: Plan, replica_set: ReplicaSet, pods: int) -> list[dict[str, Any]]:
    """Return the operations for annotations: those of a role, and a deadline."""
    present = dict(replica_set.annotations)
    after = dict(present)
    if replica_set.name == release.new.name:
        after |= copied_annotations(release.world.rollout)
        if replica_set.revision < release.revision:
            after[REVISION] = str(release.revision)
            if replica_set.revision:
                history = [present[REVISION_HISTORY]] if present.get(REVISION_HISTORY) else []
                after[REVISION_HISTORY] = ",".join([*history, str(replica_set.revision)])
    if pods or replica_set.desired:
        after[DESIRED_REPLICAS] = str(release.spec.replicas)
    deadline = plan.deadlines.get(replica_set.name)
    if deadline:
        after[SCALE_DOWN_DEADLINE] = write_time(deadline)
    elif replica_set.name in plan.deadlines or not pods:
        after.pop(SCALE_DOWN_DEADLINE, None)
    metadata = plan.metadata.get(replica_set.name)
    if metadata is not None:
        after[EPHEMERAL_METADATA] = ephemeral_record(metadata)
    if after == present:
        return []
    if not present:
        return [{"op": "add", "path": "/metadata/annotations", "value": after}]
    changed = [
        {"op": "add", "path": _pointer(key), "value": text}
        for key, text in after.items()
        if present.get(key) != text
    ]
    return [*changed, *({"op": "remove", "path": _pointer(key)} for key in present if key not in after)]


def _pointer(key: str) -> str:
    return "/metadata/annotations/" + key.replace("~", "~0").replace("/", "~1")


def _min_ready(release: Release, replica_set: ReplicaSet) -> list[dict[str, Any]]:
    seconds = release.spec.min_ready_seconds
    if (replica_set.manifest.get("spec") or {}).get("minReadySeconds", 0) == seconds:
        return []
    return [{"op": "add", "path": "/spec/minReadySeconds", "value": seconds}]
