"""What seeds with deletions, second leaders and other controllers have found, as scenarios in a simulated world."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from rollway.controller.testing.api import Key
from rollway.controller.testing.releases import settle
from rollway.controller.testing.rollouts import blue_green, by_subsets, rollout, routed_canary
from rollway.controller.testing.simulation import Simulation
from rollway.controller.testing.troubles import Troubles

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

from simulated import PAUSE, canary, deployed, hash_of, pods, replica_set, selected, updated, weight

STEPS: tuple[Manifest, ...] = ({"setWeight": 25}, PAUSE, {"setWeight": 75}, PAUSE)
STRATEGIES = [
    pytest.param(routed_canary(*STEPS), id="routed canary"),
    pytest.param(by_subsets(*STEPS), id="subsets"),
    pytest.param(canary(*STEPS), id="canary without a router"),
    pytest.param(blue_green(autoPromotionEnabled=False), id="blue-green"),
]


def troubles(simulation: Simulation, seed: int = 0) -> Troubles:
    """Return the troubles of a world."""
    return Troubles(simulation, random.Random(seed))


def test_a_first_release_that_is_paused_is_not_stable_before_it_is_made() -> None:
    """Without a ReplicaSet nothing is stable; unpaused, the template that is there then is the first release."""
    simulation = Simulation(0, rollout(canary({"setWeight": 50}, PAUSE), paused=True), ["stable", "canary"])
    simulation.run(30)
    assert "stableRS" not in simulation.status
    assert not simulation.store.of("ReplicaSet")
    simulation.edit("unpause", lambda manifest: manifest["spec"].pop("paused"))
    simulation.set_image("v2")
    simulation.run(60)
    assert (simulation.status["phase"], simulation.status["stableRS"]) == (
        "Healthy",
        hash_of(simulation, "v2"),
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_stable_release_that_somebody_deletes_is_replaced_by_the_new_one(strategy: Manifest) -> None:
    """Without the stable ReplicaSet an update goes on as a first release, because nobody else serves."""
    simulation = updated(strategy)
    name = replica_set(simulation, "v1")["metadata"]["name"]
    simulation.store.delete(Key("ReplicaSet", name))
    simulation.run(120)
    assert simulation.status["stableRS"] == hash_of(simulation, "v2")
    assert (simulation.status["phase"], pods(simulation, "v2")) == ("Healthy", (4,))


def test_a_service_keeps_what_it_leads_to_until_there_are_pods_to_move_to() -> None:
    """A Rollout that is created anew finds an active Service of its former life, and moves it when a pod is available."""
    simulation = deployed(blue_green())
    before = selected(simulation, "stable")
    manifest = rollout(blue_green())
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "bad2"
    simulation.store.delete(simulation.key)
    simulation.store.create(manifest)
    simulation.run(60)
    assert selected(simulation, "stable") == before
    simulation.set_image("v3")
    simulation.run(60)
    assert selected(simulation, "stable") == hash_of(simulation, "v3")
    settle(simulation)


def test_a_service_of_every_release_is_not_narrowed_to_a_bad_first_one() -> None:
    """Where the first release never becomes ready, the active Service selects no hash until the next one has its pods."""
    strategy = blue_green(autoPromotionEnabled=False)
    manifest = rollout(strategy)
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "bad1"
    simulation = Simulation(0, manifest, ["stable", "canary"])
    simulation.run(30)
    simulation.set_image("v2")
    simulation.run(60)
    assert (simulation.status["phase"], selected(simulation, "stable")) == ("Paused", None)
    simulation.promote()
    simulation.run(60)
    assert selected(simulation, "stable") == hash_of(simulation, "v2")
    settle(simulation)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_controllers_at_once_end_as_one(strategy: Manifest) -> None:
    """While the old leader goes on for a while beside the new one, the release stays safe, and settles."""
    simulation = deployed(strategy)
    for image in ("v2", "v3"):
        simulation.set_image(image)
        simulation.run(3)
        troubles(simulation).second_leader()
        simulation.run(30)
    settle(simulation)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_rollout_comes_back_from_argo_in_mid_update(strategy: Manifest) -> None:
    """What Argo's controller has moved meanwhile is taken as it is, and the release goes on to its end."""
    simulation = updated(strategy)
    for seed in range(3):
        troubles(simulation, seed).hand_over_to_argo()
        simulation.run(5)
    settle(simulation)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_rollout_that_is_created_again_settles(strategy: Manifest) -> None:
    """Its former ReplicaSets are collected some time later; until then their names are taken."""
    simulation = updated(strategy)
    troubles(simulation).delete_rollout()
    settle(simulation)


def test_a_data_plane_that_stops_holds_a_release_and_says_so() -> None:
    """While nothing is loaded the step waits, with the reason in the message; it goes on when the data plane does."""
    simulation = updated(routed_canary(*STEPS))
    simulation.data_plane.stall()
    simulation.promote()
    simulation.run(120)
    assert (weight(simulation), simulation.status["currentStepIndex"]) == (25, 2)
    assert "is not loaded yet" in simulation.status["message"]
    assert simulation.status["canary"]["weights"]["verified"] is False
    simulation.data_plane.go_on()
    simulation.run(10)
    assert (weight(simulation), simulation.status["currentStepIndex"]) == (75, 3)
