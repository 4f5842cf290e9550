"""What users of a Rollout see of its releases, in a simulated world: pods, Services, weights and the status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rollway.controller.testing.api import Key
from rollway.controller.testing.rollouts import blue_green, rollout, routed_canary
from rollway.controller.testing.simulation import Simulation
from rollway.controller.world import HASH_LABEL, SCALE_DOWN_DEADLINE, write_time

if TYPE_CHECKING:
    from collections.abc import Callable

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
    return replica_set(simulation, image)["metadata"]["annotations"].get(SCALE_DOWN_DEADLINE)


def selected(simulation: Simulation, service: str) -> str | None:
    """Return the hash that a Service selects."""
    return simulation.store.objects[Key("Service", service)]["spec"]["selector"].get(HASH_LABEL)


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


class TestEveryRelease:
    """What holds for a canary as for any other release."""

    def test_first_release_needs_no_steps(self) -> None:
        """The first release is healthy without a pause, behind its last step, as revision 1."""
        simulation = deployed(canary({"setWeight": 10}, PAUSE))
        assert simulation.status["currentStepIndex"] == 2
        assert revision(simulation) == "1"

    def test_an_update_stops_at_its_first_pause(self) -> None:
        """An update is revision 2 and waits for promote; one pod of each serves a Rollout of one replica."""
        simulation = updated(canary({"setWeight": 10}, PAUSE), replicas=1)
        assert (simulation.status["phase"], simulation.status["message"]) == ("Paused", "CanaryPauseStep")
        assert (revision(simulation), simulation.status["currentStepIndex"]) == ("2", 1)
        assert pods(simulation) == (1, 1)

    def test_abort_and_retry(self) -> None:
        """An abort takes the pods of the canary, and a retry comes to the same pause again."""
        simulation = updated(canary({"setWeight": 10}, PAUSE), replicas=1)
        simulation.patch_status("abort", {"abort": True})
        simulation.run(30)
        assert (simulation.status["phase"], pods(simulation)) == ("Degraded", (1, 0))
        assert condition(simulation, "Progressing")["reason"] == "RolloutAborted"
        simulation.patch_status("retry", {"abort": False})
        simulation.run(30)
        assert (simulation.status["phase"], pods(simulation)) == ("Paused", (1, 1))

    def test_each_pause_needs_a_promote(self) -> None:
        """Two pauses need two promotes."""
        simulation = updated(canary(PAUSE, PAUSE))
        for index in (0, 1):
            assert (simulation.status["phase"], simulation.status["currentStepIndex"]) == ("Paused", index)
            simulation.promote()
            simulation.run(60)
        assert (simulation.status["phase"], pods(simulation)) == ("Healthy", (0, 4))

    def test_full_promotion_after_an_abort_and_a_retry(self) -> None:
        """A full promotion passes every step and every pause."""
        simulation = updated(routed_canary({"setWeight": 10}, PAUSE, {"setWeight": 50}, PAUSE))
        simulation.patch_status("promote --full", {"promoteFull": True})
        simulation.run(60)
        assert simulation.status["phase"] == "Healthy"
        assert simulation.status["stableRS"] == hash_of(simulation, "v2")
        assert "promoteFull" not in simulation.status

    def test_a_bad_image_leaves_stable_alone_and_a_good_one_heals(self) -> None:
        """Pods that do not become ready degrade the release after its deadline; the next releases replace them."""
        simulation = deployed(canary({"setWeight": 50}), progressDeadlineSeconds=30)
        simulation.set_image("bad2")
        simulation.run(60)
        assert condition(simulation, "Progressing")["reason"] == "ProgressDeadlineExceeded"
        assert simulation.status["phase"] == "Degraded"
        assert pods(simulation, "v1")[0] >= 3
        simulation.set_image("bad3")
        simulation.run(60)
        assert pods(simulation, "bad2") == (0,)
        simulation.set_image("v4")
        simulation.run(120)
        assert (simulation.status["phase"], pods(simulation, "v1", "bad3", "v4")) == ("Healthy", (0, 0, 4))

    def test_a_release_that_is_late_is_aborted_where_that_is_asked_for(self) -> None:
        """`progressDeadlineAbort` aborts a release that makes no progress."""
        simulation = deployed(
            canary({"setWeight": 50}), progressDeadlineSeconds=30, progressDeadlineAbort=True
        )
        simulation.set_image("bad2")
        simulation.run(90)
        assert simulation.status["abort"] is True
        assert pods(simulation, "v1", "bad2") == (4, 0)
        assert "timed out" in condition(simulation, "Progressing")["message"]

    def test_a_finished_release_that_loses_pods_is_not_aborted(self) -> None:
        """The deadline aborts updates only."""
        simulation = deployed(canary(), progressDeadlineSeconds=30, progressDeadlineAbort=True)
        for name in pod_names(simulation, "v1"):
            simulation.kubernetes.set_ready(name, ready=False)
        simulation.run(120)
        assert "abort" not in simulation.status
        assert condition(simulation, "Available")["status"] == "False"

    @pytest.mark.parametrize(
        "strategy", [canary({"pause": {"duration": 90}}), blue_green(scaleDownDelaySeconds=90)]
    )
    def test_to_wait_on_purpose_is_not_late(self, strategy: Manifest) -> None:
        """A pause or a delay longer than the deadline does not degrade a release."""
        simulation = updated(strategy, progressDeadlineSeconds=20)
        assert simulation.status["phase"] in ("Paused", "Healthy")
        simulation.run(120)
        assert simulation.status["phase"] == "Healthy"
        assert not any("timed out" in line or "Degraded" in line for line in simulation.story)

    def test_pods_follow_a_scale_at_a_pause(self) -> None:
        """A Rollout that is scaled at a pause keeps its step and the share of its canary."""
        simulation = updated(canary({"setWeight": 25}, PAUSE), replicas=1)
        assert pods(simulation) == (1, 1)
        for replicas, expected in ((8, (6, 2)), (4, (3, 1))):
            set_spec(simulation, replicas=replicas)
            simulation.run(60)
            assert (pods(simulation), simulation.status["currentStepIndex"]) == (expected, 1)

    def test_a_paused_rollout_begins_no_update(self) -> None:
        """`spec.paused` keeps an update back until it is removed."""
        simulation = deployed(canary())
        set_spec(simulation, paused=True)
        simulation.set_image("v2")
        simulation.run(60)
        assert simulation.status["message"] == "manually paused"
        assert len(simulation.store.of("ReplicaSet")) == 1
        set_spec(simulation, paused=False)
        simulation.run(60)
        assert (simulation.status["phase"], pods(simulation)) == ("Healthy", (0, 4))

    def test_an_annotation_is_no_update_and_a_label_of_the_template_is(self) -> None:
        """Only the pod template begins an update; annotations of the Rollout come to its ReplicaSet."""
        simulation = deployed(canary())
        simulation.edit(
            "annotate", lambda manifest: manifest["metadata"]["annotations"].update({"team": "shop"})
        )
        simulation.run(30)
        assert revision(simulation) == "1"
        assert replica_set(simulation, "v1")["metadata"]["annotations"]["team"] == "shop"
        simulation.edit(
            "label", lambda manifest: manifest["spec"]["template"]["metadata"]["labels"].update(tier="x")
        )
        simulation.run(60)
        assert revision(simulation) == "2"

    def test_how_a_release_ended_is_in_the_status(self) -> None:
        """The duration has the end of the release, and how it came."""
        simulation = updated(canary())
        assert simulation.status["duration"]["completionStatus"] == "Promoted"
        simulation = updated(canary(PAUSE))
        simulation.patch_status("abort", {"abort": True})
        simulation.run(30)
        assert simulation.status["duration"]["completionStatus"] == "Aborted"


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

    def test_a_third_release_ends_the_second(self) -> None:
        """Of three releases, the one in the middle has no pods."""
        simulation = updated(canary({"setWeight": 25}, PAUSE), replicas=3)
        simulation.set_image("v3")
        simulation.run(60)
        assert pods(simulation, "v1", "v2", "v3") == (3, 0, 1)

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

    @pytest.mark.parametrize(
        ("scale", "count"), [({"replicas": 3}, 3), ({"weight": 75}, 3), ({"matchTrafficWeight": True}, 1)]
    )
    def test_a_canary_scale_moves_pods_only(self, scale: Manifest, count: int) -> None:
        """`setCanaryScale` changes the pods of the canary, and not its weight."""
        simulation = updated(routed_canary({"setWeight": 25}, {"setCanaryScale": scale}, PAUSE))
        assert (pods(simulation), weight(simulation)) == ((4, count), 25)

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
        simulation.set_image("v1")
        simulation.run(30)
        assert (selected(simulation, "stable"), revision(simulation)) == (hash_of(simulation, "v1"), "3")

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


class TestPods:
    """Metadata, restarts and scaling."""

    @pytest.mark.parametrize(
        ("strategy", "stable", "new"),
        [
            (routed_canary({"setWeight": 25}, PAUSE), "stableMetadata", "canaryMetadata"),
            (blue_green(autoPromotionEnabled=False), "activeMetadata", "previewMetadata"),
        ],
    )
    def test_pods_have_the_metadata_of_their_role(self, strategy: Manifest, stable: str, new: str) -> None:
        """Pods have the labels of their role, and the same pods get those of their next one."""
        body = next(iter(strategy.values()))
        body |= {stable: {"labels": {"role": "stable"}}, new: {"labels": {"role": "new"}}}
        simulation = updated(strategy)

        def roles(image: str) -> set[str]:
            names = pod_names(simulation, image)
            return {
                simulation.store.objects[Key("Pod", name)]["metadata"]["labels"]["role"] for name in names
            }

        assert (roles("v1"), roles("v2")) == ({"stable"}, {"new"})
        before = pod_names(simulation, "v2")
        simulation.promote()
        simulation.run(30)
        assert before <= pod_names(simulation, "v2")
        assert roles("v2") == {"stable"}

    def test_a_restart_replaces_every_pod_bit_by_bit(self) -> None:
        """A restart keeps the ReplicaSet, replaces each pod, and leaves enough of them available."""
        simulation = deployed(canary(maxUnavailable="75%"))
        before, fewest = pod_names(simulation, "v1"), []
        name = replica_set(simulation, "v1")["metadata"]["name"]
        simulation.store.changed.append(
            lambda key, manifest: (
                fewest.append(manifest["status"]["availableReplicas"])
                if key == Key("ReplicaSet", name) and manifest
                else None
            )
        )
        simulation.edit(
            "restart", lambda manifest: manifest["spec"].update(restartAt=write_time(simulation.clock.now))
        )
        simulation.run(120)
        assert not before & pod_names(simulation, "v1")
        assert min(fewest) >= 1
        assert simulation.status["restartedAt"] == simulation.rollout["spec"]["restartAt"]

    def test_the_scale_subresource_has_its_selector(self) -> None:
        """A HorizontalPodAutoscaler finds the pods by `status.selector`, and their number."""
        simulation = deployed(canary())
        assert (simulation.status["selector"], simulation.status["HPAReplicas"]) == ("app=web", 4)


DEPLOYMENT: Manifest = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "replicas": 4,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "v1"}]},
        },
    },
}


def referring(scale_down: str = "never") -> Simulation:
    """Return a world with a Rollout that takes its template from a Deployment."""
    manifest = rollout(canary())
    del manifest["spec"]["template"]
    manifest["spec"]["workloadRef"] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "scaleDown": scale_down,
    }
    return Simulation(0, manifest, ["stable", "canary"])


class TestWorkloadReference:
    """Rollouts whose pod template is that of a Deployment."""

    def test_a_missing_workload_is_a_fault_until_it_appears(self) -> None:
        """A Rollout without its Deployment is degraded, and heals when the Deployment is there."""
        simulation = referring()
        simulation.run(10)
        assert (simulation.status["phase"], condition(simulation, "InvalidSpec")["status"]) == (
            "Degraded",
            "True",
        )
        simulation.store.create(DEPLOYMENT)
        simulation.run(60)
        assert (simulation.status["phase"], pods(simulation, "v1")) == ("Healthy", (4,))

    @pytest.mark.parametrize(("scale_down", "left"), [("never", 4), ("onsuccess", 0), ("progressively", 0)])
    def test_the_deployment_ends_as_asked_for(self, scale_down: str, left: int) -> None:
        """`scaleDown` decides what becomes of the Deployment's own pods."""
        simulation = referring(scale_down)
        simulation.store.create(DEPLOYMENT)
        simulation.run(90)
        assert simulation.store.objects[Key("Deployment", "web")]["spec"]["replicas"] == left

    def test_an_image_of_the_deployment_is_an_update(self) -> None:
        """A new template of the Deployment starts an update, and its generation is in the status."""
        simulation = referring()
        simulation.store.create(DEPLOYMENT)
        simulation.run(60)
        assert simulation.status["workloadObservedGeneration"] == "1"
        path = "/spec/template/spec/containers/0/image"
        simulation.store.patch(Key("Deployment", "web"), [{"op": "replace", "path": path, "value": "v2"}])
        simulation.run(60)
        assert (revision(simulation), simulation.status["workloadObservedGeneration"]) == ("2", "2")
        assert "template" not in simulation.rollout["spec"]


