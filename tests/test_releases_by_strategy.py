"""What users see of canary and blue-green releases, in a simulated world: pods, Services and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rollway.controller.testing.rollouts import blue_green, by_subsets, routed_canary
from rollway.routers.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.routers.objects import Manifest

from simulated import (
    PAUSE,
    canary,
    deadline,
    deployed,
    hash_of,
    pod_names,
    pods,
    revision,
    selected,
    set_spec,
    updated,
    weight,
)


class TestCanary:
    """Canary releases, with and without a router."""

    def test_a_pause_counts_on_over_a_restart_of_the_controller(self) -> None:
        """The time of a pause counts from its beginning."""
        simulation = deployed(canary({"pause": {"duration": 60}}))
        simulation.set_image("v2")
        simulation.run(40)
        simulation.kill("in the middle of a pause")
        simulation.run(25)
        assert simulation.status["currentStepIndex"] == 1

    def test_routing_of_another_controller_is_completed_at_the_same_weight(self) -> None:
        """What Argo's controller has written has the weight and lacks what rollway sets, so it is written once more."""
        simulation = updated(routed_canary({"setWeight": 25}, PAUSE))
        simulation.data_plane.incomplete = True
        simulation.kill("another controller has had the release meanwhile")
        simulation.run(10)
        assert (simulation.data_plane.incomplete, weight(simulation)) == (False, 25)
        assert simulation.status["canary"]["weights"]["verified"] is True

    def test_a_third_release_ends_the_second(self) -> None:
        """Of three releases, the one in the middle has no pods."""
        simulation = updated(canary({"setWeight": 25}, PAUSE), replicas=3)
        simulation.set_image("v3")
        simulation.run(60)
        assert pods(simulation, "v1", "v2", "v3") == (3, 0, 1)

    def test_old_pods_keep_their_time_when_a_third_release_begins(self) -> None:
        """Pods of an aborted release stay for the time that was noted, also where the next one would give them none."""
        steps = ({"setWeight": 50}, PAUSE)
        simulation = updated(routed_canary(*steps, scaleDownDelaySeconds=0, abortScaleDownDelaySeconds=100))
        simulation.patch_status("abort", {"abort": True})
        simulation.run(20)
        due = deadline(simulation, "v2")
        assert due is not None
        simulation.set_image("v3")
        simulation.run(30)
        assert (pods(simulation, "v2"), deadline(simulation, "v2")) == ((2,), due)
        simulation.run(80)
        assert pods(simulation, "v2") == (0,)

    def test_the_way_back_skips_every_step(self) -> None:
        """A Rollout that goes back to stable is healthy at once, without a pause."""
        simulation = updated(canary({"setWeight": 25}, PAUSE))
        simulation.set_image("v1")
        simulation.run(30)
        assert (simulation.status["phase"], pods(simulation)) == ("Healthy", (4, 0))
        assert any("SkipSteps" in line for line in simulation.story)

    def test_other_steps_begin_again(self) -> None:
        """An edit of the steps starts the update anew; an edit of another field of the strategy does not."""
        simulation = updated(routed_canary({"setWeight": 25}, {"setWeight": 50}, PAUSE))
        assert simulation.status["currentStepIndex"] == 2
        strategy = routed_canary({"setWeight": 25}, {"setWeight": 50}, PAUSE, scaleDownDelaySeconds=7)
        set_spec(simulation, strategy=strategy)
        simulation.run(30)
        assert simulation.status["currentStepIndex"] == 2
        set_spec(simulation, strategy=routed_canary({"setWeight": 10}, PAUSE))
        simulation.run(30)
        assert (simulation.status["currentStepIndex"], weight(simulation)) == (1, 10)

    def test_a_release_that_had_all_weight_is_superseded(self) -> None:
        """Where stable has no pods left, it gets them back before the weight of the old canary returns to it."""
        simulation = updated(routed_canary({"setWeight": 100}, PAUSE, dynamicStableScale=True))
        assert (weight(simulation), pods(simulation)) == (100, (0, 4))
        simulation.set_image("v3")
        simulation.run(120)
        assert (simulation.status["phase"], weight(simulation)) == ("Paused", 100)
        assert pods(simulation, "v1", "v2", "v3") == (0, 0, 4)

    @pytest.mark.parametrize(
        ("scale", "count"), [({"replicas": 3}, 3), ({"weight": 75}, 3), ({"matchTrafficWeight": True}, 1)]
    )
    def test_a_canary_scale_moves_pods_only(self, scale: Manifest, count: int) -> None:
        """`setCanaryScale` changes the pods of the canary, and not its weight."""
        simulation = updated(routed_canary({"setWeight": 25}, {"setCanaryScale": scale}, PAUSE))
        assert (pods(simulation), weight(simulation)) == ((4, count), 25)

    def test_a_canary_scale_makes_no_pods_of_a_rollout_without_replicas(self) -> None:
        """At 0 replicas no step makes pods, and the release is complete without any."""
        simulation = updated(
            routed_canary({"setWeight": 50}, {"setCanaryScale": {"replicas": 2}}, {"setWeight": 1}),
            replicas=0,
        )
        assert (simulation.status["phase"], pods(simulation)) == ("Healthy", (0, 0))

    def test_stable_follows_the_weight_where_its_scale_is_dynamic(self) -> None:
        """With `dynamicStableScale` both have the pods of their weight; an abort goes back in step."""
        simulation = updated(
            routed_canary({"setWeight": 25}, PAUSE, {"setWeight": 75}, PAUSE, dynamicStableScale=True)
        )
        assert pods(simulation) == (3, 1)
        simulation.promote()
        simulation.run(60)
        assert (pods(simulation), weight(simulation)) == ((1, 3), 75)
        simulation.patch_status("abort", {"abort": True})
        simulation.run(60)
        assert (pods(simulation), weight(simulation)) == ((4, 0), 0)

    def test_a_third_release_takes_over_where_stable_has_no_pods(self) -> None:
        """At full weight a dynamic stable scale has no pods; they come back before the next release takes the place."""
        simulation = updated(routed_canary({"setWeight": 100}, PAUSE, dynamicStableScale=True))
        assert (pods(simulation), weight(simulation)) == ((0, 4), 100)
        simulation.set_image("v3")
        simulation.run(90)
        assert (simulation.status["phase"], simulation.status["currentStepIndex"]) == ("Paused", 1)
        assert (weight(simulation), selected(simulation, "canary")) == (100, hash_of(simulation, "v3"))
        assert any("traffic 0 of 100" in line for line in simulation.story), "stable took the weight between"

    def test_ping_and_pong_swap_roles(self) -> None:
        """At a promotion the Services keep their selectors and swap their roles."""
        steps = ({"setWeight": 75}, PAUSE)
        ping_pong = {"pingService": "stable", "pongService": "canary"}
        strategy = routed_canary(*steps, pingPong=ping_pong, stableService="", canaryService="")
        simulation = updated(strategy)
        before = simulation.status["canary"].get("stablePingPong", "")
        assert simulation.status["canary"]["weights"]["canary"]["weight"] == 75
        simulation.promote()
        simulation.run(90)
        assert simulation.status["canary"]["stablePingPong"] != before
        weights = simulation.status["canary"]["weights"]
        assert (weights["canary"]["weight"], weights["stable"]["weight"]) == (0, 100)
        assert selected(simulation, weights["stable"]["serviceName"]) == hash_of(simulation, "v2")

    def test_weights_follow_the_steps_and_end_at_stable(self) -> None:
        """At the end all of the weight is on stable, whose Service selects the new pods."""
        simulation = updated(routed_canary({"setWeight": 30}, PAUSE))
        assert weight(simulation) == 30
        assert simulation.status["canary"]["weights"]["verified"] is True
        assert selected(simulation, "stable") == hash_of(simulation, "v1")
        simulation.promote()
        simulation.run(60)
        assert weight(simulation) == 0
        assert selected(simulation, "stable") == hash_of(simulation, "v2")

    def test_routes_stand_in_the_order_of_the_managed_routes(self) -> None:
        """Whichever step sets them first, and also when one sets a route anew, a router tries them in that order."""
        match = [{"method": {"exact": "GET"}}]
        steps = [
            {"setMirrorRoute": {"name": name, "percentage": share, "match": match}}
            for name, share in (("second", 50), ("first", 50), ("first", 70))
        ]
        routing = {"nginx": {}, "managedRoutes": [{"name": "first"}, {"name": "second"}]}
        simulation = updated(routed_canary({"setWeight": 50}, *steps, PAUSE, trafficRouting=routing))
        assert simulation.status["phase"] == "Paused"
        assert simulation.data_plane.loaded is not None
        names = [route.name for route in simulation.data_plane.loaded.traffic.mirror_routes]
        assert names == ["first", "second"]

    def test_routes_come_with_their_step_and_go_at_the_end(self) -> None:
        """Header and mirror routes are there from their step on, until an abort or a promotion."""
        header = {"name": "testers", "match": [{"headerName": "x", "headerValue": {"exact": "y"}}]}
        mirror = {"name": "mirror", "percentage": 50, "match": [{"method": {"exact": "GET"}}]}
        steps = ({"setWeight": 1}, {"setHeaderRoute": header}, {"setMirrorRoute": mirror}, PAUSE)
        routing = {"nginx": {}, "managedRoutes": [{"name": "testers"}, {"name": "mirror"}]}
        for end in ({"abort": True}, {"pauseConditions": None}):
            simulation = updated(routed_canary(*steps, trafficRouting=routing))
            assert simulation.data_plane.loaded is not None
            assert [route.name for route in simulation.data_plane.loaded.traffic.routes] == [
                "testers",
                "mirror",
            ]
            simulation.patch_status("end", end)
            simulation.run(60)
            assert not simulation.data_plane.loaded.traffic.routes

    def test_an_update_without_pods_takes_the_weight_along(self) -> None:
        """At 0 replicas ping and pong swap as well, and all of the weight stays on stable."""
        ping_pong = {"pingService": "stable", "pongService": "canary"}
        strategy = routed_canary(pingPong=ping_pong, stableService="", canaryService="")
        simulation = updated(strategy, replicas=0)
        assert simulation.status["phase"] == "Healthy"
        weights = simulation.status["canary"]["weights"]
        assert (weights["canary"]["weight"], weights["stable"]["weight"]) == (0, 100)

    def test_routes_go_before_the_pods_that_they_lead_to(self) -> None:
        """At weight 0 the canary has no pods, so its header route goes first; it comes back with them."""
        header = {"name": "testers", "match": [{"headerName": "x", "headerValue": {"exact": "y"}}]}
        steps = (
            {"setWeight": 25},
            {"setHeaderRoute": header},
            {"setWeight": 0},
            PAUSE,
            {"setWeight": 50},
            PAUSE,
        )
        routing = {"nginx": {}, "managedRoutes": [{"name": "testers"}]}
        simulation = updated(routed_canary(*steps, trafficRouting=routing))
        assert simulation.data_plane.loaded is not None
        assert (simulation.status["currentStepIndex"], pods(simulation)) == (3, (4, 0))
        assert not simulation.data_plane.loaded.traffic.routes
        simulation.promote()
        simulation.run(60)
        assert (simulation.status["currentStepIndex"], pods(simulation)) == (5, (4, 2))
        assert [route.name for route in simulation.data_plane.loaded.traffic.routes] == ["testers"]

    def test_a_restarted_controller_writes_nothing_where_nothing_changes(self) -> None:
        """What the status has as verified stays so until the data plane answers something else."""
        simulation = updated(routed_canary({"setWeight": 25}, PAUSE))
        writes = simulation.store.writes
        simulation.kill("nothing else happens")
        simulation.run(60)
        assert simulation.store.writes == writes

    def test_a_full_promotion_ends_a_wait_for_bad_stable_pods(self) -> None:
        """Where stable is an image that never becomes ready, steps back to it wait, and a full promotion goes on."""
        simulation = deployed(canary({"setWeight": 25}, {"setWeight": 0}), replicas=0)
        simulation.set_image("bad2")
        simulation.run(30)
        set_spec(simulation, replicas=3)
        simulation.run(30)
        simulation.set_image("v3")
        simulation.run(60)
        assert simulation.status["phase"] == "Progressing"
        simulation.patch_status("promote --full", {"promoteFull": True})
        simulation.run(60)
        assert (simulation.status["phase"], pods(simulation, "bad2", "v3")) == ("Healthy", (0, 3))

    @pytest.mark.parametrize("strategy", [routed_canary, by_subsets])
    def test_a_bad_stable_release_does_not_keep_users_on_a_superseded_one(
        self, strategy: Callable[..., Manifest]
    ) -> None:
        """Where stable has no pod to take the weight back, what leads to the canary moves to the next release under it."""
        simulation = updated(strategy({"setWeight": 50}, PAUSE))
        for name in pod_names(simulation, "v1"):
            simulation.kubernetes.set_ready(name, ready=False)
        simulation.run(5)
        simulation.set_image("v3")
        simulation.run(60)
        assert (weight(simulation), simulation.status["phase"]) == (50, "Paused")
        simulation.patch_status("promote --full", {"promoteFull": True})
        simulation.run(60)
        assert (simulation.status["phase"], weight(simulation)) == ("Healthy", 0)
        assert pods(simulation, "v3") == (4,)

    def test_users_stay_where_stable_has_no_pods(self) -> None:
        """A release superseded after its switch keeps its users until stable, or the next one, has pods."""
        simulation = deployed(blue_green(trafficRouting={"nginx": {}}))
        simulation.data_plane.slowest_s = 100_000  # the switch is written, and not loaded yet
        simulation.set_image("v2")
        simulation.run(20)
        assert simulation.data_plane.written is not None
        assert simulation.data_plane.written.traffic.split.canary == 100
        for name in pod_names(simulation, "v1"):
            simulation.kubernetes.set_ready(name, ready=False)
        simulation.run(2)
        simulation.set_image("bad3")
        simulation.run(20)
        assert simulation.data_plane.written.traffic.split.canary == 100
        assert pods(simulation, "v2") == (4,)

    def test_pods_of_a_superseded_preview_go(self) -> None:
        """The preview Service moves to the newest release, so the one before it ends after its delay."""
        simulation = updated(blue_green(autoPromotionEnabled=False, scaleDownDelaySeconds=5))
        simulation.set_image("v3")
        simulation.run(60)
        assert selected(simulation, "canary") == hash_of(simulation, "v3")
        assert pods(simulation, "v1", "v2", "v3") == (4, 0, 4)


