"""What must be true at every moment of a release, whatever goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.controller.decision import Patch
from rollway.controller.testing.api import Key
from rollway.controller.world import HASH_LABEL
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from rollway.controller.decision import Create, Delete, Evict, SetTraffic
    from rollway.controller.testing.simulation import Simulation


class InvariantError(AssertionError):
    """Something happened that must never happen; the message is the story until then."""


class Invariants:
    """Check each write of the controller against the world as its memory has it, and its claims against what is so."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.idle_looks = 0

    @property
    def _asked(self) -> int:
        """How many pods the Rollout asks for, as the controller knows it."""
        simulation = self._simulation
        return int(simulation.cache[simulation.key]["spec"]["replicas"])

    def fail(self, text: str) -> None:
        """Raise with the story."""
        story = "\n".join(self._simulation.story[-80:])
        raise InvariantError(f"{text}\n{story}")

    def idle(self) -> None:
        """Count a look that wrote nothing."""
        self.idle_looks += 1

    def set_traffic(self, wish: SetTraffic) -> None:
        """Weight goes up only to a Service with ready pods of the new release."""
        simulation = self._simulation
        plane = simulation.data_plane
        before = plane.written.split.canary if plane.written else 0
        routed = "trafficRouting" in next(iter(simulation.rollout["spec"]["strategy"].values()))
        if wish.wish.split.canary <= before or not routed:
            return
        body = simulation.rollout["spec"]["strategy"]
        service = str(dig(body, "canary", "canaryService") or dig(body, "blueGreen", "previewService"))
        known = simulation.cache.get(Key("Endpoints", service), {}).get("pods", [])
        ready = [name for name in known if f"-{wish.canary}-" in name]
        if not ready:
            self.fail(
                f"weight {wish.wish.split} to Service {service}, which has no ready pods of {wish.canary}: {known}"
            )

    def write(self, write: Create | Patch | Delete | Evict) -> None:
        """A Service moves only to ready pods, and no ReplicaSet shrinks that traffic may reach."""
        if not isinstance(write, Patch):
            return
        for operation in write.operations:
            if (
                write.ref.kind == "Service"
                and operation["path"].endswith(HASH_LABEL)
                and operation["op"] != "test"
            ):
                self.selected(write.ref.name, operation["value"])
            if (
                write.ref.kind == "ReplicaSet"
                and operation["path"] == "/spec/replicas"
                and operation["op"] != "test"
            ):
                self._scaled(write.ref.name, operation["value"])

    def selected(self, service: str, pod_hash: str) -> None:
        """Check that a Service moves to pods that are there."""
        ready = [
            each
            for key, each in self._simulation.cache.items()
            if key.kind == "ReplicaSet"
            and each["metadata"]["labels"].get(HASH_LABEL) == pod_hash
            and (each.get("status") or {}).get("availableReplicas")
        ]
        serving = self._asked and any(
            (each.get("status") or {}).get("availableReplicas")
            for key, each in self._simulation.cache.items()
            if key.kind == "ReplicaSet"
        )
        if not ready and serving:
            self.fail(f"Service {service} would select {pod_hash}, which has no available pods")

    def _scaled(self, name: str, pods: int) -> None:
        """Check that a ReplicaSet that gets no pods gets no traffic, as the data plane really has it."""
        simulation = self._simulation
        replica_set = simulation.store.objects.get(Key("ReplicaSet", name))
        if replica_set is None or pods or not self._asked:
            return
        pod_hash = replica_set["metadata"]["labels"][HASH_LABEL]
        weights = simulation.data_plane.loaded
        body = simulation.rollout["spec"]["strategy"].get("canary") or {}
        if weights is None or "trafficRouting" not in body:
            return
        shares = {
            str(body.get("canaryService")): weights.split.canary,
            str(body.get("stableService")): weights.split.total - weights.split.canary,
        }
        for service, share in shares.items():
            selector = simulation.store.objects[Key("Service", service)]["spec"]["selector"]
            if share and selector.get(HASH_LABEL) == pod_hash:
                self.fail(f"ReplicaSet {name} gets no pods, and Service {service} sends {share} % to it")

    def status(self) -> None:
        """The status claims no evidence that is not there."""
        simulation = self._simulation
        weights = (simulation.status.get("canary") or {}).get("weights")
        if weights and weights.get("verified"):
            loaded = simulation.data_plane.loaded
            shown = weights["canary"]["weight"]
            if loaded is None or loaded.split.canary != shown:
                self.fail(f"the status says that weight {shown} is verified, and the data plane has {loaded}")