def break_service(simulation: Simulation) -> None:
    """Delete the canary Service."""
    simulation.store.delete(Key("Service", "canary"))


def ask_for_analysis(simulation: Simulation) -> None:
    """Edit in all the steps that this controller does not do, and another fault."""
    steps = [
        {"analysis": {"templates": [{"templateName": "rate"}]}},
        {"experiment": {"templates": [{"name": "a", "specRef": "stable"}]}},
        {"plugin": {"name": "a/b"}},
        {"setWeight": 101},
    ]
    set_spec(simulation, strategy=routed_canary(*steps))


class TestRefusals:
    """Specs with faults change nothing, and every fault is in the status."""

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (break_service, ['services "canary" not found']),
            (ask_for_analysis, ["steps[0].analysis", "steps[1].experiment", "steps[2].plugin", "steps[3]"]),
        ],
    )
    def test_every_fault_is_shown_at_once(
        self, spoil: Callable[[Simulation], None], words: list[str]
    ) -> None:
        """A spec with faults is InvalidSpec with all of them; pods and traffic stay; the repaired one goes on."""
        simulation = deployed(routed_canary({"setWeight": 10}))
        repaired = simulation.rollout["spec"]["strategy"]
        spoil(simulation)
        simulation.set_image("v2")
        simulation.run(30)
        message = condition(simulation, "InvalidSpec")["message"]
        assert [word for word in words if word not in message] == []
        assert simulation.status["phase"] == "Degraded"
        assert (len(simulation.store.of("ReplicaSet")), pods(simulation, "v1")) == (1, (4,))
        writes = simulation.store.writes
        simulation.run(300)
        assert simulation.store.writes == writes, "a fault that stays is not written again"
        set_spec(simulation, strategy=repaired)
        if Key("Service", "canary") not in simulation.store.objects:
            spec = {"selector": {"app": "web"}}
            simulation.store.create(
                {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "canary"}, "spec": spec}
            )
        simulation.run(90)
        assert (simulation.status["phase"], pods(simulation, "v2")) == ("Healthy", (4,))
        assert not any(each["type"] == "InvalidSpec" for each in simulation.status["conditions"])
