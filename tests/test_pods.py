"""Which pods serve a route, and why they cannot be asked: pure choices over the objects of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from rollway.routers.errors import ForbiddenError
from rollway.routers.model import Outcome, Traffic
from rollway.routers.planning import needs_of
from rollway.routers.probes.pods import SIDECARS, Pods
from rollway.routers.rollout import parse_rollout
from rollway.routers.testing import MemoryStore
from rollway.routers.weights import Split

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from rollway.routers.model import Live, Manifest, Rollout

CONTROLLER = {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}
GATEWAY = {"istio": "ingressgateway"}
SIDECAR = {"security.istio.io/tlsMode": "istio"}


class Access(MemoryStore):
    """A store in memory whose pods are never reached; each try is noted."""

    def __init__(self, *manifests: Manifest, allowed: bool = True) -> None:
        super().__init__(list(manifests))
        self.allowed = allowed
        self.dialled: list[str] = []

    def may_forward(self, namespace: str) -> bool:
        """Say what the test wants for every namespace."""
        del namespace
        return self.allowed

    def forward(self, namespace: str, pod: str, port: int, timeout: float) -> socket.socket:
        """Note the pod and fail."""
        del timeout
        self.dialled.append(f"{namespace}/{pod}:{port}")
        raise ForbiddenError("no way in")


def pod(
    name: str, labels: Mapping[str, str], *args: str, namespace: str = "system", phase: str = "Running"
) -> Manifest:
    """Return a pod whose only container has these arguments."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {"containers": [{"name": "it", "image": "it", "args": list(args)}]},
        "status": {"phase": phase},
    }


def ingress_class(name: str, controller: str) -> Manifest:
    """Return an IngressClass."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": name},
        "spec": {"controller": controller},
    }


def gateway(name: str, namespace: str, selector: Any = GATEWAY) -> Manifest:
    """Return an Istio Gateway."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": selector} if selector else {},
    }


def virtual_service(*gateways: str) -> Manifest:
    """Return the VirtualService `web` at these gateways."""
    found = m.virtual_service()
    found["spec"].pop("gateways", None)
    if gateways:
        found["spec"]["gateways"] = list(gateways)
    return found


def asked(routing: Any, access: Access, *namespaces: str) -> list[str]:
    """Return the ports that the probe dials, in order of their names."""
    rollout, live = situation(routing, access)
    probe = Pods(access, namespaces).probe(next(iter(rollout.backends)))
    assert probe is not None
    verdict = probe.judge(rollout, Traffic(Split(20)), live)
    assert verdict.outcome is Outcome.UNKNOWN
    return sorted(access.dialled)


def obstacle(routing: Any, access: Access, *namespaces: str) -> str:
    """Return what stands in the way."""
    rollout, live = situation(routing, access)
    return Pods(access, namespaces).obstacle(next(iter(rollout.backends)), rollout, live)


def situation(routing: Any, access: Access) -> tuple[Rollout, Live]:
    """Return the route of a Rollout and what it needs."""
    for name in ("shop-stable", "shop-canary"):
        access.put(m.service(name))
    if "nginx" in routing:
        access.put(m.ingress())
    rollout = parse_rollout(m.rollout(routing))
    return rollout, access.read(needs_of(rollout))


NGINX: Any = {"nginx": {"stableIngress": "web"}}
ISTIO: Any = {"istio": {"virtualService": {"name": "web"}}}


def test_running_controllers_that_watch_the_namespace_are_asked() -> None:
    """A pod that ended, one without the labels and one that watches another namespace are left out; flags set the port."""
    access = Access(
        pod(
            "a",
            CONTROLLER,
            "/nginx-ingress-controller",
            "--status-port=10300",
            "--watch-namespace=default",
        ),
        pod("b", CONTROLLER),
        pod("done", CONTROLLER, phase="Succeeded"),
        pod("other", {"app.kubernetes.io/name": "ingress-nginx"}),
        pod("elsewhere", CONTROLLER, "--watch-namespace=elsewhere"),
    )
    assert asked(NGINX, access) == ["system/a:10300", "system/b:10246"]


