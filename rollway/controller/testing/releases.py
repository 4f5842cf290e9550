"""Random releases in a simulated world, each from a seed: a Rollout, faults, and what its users do to it.

play(7)  # raises InvariantError with the story, if something is wrong
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from rollway.controller.testing.api import Key
from rollway.controller.testing.data_plane import roles_of
from rollway.controller.testing.kubernetes import BAD_IMAGE
from rollway.controller.testing.rollouts import deployment, random_rollout, random_steps
from rollway.controller.testing.simulation import Faults, Simulation
from rollway.controller.testing.troubles import Troubles
from rollway.releases.holding import is_taken_up
from rollway.releases.phase import write_time
from rollway.releases.revisions import REVISION
from rollway.routers.held_weight import held_weight_of
from rollway.routers.model import HASH_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.routers.objects import Manifest

SERVICES = ("stable", "canary")
_LONGEST_S = 720.0
"""How long a release may take once nothing goes wrong any more, and every pause is promoted."""


def play(seed: int) -> Simulation:
    """Play the release of a seed with faults, then without, and check that it settles as its spec says.

    Raises:
        InvariantError: something happened that must never happen; its message is the story.
    """
    release = RandomRelease(seed)
    release.interfere()
    release.settle()
    return release.simulation


class RandomRelease:
    """One Rollout of a seed, with faults until it is to settle."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a simulation, not a secret
        choice = self._random.choice
        self.rollout = random_rollout(self._random)
        faults = Faults(
            kill=choice([0, 0, 0.02, 0.1]),
            conflict=choice([0, 0.05]),
            lost=choice([0, 0.05]),
            failed=choice([0, 0.05]),
            refused=choice([0, 0.1]),
            lag=choice([0.05, 0.5, 3]),
        )
        self.simulation = Simulation(seed, self.rollout, list(SERVICES), faults)
        if "workloadRef" in self.rollout["spec"]:
            self.simulation.store.create(deployment(replicas=self.rollout["spec"]["replicas"]))
        self.simulation.tell(f"{seed}: {self.rollout['spec']} {vars(faults)}")
        self._version = 1
        self._acts: tuple[Callable[[], object], ...] = (
            self._update,
            self._update,
            self._update,
            self._break,
            self._go_back,
            self._promote,
            self._promote_full,
            self._abort,
            self._retry,
            self._scale,
            self._pause,
            self._edit_steps,
            self._restart,
            self._crash_pod,
            self._kill,
            self._hold,
            self._hold,
            self._release,
            *Troubles(self.simulation, self._random).all,
        )

    def interfere(self) -> None:
        """Let users and faults do what they do, at any moment."""
        choice, simulation = self._random.choice, self.simulation
        simulation.run(choice([1, 5, 60]))
        for _ in range(self._random.randrange(1, 10)):
            choice(self._acts)()
            simulation.run(choice([0.1, 1, 5, 30, 120]))

    def settle(self) -> None:
        """End the faults, release a good image, and check what is left in the end."""
        simulation = self.simulation
        simulation.faults = Faults()
        simulation.data_plane.go_on()
        if simulation.rollout["spec"].get("paused"):
            simulation.edit("unpause", lambda rollout: rollout["spec"].pop("paused"))
        self._update()
        if not simulation.rollout["spec"]["replicas"] and self._random.random() < 0.5:
            self._scale_to(3)
        if self._random.random() < 0.3:
            self._settle_held()
        settle(simulation)

    def _settle_held(self) -> None:
        """Hold a weight, check that it is what the release settles to, and end it in one of the ways."""
        simulation, random = self.simulation, self._random
        simulation.run(random.choice([0.2, 5, 60]))
        if not self._hold():
            return
        simulation.run(180)
        check_held(simulation)
        random.choice([simulation.promote, self._promote_full, self._abort_and_retry, simulation.release])()

    def _abort_and_retry(self) -> None:
        self._abort()
        self.simulation.run(5)
        self._retry()

    def _update(self) -> None:
        self._version += 1
        self.simulation.set_image(f"v{self._version}")

    def _break(self) -> None:
        self._version += 1
        self.simulation.set_image(f"{BAD_IMAGE}{self._version}")

    def _go_back(self) -> None:
        self.simulation.set_image(f"v{self._random.randrange(1, self._version + 1)}")

    def _promote(self) -> None:
        self.simulation.promote()

    def _promote_full(self) -> None:
        status = self.simulation.status
        if status.get("stableRS") != status.get("currentPodHash"):
            self.simulation.patch_status("promote --full", {"promoteFull": True})

    def _abort(self) -> None:
        self.simulation.patch_status("abort", {"abort": True})

    def _retry(self) -> None:
        if self.simulation.status.get("abort"):
            self.simulation.patch_status("retry", {"abort": False})

    def _scale(self) -> None:
        self._scale_to(self._random.choice([0, 1, 3, 6]))

    def _scale_to(self, replicas: int) -> None:
        def change(rollout: Manifest) -> None:
            rollout["spec"]["replicas"] = replicas

        self.simulation.edit(f"scale to {replicas}", change)

    def _pause(self) -> None:
        paused = not self.simulation.rollout["spec"].get("paused")

        def change(rollout: Manifest) -> None:
            rollout["spec"]["paused"] = paused

        self.simulation.edit("pause" if paused else "unpause", change)

    def _edit_steps(self) -> None:
        strategy = self.simulation.rollout["spec"]["strategy"]
        if "canary" not in strategy:
            return
        steps = random_steps(self._random, routed="trafficRouting" in strategy["canary"])

        def change(rollout: Manifest) -> None:
            rollout["spec"]["strategy"]["canary"]["steps"] = steps

        self.simulation.edit(f"other steps: {steps}", change)

    def _restart(self) -> None:
        def change(rollout: Manifest) -> None:
            rollout["spec"]["restartAt"] = write_time(self.simulation.clock.now)

        self.simulation.edit("restart", change)

    def _crash_pod(self) -> None:
        simulation = self.simulation
        pods = simulation.store.of("Pod")
        if pods:
            name = self._random.choice(pods)["metadata"]["name"]
            simulation.tell(f"pod {name} is not ready for a while")
            simulation.kubernetes.set_ready(name, ready=False)
            image_is_bad = BAD_IMAGE in str(simulation.pod_image(name))
            simulation.clock.after(
                self._random.uniform(1, 20),
                lambda: simulation.kubernetes.set_ready(name, ready=not image_is_bad),
            )

    def _kill(self) -> None:
        self.simulation.kill("the leader changes")

    def _hold(self) -> bool:
        return self.simulation.hold(self._random.choice([0, 1, 30, 70, 100]))

    def _release(self) -> None:
        self.simulation.release()


