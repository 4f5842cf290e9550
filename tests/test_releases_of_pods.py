"""Metadata, restarts and scaling of the pods of a Rollout, and Rollouts that refer to a Deployment, in a simulated world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rollway.controller.testing.api import Key
from rollway.controller.testing.releases import check_each_kill
from rollway.controller.testing.rollouts import blue_green, deployment, referring, rollout, routed_canary
from rollway.controller.testing.simulation import Simulation
from rollway.controller.world import SCALE_DOWN_DEADLINE
from rollway.releases.phase import write_time

if TYPE_CHECKING:
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
    selected,
    set_spec,
    updated,
)


def update(simulation: Simulation) -> None:
    """Release another image."""
    simulation.set_image("v2")
    simulation.run(30)


class TestPods:
    """Metadata, restarts and scaling."""

    def test_a_pod_is_given_its_role_after_a_kill_as_well(self) -> None:
        """Killed behind a ReplicaSet and before its pods, the next controller takes what only the old role gives as well."""
        metadata = {
            "canaryMetadata": {"labels": {"role": "new", "preview": "yes"}},
            "stableMetadata": {"labels": {"role": "stable"}},
        }
        check_each_kill(rollout(canary({"setWeight": 50}, **metadata), replicas=2), update, every=1)

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

    def test_a_budget_delays_a_restart(self) -> None:
        """An eviction that a PodDisruptionBudget refuses is asked for again later, not at once."""
        simulation = deployed(canary())
        before = pod_names(simulation, "v1")
        simulation.evictions_allowed = False
        set_spec(simulation, restartAt=write_time(simulation.clock.now))
        simulation.run(100)
        asked = [line for line in simulation.story if "evict" in line]
        assert 2 <= len(asked) <= 8
        assert pod_names(simulation, "v1") == before
        simulation.evictions_allowed = True
        simulation.run(200)
        assert not before & pod_names(simulation, "v1")

    def test_the_scale_subresource_has_its_selector(self) -> None:
        """A HorizontalPodAutoscaler finds the pods by `status.selector`, and their number."""
        simulation = deployed(canary())
        assert (simulation.status["selector"], simulation.status["HPAReplicas"]) == ("app=web", 4)


def world(scale_down: str = "never") -> Simulation:
    """Return a world with a Rollout that takes its template from a Deployment, which is not there yet."""
    return Simulation(0, referring(rollout(canary()), scale_down), ["stable", "canary"])


class TestWorkloadReference:
    """Rollouts whose pod template is that of a Deployment."""

    def test_a_missing_workload_is_a_fault_until_it_appears(self) -> None:
        """A Rollout without its Deployment is degraded, and heals when the Deployment is there."""
        simulation = world()
        simulation.run(10)
        assert (simulation.status["phase"], condition(simulation, "InvalidSpec")["status"]) == (
            "Degraded",
            "True",
        )
        simulation.store.create(deployment())
        simulation.run(60)
        assert (simulation.status["phase"], pods(simulation, "v1")) == ("Healthy", (4,))

    @pytest.mark.parametrize(("scale_down", "left"), [("never", 4), ("onsuccess", 0), ("progressively", 0)])
    def test_the_deployment_ends_as_asked_for(self, scale_down: str, left: int) -> None:
        """`scaleDown` decides what becomes of the Deployment's own pods."""
        simulation = world(scale_down)
        simulation.store.create(deployment())
        simulation.run(90)
        assert simulation.store.objects[Key("Deployment", "web")]["spec"]["replicas"] == left

    @pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
    @pytest.mark.parametrize(
        "strategy",
        [
            routed_canary(),
            routed_canary(dynamicStableScale=True),
            {"canary": {"stableService": "stable", "canaryService": "canary"}},
            blue_green(),
            {"blueGreen": {**blue_green()["blueGreen"], "trafficRouting": {"nginx": {}}}},
        ],
        ids=["routed", "dynamic", "basic", "blue-green", "routed blue-green"],
    )
    def test_users_have_all_their_pods_during_the_move(self, strategy: Manifest, scale_down: str) -> None:
        """The stable Service has as many ready pods as before at every moment, and the Deployment's last go when it leads to none."""
        simulation = Simulation(0, referring(rollout(strategy), scale_down), ["stable", "canary"])
        simulation.store.create(deployment())
        service, workload = Key("Service", "stable"), Key("Deployment", "web")
        narrowed = 0
        while len(simulation.kubernetes.ready_pods(simulation.store.objects[service])) < 4:
            simulation.run(0.1)
        for tenths in range(900):
            simulation.run(0.1)
            assert len(simulation.kubernetes.ready_pods(simulation.store.objects[service])) >= 4
            narrowed = narrowed or (tenths if selected(simulation, "stable") else 0)
            if not simulation.store.objects[workload]["spec"]["replicas"]:
                break
        assert not simulation.store.objects[workload]["spec"]["replicas"]
        assert (
            "annotations" not in simulation.store.objects[workload]["metadata"]
            or not (simulation.store.objects[workload]["metadata"]["annotations"])
        )
        assert 0 < narrowed < tenths - 295

    @pytest.mark.parametrize("scale_down", ["onsuccess", "progressively"])
    @pytest.mark.parametrize("seed", range(3))
    def test_endpoints_that_come_late_are_waited_for(self, seed: int, scale_down: str) -> None:
        """Pods that are ready and not yet behind the Service carry nobody, so neither Service nor Deployment changes for them.

        The invariants of the simulation look at each write.
        """
        manifest = referring(rollout(routed_canary(scaleDownDelaySeconds=0)), scale_down)
        simulation = Simulation(seed, manifest, ["stable", "canary"])
        simulation.kubernetes.slowest_endpoints_s = 20
        simulation.store.create(deployment())
        simulation.run(200)
        assert simulation.store.objects[Key("Deployment", "web")]["spec"]["replicas"] == 0

    def test_a_deployment_keeps_its_pods_while_evidence_is_missing(self) -> None:
        """With a router, the Deployment stays whole until the data plane has loaded that all is with stable."""
        manifest = referring(rollout(routed_canary(scaleDownDelaySeconds=0)), "onsuccess")
        simulation = Simulation(0, manifest, ["stable", "canary"])
        simulation.data_plane.slowest_s = 1e6
        simulation.store.create(deployment())
        simulation.run(12)
        assert selected(simulation, "stable")
        assert simulation.store.objects[Key("Deployment", "web")]["spec"]["replicas"] == 4

    def test_a_pod_that_fails_begins_the_delay_anew(self) -> None:
        """The Deployment's pods are kept again when a pod of the Rollout is lost before they go."""
        simulation = Simulation(0, referring(rollout(routed_canary()), "onsuccess"), ["stable", "canary"])
        simulation.store.create(deployment())
        workload = Key("Deployment", "web")
        while SCALE_DOWN_DEADLINE not in (
            simulation.store.objects[workload]["metadata"].get("annotations") or {}
        ):
            simulation.run(1)
        pod = next(iter(simulation.kubernetes.ready_pods(simulation.store.objects[Key("Service", "stable")])))
        simulation.kubernetes.set_ready(pod, ready=False)
        simulation.run(60)
        assert simulation.store.objects[workload]["spec"]["replicas"] == 4
        assert SCALE_DOWN_DEADLINE not in simulation.store.objects[workload]["metadata"]["annotations"]
        simulation.kubernetes.set_ready(pod, ready=True)
        simulation.run(60)
        assert simulation.store.objects[workload]["spec"]["replicas"] == 0

    def test_blue_green_keeps_the_pods_of_a_deployment_through_an_early_update(self) -> None:
        """An update before the first release is ready leaves the active Service with all pods until one release can carry it."""
        simulation = Simulation(0, referring(rollout(blue_green()), "onsuccess"), ["stable", "canary"])
        simulation.store.create(deployment())
        service = Key("Service", "stable")
        simulation.run(2)
        simulation.set_image("v2")
        seen = 0
        for _ in range(600):
            simulation.run(0.1)
            ready = len(simulation.kubernetes.ready_pods(simulation.store.objects[service]))
            assert ready >= min(seen, 4)
            seen = max(seen, ready)
        assert seen >= 4
        assert selected(simulation, "stable") == hash_of(simulation, "v2")

    def test_an_image_of_the_deployment_is_an_update(self) -> None:
        """A new template of the Deployment starts an update, and its generation is in the status."""
        simulation = world()
        simulation.store.create(deployment())
        simulation.run(60)
        assert simulation.status["workloadObservedGeneration"] == "1"
        path = "/spec/template/spec/containers/0/image"
        simulation.store.patch(Key("Deployment", "web"), [{"op": "replace", "path": path, "value": "v2"}])
        simulation.run(60)
        assert (revision(simulation), simulation.status["workloadObservedGeneration"]) == ("2", "2")
        assert "template" not in simulation.rollout["spec"]
