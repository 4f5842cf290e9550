"""Releases in a simulated world: random ones, each from a seed, and whole ones with the controller killed at every write."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rollway.controller.testing.releases import check_each_kill, play
from rollway.controller.testing.rollouts import blue_green, by_subsets, rollout, routed_canary

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.controller.testing.simulation import Simulation
    from rollway.routers.objects import Manifest

SEEDS = int(os.environ.get("SEEDS", "120"))
BATCH = max(SEEDS // 24, 1)
EVERY = int(os.environ.get("EVERY_KILL", "8"))
"""Every how many moments the controller is killed: `make simulate` takes all of them."""


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.uncovered) for first in range(BATCH, SEEDS, BATCH))]
)
def test_random_releases_settle(first: int) -> None:
    """Whatever users and faults do, nothing happens that must never happen, and the release ends as its spec says."""
    for seed in range(first, min(first + BATCH, SEEDS)):
        play(seed)


def _update(simulation: Simulation) -> None:
    simulation.set_image("v2")
    simulation.run(30)


def _abort_and_retry(simulation: Simulation) -> None:
    simulation.set_image("v2")
    simulation.run(20)
    simulation.patch_status("abort", {"abort": True})
    simulation.run(50)
    simulation.patch_status("retry", {"abort": False})


def _supersede(simulation: Simulation) -> None:
    simulation.set_image("v2")
    simulation.run(20)
    simulation.set_image("v3")
    simulation.run(5)


def _hold(simulation: Simulation) -> None:
    simulation.set_image("v2")
    simulation.run(20)
    assert simulation.hold(60)
    simulation.run(30)


STEPS: tuple[Manifest, ...] = (
    {"setWeight": 25},
    {"pause": {}},
    {"setWeight": 75},
    {"pause": {"duration": 5}},
)
ROUTED = routed_canary(*STEPS, scaleDownDelaySeconds=5, abortScaleDownDelaySeconds=5)
PING_PONG = routed_canary(
    *STEPS, pingPong={"pingService": "stable", "pongService": "canary"}, stableService="", canaryService=""
)


RELEASES = {
    "routed blue-green": (blue_green(trafficRouting={"nginx": {}}, previewReplicaCount=1), _update),
    "routed canary": (ROUTED, _update),
    "routed canary, aborted and retried": (ROUTED, _abort_and_retry),
    "routed canary, held": (ROUTED, _hold),
    "dynamic, aborted": (routed_canary(*STEPS, dynamicStableScale=True), _abort_and_retry),
    "subsets, aborted and retried": (by_subsets(*STEPS, scaleDownDelaySeconds=5), _abort_and_retry),
    "ping-pong": (PING_PONG, _update),
    "canary without a router, superseded": ({"canary": {"steps": list(STEPS)}}, _supersede),
    "blue-green, superseded": (blue_green(scaleDownDelaySeconds=5), _supersede),
    "blue-green, aborted": (blue_green(autoPromotionEnabled=False), _abort_and_retry),
}
COVERED = "routed blue-green"
"""The release whose lines coverage counts; the others would show the same ones, in twice the time."""


@pytest.mark.parametrize(
    ("strategy", "act"),
    [
        pytest.param(*release, id=name, marks=() if name == COVERED else pytest.mark.uncovered)
        for name, release in RELEASES.items()
    ],
)
def test_a_kill_before_or_after_any_write_changes_nothing(
    strategy: dict[str, object], act: Callable[[Simulation], None]
) -> None:
    """A controller killed before or after any one write of a release ends as the one that was not killed."""
    moments = check_each_kill(rollout(strategy, replicas=4), act, every=EVERY)
    assert moments > 20, "before and after every write of the release the controller may be killed"
