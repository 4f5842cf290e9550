"""Which pods serve a route, and why they cannot be asked: pure choices over the objects of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from rollway.routers.backends.istio.data_plane import SIDECARS
from rollway.routers.data_planes import data_plane_probes
from rollway.routers.errors import ForbiddenError, InvalidInputError
from rollway.routers.model import Context
from rollway.routers.objects import ObjectRef
from rollway.routers.planning import needs_of
from rollway.routers.probes import covering
from rollway.routers.rollout import parse_rollout
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import Evidence, Outcome, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from rollway.routers.objects import Live, Manifest

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
        """Answer what the test wants, for every namespace."""
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
    context = situation(routing, access)
    result = data_plane_probes(context.rollout, access, namespaces=namespaces)
    assert not result.obstacles
    (probe,) = result.probes
    assert probe.judge(context).outcome is Outcome.UNKNOWN
    return sorted(access.dialled)


def obstacle(routing: Any, access: Access, *namespaces: str) -> str:
    """Return what stands in the way."""
    result = data_plane_probes(situation(routing, access).rollout, access, namespaces=namespaces)
    return "; ".join(result.obstacles.values())


def situation(routing: Any, access: Access) -> Context:
    """Return a Rollout and what it needs."""
    for name in ("shop-stable", "shop-canary"):
        access.put(m.service(name))
    if "nginx" in routing:
        access.put(m.ingress())
    rollout = parse_rollout(m.rollout(routing))
    return Context(rollout, Traffic(Split(20)), access.read(needs_of(rollout)))


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
    """Where two controllers share the cluster, the IngressClass of the stable Ingress decides which one serves it."""
    access = Access(
        pod("public", CONTROLLER),
        pod("internal", CONTROLLER, "--controller-class=example.com/internal"),
        ingress_class("nginx", "k8s.io/ingress-nginx"),
        ingress_class("internal", "example.com/internal"),
    )
    assert asked(NGINX, access) == ["system/public:10246"]


def test_every_pod_of_every_gateway_is_asked() -> None:
    """Gateways are looked up in their own namespace, and their selector finds the pods; one that does not exist has none."""
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
    """When no pod can be asked, the place is named, both before a write and in the probe's verdict."""
    words = f"no running pod of the nginx data plane was found {where}"
    assert obstacle(NGINX, Access(), *namespaces) == words
    access = Access(pod("a", CONTROLLER, namespace="blue"))
    context = situation(NGINX, access)
    (probe,) = data_plane_probes(context.rollout, access, namespaces=namespaces).probes
    access.remove(ObjectRef("", "Pod", "blue", "a"))
    verdict = probe.judge(context)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.UNKNOWN, True)


def test_a_role_without_port_forward_is_an_obstacle() -> None:
    """What the role may not do is found before anything is written."""
    assert obstacle(NGINX, Access(pod("a", CONTROLLER))) == ""
    found = obstacle(NGINX, Access(pod("a", CONTROLLER), allowed=False))
    assert found == "the role may not port-forward to pods in namespace system"


def test_a_role_that_may_not_list_pods_is_an_obstacle() -> None:
    """A refusal by the API server has the server's own words."""

    class Closed(Access):
        closed = True

        def read(self, needs: Any) -> Live:
            if self.closed and any(need.kind == "Pod" for need in needs):
                raise ForbiddenError("pods is forbidden")
            return super().read(needs)

    assert obstacle(NGINX, Closed()) == "pods is forbidden"
    access = Closed(pod("a", CONTROLLER))
    access.closed = False
    context = situation(NGINX, access)
    (probe,) = data_plane_probes(context.rollout, access).probes
    access.closed = True
    assert "pods is forbidden" in probe.judge(context).reason


def test_objects_that_are_known_are_not_read_for_the_search() -> None:
    """With the Rollout's objects at hand, only the pods are looked up."""

    class Noting(Access):
        def read(self, needs: Any) -> Live:
            read.extend(need.kind for need in needs)
            return super().read(needs)

    read: list[str] = []
    context = situation(NGINX, access := Noting(pod("a", CONTROLLER)))
    read.clear()
    assert data_plane_probes(context.rollout, access, live=context.live).probes
    assert set(read) == {"Pod"}


def test_a_mesh_of_smi_cannot_be_asked() -> None:
    """SMI has no common way to ask, so there is no probe, also not of the other backends of the Rollout."""
    result = data_plane_probes(situation({"smi": {}, **NGINX}, access := Access()).rollout, access)
    assert result.probes == ()
    assert result.obstacles == {"smi": "there is no common way to ask the data plane of backend smi"}