def test_of_several_controllers_that_of_the_class_is_asked() -> None:
    """Where two controllers share the cluster, the IngressClass of the stable Ingress tells which one serves it."""
    access = Access(
        pod("public", CONTROLLER),
        pod("internal", CONTROLLER, "--controller-class=example.com/internal"),
        ingress_class("nginx", "k8s.io/ingress-nginx"),
        ingress_class("internal", "example.com/internal"),
    )
    assert asked(NGINX, access) == ["system/public:10246"]


def test_every_pod_of_every_gateway_is_asked() -> None:
    """Gateways are looked up in their own namespace, and their selector tells the pods; one that is gone has none."""
    access = Access(
        virtual_service("edge/public", "local", "gone"),
        gateway("public", "edge"),
        gateway("local", "default", {"istio": "local"}),
        pod("one", GATEWAY),
        pod("two", GATEWAY),
        pod("three", {"istio": "local"}, namespace="default"),
        pod("four", {"istio": "egress"}),
    )
    assert asked(ISTIO, access) == ["default/three:15000", "system/one:15000", "system/two:15000"]


def test_sidecars_of_a_mesh_route_are_sampled() -> None:
    """A VirtualService without gateways is for the mesh, and some sidecars of its namespace are asked."""
    pods = [pod(f"p{number}", SIDECAR, namespace="default") for number in range(SIDECARS + 3)]
    access = Access(virtual_service(), pod("far", SIDECAR), *pods)
    found = asked(ISTIO, access)
    assert len(found) == SIDECARS
    assert all(name.startswith("default/p") for name in found)


def test_a_namespace_limits_where_pods_are_looked_for() -> None:
    """With --data-plane only the pods of that namespace count."""
    pods = (pod("a", CONTROLLER, namespace="blue"), pod("b", CONTROLLER, namespace="green"))
    assert asked(NGINX, Access(*pods), "green") == ["green/b:10246"]


@pytest.mark.parametrize(
    ("namespaces", "where"), [((), "in the cluster"), (("blue", "green"), "in namespace blue, green")]
)
def test_no_pod_is_an_obstacle_that_says_where_it_looked(namespaces: tuple[str, ...], where: str) -> None:
    """Nobody to ask is said with the place, both beforehand and as the probe's verdict."""
    words = f"no running pod of the nginx data plane was found {where}"
    assert obstacle(NGINX, Access(), *namespaces) == words
    rollout, live = situation(NGINX, access := Access())
    probe = Pods(access, namespaces).probe("nginx")
    assert probe is not None
    verdict = probe.judge(rollout, Traffic(Split(20)), live)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.UNKNOWN, True)


def test_a_role_without_port_forward_is_an_obstacle() -> None:
    """What the role may not do is found before anything is written."""
    assert obstacle(NGINX, Access(pod("a", CONTROLLER))) == ""
    found = obstacle(NGINX, Access(pod("a", CONTROLLER), allowed=False))
    assert found == "the role may not port-forward to pods in namespace system"


def test_a_role_that_may_not_list_pods_is_an_obstacle() -> None:
    """A refusal by the API server is told in its own words."""

    class Closed(Access):
        def read(self, needs: Any) -> Live:
            if any(need.kind == "Pod" for need in needs):
                raise ForbiddenError("pods is forbidden")
            return super().read(needs)

    assert obstacle(NGINX, Closed()) == "pods is forbidden"
    rollout, live = situation(NGINX, access := Closed())
    probe = Pods(access).probe("nginx")
    assert probe is not None
    assert "pods is forbidden" in probe.judge(rollout, Traffic(Split(20)), live).reason


def test_a_mesh_of_smi_cannot_be_asked() -> None:
    """SMI has no common way to ask, so there is no probe."""
    assert Pods(Access()).probe("smi") is None
