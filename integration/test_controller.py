"""`rollway controller` as a process, on a control plane in which pods come and go."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from harness.controller_plugin import CONTROLLER_GROUP
from harness.releasing import NGINX_CANARY, PAIR, ControllerProcess, Shop, image_of, template, verb
from harness.waiting import until
from rollway.controller.hashes import pod_template_hash, steps_hash
from rollway.routers.held_weight import HELD_WEIGHT
from rollway.routers.kube.client import MERGE_PATCH
from rollway.routers.model import INSTANCE_ID, INSTANCE_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.routers.objects import Manifest

pytestmark = CONTROLLER_GROUP

BLUE_GREEN = {"activeService": "active", "previewService": "preview"}


def test_the_first_release_goes_straight_to_healthy(shop: Callable[..., Shop]) -> None:
    """A new Rollout gets its pods at once, without the steps, and the status that Argo's clients read."""
    web = shop()
    web.rollout({"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}})
    status = web.wait_healthy()
    assert (status["replicas"], status["availableReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert status["stableRS"] == status["currentPodHash"]
    assert status["currentStepIndex"] == 2
    assert web.get("Rollout", "web")["metadata"]["annotations"]["rollout.argoproj.io/revision"] == "1"
    until(lambda: "NewReplicaSetCreated" in web.reasons(), "the Event")


def test_a_canary_moves_the_weight_step_by_step(shop: Callable[..., Shop]) -> None:
    """Weights are written step by step, a pause waits for promote, and old pods go after the delay."""
    web = shop("stable", "canary")
    web.ingress()
    steps = [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {"duration": 1}}]
    canary = {**NGINX_CANARY, "steps": steps, "scaleDownDelaySeconds": 3}
    web.rollout({"canary": canary}, replicas=4)
    web.wait_healthy()
    web.set_image("v2")
    status = web.wait(lambda status: status.get("phase") == "Paused", "the first pause")
    assert (web.weight(), status["currentStepIndex"]) == ("20", 1)
    assert status["canary"]["weights"]["canary"]["weight"] == 20
    assert (web.pods("v1"), web.pods("v2")) == (4, 1)
    assert (web.selected("stable"), web.selected("canary")) == ("v1", "v2")
    _write_by_hand(web, "77")
    until(lambda: web.weight() == "20", "a weight that somebody writes into the object is set back")
    verb(web, "promote", "web")
    web.wait(lambda status: status.get("currentStepIndex") == 3, "the second pause")
    assert web.weight() == "60"
    web.wait_healthy()
    assert (web.pods("v2"), web.pods("v1")) == (4, 4), "the old ones are kept for the delay"
    until(lambda: web.selected("stable") == "v2" and web.weight() in ("", "0"), "all traffic is with stable")
    assert until(lambda: not web.pods("v1"), "the old pods go") > 0.5
    until(lambda: "TrafficWeightUpdated" in web.reasons(), "the Event")


def test_a_weight_is_held_until_the_release_goes_on(shop: Callable[..., Shop]) -> None:
    """`set-weight` moves the weight through the controller, with pods for it; the requests of Argo's clients end it."""
    web = shop("stable", "canary")
    web.ingress()
    steps = [{"setWeight": 20}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}]
    web.rollout({"canary": {**NGINX_CANARY, "steps": steps}}, replicas=4)
    web.wait_healthy()
    verb(web, "set-weight", "web", "30", code=4)
    web.set_image("v2")
    printed = verb(web, "set-weight", "web", "50")
    assert "canary 50 of 100, 50 %" in printed
    assert "verified: written" in printed
    assert "held by " in printed
    assert (web.weight(), web.pods("v1"), web.pods("v2")) == ("50", 4, 2)
    status = web.wait(lambda status: status.get("phase") == "Paused", "paused")
    assert "weight 50 of 100, 50 % is held by hand since" in status["message"]
    assert status["canary"]["weights"]["canary"]["weight"] == 50
    _write_by_hand(web, "77")
    until(lambda: web.weight() == "50", "a weight that somebody writes into the object is set back to it")
    web.merge({"status": {"pauseConditions": None}}, subresource="status")
    web.wait(lambda status: status.get("phase") == "Paused" and not _is_held(web), "the next pause")
    verb(web, "set-weight", "web", "10")
    assert (web.weight(), _is_held(web)) == ("10", True)
    web.merge({"status": {"abort": True}}, subresource="status")
    web.wait(lambda status: status.get("phase") == "Degraded", "aborted")
    until(lambda: web.weight() in ("", "0") and not _is_held(web), "all traffic is with stable")


def _is_held(web: Shop) -> bool:
    return HELD_WEIGHT in web.get("Rollout", "web")["metadata"]["annotations"]


def _write_by_hand(web: Shop, weight: str) -> None:
    (canary,) = [item for item in web.items("Ingress") if item["metadata"]["name"] != "web"]
    annotations = {"nginx.ingress.kubernetes.io/canary-weight": weight}
    web.merge({"metadata": {"annotations": annotations}}, "Ingress", canary["metadata"]["name"])


def test_blue_green_switches_when_every_pod_is_ready(shop: Callable[..., Shop]) -> None:
    """The active Service moves only after promote and to ready pods; abort moves the preview back, retry begins again."""
    web = shop("active", "preview")
    web.rollout({"blueGreen": {**BLUE_GREEN, "autoPromotionEnabled": False, "scaleDownDelaySeconds": 1}})
    web.wait_healthy()
    web.set_image("v2")
    web.wait(lambda status: status.get("phase") == "Paused", "the pause")
    assert (web.selected("active"), web.selected("preview")) == ("v1", "v2")
    verb(web, "abort", "web")
    web.wait(lambda status: status.get("abort") and status.get("phase") == "Degraded", "aborted")
    until(lambda: web.selected("preview") == "v1", "the preview goes back")
    assert web.selected("active") == "v1"
    verb(web, "retry", "web")
    web.wait(lambda status: status.get("phase") == "Paused", "the pause of the retry")
    until(lambda: web.selected("preview") == "v2", "the preview is back")
    verb(web, "promote", "web")
    web.wait_healthy()
    assert web.selected("active") == "v2"
    until(lambda: not web.pods("v1"), "the old pods go")


def test_blue_green_waits_for_pods_that_are_not_ready(shop: Callable[..., Shop]) -> None:
    """While no pod of the new release can run, both Services stay and the status says what it waits for."""
    web = shop("active", "preview")
    web.rollout({"blueGreen": {**BLUE_GREEN, "scaleDownDelaySeconds": 1}})
    web.wait_healthy()
    nowhere = {"spec": {"template": {"spec": {"nodeSelector": {"disk": "none"}}}}}
    web.merge(nowhere)
    web.wait(lambda status: status.get("updatedReplicas") == 2, "the new pods are asked for")
    time.sleep(0.5)
    status = web.status
    assert status["stableRS"] != status["currentPodHash"]
    for service in ("active", "preview"):
        selector = web.get("Service", service)["spec"]["selector"]
        assert selector["rollouts-pod-template-hash"] == status["stableRS"]
    assert status["phase"] == "Progressing"
    assert "pods of ReplicaSet" in status["message"]
    web.merge({"spec": {"template": {"spec": {"nodeSelector": None}}}})
    web.wait_healthy()


def test_a_canary_without_a_router_replaces_pods(shop: Callable[..., Shop]) -> None:
    """Without a router the share of pods stands for the weight, and undo goes back to the old pods."""
    web = shop()
    web.rollout({"canary": {"steps": [{"setWeight": 25}, {"pause": {}}]}}, replicas=4)
    web.wait_healthy()
    web.set_image("v2")
    web.wait(lambda status: status.get("phase") == "Paused", "the pause")
    assert (web.pods("v1"), web.pods("v2")) == (3, 1)
    assert "2" in verb(web, "history", "web")
    assert "web" in verb(web, "get", "web")
    verb(web, "undo", "web")
    web.wait_healthy()
    assert (web.pods("v1"), web.pods("v2")) == (4, 0)
    web.set_image("v3")
    web.wait(lambda status: status.get("phase") == "Paused", "the pause")
    verb(web, "promote", "web", "--full")
    verb(web, "wait", "web", "--for", "healthy", "--timeout", "30s")
    assert web.pods("v3") == 4


def test_every_fault_of_a_spec_is_reported_and_heals(shop: Callable[..., Shop]) -> None:
    """InvalidSpec names each fault at once, no pod is made, and it goes on as soon as the spec is mended."""
    web = shop()
    routing = {"istio": {"virtualService": {"name": "web"}}}
    steps = [{"plugin": {"name": "a/b"}}, {"analysis": {"templates": [{"templateName": "t"}]}}]
    web.rollout({"canary": {**PAIR, "trafficRouting": routing, "steps": steps}})
    status = web.wait(lambda status: status.get("phase") == "Degraded", "Degraded")
    (condition,) = [each for each in status["conditions"] if each["type"] == "InvalidSpec"]
    for fault in ("steps[0].plugin", "steps[1].analysis"):
        assert fault in condition["message"]
    assert not web.items("ReplicaSet")
    canary = {
        "stableService": None,
        "canaryService": None,
        "trafficRouting": None,
        "steps": [{"setWeight": 20}],
    }
    web.merge({"spec": {"strategy": {"canary": canary}}})
    status = web.wait_healthy()
    assert "InvalidSpec" not in {each["type"] for each in status["conditions"]}


def test_a_missing_service_is_a_fault_until_it_is_there(shop: Callable[..., Shop]) -> None:
    """A Service that is not there is named, and its creation alone lets the release go on."""
    web = shop()
    web.rollout({"blueGreen": {"activeService": "active"}})
    status = web.wait(lambda status: status.get("phase") == "Degraded", "Degraded")
    assert 'services "active" not found' in status["message"]
    web.create("v1", "Service", "active", {"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})
    web.wait_healthy()


def test_pods_that_cannot_be_made_are_reported(shop: Callable[..., Shop]) -> None:
    """A pod template that the API server refuses stands in the status, and a mended one goes on."""
    web = shop()
    web.rollout({"canary": {}}, template=template(""))
    status = web.wait(lambda status: _reason(status, "Progressing") == "ReplicaSetCreateError", "the error")
    assert status["phase"] == "Degraded"
    web.merge({"spec": {"template": template("v1")}})
    web.wait_healthy()


def _reason(status: Manifest, kind: str) -> str:
    return next((each["reason"] for each in status.get("conditions") or () if each["type"] == kind), "")


def test_a_deployment_is_scaled_down_when_its_rollout_is_healthy(shop: Callable[..., Shop]) -> None:
    """A Rollout takes the template of a Deployment, takes over from it, and follows its changes."""
    web = shop()
    pods = {"selector": {"matchLabels": {"app": "web"}}, "template": template("v1")}
    web.create("apps/v1", "Deployment", "web", {"spec": {"replicas": 2, **pods}})
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "scaleDown": "onsuccess"}
    web.create(
        "argoproj.io/v1alpha1",
        "Rollout",
        "web",
        {
            "metadata": {"labels": {INSTANCE_LABEL: INSTANCE_ID}},
            "spec": {"replicas": 2, "workloadRef": reference, "strategy": {"canary": {}}},
        },
    )
    status = web.wait_healthy()
    assert status["workloadObservedGeneration"]
    until(lambda: web.get("Deployment", "web")["spec"]["replicas"] == 0, "the Deployment is scaled down")
    web.merge({"spec": {"template": template("v2")}}, "Deployment")
    until(lambda: _own_images(web) == {"v2"}, "the Rollout follows")
    web.wait_healthy()


def _own_images(web: Shop) -> set[str]:
    return {
        image_of(each["spec"]["template"])
        for each in web.items("ReplicaSet")
        if each["spec"]["replicas"] and each["metadata"]["ownerReferences"][0]["kind"] == "Rollout"
    }


def test_a_rollout_of_another_controller_is_left_alone(
    shop: Callable[..., Shop], controller: ControllerProcess
) -> None:
    """A Rollout without our label gets no status and no pod, until the label is put on."""
    web = shop()
    web.rollout({"canary": {}}, instance="")
    neighbour = shop()
    neighbour.rollout({"canary": {}})
    neighbour.wait_healthy()
    assert not web.status
    assert not web.items("ReplicaSet")
    web.merge({"metadata": {"labels": {INSTANCE_LABEL: INSTANCE_ID}}})
    web.wait_healthy()
    web.merge({"metadata": {"labels": {INSTANCE_LABEL: None}}})
    until(lambda: _series(controller, neighbour) and not _series(controller, web), "it is forgotten")
    web.set_image("v2")
    time.sleep(0.5)
    assert not web.pods("v2")


def _series(controller: ControllerProcess, web: Shop) -> bool:
    return f'namespace="{web.namespace}"' in controller.answer("/metrics", controller.metrics)[1]


def test_health_and_metrics_answer(shop: Callable[..., Shop], controller: ControllerProcess) -> None:
    """The endpoints answer, metrics name each Rollout, and those of a deleted one go."""
    web = shop()
    web.rollout({"canary": {}})
    web.wait_healthy()
    assert controller.answer("/healthz") == (200, "ok\n")
    assert controller.answer("/readyz") == (200, "ok\n")
    assert controller.answer("/nothing")[0] == 404
    until(lambda: 'phase="Healthy"' in controller.answer("/metrics", controller.metrics)[1], "the phase")
    assert _series(controller, web)
    web.client.delete(web.target("Rollout", "web"))
    until(lambda: not _series(controller, web), "the Rollout is forgotten")


def test_replica_sets_go_with_their_rollout(shop: Callable[..., Shop]) -> None:
    """A ReplicaSet that lost its owner is adopted with its pods, and the garbage collector takes it with the Rollout.

    The collector learns of the kind Rollout up to 30 s after its CRD was created, and then has to list it.
    """
    web = shop()
    web.rollout({"canary": {}})
    web.wait_healthy()
    (before,) = web.items("ReplicaSet")
    pods = {each["metadata"]["uid"] for each in web.items("Pod")}
    target = web.target("ReplicaSet", before["metadata"]["name"])
    web.client.patch(target, {"metadata": {"ownerReferences": None}}, MERGE_PATCH)
    owners = before["metadata"]["ownerReferences"]
    until(lambda: web.items("ReplicaSet")[0]["metadata"].get("ownerReferences") == owners, "it is adopted")
    assert {each["metadata"]["uid"] for each in web.items("Pod")} == pods
    web.client.delete(web.target("Rollout", "web"))
    until(lambda: not web.items("ReplicaSet") and not web.items("Pod"), "they are collected", 90)


def test_a_taken_name_gives_another_hash(shop: Callable[..., Shop]) -> None:
    """Where somebody else's ReplicaSet has the name, `collisionCount` is raised, and the release goes on under another."""
    web = shop()
    # The API server adds defaults to the template, which count.
    stored = web.rollout({"canary": {}}, paused=True)["spec"]["template"]
    name = f"web-{pod_template_hash(stored)}"
    labels = {"app": "other"}
    other = {"selector": {"matchLabels": labels}, "replicas": 0}
    pod = {"metadata": {"labels": labels}, "spec": template("v1")["spec"]}
    web.create("apps/v1", "ReplicaSet", name, {"spec": {**other, "template": pod}})
    web.merge({"spec": {"paused": False}})
    status = web.wait_healthy()
    assert status["collisionCount"] == 1
    assert status["stableRS"] == pod_template_hash(stored, 1)


def test_a_rollout_of_argo_is_taken_over_at_its_pause(shop: Callable[..., Shop]) -> None:
    """A Rollout with status and ReplicaSets as Argo's controller leaves them goes on at its pause, with the same pods."""
    web = shop("stable", "canary")
    web.ingress()
    steps: list[Any] = [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}]
    canary = {**NGINX_CANARY, "steps": steps, "scaleDownDelaySeconds": 1}
    rollout = web.rollout({"canary": canary}, replicas=3, instance="", template=template("v2"))
    _leave_as_argo_does(web, rollout, steps)
    sets = {each["metadata"]["uid"]: each["spec"]["replicas"] for each in web.items("ReplicaSet")}
    pods = {each["metadata"]["uid"] for each in web.items("Pod")}
    web.merge({"metadata": {"labels": {INSTANCE_LABEL: INSTANCE_ID}}})
    status = web.wait(lambda status: "conditions" in status, "it is taken over")
    time.sleep(0.5)
    assert {each["metadata"]["uid"]: each["spec"]["replicas"] for each in web.items("ReplicaSet")} == sets
    assert {each["metadata"]["uid"] for each in web.items("Pod")} == pods
    assert (status["phase"], status["currentStepIndex"], web.weight()) == ("Paused", 1, "20")
    assert status["pauseConditions"] == [{"reason": "CanaryPauseStep", "startTime": _PAUSED_AT}]
    verb(web, "promote", "web")
    web.wait_healthy()
    assert len(web.items("ReplicaSet")) == 2
    until(lambda: web.selected("stable") == "v2" and web.weight() in ("", "0"), "all traffic is with stable")


_PAUSED_AT = "2026-01-01T00:00:00Z"


def _leave_as_argo_does(web: Shop, rollout: Manifest, steps: list[Any]) -> None:
    """Create what Argo's controller has made up to the pause at 20 percent."""
    owner = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "name": "web",
        "uid": rollout["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    hashes = {}
    for revision, (image, pods) in enumerate({"v1": 3, "v2": 1}.items(), 1):
        given = template(image)
        hashes[image] = pod_hash = pod_template_hash(given)
        labels = {"app": "web", "rollouts-pod-template-hash": pod_hash}
        given["metadata"]["labels"] = labels
        annotations = {
            "rollout.argoproj.io/desired-replicas": "3",
            "rollout.argoproj.io/revision": str(revision),
        }
        metadata = {"labels": labels, "annotations": annotations, "ownerReferences": [owner]}
        spec = {"replicas": pods, "selector": {"matchLabels": labels}, "template": given}
        web.create("apps/v1", "ReplicaSet", f"web-{pod_hash}", {"metadata": metadata, "spec": spec})
    for service, image in (("stable", "v1"), ("canary", "v2")):
        web.merge(
            {
                "metadata": {"annotations": {"argo-rollouts.argoproj.io/managed-by-rollouts": "web"}},
                "spec": {"selector": {"rollouts-pod-template-hash": hashes[image]}},
            },
            "Service",
            service,
        )
    _canary_ingress(web, owner)
    until(
        lambda: sum(each["status"].get("availableReplicas", 0) for each in web.items("ReplicaSet")) == 4,
        "the pods are there",
    )
    web.merge({"metadata": {"annotations": {"rollout.argoproj.io/revision": "2"}}})
    status = {
        "observedGeneration": str(web.get("Rollout", "web")["metadata"]["generation"]),
        "currentPodHash": hashes["v2"],
        "stableRS": hashes["v1"],
        "currentStepIndex": 1,
        "currentStepHash": steps_hash(steps),
        "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": _PAUSED_AT}],
        "controllerPause": True,
        "replicas": 4,
        "updatedReplicas": 1,
        "readyReplicas": 4,
        "availableReplicas": 4,
        "phase": "Paused",
        "message": "CanaryPauseStep",
        "canary": {
            "weights": {
                "canary": {"weight": 20, "serviceName": "canary", "podTemplateHash": hashes["v2"]},
                "stable": {"weight": 80, "serviceName": "stable", "podTemplateHash": hashes["v1"]},
            }
        },
    }
    web.merge({"status": status}, subresource="status")


def _canary_ingress(web: Shop, owner: Manifest) -> None:
    spec = web.get("Ingress", "web")["spec"]
    spec["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = "canary"
    prefix = "nginx.ingress.kubernetes.io/canary"
    metadata = {
        "annotations": {prefix: "true", f"{prefix}-weight": "20"},
        "ownerReferences": [owner],
    }
    web.create("networking.k8s.io/v1", "Ingress", "web-web-canary", {"metadata": metadata, "spec": spec})
