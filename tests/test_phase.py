"""The phase of a Rollout as its clients show it: what was just written, the controller's word, or what the fields say."""

from __future__ import annotations

from typing import Any

import pytest

import releases as r
from rollway.releases.goals import goal_of
from rollway.releases.phase import Phase, phase_of
from rollway.releases.position import set_weight_of, step_text
from rollway.routers.errors import InvalidInputError

DONE = {"pauseConditions": None, "controllerPause": None, "currentPodHash": r.STABLE, "updatedReplicas": 5}
RUNNING = {**DONE, "currentPodHash": r.CANARY}


def conditions(*listed: tuple[str, str, str]) -> dict[str, Any]:
    """Return conditions by type, reason and message."""
    return {
        "conditions": [{"type": kind, "reason": reason, "message": text} for kind, reason, text in listed]
    }


@pytest.mark.parametrize(
    ("rollout", "phase", "message"),
    [
        (r.canary(), "Paused", "CanaryPauseStep"),
        (r.canary({"paused": True}, **DONE), "Paused", "manually paused"),
        (r.canary(**DONE), "Healthy", ""),
        (r.canary({"replicas": 6}, **DONE), "Progressing", "more replicas need to be updated"),
        (r.canary({"replicas": None}, **{**DONE, "updatedReplicas": 0}), "Progressing", "more replicas need to be updated"),
        (
            r.canary(**DONE, availableReplicas=4),
            "Progressing",
            "updated replicas are still becoming available",
        ),
        (r.canary(**DONE, replicas=6), "Progressing", "old replicas are pending termination"),
        (r.canary(**RUNNING), "Progressing", "waiting for all steps to complete"),
        (r.canary({"restartAt": "2026-01-08T00:00:00Z"}, **DONE), "Progressing", "rollout is restarting"),
        (
            r.canary({"restartAt": "2026-01-08T00:00:00Z"}, **DONE, restartedAt="2026-01-08T00:00:00+00:00"),
            "Healthy",
            "",
        ),
        (r.blue_green(), "Paused", "BlueGreenPause"),
        (r.blue_green(**RUNNING), "Progressing", "active service cutover pending"),
        (
            r.blue_green(**RUNNING, blueGreen={"activeSelector": r.CANARY}),
            "Progressing",
            "waiting for post-promotion verification to complete",
        ),
        (r.blue_green(**DONE, blueGreen={"activeSelector": r.STABLE}), "Healthy", ""),
        (
            r.canary(**conditions(("InvalidSpec", "InvalidSpec", "bad"))),
            "Degraded",
            "InvalidSpec: bad",
        ),
        (
            r.canary(abort=True, **conditions(("Progressing", "RolloutAborted", "revision 2"))),
            "Degraded",
            "RolloutAborted: revision 2",
        ),
        (r.canary(phase="Paused", message="as its controller says"), "Paused", "as its controller says"),
    ],
)  # fmt: skip
def test_the_phase_is_the_one_of_the_controller(rollout: Any, phase: str, message: str) -> None:
    """Without a phase in the status, its other fields give the one that the controller would write."""
    assert phase_of(rollout) == Phase(phase, message)


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        (r.canary(observedGeneration="2", phase="Healthy"), "waiting for rollout spec update to be observed"),
        (r.canary(pauseConditions=None, phase="Paused"), "waiting for rollout to unpause"),
        (
            r.canary(phase="Degraded", **conditions(("Progressing", "RolloutAborted", "revision 2"))),
            "waiting for the retry to be observed",
        ),
    ],
)
def test_what_was_just_written_counts_before_the_controller_has_seen_it(rollout: Any, message: str) -> None:
    """A phase that is out of date is not shown: after a change of the spec, a promotion, a retry."""
    assert phase_of(rollout) == Phase("Progressing", message)


def test_a_workload_that_the_controller_has_not_seen() -> None:
    """A Rollout whose Deployment has changed is Progressing until its controller has seen that."""
    rollout = r.canary({"workloadRef": {"name": "shop"}}, phase="Healthy", workloadObservedGeneration="1")
    assert phase_of(rollout).name == "Healthy"
    rollout["metadata"]["annotations"] = {"rollout.argoproj.io/workload-generation": "2"}
    assert phase_of(rollout).message.endswith("for the reference workload")


def test_a_status_of_an_old_controller_counts_as_observed() -> None:
    """Before 0.10, Argo Rollouts wrote a hash where the generation stands now."""
    assert phase_of(r.canary(observedGeneration="5f8cb5778f")).name == "Paused"


def test_the_weight_that_the_steps_ask_for() -> None:
    """It is that of the last setWeight; nothing before the first one and after an abort, all of it at the end."""
    weights = [set_weight_of(r.canary(currentStepIndex=index)) for index in range(5)]
    assert weights == [20, 20, 60, 60, 100]
    assert set_weight_of(r.canary(steps=[{"pause": {}}], currentStepIndex=0)) == 0
    assert set_weight_of(r.canary(abort=True)) == 0
    assert set_weight_of(r.canary(steps=[])) == 100


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ({"setWeight": 20}, "setWeight: 20"),
        ({"pause": {}}, "pause"),
        ({"pause": {"duration": "10m"}}, "pause: 10m"),
        ({"analysis": {"templates": []}}, "analysis"),
        ({"setCanaryScale": {"matchTrafficWeight": True}}, "setCanaryScale{matchTrafficWeight: true}"),
        ({"setHeaderRoute": {"name": "beta"}}, "setHeaderRoute: beta"),
    ],
)
def test_steps_have_the_words_of_the_events(step: Any, text: str) -> None:
    """A step is written as in the Events of Argo Rollouts."""
    assert step_text(step) == text


def test_goals_are_phases_and_steps() -> None:
    """A phase is reached when the Rollout has it; a step, when so many are done for the present spec."""
    paused, old = r.canary(), r.canary(observedGeneration="2")
    reached = {word: goal_of(word).is_reached(paused) for word in ("healthy", "paused", "step=1", "step=2")}
    assert reached == {"healthy": False, "paused": True, "step=1": True, "step=2": False}
    assert not goal_of("step=1").is_reached(old)
    degraded = Phase("Degraded", "bad")
    assert [goal_of(word).is_out_of_reach(degraded) for word in ("healthy", "degraded")] == [True, False]


@pytest.mark.parametrize("word", ["step=9", "step=", "ready", "step=-1"])
def test_a_goal_that_is_none(word: str) -> None:
    """A goal that no Rollout, or not this one, ever reaches is the caller's mistake."""
    with pytest.raises(InvalidInputError):
        goal_of(word).is_reached(r.canary())
