"""A weight that somebody holds by hand on a Rollout of the controller, in a simulated world: what moves, and what ends it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rollway.controller.testing.api import Key
from rollway.controller.testing.rollouts import blue_green, routed_canary
from rollway.releases.holding import hold_weight, release_weight
from rollway.releases.phase import phase_of
from rollway.releases.verbs import promote
from rollway.routers.errors import ConflictError, RefusedError, RollwayError, UnsupportedError
from rollway.routers.held_weight import HELD_WEIGHT, read_held_weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.controller.testing.simulation import Simulation
    from rollway.routers.objects import Manifest

from simulated import (
    PAUSE,
    canary,
    condition,
    deployed,
    hash_of,
    pods,
    replica_set,
    set_spec,
    updated,
    weight,
)

STEPS = ({"setWeight": 25}, PAUSE, {"setWeight": 75}, PAUSE)


def held(*steps: Manifest, to: int = 50, replicas: int = 4, **fields: Any) -> Simulation:
    """Return a world in which an update pauses, and a weight has been held for a minute."""
    simulation = updated(routed_canary(*(steps or STEPS), **fields), replicas=replicas)
    assert simulation.hold(to)
    simulation.run(60)
    return simulation


def annotate(simulation: Simulation, value: str) -> None:
    """Write the annotation by hand."""
    simulation.edit(
        "annotate", lambda rollout: rollout["metadata"]["annotations"].update({HELD_WEIGHT: value})
    )


def is_held(simulation: Simulation) -> bool:
    """Return whether the annotation is there."""
    return HELD_WEIGHT in simulation.rollout["metadata"]["annotations"]


class TestHeld:
    """What a weight that is held does."""

    def test_it_is_reached_with_the_pods_for_it_and_stays(self) -> None:
        """The canary gets pods for the weight first, the status shows who holds it, and no step goes on."""
        simulation = held()
        assert (weight(simulation), pods(simulation)) == (50, (4, 2))
        status = simulation.status
        assert status["phase"] == "Paused"
        assert status["message"].startswith("weight 50 of 100, 50 % is held by hand since 2026-01-01T")
        assert status["message"].endswith("Z by ann")
        assert (status["canary"]["weights"]["canary"]["weight"], status["currentStepIndex"]) == (50, 1)
        assert status["canary"]["weights"]["verified"] is True
        assert any("event WeightHeld" in line for line in simulation.story)
        writes = simulation.store.writes
        simulation.run(600)
        assert simulation.store.writes == writes, "a weight that is held is not written again"

    def test_it_outlives_the_controller(self) -> None:
        """A controller that starts anew holds it on."""
        simulation = held()
        simulation.kill("while a weight is held")
        simulation.run(60)
        assert (weight(simulation), simulation.status["phase"]) == (50, "Paused")

    def test_it_is_not_copied_to_pods(self) -> None:
        """The ReplicaSet of the update does not get the annotation."""
        assert HELD_WEIGHT not in replica_set(held(), "v2")["metadata"]["annotations"]

    def test_it_stops_a_step_that_is_under_way(self) -> None:
        """A weight that is held before a step is done pauses the release at that step."""
        simulation = deployed(routed_canary({"setWeight": 80}, {"setWeight": 90}))
        simulation.kubernetes.slowest_pod_s = 60
        simulation.set_image("v2")
        simulation.run(2)
        assert simulation.hold(80)
        simulation.run(300)
        assert (weight(simulation), simulation.status["currentStepIndex"]) == (80, 0)
        assert phase_of(simulation.rollout).name == "Paused"
        simulation.release()
        simulation.run(300)
        assert (simulation.status["phase"], pods(simulation)) == ("Healthy", (0, 4))

    def test_a_pause_of_some_time_does_not_end_while_it_is_held(self) -> None:
        """The time of a pause is over, and the release stays until the weight is let go."""
        simulation = held({"setWeight": 25}, {"pause": {"duration": 90}}, to=10)
        simulation.run(300)
        assert (weight(simulation), simulation.status["currentStepIndex"]) == (10, 1)
        simulation.release()
        simulation.run(90)
        assert simulation.status["phase"] == "Healthy"

    def test_a_pause_behind_it_has_its_whole_time(self) -> None:
        """The time for which a weight was held before a pause does not count as the time of that pause."""
        simulation = deployed(routed_canary({"setWeight": 25}, {"pause": {"duration": 90}}))
        simulation.kubernetes.slowest_pod_s = 30
        simulation.set_image("v2")
        simulation.run(1)
        assert simulation.hold(50)
        simulation.run(300)
        simulation.release()
        simulation.run(60)
        assert (weight(simulation), simulation.status["currentStepIndex"]) == (25, 1)
        assert len(simulation.status["pauseConditions"]) == 1

    def test_all_weight_leaves_stable_its_pods(self) -> None:
        """At the total nothing is promoted."""
        simulation = held(to=100)
        assert (weight(simulation), pods(simulation)) == (100, (4, 4))
        assert simulation.status["stableRS"] == hash_of(simulation, "v1")

    def test_at_0_the_canary_has_no_pods(self) -> None:
        """Weight 0 takes the pods of the canary, as a step with that weight does."""
        assert (weight(simulation := held(to=0)), pods(simulation)) == (0, (4, 0))

    def test_stable_follows_it_where_its_scale_is_dynamic(self) -> None:
        """Stable keeps the pods for what the canary leaves, and gets them back before the weight returns."""
        simulation = held(to=75, dynamicStableScale=True)
        assert (weight(simulation), pods(simulation)) == (75, (1, 3))
        simulation.release()
        simulation.run(60)
        assert (weight(simulation), pods(simulation)) == (25, (3, 1))

    def test_a_canary_scale_decides_the_pods(self) -> None:
        """The pods that a step has asked for stay, whatever weight is held."""
        simulation = held({"setCanaryScale": {"replicas": 3}}, {"setWeight": 25}, PAUSE, to=50)
        assert (weight(simulation), pods(simulation)) == (50, (4, 3))

    def test_it_waits_for_pods_and_reports_them(self) -> None:
        """No weight goes to pods that are not ready; the status says what it waits for, and no deadline ends that."""
        simulation = updated(routed_canary(*STEPS), progressDeadlineSeconds=30)
        simulation.kubernetes.slowest_pod_s = 1e6
        assert simulation.hold(75)
        simulation.run(120)
        assert weight(simulation) == 25
        assert simulation.status["phase"] == "Paused"
        assert "of 3 pods of ReplicaSet" in simulation.status["message"]

    def test_it_counts_out_of_the_total(self) -> None:
        """With `maxTrafficWeight` a weight is a share of that."""
        routing = {"nginx": {}, "maxTrafficWeight": 1000}
        simulation = held({"setWeight": 5}, PAUSE, to=125, trafficRouting=routing)
        assert weight(simulation) == 125
        assert "weight 125 of 1000, 12.5 % is held" in simulation.status["message"]

    def test_a_paused_rollout_lets_it_fall_and_not_rise(self) -> None:
        """`spec.paused` refuses a higher weight, takes a lower one, and is in the message."""
        simulation = updated(routed_canary(*STEPS))
        set_spec(simulation, paused=True)
        simulation.run(5)
        assert not simulation.hold(50)
        assert simulation.hold(5)
        simulation.run(60)
        assert weight(simulation) == 5
        assert simulation.status["message"].startswith("manually paused; weight 5 of 100")


def _promote(simulation: Simulation) -> None:
    simulation.promote()


def _promote_full(simulation: Simulation) -> None:
    simulation.patch_status("promote --full", {"promoteFull": True})


def _abort(simulation: Simulation) -> None:
    simulation.patch_status("abort", {"abort": True})


def _undo(simulation: Simulation) -> None:
    simulation.set_image("v1")


def _update(simulation: Simulation) -> None:
    simulation.set_image("v3")


def _other_steps(simulation: Simulation) -> None:
    set_spec(simulation, strategy=routed_canary({"setWeight": 10}, PAUSE))


def _release(simulation: Simulation) -> None:
    simulation.release()


class TestEnd:
    """What ends it; the verbs of Argo Rollouts write the status alone."""

    @pytest.mark.parametrize(
        ("act", "phase", "after"),
        [
            pytest.param(_promote, "Paused", 75, id="promote goes on behind the pause"),
            pytest.param(_promote_full, "Healthy", 0, id="promote --full"),
            pytest.param(_abort, "Degraded", 0, id="abort"),
            pytest.param(_undo, "Healthy", 0, id="back to stable"),
            pytest.param(_update, "Paused", 25, id="another update"),
            pytest.param(_other_steps, "Paused", 10, id="other steps"),
            pytest.param(_release, "Paused", 25, id="release goes back to the step"),
        ],
    )
    def test_it_ends(self, act: Callable[[Simulation], None], phase: str, after: int) -> None:
        """The annotation is gone, and the weight is that of the release again."""
        simulation = held()
        act(simulation)
        simulation.run(90)
        assert not is_held(simulation)
        assert (simulation.status["phase"], weight(simulation)) == (phase, after)
        assert "is held" not in simulation.status.get("message", "")

    def test_a_promote_at_a_step_goes_on_with_that_step(self) -> None:
        """A promote while the release is held before a pause lets it go on where it stands."""
        simulation = deployed(routed_canary(*STEPS))
        simulation.kubernetes.slowest_pod_s = 30
        simulation.set_image("v2")
        simulation.run(1)
        assert simulation.hold(50)
        simulation.run(120)
        assert (weight(simulation), simulation.status["currentStepIndex"]) == (50, 0)
        simulation.promote()
        simulation.run(60)
        assert (weight(simulation), simulation.status["currentStepIndex"]) == (25, 1)
        assert (simulation.status["phase"], is_held(simulation)) == ("Paused", False)

    def test_a_step_that_a_promote_skips_ends_it(self) -> None:
        """A promote that meets the annotation before the controller does ends it as well."""
        simulation = deployed(routed_canary({"setWeight": 25}, {"setWeight": 75}, PAUSE))
        simulation.kubernetes.slowest_pod_s = 30
        simulation.set_image("v2")
        simulation.run(1)
        assert simulation.hold(50)
        simulation.patch_status("promote", {"currentStepIndex": 1})
        simulation.run(120)
        assert (weight(simulation), is_held(simulation)) == (75, False)

    def test_a_retry_does_not_bring_it_back(self) -> None:
        """An update that is aborted and begun again follows its steps."""
        simulation = held()
        _abort(simulation)
        simulation.run(30)
        simulation.patch_status("retry", {"abort": False})
        simulation.run(60)
        assert (weight(simulation), is_held(simulation)) == (25, False)

    def test_another_weight_takes_its_place(self) -> None:
        """A second weight is held in place of the first, and the same one again changes nothing."""
        simulation = held()
        assert simulation.hold(10)
        simulation.run(60)
        assert weight(simulation) == 10
        effect = hold_weight(simulation.rollout, 10, "bob", simulation.clock.now)
        assert (effect.changes, effect.text.endswith("by ann already")) == (False, True)

    def test_a_weight_in_the_objects_is_set_back_to_it(self) -> None:
        """What somebody writes into the routing objects is written over."""
        simulation = held()
        written = simulation.data_plane.written
        assert written is not None
        simulation.data_plane.write(
            written.traffic.__class__(written.traffic.split.__class__(80)), written.roles, None
        )
        simulation.wake()
        simulation.run(30)
        assert weight(simulation) == 50


VALUES: dict[str, str] = {
    "no JSON": "30",
    "not even JSON": "{",
    "deep": "[" * 100_000,
    "no number": json.dumps(
        {"weight": "30", "hash": "a", "step": 1, "by": "x", "since": "2026-01-01T00:00:00Z"}
    ),
    "true": json.dumps({"weight": True, "hash": "a", "step": 1, "by": "x", "since": "2026-01-01T00:00:00Z"}),
    "negative": json.dumps(
        {"weight": -1, "hash": "a", "step": 1, "by": "x", "since": "2026-01-01T00:00:00Z"}
    ),
    "no step": json.dumps(
        {"weight": 1, "hash": "a", "step": "1", "by": "x", "since": "2026-01-01T00:00:00Z"}
    ),
    "two lines": json.dumps(
        {"weight": 1, "hash": "a", "step": 1, "by": "x\ny", "since": "2026-01-01T00:00:00Z"}
    ),
    "no zone": json.dumps({"weight": 1, "hash": "a", "step": 1, "by": "x", "since": "2026-01-01T00:00:00"}),
}


class TestFaults:
    """Annotations that hold nothing."""

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_a_value_with_a_fault_is_reported_and_heals(self, value: str) -> None:
        """It is InvalidSpec, nothing moves, an abort still goes back to stable, and removing it lets the release go on."""
        simulation = updated(routed_canary(*STEPS))
        annotate(simulation, value)
        simulation.run(30)
        assert f"metadata.annotations.{HELD_WEIGHT}: " in condition(simulation, "InvalidSpec")["message"]
        assert (simulation.status["phase"], weight(simulation)) == ("Degraded", 25)
        with pytest.raises(RefusedError, match="faults"):
            hold_weight(simulation.rollout, 30, "ann", simulation.clock.now)
        simulation.release()
        simulation.run(30)
        assert (simulation.status["phase"], weight(simulation)) == ("Paused", 25)
        annotate(simulation, value)
        simulation.run(5)
        _abort(simulation)
        simulation.run(60)
        assert (weight(simulation), is_held(simulation)) == (0, False)

    def test_a_weight_over_the_total_is_a_fault(self) -> None:
        """It is reported with the total."""
        simulation = held(to=100)
        annotate(simulation, simulation.rollout["metadata"]["annotations"][HELD_WEIGHT].replace("100", "101"))
        simulation.run(30)
        assert "weight 101 is outside 0..100" in simulation.status["message"]

    def test_a_rollout_without_a_weight_to_hold_reports_it(self) -> None:
        """A hold for the present update of a canary without a router is a fault."""
        simulation = updated(canary(*STEPS))
        value = {
            "weight": 50,
            "hash": hash_of(simulation, "v2"),
            "step": 1,
            "by": "ann",
            "since": "2026-01-01T00:00:00Z",
        }
        annotate(simulation, json.dumps(value))
        simulation.run(30)
        assert "only a canary with trafficRouting" in simulation.status["message"]
        annotate(simulation, json.dumps(value | {"hash": "another"}))
        simulation.run(30)
        assert (simulation.status["phase"], is_held(simulation)) == ("Paused", False)


class TestRefusals:
    """Where `set-weight` refuses to hold a weight, and what it writes where it does not."""

    @pytest.mark.parametrize(
        ("strategy", "words"),
        [(blue_green(autoPromotionEnabled=False), "blue-green"), (canary(*STEPS), "no trafficRouting")],
    )
    def test_strategies_without_a_weight_to_hold(self, strategy: Manifest, words: str) -> None:
        """Blue-green, and a canary without a router, are refused by name."""
        simulation = updated(strategy)
        with pytest.raises(UnsupportedError, match=words):
            hold_weight(simulation.rollout, 30, "ann", simulation.clock.now)

    def test_releases_without_an_update(self) -> None:
        """Without an update, aborted, or fully promoted, there is no canary to give a weight to."""
        simulation = deployed(routed_canary(*STEPS))
        self._is_refused(simulation, "no update is under way")
        simulation.set_image("v2")
        self._is_refused(simulation, "to be observed", ConflictError)
        simulation.run(60)
        _abort(simulation)
        self._is_refused(simulation, "its update is aborted")
        simulation.run(60)
        simulation.patch_status("retry", {"abort": False})
        self._is_refused(simulation, "to be observed", ConflictError)
        simulation.run(60)
        simulation.promote()
        self._is_refused(simulation, "rollout to unpause", ConflictError)
        simulation.run(60)
        _promote_full(simulation)
        self._is_refused(simulation, "full promotion")

    def _is_refused(
        self, simulation: Simulation, words: str, kind: type[RollwayError] = RefusedError
    ) -> None:
        with pytest.raises(kind, match=words):
            hold_weight(simulation.rollout, 30, "ann", simulation.clock.now)

    def test_nobody_has_taken_it_up(self) -> None:
        """A Rollout without a status has no controller that could hold anything."""
        manifest = {**deployed(routed_canary()).rollout, "status": {}}
        with pytest.raises(RefusedError, match="no controller has taken it up"):
            hold_weight(manifest, 30, "ann", deployed(routed_canary()).clock.now)

    def test_it_is_for_the_update_that_was_read(self) -> None:
        """The write fails when the release has gone on since, and when another weight was held meanwhile."""
        simulation = updated(routed_canary(*STEPS))
        effect = hold_weight(simulation.rollout, 30, "ann", simulation.clock.now)
        simulation.promote()
        with pytest.raises(ConflictError):
            simulation.store.patch(Key("Rollout", "web"), effect.spec)
        simulation.run(60)
        assert simulation.hold(40)
        replaced = hold_weight(simulation.rollout, 30, "ann", simulation.clock.now)
        released = release_weight(simulation.rollout)
        assert simulation.hold(50)
        for effect in (replaced, released):
            with pytest.raises(ConflictError):
                simulation.store.patch(Key("Rollout", "web"), effect.spec)

    def test_the_first_annotation_of_a_rollout(self) -> None:
        """Where there are no annotations yet, nobody else's is lost."""
        simulation = updated(routed_canary(*STEPS))
        bare = {**simulation.rollout, "metadata": {**simulation.rollout["metadata"], "annotations": None}}
        operations = hold_weight(bare, 30, "ann", simulation.clock.now).spec
        assert operations[-1]["path"] == "/metadata/annotations"
        assert operations[-2]["path"] == "/metadata/resourceVersion"

    def test_what_the_verbs_say(self) -> None:
        """A release says where it goes on, `promote` that it ends what is held, and both that there is nothing to do."""
        simulation = held()
        assert (
            release_weight(simulation.rollout).text
            == "no weight is held any more; the release goes on at step 2/4 (pause)"
        )
        assert promote(simulation.rollout).text.startswith(
            "promoted past the weight that is held at step 2/4"
        )
        _release(simulation)
        assert not release_weight(simulation.rollout).changes
        assert read_held_weight(simulation.rollout) is None
