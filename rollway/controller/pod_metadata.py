"""Labels and annotations that pods have only while they play a role (`canaryMetadata`, `stableMetadata`). Pure.

Source: Argo Rollouts, `rollout/ephemeralmetadata.go`: the ReplicaSet's template gets them, with a record, and then its pods.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rollway.controller.decision import Patch
from rollway.controller.replica_sets import ephemeral_record
from rollway.controller.templates import recorded_metadata
from rollway.controller.world import EPHEMERAL_METADATA
from rollway.routers.objects import ObjectRef

if TYPE_CHECKING:
    from rollway.controller.decision import Write
    from rollway.controller.release import Plan, Release
    from rollway.controller.spec import PodMetadata
    from rollway.controller.world import Pod, ReplicaSet


def recorded(replica_set: ReplicaSet) -> list[tuple[str, str]]:
    """Return the fields and keys that were put into the pod template of a ReplicaSet before."""
    record = _record(replica_set)
    return [(field, key) for field in ("labels", "annotations") for key in record.get(field) or ()]


def _record(replica_set: ReplicaSet) -> dict[str, Any]:
    recorded_fields = recorded_metadata(replica_set.annotations.get(EPHEMERAL_METADATA))
    return {field: values for field, values in recorded_fields.items() if values}


def plan_metadata(release: Release, plan: Plan) -> None:
    """Note which ReplicaSets need other labels and annotations for their pods."""
    plan.metadata = {
        each.name: metadata
        for each, metadata in _roles(release, plan)
        if each.desired and _record(each) != json.loads(ephemeral_record(metadata))
    }


def _roles(release: Release, plan: Plan) -> list[tuple[ReplicaSet, PodMetadata]]:
    strategy, new, stable = release.spec.strategy, release.new, release.stable
    if plan.progress.fully_promoted or stable is None or stable.name == new.name:
        return [(new, strategy.stable_metadata)] if release.new_exists else []
    roles = [(stable, strategy.stable_metadata)]
    return [*roles, (new, strategy.canary_metadata)] if release.new_exists else roles


def pod_writes(release: Release, plan: Plan) -> list[Write]:
    """Return the patches of pods whose labels and annotations are not those of their role, once the template has them."""
    writes: list[Write] = []
    for each, metadata in _roles(release, plan):
        stale = _stale(release, each, metadata)
        for pod in release.world.pods:
            if pod.pod_hash == each.pod_hash and not pod.deleting:
                operations = _operations(pod, metadata, stale)
                if operations:
                    ref = ObjectRef("", "Pod", release.spec.namespace, pod.name)
                    writes.append(Patch(ref, tuple(operations)))
    return writes


def _stale(release: Release, replica_set: ReplicaSet, metadata: PodMetadata) -> list[tuple[str, str]]:
    """Return the fields and keys that pods may have from another role.

    The record shows those of the last role only until the ReplicaSet has the next one; a pod may be patched after that.
    """
    strategy, known = release.spec.strategy, recorded(replica_set)
    of_roles = [
        (field, key)
        for role in (strategy.stable_metadata, strategy.canary_metadata)
        for field in ("labels", "annotations")
        for key in getattr(role, field)
    ]
    template = replica_set.template.get("metadata") or {}
    return [
        (field, key)
        for field, key in dict.fromkeys([*known, *of_roles])
        if key not in getattr(metadata, field)
        and ((field, key) in known or key not in (template.get(field) or {}))
    ]


def _operations(pod: Pod, metadata: PodMetadata, stale: list[tuple[str, str]]) -> list[dict[str, Any]]:
    operations: list[dict[str, Any]] = []
    for field, wanted in (("labels", metadata.labels), ("annotations", metadata.annotations)):
        present = getattr(pod, field)
        missing = {key: text for key, text in wanted.items() if present.get(key) != text}
        if missing and not present:
            operations.append({"op": "add", "path": f"/metadata/{field}", "value": missing})
            continue
        operations += [
            {"op": "add", "path": _pointer(field, key), "value": text} for key, text in missing.items()
        ]
        operations += [
            {"op": "remove", "path": _pointer(field, key)}
            for name, key in stale
            if name == field and key in present
        ]
    return operations


def _pointer(field: str, key: str) -> str:
    return f"/metadata/{field}/" + key.replace("~", "~0").replace("/", "~1")