class TestScaleDownDelay:
    """When the pods of a release go that traffic has left."""

    def test_old_pods_stay_for_the_delay(self) -> None:
        """With a router the old pods have a deadline, and go then; without one they go at once."""
        simulation = updated(routed_canary(scaleDownDelaySeconds=100))
        assert pods(simulation) == (4, 4)
        assert deadline(simulation, "v1")
        simulation.run(120)
        assert (pods(simulation), deadline(simulation, "v1")) == ((0, 4), None)
        assert pods(updated(canary())) == (0, 4)

    def test_only_so_many_old_releases_wait(self) -> None:
        """`scaleDownDelayRevisionLimit` takes the older of two waiting releases at once."""
        simulation = updated(routed_canary(scaleDownDelaySeconds=600, scaleDownDelayRevisionLimit=1))
        simulation.set_image("v3")
        simulation.run(60)
        assert pods(simulation, "v1", "v2", "v3") == (0, 4, 4)

    def test_the_way_back_within_the_delay_uses_the_same_pods(self) -> None:
        """A Rollout that goes back within the delay has its old pods again, without a deadline."""
        simulation = updated(routed_canary(scaleDownDelaySeconds=600))
        before = pod_names(simulation, "v1")
        simulation.set_image("v1")
        simulation.run(60)
        assert simulation.status["stableRS"] == hash_of(simulation, "v1")
        assert (pod_names(simulation, "v1"), deadline(simulation, "v1")) == (before, None)

    @pytest.mark.parametrize(("delay", "expected"), [(1, (4, 0)), (0, (4, 2))])
    def test_the_canary_of_an_abort_stays_for_its_delay(self, delay: int, expected: tuple[int, int]) -> None:
        """An aborted canary goes after its delay, and stays where that is 0; its Service goes back to stable."""
        simulation = updated(routed_canary({"setWeight": 50}, PAUSE, abortScaleDownDelaySeconds=delay))
        simulation.patch_status("abort", {"abort": True})
        simulation.run(60)
        assert (pods(simulation), weight(simulation)) == (expected, 0)
        assert selected(simulation, "canary") == hash_of(simulation, "v1")

    def test_no_service_keeps_pods_of_a_rollout_without_replicas(self) -> None:
        """A Rollout at 0 replicas ends all of its pods, also those that a Service still selects, and goes on."""
        simulation = updated(routed_canary({"setWeight": 50}, PAUSE))
        set_spec(simulation, replicas=0)
        simulation.set_image("v3")
        simulation.run(120)
        assert simulation.status["phase"] in ("Paused", "Healthy")
        assert pods(simulation, "v1", "v2", "v3") == (0, 0, 0)