def test_addresses_are_taken_by_the_name_of_their_option() -> None:
    """What is given by address is not looked for; a store that reaches no pods names the address that it needs."""
    store = MemoryStore()
    rollout = parse_rollout(m.rollout({**NGINX, **ISTIO}))
    given = data_plane_probes(rollout, store, {"nginx-status": ["10.0.0.7:10246"], "istiod": []})
    assert [probe.backends for probe in given.probes] == [{"nginx"}]
    assert given.obstacles == {"istio": "the store reaches no pods; give --envoy-admin"}
    both = {
        "nginx-status": ["10.0.0.7:10246"],
        "envoy-admin": ["10.0.0.8:15000"],
        "istiod": ["10.0.0.9:8080"],
    }
    assert covering(data_plane_probes(rollout, addresses=both).probes, rollout, Evidence.LOADED)


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        (
            {"envoy-admin": ["10.0.0.8:15000"]},
            "--envoy-admin is for istio, and Rollout default/shop has no such",
        ),
        ({"kong-admin": ["10.0.0.8:8001"]}, "--kong-admin is no data plane's; there are: --nginx-status"),
        ({"nginx-status": ["ftp://x"]}, "is no address"),
    ],
)
def test_an_address_that_nothing_would_ask_is_refused(addresses: dict[str, list[str]], words: str) -> None:
    """An address for another backend, of no data plane, or that is none, is an input error."""
    with pytest.raises(InvalidInputError, match=words):
        data_plane_probes(parse_rollout(m.rollout(NGINX)), addresses=addresses)


# Gateway API


GATEWAY_API: Any = {"gatewayAPI": {"httpRoute": "web"}}
ISTIOD, TRAEFIK = "istio.io/gateway-controller", "traefik.io/gateway-controller"
TRAEFIK_LABELS = {"app.kubernetes.io/name": "traefik"}


def route(*reports: tuple[str, str]) -> Manifest:
    """Return the HTTPRoute `web` with the parents that controllers report on: pairs of a parent and a controller."""
    parents = [{"name": name, "namespace": "edge"} for name in dict.fromkeys(name for name, _ in reports)]
    manifest = m.http_route(parentRefs=parents)
    manifest["status"] = {
        "parents": [
            {"parentRef": {"name": name, "namespace": "edge"}, "controllerName": controller}
            for name, controller in reports
        ]
    }
    return manifest


def gateway_of_api(name: str, *hosts: str) -> Manifest:
    """Return a Gateway of Gateway API; with hosts, one that istiod deploys nothing for."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "edge"},
        "spec": {"addresses": [{"type": "Hostname", "value": host} for host in hosts]} if hosts else {},
    }


def test_envoys_of_both_kinds_of_gateways_are_asked() -> None:
    """A Gateway that istiod deploys has labelled pods in its namespace; one with addresses has those of the Services."""
    service = m.service("ingress", "system")
    service["spec"]["selector"] = GATEWAY
    label = {"gateway.networking.k8s.io/gateway-name": "deployed"}
    access = Access(
        route(("deployed", ISTIOD), ("manual", ISTIOD)),
        gateway_of_api("deployed"),
        gateway_of_api("manual", "ingress.system.svc.cluster.local", "gone"),
        service,
        pod("one", label, namespace="edge"),
        pod("elsewhere", label),
        pod("two", GATEWAY),
        pod("traefik", TRAEFIK_LABELS),
    )
    assert asked(GATEWAY_API, access) == ["edge/one:15000", "system/two:15000"]


def test_traefiks_with_the_provider_are_asked() -> None:
    """Of several Traefiks those that serve Gateway API are asked, on the port of their entry point `traefik`."""
    flag = "--providers.kubernetesGateway=true"
    access = Access(
        route(("gate", TRAEFIK)),
        pod("one", TRAEFIK_LABELS, flag),
        pod("two", TRAEFIK_LABELS, flag, "--entryPoints.traefik.address=:9000/tcp"),
        pod("other", TRAEFIK_LABELS, "--providers.kubernetescrd"),
    )
    assert asked(GATEWAY_API, access) == ["system/one:8080", "system/two:9000"]


def test_a_traefik_with_its_flags_in_a_file_is_asked() -> None:
    """Without any flag that shows what it serves, each Traefik is asked."""
    assert asked(GATEWAY_API, Access(route(("gate", TRAEFIK)), pod("one", TRAEFIK_LABELS))) == [
        "system/one:8080"
    ]


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ([], "no controller reports on the routes"),
        ([("gate", "example.com/gateway")], "no common way to ask the data plane of example.com/gateway"),
        ([("gate", ISTIOD)], "no running Envoy of Gateway edge/gate was found"),
        ([("gate", TRAEFIK)], "no running pod of Traefik was found"),
    ],
)
def test_why_no_data_plane_of_a_route_can_be_asked(reports: list[tuple[str, str]], words: str) -> None:
    """It is named once which implementation serves the routes and cannot be asked."""
    assert obstacle(GATEWAY_API, Access(route(*reports))).count(words) == 1


def test_a_route_of_two_implementations_needs_both() -> None:
    """When one of two data planes cannot be asked, neither is."""
    access = Access(route(("a", ISTIOD), ("b", TRAEFIK)), pod("one", TRAEFIK_LABELS))
    assert obstacle(GATEWAY_API, access) == "no running Envoy of Gateway edge/a was found"
    access.put(pod("two", {"gateway.networking.k8s.io/gateway-name": "a"}, namespace="edge"))
    assert obstacle(GATEWAY_API, access) == ""
