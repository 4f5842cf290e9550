"""`rollway controller` beside the autoscaler of kube-controller-manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.controller_plugin import CONTROLLER_GROUP
from harness.external_metrics import METRIC, external_metrics
from harness.releasing import NGINX_CANARY, Shop, verb
from harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest

pytestmark = CONTROLLER_GROUP


def test_an_autoscaler_scales_in_and_out_in_mid_canary(client: Client, shop: Callable[..., Shop]) -> None:
    """Both versions follow the autoscaler at a pause, also through 0 replicas, and weight and step stay as they are."""
    web = shop("stable", "canary")
    web.ingress()
    steps = [{"setWeight": 50}, {"pause": {}}]
    web.rollout({"canary": {**NGINX_CANARY, "steps": steps, "scaleDownDelaySeconds": 1}}, replicas=4)
    with external_metrics(client) as requests:
        requests.value = 400
        web.create("autoscaling/v2", "HorizontalPodAutoscaler", "web", {"spec": autoscaler()})
        web.wait_healthy()
        web.set_image("v2")
        web.wait(lambda status: status.get("phase") == "Paused", "the pause")
        assert (web.pods("v1"), web.pods("v2"), web.weight()) == (4, 2, "50")
        for value, pods in ((200, (2, 1)), (600, (6, 3))):
            requests.value = value
            settles(web, pods)
        # As KEDA does; the autoscaler leaves a workload at 0 alone.
        web.merge({"spec": {"replicas": 0}}, subresource="scale")
        until(lambda: (web.pods("v1"), web.pods("v2")) == (0, 0), "no pod is left")
        until(lambda: scaling_reason(web) == "ScalingDisabled", "the autoscaler waits")
        web.merge({"spec": {"replicas": 1}}, subresource="scale")
        settles(web, (6, 3))
        verb(web, "promote", "web")
        web.wait_healthy()
        until(lambda: not web.pods("v1"), "the old pods go")
        assert web.pods("v2") == 6
        scale = web.target("Rollout", "web", "scale")
        reached = {"replicas": 6, "selector": "app=web"}
        until(lambda: (client.get(scale) or {}).get("status") == reached, "the scale is that of v2")


def autoscaler() -> Manifest:
    """Return the spec of an autoscaler that gives each 100 requests a pod, at once."""
    target = {"type": "AverageValue", "averageValue": "100"}
    at_once = {
        "policies": [{"type": "Pods", "value": 100, "periodSeconds": 1}],
        "stabilizationWindowSeconds": 0,
    }
    return {
        "scaleTargetRef": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 10,
        "metrics": [{"type": "External", "external": {"metric": {"name": METRIC}, "target": target}}],
        "behavior": {"scaleUp": at_once, "scaleDown": at_once},
    }


def settles(web: Shop, pods: tuple[int, int]) -> None:
    """Wait until both versions have their pods, all of them ready, at the same weight and pause as before."""
    reached = {"phase": "Paused", "currentStepIndex": 1}
    reached |= dict.fromkeys(("replicas", "availableReplicas", "HPAReplicas"), sum(pods))
    web.wait(lambda status: reached.items() <= status.items(), f"{pods} pods")
    assert (web.pods("v1"), web.pods("v2")) == pods
    until(lambda: web.weight() == "50", "the weight is as before")


def scaling_reason(web: Shop) -> str:
    """Return why the autoscaler scales, or does not."""
    status = web.get("HorizontalPodAutoscaler", "web").get("status") or {}
    return next(
        (each["reason"] for each in status.get("conditions") or () if each["type"] == "ScalingActive"), ""
    )
