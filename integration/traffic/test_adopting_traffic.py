"""Deployments that become Rollouts under constant load: no request may fail, although their pods end without a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import manifests as m
from data_planes import echo
from harness.process import rollway
from harness.releasing import ControllerProcess
from harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from data_planes import DataPlane
    from harness.providers import Cluster
    from harness.traffic import Shop
    from rollway.routers.objects import Manifest

pytestmark = pytest.mark.kubelets


@pytest.fixture
def shop(
    cluster: Cluster, ingress_nginx: DataPlane, make_shop: Callable[..., Shop], tmp_path: Path
) -> Iterator[Shop]:
    """A shop with a Deployment `web` behind a host of its own, and a controller for its namespace."""
    if cluster.control_plane:
        pytest.skip("no kubelet runs pods beside the local API server: make integration-kind")
    found = make_shop(ingress_nginx)
    found.host = f"web-{found.host}"
    place = found.namespace.name
    service = m.placed(m.service("web"), place)
    service["spec"]["ports"][0]["targetPort"] = echo.PORT
    for manifest in (_deployment(cluster.echo_image), service, m.ingress("web", found.host, m.path("web"))):
        found.namespace.api.put(m.placed(manifest, place))
    until(lambda: _available(found) == 2, "the Deployment serves", 90)
    found.wait_until_served()
    controller = ControllerProcess(found.namespace.kubeconfig, tmp_path / "controller.log", "-n", place)
    try:
        controller.wait_ready()
        yield found
    finally:
        controller.stop()


def _deployment(image: str) -> Manifest:
    """Return a Deployment whose pods end as soon as they are asked to."""
    probe = {"httpGet": {"path": "/-/ready", "port": echo.PORT}, "periodSeconds": 1}
    container = {
        "name": "web",
        "image": image,
        "env": [{"name": "VERSION", "value": "stable"}],
        "ports": [{"name": "http", "containerPort": echo.PORT}],
        "readinessProbe": probe,
    }
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }


def _live(shop: Shop) -> Manifest:
    return shop.namespace.get("apps/v1", "Deployment", "web")


def _available(shop: Shop) -> int:
    return int(_live(shop).get("status", {}).get("availableReplicas", 0))


@pytest.mark.parametrize("words", [(), ("--blue-green", "--template")], ids=["canary", "blue-green"])
def test_a_deployment_moves_and_no_request_fails(shop: Shop, words: tuple[str, ...]) -> None:
    """All requests are answered from before the move until the last pod of the Deployment is gone."""
    with shop.load() as samples:
        done = rollway("adopt", "deployment/web", "--apply", "--scale-down-delay", "5s", *words)
        until(lambda: not _live(shop).get("status", {}).get("replicas"), "the Deployment's pods are gone", 60)
        shop.settle()
    assert _live(shop)["spec"]["replicas"] == 0
    assert "Rollout" in done.stdout
    failures = [sample.failures for _, sample in samples if sample.failures]
    answered = sum(sample.answered for _, sample in samples)
    print(f"a move: {answered} requests, failed: {failures or 'none'}\n{done.stdout}")
    assert not failures
    assert len(samples) > 20
