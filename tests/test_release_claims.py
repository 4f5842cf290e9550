"""What the status and the Events of a release say, and that they say it only when it is so, in a simulated world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rollway.controller.testing.releases import settle
from rollway.controller.testing.rollouts import blue_green, by_subsets, rollout, routed_canary
from rollway.controller.testing.simulation import Simulation

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

from simulated import PAUSE, canary, condition, deployed, hash_of, updated, weight

PAIR = {"stableService": "stable", "canaryService": "canary"}
HEADER = {"name": "testers", "match": [{"headerName": "x-test", "headerValue": {"exact": "yes"}}]}


def events(simulation: Simulation) -> list[str]:
    """Return the reasons of the Events in the order in which they were recorded."""
    lines = (line.strip().partition(" ")[2] for line in simulation.story)
    return [line.split()[1].rstrip(":") for line in lines if line.startswith("event ")]


@pytest.mark.parametrize(
    ("strategy", "reasons"),
    [
        (
            canary(),
            [
                "RolloutUpdated",
                "NewReplicaSetCreated",
                "RolloutNotCompleted",
                "ScalingReplicaSet",
                "RolloutCompleted",
            ],
        ),
        (
            blue_green(),
            [
                "RolloutUpdated",
                "NewReplicaSetCreated",
                "ScalingReplicaSet",
                "RolloutCompleted",
                "SwitchService",
            ],
        ),
    ],
)
def test_events_of_a_first_release(strategy: Manifest, reasons: list[str]) -> None:
    """The first release is reported by the Events of Argo's controller, in its order."""
    assert events(deployed(strategy))[: len(reasons)] == reasons
    assert "Initial deploy" in "\n".join(deployed(strategy).story)


def test_an_undo_is_reported_as_a_release_that_has_begun() -> None:
    """A release whose ReplicaSet is there already is reported as not completed as well."""
    simulation = updated(canary())
    before = len(events(simulation))
    simulation.set_image("v1")
    simulation.run(60)
    assert "RolloutNotCompleted" in events(simulation)[before:]
    assert "NewReplicaSetCreated" not in events(simulation)[before:]


@pytest.mark.parametrize(
    "strategy", [routed_canary(PAUSE), by_subsets(PAUSE), blue_green(trafficRouting={"nginx": {}})]
)
def test_a_promoted_release_is_healthy_only_when_its_users_are_where_they_stay(strategy: Manifest) -> None:
    """Between promotion and the loaded weight the phase is Progressing, and says what it waits for."""
    simulation = deployed(strategy)
    simulation.set_image("v2")
    simulation.run(60)
    simulation.promote()
    seen: list[tuple[str, int]] = []
    for _ in range(400):
        simulation.run(0.1)
        if simulation.status["stableRS"] == hash_of(simulation, "v2"):
            seen.append((simulation.status["phase"], weight(simulation)))
            healthy = condition(simulation, "Healthy")["status"] == "True"
            assert not healthy or simulation.status["phase"] == "Healthy"
    assert seen[-1] == ("Healthy", 0)
    assert ("Healthy", 100) not in seen
    if "canary" in strategy:
        assert ("Progressing", 100) in seen
    settle(simulation)


def test_a_promoted_release_without_a_router_waits_for_its_service() -> None:
    """Phase Healthy comes when the stable Service has moved, also where only pods divide the traffic."""
    simulation = updated(canary(PAUSE, **PAIR))
    before = len(simulation.story)
    simulation.promote()
    simulation.run(60)
    lines = [line[10:] for line in simulation.story[before:]]
    moved = next(index for index, line in enumerate(lines) if line.startswith("patch Service stable"))
    healthy = next(index for index, line in enumerate(lines) if "'phase': 'Healthy'" in line)
    assert moved < healthy


def test_a_controller_that_was_killed_claims_no_evidence_for_a_route_that_it_wrote() -> None:
    """Killed between a route and the status, the next one shows it as not verified until the data plane has answered."""
    simulation = updated(
        routed_canary({"setWeight": 20}, PAUSE, {"setHeaderRoute": HEADER}, PAUSE, trafficRouting=ROUTING)
    )
    assert simulation.status["canary"]["weights"]["verified"] is True
    simulation.data_plane.stall()
    simulation.promote()
    while simulation.data_plane.written is None or not simulation.data_plane.written.traffic.routes:
        simulation.run(0.01)
        simulation.kill_at = simulation.moments + 1
    simulation.run(30)
    assert "the controller is killed" in "\n".join(simulation.story)
    assert simulation.status["canary"]["weights"]["verified"] is False


def test_a_restart_of_the_controller_leaves_a_settled_status_alone() -> None:
    """What is proven and settled stays verified over a restart, without a write."""
    strategy = routed_canary({"setHeaderRoute": HEADER}, trafficRouting=ROUTING)
    simulation = Simulation(0, rollout(strategy), ["stable", "canary"])
    simulation.run(60)
    writes = simulation.store.writes
    simulation.kill("a restart")
    simulation.run(60)
    assert simulation.store.writes == writes
    assert simulation.status["canary"]["weights"]["verified"] is True


ROUTING = {"nginx": {}, "managedRoutes": [{"name": "testers"}]}
