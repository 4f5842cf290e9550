"""A release under way, as a controller of Rollouts leaves it in the API: the Rollout, its ReplicaSets and its pods."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

STABLE, CANARY = "5d4f7c9b6f", "7c6b8d5f4d"
"""The pod-template hashes of the two releases."""
STEPS = [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {"duration": "10m"}}]
PAUSE = {"reason": "CanaryPauseStep", "startTime": "2026-01-08T00:00:00Z"}
_PODS = {"replicas": 5, "updatedReplicas": 1, "readyReplicas": 5, "availableReplicas": 5}


def template(image: str = "shop:2", **metadata: Any) -> dict[str, Any]:
    """Return a pod template."""
    container = {"name": "app", "image": image}
    return {"metadata": {"labels": {"app": "shop"}, **metadata}, "spec": {"containers": [container]}}


def canary(spec: Any = None, *, steps: Any = STEPS, **status: Any) -> Manifest:
    """Return a Rollout at the pause of its second step; `status` changes fields of the status, None removes one."""
    return _rollout({"canary": {"steps": copy.deepcopy(steps)}}, spec, {"currentStepIndex": 1, **status})


def blue_green(spec: Any = None, **status: Any) -> Manifest:
    """Return a blue-green Rollout that waits for its promotion."""
    strategy = {"blueGreen": {"activeService": "shop-stable", "previewService": "shop-canary"}}
    selectors = {"activeSelector": STABLE, "previewSelector": CANARY}
    pauses = [{**PAUSE, "reason": "BlueGreenPause"}]
    return _rollout(strategy, spec, {"blueGreen": selectors, "pauseConditions": pauses, **status})


def _rollout(strategy: Any, spec: Any, status: dict[str, Any]) -> Manifest:
    fields = {
        **_PODS,
        "observedGeneration": "3",
        "stableRS": STABLE,
        "currentPodHash": CANARY,
        "controllerPause": True,
        "pauseConditions": [PAUSE],
        **status,
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": "shop",
            "namespace": "default",
            "uid": "rollout-uid",
            "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "replicas": 5,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": template(),
            "strategy": strategy,
            **(spec or {}),
        },
        "status": {key: value for key, value in fields.items() if value is not None},
    }


def replica_set(
    pod_hash: str, revision: int, image: str = "shop:1", pods: int = 4, **annotations: str
) -> Manifest:
    """Return a ReplicaSet of the Rollout, all of whose pods are available; `_` in a key stands for `-`."""
    made = template(image)
    made["metadata"]["labels"]["rollouts-pod-template-hash"] = pod_hash
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"shop-{pod_hash}",
            "namespace": "default",
            "uid": f"uid-{pod_hash}",
            "generation": 1,
            "creationTimestamp": "2026-01-02T00:00:00Z",
            "labels": {"app": "shop", "rollouts-pod-template-hash": pod_hash},
            "annotations": {
                "rollout.argoproj.io/revision": str(revision),
                **{key.replace("_", "-"): value for key, value in annotations.items()},
            },
            "ownerReferences": [_owner("Rollout", "shop", "rollout-uid")],
        },
        "spec": {
            "replicas": pods,
            "selector": {"matchLabels": {"rollouts-pod-template-hash": pod_hash}},
            "template": made,
        },
        "status": {"replicas": pods, "availableReplicas": pods, "observedGeneration": 1},
    }


def pod(pod_hash: str, number: int, **status: Any) -> Manifest:
    """Return a pod of a release, which runs unless its status is given."""
    running = {
        "phase": "Running",
        "containerStatuses": [{"name": "app", "ready": True, "restartCount": 0, "state": {"running": {}}}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"shop-{pod_hash}-{number}",
            "namespace": "default",
            "creationTimestamp": "2026-01-03T00:00:00Z",
            "labels": {"rollouts-pod-template-hash": pod_hash},
            "ownerReferences": [_owner("ReplicaSet", f"shop-{pod_hash}", f"uid-{pod_hash}")],
        },
        "spec": {"containers": [{"name": "app", "image": "shop:1"}]},
        "status": status or running,
    }


def _owner(kind: str, name: str, uid: str) -> dict[str, Any]:
    version = "argoproj.io/v1alpha1" if kind == "Rollout" else "apps/v1"
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}
