"""Which ReplicaSet is new, stable or neither, how a new one looks, and which old ones go. Pure.

Sources: Argo Rollouts, `rollout/sync.go` and `utils/replicaset/replicaset.go`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.controller.hashes import Flavour, pod_template_hash
from rollway.controller.templates import other_images, same_template
from rollway.controller.world import (
    DESIRED_REPLICAS,
    EPHEMERAL_METADATA,
    REVISION_HISTORY,
    WORKLOAD_GENERATION,
    ReplicaSet,
)
from rollway.releases.revisions import REVISION
from rollway.routers.held_weight import HELD_WEIGHT
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import duplicate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollway.controller.spec import PodMetadata, RolloutSpec
    from rollway.controller.world import World
    from rollway.routers.objects import Manifest

_NOT_COPIED = (
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    WORKLOAD_GENERATION,
    HELD_WEIGHT,
)
"""The annotations of a Rollout that its ReplicaSets do not get."""
_NOTIFIED = "notified.notifications.argoproj.io"


class Identity(NamedTuple):
    """The ReplicaSet of the current template (None: not made yet), its hash, and the hash that is computed now."""

    new: ReplicaSet | None
    pod_hash: str
    computed: str


def identify(spec: RolloutSpec, world: World) -> Identity | None:
    """Find the ReplicaSet of the Rollout's template; None where that needs the template with the API server's defaults.

    A hash that differs is no reason to begin an update: another version of the Kubernetes libraries computes another one.
    """
    status = world.rollout.get("status") or {}
    collisions, current = status.get("collisionCount"), status.get("currentPodHash") or ""
    hashes = [pod_template_hash(spec.template, collisions, flavour=flavour) for flavour in Flavour]
    computed = current if current in hashes else hashes[0]
    listed = sorted(world.replica_sets, key=lambda each: (each.pod_hash != current, each.created, each.name))
    for pod_hash in (computed, *hashes):
        for replica_set in listed:
            if replica_set.pod_hash == pod_hash:
                return Identity(replica_set, pod_hash, computed)
    # Most updates change an image, and need no question to the API server.
    listed = [each for each in listed if not other_images(each.manifest, spec.template)]
    if not listed:
        return Identity(None, computed, computed)
    if world.default_template is None:
        return None
    for replica_set in listed:
        if same_template(replica_set.manifest, world.default_template):
            return Identity(replica_set, replica_set.pod_hash, computed)
    return Identity(None, computed, computed)


def new_replica_set(
    spec: RolloutSpec,
    rollout: Manifest,
    pod_hash: str,
    *,
    revision: int,
    metadata: PodMetadata,
    template: Manifest,
) -> ReplicaSet:
    """Return a ReplicaSet for the current template, with no pods yet."""
    labels = {**_labels(template), HASH_LABEL: pod_hash}
    pods = duplicate(template)
    pods["metadata"] = {**(pods.get("metadata") or {}), "labels": labels}
    annotations = {
        **copied_annotations(rollout),
        REVISION: str(revision),
        DESIRED_REPLICAS: str(spec.replicas),
    }
    if metadata:
        pods, annotations = (
            injected(pods, metadata, ()),
            {
                **annotations,
                EPHEMERAL_METADATA: ephemeral_record(metadata),
            },
        )
    selector = duplicate(spec.selector)
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: pod_hash}
    manifest: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{spec.name}-{pod_hash}",
            "namespace": spec.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(rollout)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": pods},
    }
    if spec.min_ready_seconds:
        manifest["spec"]["minReadySeconds"] = spec.min_ready_seconds
    return ReplicaSet(manifest)


def owner_reference(rollout: Manifest) -> Manifest:
    """Return the reference by which a Rollout owns and controls an object."""
    return {
        "apiVersion": rollout["apiVersion"],
        "kind": "Rollout",
        "name": rollout["metadata"]["name"],
        "uid": rollout["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def copied_annotations(rollout: Manifest) -> dict[str, str]:
    """Return the annotations of a Rollout that its ReplicaSets get as well."""
    annotations = rollout["metadata"].get("annotations") or {}
    return {
        key: text
        for key, text in annotations.items()
        if key not in _NOT_COPIED and not key.startswith(_NOTIFIED)
    }


def injected(template: Manifest, metadata: PodMetadata, recorded: Iterable[tuple[str, str]]) -> Manifest:
    """Return a pod template with the labels and annotations of a role, and without those recorded (field, key) before."""
    changed: Manifest = duplicate(template)
    own = changed.setdefault("metadata", {})
    for field, key in recorded:
        (own.get(field) or {}).pop(key, None)
    for field, texts in (("labels", metadata.labels), ("annotations", metadata.annotations)):
        if texts:
            own[field] = {**(own.get(field) or {}), **texts}
    return changed


def ephemeral_record(metadata: PodMetadata) -> str:
    """Write which labels and annotations were put in, as Argo Rollouts does."""
    record = {"labels": dict(metadata.labels), "annotations": dict(metadata.annotations)}
    return json.dumps({key: value for key, value in record.items() if value}, separators=(",", ":"))


def next_revision(replica_sets: Iterable[ReplicaSet]) -> int:
    """Return the revision after all those that there are."""
    return max((each.revision for each in replica_sets), default=0) + 1


def superfluous(others: Sequence[ReplicaSet], limit: int) -> list[ReplicaSet]:
    """Return the old ReplicaSets without pods beyond the history limit, the oldest first."""
    beyond = max(len(others) - limit, 0)
    oldest = sorted(others, key=lambda each: (each.revision, each.created, each.name))
    empty = [each for each in oldest if not each.desired and not each.replicas and each.settled]
    return [each for each in empty[:beyond] if not each.manifest["metadata"].get("deletionTimestamp")]


def _labels(template: Manifest) -> dict[str, str]:
    return dict((template.get("metadata") or {}).get("labels") or {})
