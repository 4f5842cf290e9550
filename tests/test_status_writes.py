"""How often the status of a Rollout is written: what comes together is one patch."""

from __future__ import annotations

import ast
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rollway.controller.status import only_counts
from rollway.controller.testing.rollouts import routed_canary
from simulated import PAUSE, canary, deployed, set_spec, updated

if TYPE_CHECKING:
    from rollway.controller.testing.simulation import Simulation

COUNTS = {"replicas", "readyReplicas", "updatedReplicas", "availableReplicas", "HPAReplicas", "message"}


def written(simulation: Simulation) -> list[tuple[float, dict[str, Any]]]:
    """Return when the status was written, in seconds, and the patches without their conditions."""
    lines = [line.strip().partition(" status ") for line in simulation.story]
    return [(float(time), ast.literal_eval(patch)) for time, _, patch in lines if patch]


def test_steps_that_wait_for_nothing_are_one_patch() -> None:
    """Three steps that are done as soon as the weight is there, and the pause behind them, are written at once."""
    same = {"setWeight": 20}
    simulation = updated(routed_canary(same, same, same, PAUSE))
    update = next(line for line in simulation.story if "user: set image" in line)
    begin = float(update.split()[0])
    indexes = [
        patch["currentStepIndex"]
        for time, patch in written(simulation)
        if time > begin and "currentStepIndex" in patch
    ]
    assert indexes == [0, 3]
    assert simulation.status["phase"] == "Paused"
    completed = [line for line in simulation.story if "event RolloutStepCompleted" in line]
    assert len(completed) == 3


def test_counts_of_pods_are_gathered_for_a_moment() -> None:
    """While pods become ready one by one the status shows them in steps of half a second at least, and all in the end."""
    simulation = deployed(canary(), replicas=2)
    begin = simulation.clock.seconds
    set_spec(simulation, replicas=20)
    simulation.run(60)
    assert simulation.status["availableReplicas"] == 20
    times = [time for time, patch in written(simulation) if time > begin and patch.keys() <= COUNTS]
    assert len(times) > 1
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(times))


def test_only_counts_may_wait() -> None:
    """A condition that says the same waits with the counts; one with another reason, and every other field, does not."""
    condition = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "it is"}
    status = {"replicas": 1, "conditions": [{**condition, "lastUpdateTime": "2026-01-01T00:00:00Z"}]}
    later = {**condition, "lastUpdateTime": "2026-01-01T00:00:01Z"}
    assert only_counts(status, {"replicas": 2, "message": "more", "conditions": [later]})
    assert not only_counts(status, {"conditions": [{**later, "reason": "RolloutPaused"}]})
    assert not only_counts(status, {"replicas": 2, "phase": "Healthy"})
