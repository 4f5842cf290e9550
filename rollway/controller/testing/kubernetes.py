"""What the rest of Kubernetes does with ReplicaSets, pods and Services, with delays: its controllers and a kubelet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.controller.spec import selects
from rollway.controller.testing.api import Key
from rollway.routers.model import HASH_LABEL

if TYPE_CHECKING:
    import random

    from rollway.controller.testing.api import ObjectStore
    from rollway.controller.testing.clock import VirtualClock
    from rollway.routers.objects import Manifest

OWNERS = ("ReplicaSet", "Deployment")
"""The kinds that have pods here; a Deployment has its own, as if it were a ReplicaSet, and they stay when its template changes."""
BAD_IMAGE = "bad"
"""What the image of a pod that never becomes ready has in its name."""


class Kubernetes:
    """React to changes in an object store: make and end pods, report their readiness, keep the endpoints of Services."""

    def __init__(self, store: ObjectStore, clock: VirtualClock, random: random.Random) -> None:
        self.store = store
        self.clock = clock
        self.random = random
        self.slowest_pod_s = 8.0
        self.slowest_endpoints_s = 0.6
        self._count = 0
        store.changed.append(self._react)

    def _react(self, key: Key, _manifest: Manifest | None) -> None:
        if key.kind in OWNERS:
            self.clock.after(self.random.uniform(0.01, 0.5), lambda: self._sync(key))
        elif key.kind == "Pod":
            self.clock.after(self.random.uniform(0.01, 0.3), self._count_pods)
            self.clock.after(self.random.uniform(0.01, self.slowest_endpoints_s), self._follow_selectors)
        elif key.kind == "Service":
            self.clock.after(self.random.uniform(0.01, self.slowest_endpoints_s), self._follow_selectors)

    def _pods(self, replica_set: Manifest) -> list[Manifest]:
        uid = replica_set["metadata"]["uid"]
        return [pod for pod in self.store.of("Pod") if pod["metadata"]["ownerReferences"][0]["uid"] == uid]

    def _sync(self, key: Key) -> None:
        """Make the pods that are missing, and end those that are too many: first those that are not ready."""
        replica_set = self.store.objects.get(key)
        if replica_set is None:
            return
        pods = sorted(self._pods(replica_set), key=lambda pod: (is_ready(pod), pod["metadata"]["name"]))
        wanted = replica_set["spec"]["replicas"]
        for _ in range(wanted - len(pods)):
            self._make_pod(replica_set)
        for pod in pods[: max(len(pods) - wanted, 0)]:
            self.store.delete(Key("Pod", pod["metadata"]["name"]))
        self._report(key)

    def _make_pod(self, replica_set: Manifest) -> None:
        self._count += 1
        template = replica_set["spec"]["template"]
        name = f"{replica_set['metadata']['name']}-{self._count}"
        owner = {
            "kind": replica_set["kind"],
            "uid": replica_set["metadata"]["uid"],
            "name": replica_set["metadata"]["name"],
        }
        metadata = {**template.get("metadata", {}), "name": name, "ownerReferences": [owner]}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": template["spec"],
            "status": {},
        }
        self.store.create(pod)
        if BAD_IMAGE not in template["spec"]["containers"][0]["image"]:
            self.clock.after(
                self.random.uniform(0.2, self.slowest_pod_s), lambda: self.set_ready(name, ready=True)
            )

    def set_ready(self, name: str, *, ready: bool) -> None:
        """Let a pod become ready, or not ready."""
        if Key("Pod", name) in self.store.objects:
            condition = {"type": "Ready", "status": "True" if ready else "False"}
            self.store.merge_status(Key("Pod", name), {"conditions": [condition]})

    def _count_pods(self) -> None:
        for kind in OWNERS:
            for owner in self.store.of(kind):
                self._sync(Key(kind, owner["metadata"]["name"]))

    def _report(self, key: Key) -> None:
        """Write the status of a ReplicaSet."""
        replica_set = self.store.objects.get(key)
        if replica_set is None:
            return
        pods = self._pods(replica_set)
        ready = sum(map(is_ready, pods))
        status = {
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": replica_set["metadata"]["generation"],
        }
        self.store.merge_status(key, status)

    def _follow_selectors(self) -> None:
        """Write the ready pods behind each Service; an object of our own kind stands for its EndpointSlices."""
        for service in self.store.of("Service"):
            name = service["metadata"]["name"]
            key, pods = Key("Endpoints", name), sorted(self.ready_pods(service))
            if key not in self.store.objects:
                self.store.create({"kind": "Endpoints", "metadata": {"name": name}, "pods": pods})
            else:
                self.store.update(key, {**self.store.objects[key], "pods": pods})

    def ready_pods(self, service: Manifest) -> set[str]:
        """Return the names of the ready pods that a Service selects."""
        selector = {"matchLabels": service["spec"]["selector"]}
        return {
            pod["metadata"]["name"]
            for pod in self.store.of("Pod")
            if is_ready(pod) and selects(selector, pod["metadata"].get("labels") or {})
        }


def is_ready(pod: Manifest) -> bool:
    """Return whether a pod is ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def hash_of(manifest: Manifest) -> str:
    """Return the hash label of an object."""
    return str((manifest["metadata"].get("labels") or {}).get(HASH_LABEL, ""))
