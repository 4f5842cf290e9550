"""What the controller sees of a simulated world, and how its writes arrive there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.controller.decision import Adopt, Create, Delete, Evict, Patch
from rollway.controller.owners import may_adopt
from rollway.controller.testing.api import Key
from rollway.controller.testing.kubernetes import hash_of, is_ready
from rollway.controller.world import Pod, ReplicaSet, World
from rollway.routers.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.controller.decision import ReleaseEvent
    from rollway.controller.testing.simulation import Simulation
    from rollway.routers.objects import Manifest


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
        simulation.invariants.observed = rollout
        owned = [ReplicaSet(each) for each in self._of("ReplicaSet") if _belongs(each, rollout)]
        services = {each["metadata"]["name"]: each for each in self._of("Service")}
        endpoints = {each["metadata"]["name"]: frozenset(each["pods"]) for each in self._of("Endpoints")}
        workload = self._workload(rollout)
        return World(
            rollout,
            tuple(owned),
            services,
            endpoints,
            tuple(map(_pod, self._of("Pod"))),
            workload=workload,
            default_template=(workload or rollout)["spec"].get("template"),
        )

    def _workload(self, rollout: Manifest) -> Manifest | None:
        """Return the workload that a Rollout takes its template from, as the memory has it."""
        reference = rollout["spec"].get("workloadRef")
        return self._simulation.cache.get(Key(reference["kind"], reference["name"])) if reference else None

    def learn_default_template(self, world: World) -> None:
        """Do nothing: the simulated API server has no defaults."""

    def write(self, write: Create | Adopt | Patch | Delete | Evict) -> None:
        """Carry out one write, unless chance has it fail."""
        simulation = self._simulation
        simulation.invariants.write(write)
        after = simulation.trouble(describe(write))
        simulation.tell(describe(write))
        if isinstance(write, Create):
            key = Key(write.manifest["kind"], write.manifest["metadata"]["name"])
            simulation.store.create(write.manifest)
        elif isinstance(write, Patch | Adopt):
            key = Key(write.ref.kind, write.ref.name)
            patch = write.patch if isinstance(write, Adopt) else write
            simulation.store.patch(key, patch.operations)
        else:
            key = Key(write.ref.kind, write.ref.name)
            present = simulation.store.objects.get(key)
            if isinstance(write, Delete) and present and not _is_same(present, write):
                raise ConflictError(f"{key.kind} {key.name} has changed")
            if isinstance(write, Delete) or simulation.evictions_allowed:
                simulation.store.delete(key)
        simulation.remember(key)
        after()

    def replica_set(self, namespace: str, name: str) -> Manifest | None:  # noqa: ARG002 - there is one namespace
        """Return a ReplicaSet as it is now."""
        key = Key("ReplicaSet", name)
        self._simulation.remember(key)
        return self._simulation.store.objects.get(key)

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


def _belongs(replica_set: Manifest, rollout: Manifest) -> bool:
    """Return whether a ReplicaSet is a Rollout's, or nobody's and selected by it."""
    owners = replica_set["metadata"].get("ownerReferences") or ()
    own = any(owner["uid"] == rollout["metadata"]["uid"] for owner in owners)
    return own or may_adopt(rollout, replica_set)


def _is_same(present: Manifest, write: Delete) -> bool:
    metadata = present["metadata"]
    return (metadata["uid"], metadata["resourceVersion"]) == (write.uid, write.version)


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


def describe(write: Create | Adopt | Patch | Delete | Evict) -> str:
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
