"""Releases in a simulated world, for tests, and what can be seen of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.controller.testing.api import Key
from rollway.controller.testing.rollouts import rollout
from rollway.controller.testing.simulation import Simulation
from rollway.controller.world import SCALE_DOWN_DEADLINE
from rollway.routers.model import HASH_LABEL

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

PAUSE: Manifest = {"pause": {}}


def deployed(strategy: Manifest, *, replicas: int = 4, **spec: Any) -> Simulation:
    """Return a world in which the first release of a Rollout is complete."""
    simulation = Simulation(0, rollout(strategy, replicas=replicas, **spec), ["stable", "canary"])
    simulation.run(60)
    assert simulation.status["phase"] == "Healthy", simulation.status
    return simulation


def updated(strategy: Manifest, *, replicas: int = 4, **spec: Any) -> Simulation:
    """Return a world in which an update to the image `v2` has gone as far as it goes by itself in a minute."""
    simulation = deployed(strategy, replicas=replicas, **spec)
    simulation.set_image("v2")
    simulation.run(60)
    return simulation


def canary(*steps: Manifest, **fields: Any) -> Manifest:
    """Return a canary strategy without a router."""
    return {"canary": {"steps": list(steps), **fields}}


def set_spec(simulation: Simulation, **fields: Any) -> None:
    """Edit fields of the spec."""
    simulation.edit(str(fields), lambda manifest: manifest["spec"].update(fields))


def replica_set(simulation: Simulation, image: str) -> Manifest:
    """Return the ReplicaSet of an image."""
    return next(
        each
        for each in simulation.store.of("ReplicaSet")
        if each["spec"]["template"]["spec"]["containers"][0]["image"] == image
    )


def pods(simulation: Simulation, *images: str) -> tuple[int, ...]:
    """Return how many pods each image has."""
    return tuple(replica_set(simulation, image)["spec"]["replicas"] for image in images or ("v1", "v2"))


def hash_of(simulation: Simulation, image: str) -> str:
    """Return the pod-template hash of an image."""
    return str(replica_set(simulation, image)["metadata"]["labels"][HASH_LABEL])


def deadline(simulation: Simulation, image: str) -> str | None:
    """Return when the pods of an image may go."""
    annotations: dict[str, str] = replica_set(simulation, image)["metadata"]["annotations"]
    return annotations.get(SCALE_DOWN_DEADLINE)


def selected(simulation: Simulation, service: str) -> str | None:
    """Return the hash that a Service selects."""
    selector: dict[str, str] = simulation.store.objects[Key("Service", service)]["spec"]["selector"]
    return selector.get(HASH_LABEL)


def weight(simulation: Simulation) -> int:
    """Return the weight that the data plane has for the canary."""
    assert simulation.data_plane.loaded is not None
    return simulation.data_plane.loaded.traffic.split.canary


def condition(simulation: Simulation, kind: str) -> Manifest:
    """Return a condition of the status."""
    return next(each for each in simulation.status["conditions"] if each["type"] == kind)


def revision(simulation: Simulation) -> str:
    """Return the revision of the Rollout."""
    return str(simulation.rollout["metadata"]["annotations"]["rollout.argoproj.io/revision"])


def pod_names(simulation: Simulation, image: str) -> set[str]:
    """Return the names of the pods of an image."""
    return {
        each["metadata"]["name"]
        for each in simulation.store.of("Pod")
        if each["spec"]["containers"][0]["image"] == image
    }
