"""One Rollout in a simulated world: watches that lag, writes that fail, a controller that is killed, a user who interferes."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

from rollway.controller.decision import Create, Delete, Evict, Patch
from rollway.controller.reconciler import Reconciler
from rollway.controller.replica_sets import owner_reference
from rollway.controller.testing.api import Key, ObjectStore
from rollway.controller.testing.clock import VirtualClock
from rollway.controller.testing.invariants import Invariants
from rollway.controller.testing.kubernetes import Kubernetes, hash_of, is_ready
from rollway.controller.world import HASH_LABEL, Pod, ReplicaSet, TrafficState, World
from rollway.routers.errors import ConflictError, RollwayError, StoreError
from rollway.routers.objects import ObjectRef
from rollway.routers.traffic import Evidence, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from rollway.controller.decision import ReleaseEvent, SetTraffic
    from rollway.routers.objects import Manifest

NAMESPACE = "shop"
KINDS = ("Rollout", "ReplicaSet", "Pod", "Service", "Endpoints", "Routing")


class Killed(BaseException):
    """The controller ended in the middle of something."""


class Faults:
    """How often something goes wrong: shares of one, and the longest lag of a watch in seconds."""

    def __init__(
        self, *, kill: float = 0, conflict: float = 0, lost: float = 0, failed: float = 0, lag: float = 0.2
    ) -> None:
        self.kill, self.conflict, self.lost, self.failed, self.lag = kill, conflict, lost, failed, lag


NO_FAULTS = Faults()


class Simulation:
    """A world with one Rollout, from a seed. `story` is what happened, line by line."""

    def __init__(self, seed: int, rollout: Manifest, services: list[str], faults: Faults = NO_FAULTS) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a simulation, not a secret
        self.clock = VirtualClock()
        self.faults = faults
        self.story: list[str] = []
        self.store = ObjectStore(lambda: self.clock.now)
        self.kubernetes = Kubernetes(self.store, self.clock, self.random)
        self.invariants = Invariants(self)
        self.cache: dict[Key, Manifest] = {}
        self.store.changed.append(self._deliver)
        self.name = rollout["metadata"]["name"]
        self.service_names = services
        for name in services:
            self.store.create(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": name, "namespace": NAMESPACE},
                    "spec": {"selector": {"app": self.name}},
                }
            )
        self.data_plane = DataPlane(self)
        self.store.create(rollout)
        self.key = Key("Rollout", self.name)
        self._due: datetime | None = None
        self._failures = 0
        self._start()

    # -- the controller

    def _start(self) -> None:
        """Start a controller with an empty memory."""
        self.cache = copy.deepcopy(self.store.objects)
        self.routing = SimulatedRouting(self)
        self.reconciler = Reconciler(SimulatedCluster(self), self.routing)
        self.wake(0.01)

    def wake(self, seconds: float = 0.02) -> None:
        """Let the controller look at the Rollout soon."""
        self.clock.after(seconds, self._reconcile)

    def _reconcile(self) -> None:
        before = self.store.writes
        try:
            again = self.reconciler.reconcile(NAMESPACE, self.name, self.clock.now)
        except Killed:
            self.tell("the controller is killed, and another one starts")
            self.clock.after(self.random.uniform(0.1, 5), self._start)
            return
        except RollwayError as error:
            self._failures += 1
            self.tell(f"reconcile failed: {error.message}")
            self.wake(min(0.05 * 2**self._failures, 5))
            return
        self._failures = 0
        if again is not None and (self._due is None or again < self._due or self._due <= self.clock.now):
            self._due = again
            self.clock.at(again, self._reconcile)
        if self.store.writes == before:
            self.invariants.idle()

    def trouble(self, what: str) -> Callable[[], None]:
        """Let a write fail before it is done, if chance has it; return what happens behind it."""
        if self.random.random() < self.faults.kill:
            self.tell(f"killed before: {what}")
            raise Killed
        if self.random.random() < self.faults.conflict:
            raise ConflictError(f"made up, at {what}")
        if self.random.random() < self.faults.failed:
            raise StoreError(f"made up, at {what}")

        def after() -> None:
            if self.random.random() < self.faults.lost:
                raise StoreError(f"the answer got lost: {what}")
            if self.random.random() < self.faults.kill:
                self.tell(f"killed after: {what}")
                raise Killed

        return after

    # -- watches

    def _deliver(self, key: Key, manifest: Manifest | None) -> None:
        """Bring a change into the controller's memory after a lag of its kind."""
        version = int(manifest["metadata"]["resourceVersion"]) if manifest else None
        stored = copy.deepcopy(manifest)

        def arrive() -> None:
            known = self.cache.get(key)
            if stored is None:
                if key not in self.store.objects:
                    self.cache.pop(key, None)
            elif key in self.store.objects and (
                known is None or int(known["metadata"]["resourceVersion"]) < (version or 0)
            ):
                self.cache[key] = stored
            self.wake()

        self.clock.after(self.random.uniform(0, self.faults.lag), arrive)

    def remember(self, key: Key) -> None:
        """Put an own write into the memory at once."""
        if key in self.store.objects:
            self.cache[key] = copy.deepcopy(self.store.objects[key])
        else:
            self.cache.pop(key, None)

    # -- the story

    def tell(self, text: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{self.clock.seconds:9.2f} {text}")

    # -- what users do

    @property
    def rollout(self) -> Manifest:
        """The Rollout as it is now."""
        return self.store.objects[self.key]

    @property
    def status(self) -> dict[str, Any]:
        """The status of the Rollout as it is now."""
        return self.rollout.get("status") or {}

    def edit(self, what: str, change: Callable[[Manifest], None]) -> None:
        """Edit the Rollout as a user does."""
        self.tell(f"user: {what}")
        manifest = copy.deepcopy(self.rollout)
        change(manifest)
        self.store.update(self.key, manifest)

    def set_image(self, image: str) -> None:
        """Begin an update."""

        def change(manifest: Manifest) -> None:
            manifest["spec"]["template"]["spec"]["containers"][0]["image"] = image

        self.edit(f"set image {image}", change)

    def patch_status(self, what: str, patch: Mapping[str, Any]) -> None:
        """Patch the status as the CLI does."""
        self.tell(f"user: {what}")
        self.store.merge_status(self.key, patch)

    def promote(self) -> None:
        """End a pause, as `promote` does."""
        if self.status.get("pauseConditions"):
            self.patch_status("promote", {"pauseConditions": None})

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.run(seconds)


class DataPlane:
    """Routing objects, and a data plane that loads them some time later, or not for a while."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.written: Traffic | None = None
        self.loaded: Traffic | None = None
        self.version = 0
        self.slowest_s = 1.5

    def write(self, wish: Traffic) -> None:
        """Store a wish, and load it later; one that is not the newest any more is not loaded."""
        self.written = wish
        self.version += 1
        version = self.version

        def load() -> None:
            if version == self.version:
                self.loaded = wish
                self._simulation.tell(f"the data plane loads {wish.split}")

        self._simulation.clock.after(self._simulation.random.uniform(0.05, self.slowest_s), load)


class SimulatedRouting:
    """The routing of one controller: what it remembers is gone with it."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._wish: Traffic | None = None
        self._proven_at: datetime | None = None
        self._version = 0
        """The version of the routing objects that the proof is about."""
        self._problem = ""

    def forget(self, namespace: str, name: str) -> None:
        """Forget nothing: the memory goes with the controller."""

    def state(self, rollout: Manifest) -> tuple[TrafficState | None, tuple[str, ...]]:
        """Return what the objects show, and what is proven."""
        if not is_routed(rollout) and "blueGreen" not in rollout["spec"]["strategy"]:
            return None, ()
        shown = self._simulation.data_plane.written if is_routed(rollout) else self._by_services(rollout)
        if self._version != self._simulation.data_plane.version:
            self._proven_at = None  # somebody has written since
        state = TrafficState(shown, self._wish, self._proven_at, level=Evidence.LOADED, problem=self._problem)
        return state, ()

    def set(self, rollout: Manifest, wish: SetTraffic) -> None:
        """Write a wish."""
        simulation = self._simulation
        simulation.invariants.set_traffic(wish)
        after = simulation.trouble(f"traffic {wish.wish.split}")
        simulation.tell(f"traffic {wish.wish.split}")
        if is_routed(rollout):
            simulation.data_plane.write(wish.wish)
        else:
            self._switch(rollout, wish)
        simulation.wake()
        after()

    def _switch(self, rollout: Manifest, wish: SetTraffic) -> None:
        """Let the Services select by hash, as the backend `service` does."""
        simulation, strategy = self._simulation, rollout["spec"]["strategy"]["blueGreen"]
        target = wish.canary if wish.wish.split.canary else wish.stable
        simulation.invariants.selected(strategy["activeService"], target)
        for name, pod_hash in (
            (strategy["activeService"], target),
            (strategy.get("previewService"), wish.canary),
        ):
            if name:
                key = Key("Service", name)
                path = f"/spec/selector/{HASH_LABEL}"
                simulation.store.patch(key, [{"op": "add", "path": path, "value": pod_hash}])
                simulation.data_plane.version += 1
                simulation.remember(key)

    def _by_services(self, rollout: Manifest) -> Traffic | None:
        """Return what the active Service shows, as the backend `service` reads it."""
        name = rollout["spec"]["strategy"]["blueGreen"]["activeService"]
        service = self._simulation.cache[Key("Service", name)]
        selected = service["spec"]["selector"].get(HASH_LABEL)
        if not selected:
            return None
        stable = (rollout.get("status") or {}).get("stableRS") or selected
        return Traffic(Split(0 if selected == stable else 100, 100))

    def ask(self, rollout: Manifest, wish: SetTraffic) -> None:
        """Ask whether a wish is loaded; the answer comes later."""
        if self._wish != wish.wish:
            self._wish, self._proven_at = wish.wish, None
        plane, simulation = self._simulation.data_plane, self._simulation

        def answer() -> None:
            if self._wish != wish.wish or self is not simulation.routing:
                return
            loaded, shown = plane.loaded, plane.written
            if not is_routed(rollout):
                loaded = shown = self._by_services(rollout)
            if loaded == shown == wish.wish:
                if self._proven_at is None:
                    self._proven_at, self._version = simulation.clock.now, plane.version
                    simulation.wake()
            else:
                self._proven_at = None
                if shown == wish.wish:
                    simulation.clock.after(0.2, answer)
                else:
                    simulation.wake()

        simulation.clock.after(simulation.random.uniform(0.02, 0.3), answer)


class SimulatedCluster:
    """What one controller sees of the simulated cluster: its memory, which lags, and its own writes at once."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def _of(self, kind: str) -> list[Manifest]:
        cache = self._simulation.cache
        return [cache[key] for key in sorted(cache) if key.kind == kind]

    def observe(self, namespace: str, name: str) -> World | None:  # noqa: ARG002 - there is one namespace
        """Return what the memory has."""
        simulation = self._simulation
        rollout = simulation.cache.get(Key("Rollout", name))
        if rollout is None:
            return None
        uid = rollout["metadata"]["uid"]
        owned = [
            ReplicaSet(each)
            for each in self._of("ReplicaSet")
            if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences") or ())
        ]
        services = {each["metadata"]["name"]: each for each in self._of("Service")}
        endpoints = {each["metadata"]["name"]: frozenset(each["pods"]) for each in self._of("Endpoints")}
        return World(
            rollout,
            tuple(owned),
            services,
            endpoints,
            tuple(map(_pod, self._of("Pod"))),
            default_template=rollout["spec"].get("template"),
        )

    def learn_default_template(self, world: World) -> None:
        """Do nothing: the simulated API server has no defaults."""

    def write(self, write: Create | Patch | Delete | Evict) -> None:
        """Carry out one write, unless chance has it fail."""
        simulation = self._simulation
        simulation.invariants.write(write)
        after = simulation.trouble(describe(write))
        simulation.tell(describe(write))
        if isinstance(write, Create):
            key = Key(write.manifest["kind"], write.manifest["metadata"]["name"])
            simulation.store.create(write.manifest)
        elif isinstance(write, Patch):
            key = Key(write.ref.kind, write.ref.name)
            simulation.store.patch(key, write.operations)
        else:
            key = Key(write.ref.kind, write.ref.name)
            simulation.store.delete(key)
        simulation.remember(key)
        after()

    def write_status(self, rollout: Manifest, patch: Mapping[str, Any]) -> None:
        """Patch the status, if the Rollout is still the one that was observed."""
        simulation = self._simulation
        after = simulation.trouble("status")
        version = rollout["metadata"]["resourceVersion"]
        simulation.store.merge_status(simulation.key, patch, version)
        shown = {key: value for key, value in patch.items() if key not in ("conditions", "duration")}
        simulation.tell(f"status {shown}")
        simulation.remember(simulation.key)
        simulation.invariants.status()
        after()

    def record(self, rollout: Manifest, event: ReleaseEvent) -> None:  # noqa: ARG002 - there is one Rollout
        """Add an Event to the story."""
        self._simulation.tell(f"event {event.reason}: {event.message}")


def is_routed(rollout: Manifest) -> bool:
    """Return whether a Rollout has a router."""
    strategy = rollout["spec"]["strategy"]
    return "trafficRouting" in (strategy.get("canary") or strategy.get("blueGreen") or {})


def _pod(manifest: Manifest) -> Pod:
    metadata = manifest["metadata"]
    return Pod(
        metadata["name"],
        hash_of(manifest),
        metadata["creationTimestamp"],
        is_ready(manifest),
        metadata.get("labels") or {},
        metadata.get("annotations") or {},
    )


def describe(write: Create | Patch | Delete | Evict) -> str:
    """Write what a write does, for the story."""
    if isinstance(write, Create):
        spec = write.manifest["spec"]
        return f"create {write.manifest['kind']} {write.manifest['metadata']['name']} with {spec.get('replicas')} pods"
    if isinstance(write, Patch):
        changes = [
            f"{op['path'].rpartition('/')[2]}={op.get('value')}"
            for op in write.operations
            if op["op"] != "test"
        ]
        return f"patch {write.ref.kind} {write.ref.name}: {', '.join(changes)}"
    return f"{type(write).__name__.lower()} {write.ref.kind} {write.ref.name}"


__all__ = ["Faults", "ObjectRef", "Simulation", "Split", "owner_reference"]
