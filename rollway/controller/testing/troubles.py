"""What happens to a release beside the faults of single requests: a second leader, deletions, data planes that stop, Argo's controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.controller.testing.api import Key
from rollway.controller.testing.data_plane import is_routed, roles_of
from rollway.routers.model import HASH_LABEL
from rollway.routers.traffic import SubsetHashes, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from rollway.controller.testing.simulation import Simulation


class Troubles:
    """Troubles of one world; each method is one of them, and chance chooses what it strikes."""

    def __init__(self, simulation: Simulation, chance: random.Random) -> None:
        self._simulation = simulation
        self._chance = chance

    @property
    def all(self) -> tuple[Callable[[], None], ...]:
        """Return every trouble."""
        return (
            self.second_leader,
            self.stall_data_plane,
            self.delete_pod,
            self.delete_replica_set,
            self.delete_rollout,
            self.hand_over_to_argo,
        )

    def second_leader(self) -> None:
        """Let another controller begin while the one that there is has not noticed that it lost the lead."""
        simulation = self._simulation
        old = simulation.acting
        simulation.tell("another controller leads, and the old one goes on for a while")
        simulation.start()
        simulation.clock.after(self._chance.uniform(1, 20), lambda: simulation.end(old))

    def stall_data_plane(self) -> None:
        """Let the data plane load nothing for a while."""
        simulation = self._simulation
        simulation.tell("the data plane loads nothing for a while")
        simulation.data_plane.stall()
        simulation.clock.after(self._chance.uniform(5, 120), simulation.data_plane.go_on)

    def delete_pod(self) -> None:
        """Delete a pod, as a node that is drained does."""
        self._delete("Pod")

    def delete_replica_set(self) -> None:
        """Delete a ReplicaSet with its pods, as a person may."""
        self._delete("ReplicaSet")

    def _delete(self, kind: str) -> None:
        listed = self._simulation.store.of(kind)
        if listed:
            name = self._chance.choice(listed)["metadata"]["name"]
            self._simulation.tell(f"user: delete {kind} {name}")
            self._simulation.store.delete(Key(kind, name))

    def delete_rollout(self) -> None:
        """Delete the Rollout and create it again; what it owned is collected some time later."""
        simulation, key = self._simulation, self._simulation.key
        manifest = simulation.rollout
        simulation.tell("user: delete the Rollout")
        simulation.store.delete(key, cascade=False)
        for seconds in (self._chance.uniform(0.1, 10), 60):
            simulation.clock.after(seconds, simulation.store.collect_garbage)
        simulation.run(self._chance.choice([0.1, 1, 15]))
        simulation.tell("user: create it again")
        kept = {each: manifest["metadata"][each] for each in ("name", "namespace")}
        again = {name: manifest[name] for name in ("apiVersion", "kind", "spec")}
        simulation.store.create({**again, "metadata": kept})

    def hand_over_to_argo(self) -> None:
        """Let Argo's controller have the Rollout for a while: it moves Service, subsets and weight at once, and verifies nothing."""
        simulation = self._simulation
        simulation.tell("Argo's controller takes the Rollout over")
        simulation.handed_over = True
        simulation.processes.clear()
        for _ in range(self._chance.randrange(1, 4)):
            simulation.run(self._chance.choice([0.5, 5, 30]))
            self._act_as_argo()
        simulation.run(self._chance.choice([0.1, 10]))
        simulation.tell("Argo's controller gives the Rollout back")
        simulation.handed_over = False
        simulation.start()

    def _act_as_argo(self) -> None:
        simulation = self._simulation
        rollout, status = simulation.rollout, simulation.status
        stable, current = status.get("stableRS"), status.get("currentPodHash")
        if not stable or not current or "canary" not in rollout["spec"]["strategy"] or not is_routed(rollout):
            return
        services = roles_of(rollout)
        for name, pod_hash in ((services.stable, stable), (services.canary, current)):
            if name:
                path = f"/spec/selector/{HASH_LABEL}"
                operation = {"op": "add", "path": path, "value": pod_hash}
                simulation.store.patch(Key("Service", name), [operation])
        weight = (
            0 if stable == current or status.get("abort") else self._weight(status.get("currentStepIndex"))
        )
        subsets = SubsetHashes(stable, current) if simulation.data_plane.subsets else None
        simulation.data_plane.write(Traffic(Split(weight, 100)), services, subsets)
        simulation.tell(
            f"Argo's controller writes weight {weight} and moves what leads to {stable} and {current}"
        )
        weights = {
            "canary": {"weight": weight, "podTemplateHash": current},
            "stable": {"weight": 100 - weight, "podTemplateHash": stable},
            "verified": None,
        }
        simulation.store.merge_status(simulation.key, {"canary": {"weights": weights}})

    def _weight(self, index: int | None) -> int:
        """Return the weight of the last step that set one."""
        steps = self._simulation.rollout["spec"]["strategy"]["canary"].get("steps") or []
        given = [step["setWeight"] for step in steps[: (index or 0) + 1] if "setWeight" in step]
        return int(given[-1]) if given else 0
