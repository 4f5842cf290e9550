"""What users see of every release, in a simulated world: pods, Services and the status; and of specs with faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rollway.controller.hashes import pod_template_hash
from rollway.controller.testing.api import Key
from rollway.controller.testing.rollouts import blue_green, routed_canary
from rollway.routers.objects import duplicate

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
    pod_names,
    pods,
    replica_set,
    revision,
    set_spec,
    updated,
)


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

    def test_a_replica_set_that_nobody_owns_is_adopted(self) -> None:
        """A ReplicaSet that lost its owner is given one, with its pods and its revision, so that it goes with the Rollout."""
        simulation = deployed(canary())
        (before,) = simulation.store.of("ReplicaSet")
        names = pod_names(simulation, "v1")
        key = Key("ReplicaSet", before["metadata"]["name"])
        simulation.store.patch(key, [{"op": "remove", "path": "/metadata/ownerReferences"}])
        simulation.run(30)
        (after,) = simulation.store.of("ReplicaSet")
        assert after["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]
        assert pod_names(simulation, "v1") == names
        simulation.store.delete(simulation.key)
        assert not simulation.store.of("ReplicaSet")

    @pytest.mark.parametrize("taken", [1, 2])
    def test_a_name_that_is_taken_gives_another_hash(self, taken: int) -> None:
        """Where somebody else's ReplicaSet has the name of a new one, `collisionCount` is raised, and the hash is another."""
        strategy = canary({"setWeight": 50})
        simulation = deployed(strategy)
        template = duplicate(simulation.rollout["spec"]["template"])
        template["spec"]["containers"][0]["image"] = "v2"
        for count in (None, 1)[:taken]:
            name = f"web-{pod_template_hash(template, count)}"
            foreign = {"spec": {"replicas": 0, "selector": {}, "template": {}}, "metadata": {"name": name}}
            simulation.store.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", **foreign})
        simulation.set_image("v2")
        simulation.run(120)
        assert simulation.status["phase"] == "Healthy"
        assert simulation.status["collisionCount"] == taken
        assert simulation.status["stableRS"] == pod_template_hash(template, taken)
        simulation.set_image("v1")
        simulation.run(120)
        assert (simulation.status["phase"], revision(simulation)) == ("Healthy", "3")
        own = [each for each in simulation.store.of("ReplicaSet") if each["metadata"].get("ownerReferences")]
        assert len(own) == 2, "the ReplicaSet of the old template is found by its template"

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


def break_service(simulation: Simulation) -> None:
    """Delete the canary Service."""
    simulation.store.delete(Key("Service", "canary"))


def ask_for_analysis(simulation: Simulation) -> None:
    """Edit in all the steps that this controller does not do, and another fault."""
    steps: list[Manifest] = [
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
        simulation.run(1)  # until the controller has seen it
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
