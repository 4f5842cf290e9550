"""One Rollout in a simulated world: watches that lag, writes that fail, a controller that is killed, a user who interferes."""

from __future__ import annotations

import copy
import functools
import random
from typing import TYPE_CHECKING, Any

from rollway.controller.reconciler import Reconciler
from rollway.controller.testing.api import Key, ObjectStore
from rollway.controller.testing.clock import VirtualClock
from rollway.controller.testing.cluster import SimulatedCluster
from rollway.controller.testing.data_plane import DataPlane, SimulatedRouting
from rollway.controller.testing.invariants import Invariants
from rollway.controller.testing.kubernetes import Kubernetes
from rollway.releases.holding import hold_weight, release_weight
from rollway.routers.errors import ConflictError, RollwayError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from rollway.releases.verbs import Effect
    from rollway.routers.objects import Manifest

NAMESPACE = "shop"


class Killed(BaseException):
    """The controller ended in the middle of something."""


class Faults:
    """How often something goes wrong: shares of one, and the longest lag of a watch in seconds."""

    def __init__(
        self,
        *,
        kill: float = 0,
        conflict: float = 0,
        lost: float = 0,
        failed: float = 0,
        refused: float = 0,
        lag: float = 0.2,
    ) -> None:
        self.kill, self.conflict, self.lost, self.failed, self.lag = kill, conflict, lost, failed, lag
        self.refused = refused
        """How often traffic is refused, because endpoints are not as the ReplicaSets are."""


NO_FAULTS = Faults()