class TestBlueGreen:
    """Blue-green releases."""

    def test_users_move_when_every_new_pod_is_available(self) -> None:
        """The preview moves first, the active Service with all pods; the old ones stay for the delay."""
        simulation = updated(blue_green(scaleDownDelaySeconds=100), replicas=3)
        assert selected(simulation, "canary") == selected(simulation, "stable") == hash_of(simulation, "v2")
        assert pods(simulation) == (3, 3)
        simulation.run(110)
        assert pods(simulation) == (0, 3)

    def test_users_wait_for_a_promote(self) -> None:
        """Without automatic promotion the active Service stays until promote."""
        simulation = updated(blue_green(autoPromotionEnabled=False))
        assert (simulation.status["phase"], simulation.status["message"]) == ("Paused", "BlueGreenPause")
        assert selected(simulation, "canary") == hash_of(simulation, "v2")
        assert selected(simulation, "stable") == hash_of(simulation, "v1")
        simulation.promote()
        simulation.run(30)
        assert selected(simulation, "stable") == hash_of(simulation, "v2")

    def test_a_rollout_without_replicas_is_promoted_beside_old_pods(self) -> None:
        """At 0 replicas a promotion does not wait for pods, also while a preview that was superseded has one."""
        strategy = blue_green(
            trafficRouting={"nginx": {}},
            autoPromotionEnabled=False,
            previewReplicaCount=1,
            scaleDownDelaySeconds=300,
        )
        simulation = updated(strategy, replicas=2)
        set_spec(simulation, replicas=0)
        simulation.run(30)
        simulation.set_image("v3")
        simulation.run(30)
        simulation.promote()
        simulation.run(60)
        assert pods(simulation, "v2") == (1,)
        assert (simulation.status["phase"], simulation.status["stableRS"]) == (
            "Healthy",
            hash_of(simulation, "v3"),
        )

    def test_the_first_update_without_replicas_is_complete(self) -> None:
        """At 0 replicas an update needs no pods behind the active Service, which selects no hash yet."""
        simulation = updated(blue_green(previewReplicaCount=1), replicas=0)
        assert (simulation.status["phase"], simulation.status["stableRS"]) == (
            "Healthy",
            hash_of(simulation, "v2"),
        )

    def test_a_pause_for_a_time_ends_by_itself(self) -> None:
        """`autoPromotionSeconds` ends the pause."""
        simulation = updated(blue_green(autoPromotionSeconds=100))
        assert simulation.status["phase"] == "Paused"
        simulation.run(100)
        assert selected(simulation, "stable") == hash_of(simulation, "v2")

    def test_the_preview_may_be_small(self) -> None:
        """With `previewReplicaCount` the preview has so many pods until promote, and all of them before the switch."""
        simulation = updated(blue_green(autoPromotionEnabled=False, previewReplicaCount=1), replicas=3)
        assert pods(simulation) == (3, 1)
        simulation.promote()
        simulation.run(30)
        assert pods(simulation, "v2") == (3,)
        assert selected(simulation, "stable") == hash_of(simulation, "v2")

    def test_the_way_back_within_the_delay_needs_no_pause(self) -> None:
        """Back to the old release within its delay, nobody has to promote; it is revision 3."""
        simulation = updated(blue_green(autoPromotionEnabled=False, scaleDownDelaySeconds=600))
        simulation.promote()
        simulation.run(30)
        begun = len(simulation.story)
        simulation.set_image("v1")
        simulation.run(30)
        assert (selected(simulation, "stable"), revision(simulation)) == (hash_of(simulation, "v1"), "3")
        assert simulation.status["phase"] == "Healthy"
        assert not any("BlueGreenPause" in line for line in simulation.story[begun:])

    def test_an_abort_and_a_retry_pause_again(self) -> None:
        """After an abort and a retry, the release waits for promote once more."""
        simulation = updated(blue_green(autoPromotionEnabled=False))
        simulation.patch_status("abort", {"abort": True})
        simulation.run(60)
        assert (simulation.status["phase"], pods(simulation)) == ("Degraded", (4, 0))
        simulation.patch_status("retry", {"abort": False})
        simulation.run(60)
        assert (simulation.status["phase"], pods(simulation)) == ("Paused", (4, 4))

    def test_a_router_carries_the_switch(self) -> None:
        """With `trafficRouting` the switch is a weight, and afterwards everything is on the active Service."""
        simulation = updated(blue_green(trafficRouting={"nginx": {}}))
        assert any("traffic 100 of 100" in line for line in simulation.story)
        assert (weight(simulation), selected(simulation, "stable")) == (0, hash_of(simulation, "v2"))


