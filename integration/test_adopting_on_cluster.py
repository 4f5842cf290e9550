"""`rollway adopt` with `rollway controller`, on a control plane in which pods come and go."""

from __future__ import annotations

import contextlib
import itertools
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness import crds
from harness.full_control_plane import NODE, FullControlPlane
from harness.releasing import ControllerProcess, Shop, template
from harness.waiting import until
from rollway.routers.errors import RollwayError
from rollway.routers.kube.client import Target
from rollway.routers.model import HASH_LABEL
from rollway.routers.stores.cluster import ClusterStore
from running import rollway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest

# One control plane serves the whole file, so one worker runs it.
pytestmark = [pytest.mark.local, pytest.mark.xdist_group("adopting")]

_NAMES = (f"moved-{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An administrator of a cluster with our CRDs, one node, and a running controller."""
    plane = FullControlPlane(tmp_path_factory.mktemp("plane"), request.config.getoption("--kubernetes"))
    with contextlib.ExitStack() as stack:
        stack.callback(plane.stop)
        plane.start()
        store = stack.enter_context(closing(ClusterStore.open(str(plane.kubeconfig()), cache=False)))
        for crd in crds.own():
            store.client.create(crd)
        store.client.create(NODE)
        store.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rollway"}})
        until(lambda: _serves_rollouts(store.client), "Rollouts are served")
        monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
        monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig()))
        monkeypatch.setenv("POD_NAMESPACE", "rollway")
        log = tmp_path_factory.mktemp("controller") / "log"
        controller = ControllerProcess(plane.kubeconfig(), log, "--drain", "0s")
        stack.callback(controller.stop)
        controller.wait_ready()
        until(controller.leads, "it leads")
        yield store.client


def _serves_rollouts(client: Client) -> bool:
    try:
        client.discovery.refresh()
        client.list(Target("argoproj.io", "Rollout"))
    except RollwayError:
        return False
    return True


@pytest.fixture
def shop(client: Client) -> Shop:
    """A namespace with a Deployment of two pods behind the Service `web`."""
    web = Shop(client, next(_NAMES), ["web"])
    pods = {"selector": {"matchLabels": {"app": "web"}}, "template": template("v1")}
    web.create("apps/v1", "Deployment", "web", {"spec": {"replicas": 2, **pods}})
    until(lambda: _ready(web) == 2, "the Deployment serves")
    until(lambda: web.get("Deployment", "web")["status"].get("availableReplicas") == 2, "it is available")
    return web


def _ready(web: Shop) -> int:
    """Return how many ready pods are behind the Service."""
    slices = web.client.list(Target("discovery.k8s.io", "EndpointSlice", web.namespace))[0]
    return sum(
        bool(endpoint["conditions"].get("ready"))
        for item in slices
        if item["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
        for endpoint in item.get("endpoints") or ()
    )


@contextlib.contextmanager
def watched(web: Shop) -> Iterator[list[int]]:
    """Look at the ready pods behind the Service again and again; the list has every number."""
    over, seen = threading.Event(), []

    def look() -> None:
        while not over.wait(0.02):
            seen.append(_ready(web))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def adopt(web: Shop, *words: str, code: int = 0) -> str:
    """Run `rollway adopt deployment/web` in the namespace of a shop, and return all that it printed."""
    ran = rollway("adopt", "deployment/web", "-n", web.namespace, "--scale-down-delay", "1s", *words)
    assert ran.code == code, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_a_deployment_behind_an_ingress_moves(shop: Shop) -> None:
    """Ready pods are behind the Service at every moment, its own pods are the last to go, and a release follows."""
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {
        "host": "web.example.com",
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
    }
    spec = {"ingressClassName": "nginx", "rules": [rule]}
    shop.create("networking.k8s.io/v1", "Ingress", "web", {"spec": spec})
    assert "the cluster would take it" in adopt(shop, "--apply", "--dry-run=server")
    assert not shop.get("Rollout", "web")
    with watched(shop) as seen:
        printed = adopt(shop, "--apply", "--steps", "50", "--timeout", "90s")
    assert printed.endswith(f"Rollout {shop.namespace}/web: done\n")
    assert min(seen) >= 2, seen
    assert len(seen) > 50
    assert shop.get("Deployment", "web")["spec"]["replicas"] == 0
    assert shop.selected("web") == shop.selected("web-canary") == "v1"
    shop.merge({"spec": {"template": template("v2")}}, "Deployment")
    shop.wait(lambda status: status.get("phase") == "Paused", "the pause of an update")
    assert (shop.weight(), shop.selected("web"), shop.selected("web-canary")) == ("50", "v1", "v2")
    assert "is there already" in adopt(shop, code=4)


def test_blue_green_takes_the_template_over(shop: Shop, client: Client) -> None:
    """With --template no pod is restarted by the last step, and the Deployment can be deleted."""
    with watched(shop) as seen:
        adopt(shop, "--blue-green", "--template", "--apply", "--timeout", "90s")
    assert min(seen) >= 2, seen
    rollout = shop.get("Rollout", "web")
    assert "workloadRef" not in rollout["spec"]
    (own,) = (each for each in shop.items("ReplicaSet") if HASH_LABEL in each["metadata"]["labels"])
    client.delete(shop.target("Deployment", "web"))
    shop.wait_healthy()
    assert [each["metadata"]["name"] for each in _with_pods(shop)] == [own["metadata"]["name"]]
    assert rollout["status"]["currentPodHash"] == shop.status["currentPodHash"]


def _with_pods(web: Shop) -> list[Manifest]:
    return [each for each in web.items("ReplicaSet") if each["spec"]["replicas"]]


def test_the_way_back(shop: Shop, client: Client) -> None:
    """The commands of the documentation give the Deployment its users back, with ready pods at every moment."""
    adopt(shop, "--blue-green", "--apply", "--timeout", "90s")
    with watched(shop) as seen:
        shop.merge({"spec": {"workloadRef": {"scaleDown": "never"}}})
        shop.merge({"spec": {"replicas": 2}}, "Deployment")
        until(
            lambda: shop.get("Deployment", "web")["status"].get("availableReplicas") == 2, "its pods are back"
        )
        shop.merge({"metadata": {"labels": {"argo-rollouts.argoproj.io/controller-instance-id": None}}})
        selector = {HASH_LABEL: None}
        shop.merge({"spec": {"selector": selector}}, "Service", "web")
        until(lambda: _ready(shop) == 4, "both are behind the Service")
        client.delete(shop.target("Rollout", "web"))
        # The garbage collector ends its pods too, half a minute later where the CRD is new.
        for own in _with_pods(shop):
            if HASH_LABEL in own["metadata"]["labels"]:
                shop.merge({"spec": {"replicas": 0}}, "ReplicaSet", own["metadata"]["name"])
        until(lambda: _ready(shop) == 2, "the pods of the Rollout are gone")
    assert min(seen) >= 2, seen