class Process:
    """One controller: what it remembers, and nothing else, is lost with it."""

    def __init__(self, simulation: Simulation) -> None:
        self.cache: dict[Key, Manifest] = copy.deepcopy(simulation.store.objects)
        self.routing = SimulatedRouting(simulation)
        self.reconciler = Reconciler(SimulatedCluster(simulation), self.routing)
        self.due: datetime | None = None
        self.failures = 0


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
        self.processes: list[Process] = []
        """The controllers that run: one, but for the moments in which the lead changes."""
        self.handed_over = False
        """Whether another controller has the Rollout, so that none of these is to start."""
        self.store.changed.append(self._deliver)
        self.kill_at: int | None = None
        """The moment before or after a write at which the controller is killed once."""
        self.moments = 0
        self.evictions_allowed = True
        """Whether a PodDisruptionBudget lets pods go."""
        self.name = rollout["metadata"]["name"]
        self.key = Key("Rollout", self.name)
        for name in services:
            self.store.create(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": name, "namespace": NAMESPACE},
                    "spec": {"selector": {"app": self.name}},
                }
            )
        self.data_plane = DataPlane(self, rollout)
        self.store.create(rollout)
        self.start()

    # -- the controller

    def start(self) -> None:
        """Start a controller with an empty memory; those that run go on."""
        self.acting = Process(self)
        self.processes.append(self.acting)
        self.wake(0.01)

    def end(self, process: Process) -> None:
        """End a controller, whatever it is doing."""
        if process in self.processes:
            self.processes.remove(process)
        if self.processes:
            self.acting = self.processes[-1]
        else:
            self.clock.after(self.random.uniform(0.1, 5), self._start_if_none)

    def kill(self, why: str) -> None:
        """Let another controller, which knows nothing, take the place of the one that there is."""
        self.tell(f"the controller is killed: {why}")
        self.processes.clear()
        self.start()

    @property
    def cache(self) -> dict[Key, Manifest]:
        """The memory of the controller that acts now."""
        return self.acting.cache

    @property
    def routing(self) -> SimulatedRouting:
        """The routing of the controller that acts now."""
        return self.acting.routing

    def wake(self, seconds: float = 0.02) -> None:
        """Let every controller look at the Rollout soon; two that disagree for a while take the time that requests take."""
        if len(self.processes) > 1:
            seconds = max(seconds, 0.2)
        for process in self.processes:
            self.clock.after(seconds, functools.partial(self._reconcile, process))

    def _reconcile(self, process: Process) -> None:
        if process not in self.processes:
            return
        self.acting = process
        try:
            again = process.reconciler.reconcile(NAMESPACE, self.name, self.clock.now)
        except Killed:
            self.tell("the controller is killed, and another one starts")
            self.end(process)
            return
        except RollwayError as error:
            process.failures += 1
            self.tell(f"reconcile failed: {error.message}")
            self.clock.after(min(0.05 * 2**process.failures, 5), functools.partial(self._reconcile, process))
            return
        process.failures = 0
        due = process.due
        if again is not None and (due is None or again < due or due <= self.clock.now):
            process.due = again
            self.clock.at(again, functools.partial(self._reconcile, process))

    def _start_if_none(self) -> None:
        if not self.processes and not self.handed_over:
            self.start()

    def trouble(self, what: str) -> Callable[[], None]:
        """Let a write fail before it is done, if chance has it; return what happens behind it."""
        if self._is_killed():
            self.tell(f"killed before: {what}")
            raise Killed
        if self.random.random() < self.faults.conflict:
            raise ConflictError(f"made up, at {what}")
        if self.random.random() < self.faults.failed:
            raise StoreError(f"made up, at {what}")

        def after() -> None:
            if self.random.random() < self.faults.lost:
                raise StoreError(f"the answer got lost: {what}")
            if self._is_killed():
                self.tell(f"killed after: {what}")
                raise Killed

        return after

    def _is_killed(self) -> bool:
        self.moments += 1
        return self.moments - 1 == self.kill_at or self.random.random() < self.faults.kill

    # -- watches

    def _deliver(self, key: Key, manifest: Manifest | None) -> None:
        """Bring a change into the controller's memory after a lag of its kind."""
        if key.kind == "Service" and self.key in self.store.objects:
            self.invariants.note_reached()
        version = int(manifest["metadata"]["resourceVersion"]) if manifest else None
        stored = copy.deepcopy(manifest)

        def arrive(process: Process) -> None:
            known = process.cache.get(key)
            if stored is None:
                if key not in self.store.objects:
                    process.cache.pop(key, None)
            elif key in self.store.objects and (
                known is None or int(known["metadata"]["resourceVersion"]) < (version or 0)
            ):
                process.cache[key] = stored
            self.clock.after(0.02, functools.partial(self._reconcile, process))

        for process in self.processes:
            self.clock.after(self.random.uniform(0, self.faults.lag), functools.partial(arrive, process))

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

    def pod_image(self, name: str) -> str:
        """Return the image of a pod."""
        return str(self.store.objects[Key("Pod", name)]["spec"]["containers"][0]["image"])

    def edit(self, what: str, change: Callable[[Manifest], None]) -> None:
        """Edit the Rollout as a user does."""
        self.tell(f"user: {what}")
        manifest = copy.deepcopy(self.rollout)
        change(manifest)
        self.store.update(self.key, manifest)

    def set_image(self, image: str) -> None:
        """Begin an update, in the Deployment where the Rollout refers to one."""
        reference = self.rollout["spec"].get("workloadRef")
        if reference:
            self.tell(f"user: set image {image} of Deployment {reference['name']}")
            path = "/spec/template/spec/containers/0/image"
            key = Key(reference["kind"], reference["name"])
            self.store.patch(key, [{"op": "replace", "path": path, "value": image}])
            return

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

    def hold(self, weight: int) -> bool:
        """Ask the controller to hold a weight, as `set-weight` does; return whether that was not refused."""
        try:
            effect = hold_weight(self.rollout, weight, "ann", self.clock.now)
        except RollwayError as error:
            self.tell(f"user: hold {weight}, which is refused: {error.message}")
            return False
        self._annotate(effect)
        return True

    def release(self) -> None:
        """Let the weight go that is held, as `set-weight --release` does."""
        self._annotate(release_weight(self.rollout))

    def _annotate(self, effect: Effect) -> None:
        self.tell(f"user: {effect.text}")
        if effect.spec:
            self.store.patch(self.key, effect.spec)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.run(seconds)