class TestEvidence:
    """What a release does while a data plane is late, or a write is refused."""

    def test_a_step_waits_for_the_data_plane(self) -> None:
        """A weight that is written and not loaded ends no step, and is not shown as verified."""
        simulation = deployed(routed_canary({"setWeight": 25}, PAUSE))
        simulation.data_plane.slowest_s = 1e6
        simulation.set_image("v2")
        simulation.run(60)
        assert simulation.status["currentStepIndex"] == 0
        assert simulation.status["canary"]["weights"]["verified"] is False
        assert "weight 25 of 100, 25 % is not loaded yet" in simulation.status["message"]

    def test_a_refused_weight_is_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Traffic that is refused stops what rests on it; it is tried again, and the release goes on then."""
        simulation = deployed(routed_canary({"setWeight": 25}, PAUSE))
        tries: list[object] = []

        def refuse(_rollout: object, wish: object) -> None:
            tries.append(wish)
            raise RefusedError("not now")

        with monkeypatch.context() as patch:
            patch.setattr(simulation.routing, "set", refuse)
            simulation.set_image("v2")
            simulation.run(60)
        assert 5 <= len(tries) <= 40
        assert (simulation.status["currentStepIndex"], weight(simulation)) == (0, 0)
        simulation.run(30)
        assert (simulation.status["currentStepIndex"], weight(simulation)) == (1, 25)