def settle(simulation: Simulation) -> None:
    """Promote every pause until the release is through, and check that the world is as its spec says, and rests.

    Raises:
        InvariantError: it is not.
    """
    _finish(simulation)
    simulation.store.collect_garbage()
    _check_rest(simulation)
    _check_pods(simulation)
    _check_traffic(simulation)
    _check_workload(simulation)


def check_held(simulation: Simulation) -> None:
    """Check that the data plane has the weight that is held, if it still is, and that the status says so.

    Raises:
        InvariantError: it has another one.
    """
    held = held_weight_of(simulation.rollout)
    if held is None:
        return
    status, loaded = simulation.status, simulation.data_plane.loaded
    if status.get("phase") != "Paused" or not is_taken_up(simulation.rollout, held):
        simulation.invariants.fail(f"{held} is not reported: {status.get('phase')} {status.get('message')}")
    weight = loaded.seen_by(roles_of(simulation.rollout)).split.canary if loaded else 0
    reachable = simulation.rollout["spec"]["replicas"] and not _is_stable_bad(simulation)
    if reachable and weight != held.weight:
        simulation.invariants.fail(f"weight {held.weight} is held, and the data plane has {weight}")


def _finish(simulation: Simulation) -> None:
    for _ in range(int(_LONGEST_S / 30)):
        simulation.run(30)
        if simulation.status.get("pauseConditions"):
            simulation.promote()
    if simulation.status.get("phase") != "Healthy" and _is_stable_bad(simulation):
        # Steps that lead back to pods that are not ready wait for good; that is for a user to end.
        simulation.patch_status("promote --full", {"promoteFull": True})
    simulation.run(300)
    status = simulation.status
    if status.get("phase") != "Healthy":
        simulation.invariants.fail(f"does not settle: {status.get('phase')} {status.get('message')}")
    if held_weight_of(simulation.rollout):
        simulation.invariants.fail("a weight is still held after the promotion")
    if status.get("observedGeneration") != str(simulation.rollout["metadata"]["generation"]):
        simulation.invariants.fail("the newest generation was not observed")


def _is_stable_bad(simulation: Simulation) -> bool:
    return any(
        BAD_IMAGE in str(each["spec"]["template"])
        for each in simulation.store.of("ReplicaSet")
        if each["metadata"]["labels"][HASH_LABEL] == simulation.status["stableRS"]
    )


def _check_rest(simulation: Simulation) -> None:
    """Check that nothing is written where nothing changes, also by a controller that has just started."""
    simulation.kill("one that knows nothing looks at the settled world")
    simulation.run(30)
    writes = simulation.store.writes
    simulation.kill("and another one")
    simulation.run(400)
    if simulation.store.writes != writes:
        simulation.invariants.fail("writes in a settled world")


