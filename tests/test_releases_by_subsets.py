"""Releases whose router leads to subsets of one Service, in a simulated world: which pods each subset selects, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rollway.controller.testing.rollouts import SUBSETS, blue_green, by_subsets, rollout
from rollway.controller.testing.simulation import Simulation
from rollway.routers.traffic import SubsetHashes

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

from simulated import PAUSE, deployed, hash_of, pods, selected, updated, weight

STEPS: tuple[Manifest, ...] = ({"setWeight": 25}, PAUSE)
PAIR = {"stableService": "stable", "canaryService": "canary"}


def subsets(simulation: Simulation) -> tuple[str, str]:
    """Return the images that the stable and the canary subset select, as the data plane has them."""
    loaded = simulation.data_plane.loaded_subsets
    assert loaded is not None
    images = {
        hash_of(simulation, image): image for image in ("v1", "v2", "v3") if _is_there(simulation, image)
    }
    return images[loaded.stable], images[loaded.canary]


def _is_there(simulation: Simulation, image: str) -> bool:
    try:
        hash_of(simulation, image)
    except StopIteration:
        return False
    return True


def test_the_first_release_is_what_both_subsets_select() -> None:
    """Both subsets select the first release when all of its pods are there, and all traffic goes to stable."""
    simulation = deployed(by_subsets(*STEPS))
    assert (subsets(simulation), weight(simulation)) == (("v1", "v1"), 0)


@pytest.mark.parametrize("services", [{}, PAIR])
def test_an_update_moves_the_canary_subset_before_the_weight(services: dict[str, str]) -> None:
    """The canary subset is loaded with the new release before it gets weight, with and without Services of the roles."""
    simulation = updated(by_subsets(*STEPS, **services))
    assert (subsets(simulation), weight(simulation), pods(simulation)) == (("v1", "v2"), 25, (4, 1))
    new = hash_of(simulation, "v2")
    at = simulation.story.index(next(line for line in simulation.story if "user: set image v2" in line))
    update = [line.strip().partition(" ")[2] for line in simulation.story[at:]]
    moved = next(
        index for index, line in enumerate(update) if line.startswith("the data plane loads SubsetHashes")
    )
    raised = next(index for index, line in enumerate(update) if line.startswith("traffic 25"))
    assert new in update[moved]
    assert moved < raised
    if services:
        assert (selected(simulation, "stable"), selected(simulation, "canary")) == (
            hash_of(simulation, "v1"),
            new,
        )


def test_a_promotion_moves_the_stable_subset_while_nothing_leads_to_it() -> None:
    """At full weight the stable subset moves, is loaded, and then takes the weight back; old pods go after their delay."""
    simulation = updated(by_subsets(*STEPS, scaleDownDelaySeconds=20))
    before = len(simulation.story)
    simulation.promote()
    simulation.run(20)
    assert (subsets(simulation), weight(simulation)) == (("v2", "v2"), 0)
    assert (simulation.status["phase"], pods(simulation)) == ("Healthy", (4, 4))
    new = hash_of(simulation, "v2")
    steps = [
        line[10:] for line in simulation.story[before:] if line[10:].startswith(("traffic", "the data plane"))
    ]
    both = f"SubsetHashes(stable='{new}', canary='{new}')"
    assert steps.index(f"the data plane loads {both}") < steps.index(f"traffic 0 of 100, 0 % {both}")
    simulation.run(60)
    assert pods(simulation) == (0, 4)


def test_an_abort_gives_the_canary_subset_back() -> None:
    """After an abort all traffic goes to stable, and then the canary subset selects stable, before the new pods go."""
    simulation = updated(by_subsets(*STEPS, abortScaleDownDelaySeconds=10))
    simulation.patch_status("abort", {"abort": True})
    simulation.run(60)
    assert (subsets(simulation), weight(simulation), pods(simulation)) == (("v1", "v1"), 0, (4, 0))


def test_a_rollback_ends_as_it_began() -> None:
    """Back to the old template in mid-update: the weight goes first, then the subset, then the pods."""
    simulation = updated(by_subsets(*STEPS))
    simulation.set_image("v1")
    simulation.run(120)
    assert (subsets(simulation), weight(simulation), pods(simulation)) == (("v1", "v1"), 0, (4, 0))
    assert simulation.status["phase"] == "Healthy"


def test_a_superseded_release_has_its_subset_until_the_next_one_has_pods() -> None:
    """A third release takes the canary subset when its weight is 0 and its own pod is available."""
    simulation = updated(by_subsets(*STEPS))
    simulation.set_image("bad3")
    simulation.run(60)
    assert (subsets(simulation), weight(simulation)) == (("v1", "v2"), 0)
    assert pods(simulation, "v2") == (1,), "the subset still selects it"
    simulation.set_image("v3")
    simulation.run(60)
    assert (subsets(simulation), weight(simulation)) == (("v1", "v3"), 25)
    assert pods(simulation, "v2") == (0,)


def test_the_stable_scale_follows_the_weight() -> None:
    """With dynamicStableScale stable has the pods for its share alone, and gets all of them back at an abort."""
    simulation = updated(by_subsets({"setWeight": 75}, PAUSE, dynamicStableScale=True))
    assert (pods(simulation), subsets(simulation)) == ((1, 3), ("v1", "v2"))
    simulation.patch_status("abort", {"abort": True})
    simulation.run(90)
    assert (pods(simulation), subsets(simulation), weight(simulation)) == ((4, 0), ("v1", "v1"), 0)


def test_a_data_plane_that_has_not_loaded_a_subset_gets_no_weight_for_it() -> None:
    """While the data plane does not follow, the step waits at weight 0, and the status says so."""
    simulation = deployed(by_subsets(*STEPS))
    simulation.data_plane.stall()
    simulation.set_image("v2")
    simulation.run(120)
    assert simulation.data_plane.written is not None
    assert simulation.data_plane.written.traffic.split.canary == 0
    assert "not loaded yet" in simulation.status["message"]


def test_the_first_release_is_whole_also_when_it_was_just_scaled() -> None:
    """Both at once, more replicas and the hash of the stable subset: the subset waits for all of the pods."""
    simulation = Simulation(0, rollout(by_subsets(), replicas=1), ["stable", "canary"])
    simulation.run(0.1)
    simulation.handed_over = True
    simulation.processes.clear()  # the controller is away while the pod becomes available
    simulation.run(30)
    simulation.edit("scale to 6", lambda manifest: manifest["spec"].update(replicas=6))
    simulation.handed_over = False
    simulation.start()
    simulation.run(0.5)
    assert pods(simulation, "v1") == (6,)
    assert simulation.data_plane.subsets == SubsetHashes()
    simulation.run(60)
    assert subsets(simulation) == ("v1", "v1")


def test_ping_pong_and_subsets_exclude_each_other() -> None:
    """Two ways to name the roles are a fault of the spec, and nothing is written but that."""
    pair = {"pingService": "stable", "pongService": "canary"}
    simulation = Simulation(0, rollout(by_subsets(*STEPS, pingPong=pair)), ["stable", "canary"])
    simulation.run(30)
    assert simulation.status["phase"] == "Degraded"
    assert "swaps Services, and the router leads to subsets" in simulation.status["message"]
    assert not simulation.store.of("ReplicaSet")


def test_blue_green_switches_by_subsets() -> None:
    """A blue-green Rollout with a router switches to the canary subset, and after the promotion back to a moved stable one."""
    simulation = updated(blue_green(trafficRouting=SUBSETS, scaleDownDelaySeconds=5))
    assert (subsets(simulation), weight(simulation)) == (("v2", "v2"), 0)
    assert (simulation.status["phase"], pods(simulation)) == ("Healthy", (0, 4))