def _check_pods(simulation: Simulation) -> None:
    """Check that stable has all pods, with the metadata of its role, and no other release has any."""
    spec, status = simulation.rollout["spec"], simulation.status
    for replica_set in simulation.store.of("ReplicaSet"):
        stable = replica_set["metadata"]["labels"][HASH_LABEL] == status["stableRS"]
        wanted, pods = spec["replicas"] if stable else 0, replica_set["spec"]["replicas"]
        if pods != wanted:
            simulation.invariants.fail(f"{replica_set['metadata']['name']} has {pods} pods, not {wanted}")
        if "scale-down-deadline" in (replica_set["metadata"].get("annotations") or {}):
            simulation.invariants.fail(f"{replica_set['metadata']['name']} still has a deadline")
    strategy: dict[str, Any] = next(iter(spec["strategy"].values()))
    metadata = strategy.get("stableMetadata") or strategy.get("activeMetadata") or {}
    for pod in simulation.store.of("Pod"):
        labels = pod["metadata"].get("labels") or {}
        if HASH_LABEL not in labels:
            continue  # one of the Deployment's
        if not (metadata.get("labels") or {}).items() <= labels.items() or "preview" in labels:
            simulation.invariants.fail(
                f"pod {pod['metadata']['name']} has not the labels of its role: {labels}"
            )


def _check_traffic(simulation: Simulation) -> None:
    """Check that every Service leads to stable, and that no weight and no route is left."""
    loaded = simulation.data_plane.loaded
    traffic = loaded.seen_by(roles_of(simulation.rollout)) if loaded else None
    if traffic and (traffic.split.canary or traffic.routes):
        simulation.invariants.fail(f"the data plane still has {loaded}")
    subsets = simulation.data_plane.loaded_subsets
    if subsets and set(subsets) != {simulation.status["stableRS"]}:
        simulation.invariants.fail(f"the data plane still has {subsets}")
    for service in simulation.store.of("Service"):
        selected = service["spec"]["selector"].get(HASH_LABEL)
        if selected not in (None, simulation.status["stableRS"]):
            simulation.invariants.fail(f"Service {service['metadata']['name']} selects {selected}")


def _check_workload(simulation: Simulation) -> None:
    """Check that a Deployment whose pods the Rollout has taken over is known as it is, and has no pods left."""
    reference = simulation.rollout["spec"].get("workloadRef")
    if reference:
        deployment = simulation.store.objects[Key("Deployment", "web")]
        generation, pods = deployment["metadata"]["generation"], deployment["spec"]["replicas"]
        first = simulation.rollout["metadata"]["annotations"][REVISION] == "1"
        if first and pods and reference["scaleDown"] != "never":
            simulation.invariants.fail(f"the Deployment still has {pods} pods")
        if simulation.status.get("workloadObservedGeneration") != str(generation):
            simulation.invariants.fail(f"generation {generation} of the Deployment was not observed")


def check_each_kill(
    rollout: Manifest, act: Callable[[Simulation], None], seed: int = 0, every: int = 1
) -> int:
    """Play one release again and again, with the controller killed before or after each of its writes, one after another.

    `act` is what users do, from the first deployment on. `every` leaves out all moments but every so many. Return how many
    moments the release has.

    Raises:
        InvariantError: one of them does not end as the release without a kill.
    """
    expected = _outcome(_played(rollout, act, seed, kill_at=None))
    at = 0
    while True:
        simulation = _played(rollout, act, seed, kill_at=at)
        if simulation.moments <= at:
            return simulation.moments
        outcome = _outcome(simulation)
        if outcome != expected:
            simulation.invariants.fail(f"killed at moment {at}, it ends as {outcome}, not as {expected}")
        at += every


def _played(
    rollout: Manifest, act: Callable[[Simulation], None], seed: int, kill_at: int | None
) -> Simulation:
    simulation = Simulation(seed, rollout, list(SERVICES))
    simulation.kill_at = kill_at
    simulation.run(60)
    act(simulation)
    settle(simulation)
    return simulation


def _outcome(simulation: Simulation) -> dict[str, Any]:
    """Return what has to be the same however often the controller was killed."""
    status = simulation.status
    return {
        "status": {
            key: status.get(key) for key in ("stableRS", "currentStepIndex", "phase", "replicas", "canary")
        },
        "pods": {
            each["metadata"]["name"]: each["spec"]["replicas"] for each in simulation.store.of("ReplicaSet")
        },
        "revision": simulation.rollout["metadata"]["annotations"]["rollout.argoproj.io/revision"],
    }
