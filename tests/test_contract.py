"""Every backend keeps the contract, alone, with several objects, and together with the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import manifests as m
from rollway.routers.backends import BUILTIN
from rollway.routers.model import HASH_LABEL
from rollway.routers.rollout import parse_rollout
from rollway.routers.testing.contract import BackendContract
from rollway.routers.testing.memory import MemoryStore
from rollway.routers.traffic import SubsetHashes

if TYPE_CHECKING:
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest
    from rollway.routers.testing.contract import ContractStore
    from rollway.routers.testing.contract.routes import Kind

SERVICES = [m.service("shop-stable"), m.service("shop-canary")]


class _Contract(BackendContract):
    routing: dict[str, Any]
    namespace = "default"

    def rollout(self) -> Rollout:
        routing = {"managedRoutes": [{"name": "beta"}], **self.routing}
        return parse_rollout(m.placed(m.rollout(routing), self.namespace))


class TestNginx(_Contract):
    """One stable Ingress."""

    header_routes_at_once = 1
    routing = {"nginx": {"stableIngress": "web"}}

    def objects(self) -> list[Manifest]:
        return [m.ingress(), *SERVICES]

    def garbage(self) -> list[Manifest]:
        name = {"name": "shop-web-canary"}
        canary = {"nginx.ingress.kubernetes.io/canary": "true"}
        weight = {"nginx.ingress.kubernetes.io/canary-weight": "many"}
        return [
            m.ingress(metadata={**name, "annotations": ["list"]}),
            m.ingress(metadata={**name, "annotations": {**canary, **weight}}),
        ]


class TestNginxSeveral(TestNginx):
    """Three stable Ingresses of one Rollout, which move together."""

    routing = {"nginx": {"stableIngresses": ["web", "shop", "admin"]}}

    def objects(self) -> list[Manifest]:
        ports = ("web", 80), ("shop", 81), ("admin", 82)
        service = m.service("shop-stable"), m.service("shop-canary")
        for found in service:
            found["spec"]["ports"] = [{"name": name, "port": port} for name, port in ports]
        return [
            *(
                m.ingress(name, f"{name}.example.com", m.path("shop-stable", port=port))
                for name, port in ports
            ),
            *service,
        ]


class TestIstioHosts(_Contract):
    """One VirtualService, split by host, with a route of somebody else before ours."""

    routing: dict[str, Any] = {"istio": {"virtualService": {"name": "web"}}}

    def objects(self) -> list[Manifest]:
        other = {"name": "images", "route": [m.destination("images")]}
        ours = m.virtual_service()["spec"]["http"][0]
        return [m.virtual_service(http=[other, ours]), *SERVICES]

    def garbage(self) -> list[Manifest]:
        bad_weight = m.virtual_service(
            http=[{"route": [m.destination("shop-stable", 1.5), m.destination("shop-canary", 0)]}]
        )
        negative = m.virtual_service(
            http=[{"route": [m.destination("shop-stable", -1), m.destination("shop-canary", 0)]}]
        )
        return [
            bad_weight,
            negative,
            m.virtual_service(http={"route": []}),
            m.virtual_service(http=[{"route": ["x"]}]),
        ]


class TestIstioSubsets(_Contract):
    """Two VirtualServices with http, tls and tcp routes, split by the subsets of a DestinationRule."""

    routing = {
        "istio": {
            "virtualServices": [{"name": "web"}, {"name": "tcp", "tcpRoutes": [{"port": 3306}]}],
            "destinationRule": {"name": "shop", "stableSubsetName": "stable", "canarySubsetName": "canary"},
        }
    }

    def objects(self) -> list[Manifest]:
        pair = [m.destination("shop", 100, subset="stable"), m.destination("shop", 0, subset="canary")]
        web = m.virtual_service(
            http=[{"route": pair}],
            tls=[{"match": [{"port": 443, "sniHosts": ["shop.example.com"]}], "route": pair}],
        )
        tcp = m.virtual_service("tcp", tcp=[{"match": [{"port": 3306}], "route": pair}])
        return [web, tcp, m.destination_rule()]

    def garbage(self) -> list[Manifest]:
        return [m.virtual_service(tls=[{"route": {"a": 1}}])]


class TestIstioSubsetHashes(TestIstioSubsets):
    """The same with the pod-template hashes of both subsets, which a controller asks for."""

    def rollout(self) -> Rollout:
        return replace(super().rollout(), subsets=SubsetHashes("5d8f7", "7c9b4"))

    def objects(self) -> list[Manifest]:
        *services, _ = super().objects()
        hashes = {"stable": "5d8f7", "canary": "7c9b4"}
        labels = [(name, {"app": "shop", HASH_LABEL: pod_hash}) for name, pod_hash in hashes.items()]
        return [
            *services,
            m.destination_rule(subsets=[{"name": name, "labels": each} for name, each in labels]),
        ]


SMI_SERVED = {"split.smi-spec.io": ["v1alpha3"], "specs.smi-spec.io": ["v1alpha3"]}


class TestSmi(_Contract):
    """One TrafficSplit with the defaults of Argo Rollouts, in a version that can hold a header route."""

    header_routes_at_once = 1
    allowed = frozenset({"smi-matches-unproven"})
    routing: dict[str, Any] = {"smi": {}}

    def objects(self) -> list[Manifest]:
        return list(SERVICES)

    def store(self) -> ContractStore:
        return MemoryStore(self.objects(), served=SMI_SERVED)

    def garbage(self) -> list[Manifest]:
        return [
            m.traffic_split(shop_canary="many"),
            m.traffic_split(shop_canary=-5),
            m.traffic_split(shop_canary=True),
            {**m.traffic_split(), "spec": {"backends": {"a": 1}}},
            {**m.traffic_split(), "spec": {"backends": [{"weight": 1}]}},
        ]


class TestSmiQuantities(TestSmi):
    """A TrafficSplit v1alpha1, whose weights are quantities written as text."""

    def objects(self) -> list[Manifest]:
        crd = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "trafficsplits.split.smi-spec.io"},
            "spec": {"versions": [{"name": "v1alpha1", "served": True}]},
        }
        return [*SERVICES, crd]

    def store(self) -> ContractStore:
        return MemoryStore(self.objects())

    def can(self, kind: Kind) -> bool:
        """That version has no `matches`."""
        return not kind


class TestService(_Contract):
    """A Service for users and one for previews, which select the pods of two releases."""

    def rollout(self) -> Rollout:
        return parse_rollout(m.placed(m.switched(), self.namespace))

    def objects(self) -> list[Manifest]:
        return [m.selecting("shop-stable", "5d8f7"), m.selecting("shop-canary", "7c9b4")]

    def garbage(self) -> list[Manifest]:
        listed, number, none, text = (m.selecting("shop-stable", "5d8f7") for _ in range(4))
        listed["spec"]["selector"] = ["app"]
        number["spec"]["selector"]["rollouts-pod-template-hash"] = 57
        del none["spec"]["selector"]
        text["metadata"]["annotations"] = "rollway.dev/stable-hash"
        return [listed, number, none, text]


class TestGateway(_Contract):
    """One HTTPRoute, with a rule of somebody else before ours."""

    routing: dict[str, Any] = {"gatewayAPI": {"httpRoute": "web"}}

    def objects(self) -> list[Manifest]:
        images = {
            "name": "images",
            "matches": [{"path": {"type": "PathPrefix", "value": "/images"}}],
            "backendRefs": [m.backend_ref("images")],
        }
        return [m.http_route("web", images, m.pair_rule()), *SERVICES]

    def garbage(self) -> list[Manifest]:
        return [
            m.http_route("web", m.pair_rule(stable="many")),
            m.http_route("web", m.pair_rule(stable=1_000_001)),
            m.http_route("web", {"backendRefs": {"a": 1}}),
            m.http_route(rules={"a": 1}),
        ]


class TestGatewaySeveral(_Contract):
    """Two rules of an HTTPRoute, and what selectors find, under the plugin's own key."""

    routing = {
        "plugins": {
            "argoproj-labs/gatewayAPI": {
                "httpRoutes": [{"name": "web", "useHeaderRoutes": True}],
                "grpcRouteSelector": {"matchLabels": {"release": "shop"}},
            }
        }
    }

    def objects(self) -> list[Manifest]:
        paths = [{"path": {"type": "PathPrefix", "value": at}} for at in ("/a", "/b")]
        web = m.http_route("web", *(m.pair_rule(matches=[path]) for path in paths))
        calls = [m.http_route(name, kind="GRPCRoute") for name in ("calls", "more")]
        for route in calls:
            route["metadata"]["labels"] = {"release": "shop"}
        return [web, *calls, *SERVICES]

    def garbage(self) -> list[Manifest]:
        return [m.http_route("web", {"backendRefs": ["x"]})]


class TestGatewayCalls(TestGateway):
    """One GRPCRoute, whose rule has no match."""

    routing: dict[str, Any] = {"gatewayAPI": {"grpcRoute": "calls"}}

    def objects(self) -> list[Manifest]:
        return [m.http_route("calls", kind="GRPCRoute"), *SERVICES]

    def garbage(self) -> list[Manifest]:
        return [m.http_route("calls", m.pair_rule(stable=True), kind="GRPCRoute")]


class TestGatewayConnections(TestGatewaySeveral):
    """A TLSRoute and a TCPRoute, in the versions that were served before they became v1."""

    routing: dict[str, Any] = {"gatewayAPI": {"tlsRoute": "secure", "tcpRoutes": [{"name": "raw"}]}}

    def can(self, kind: Kind) -> bool:
        """Connections have neither headers nor anything to copy."""
        return not kind

    def objects(self) -> list[Manifest]:
        secure = m.http_route("secure", kind="TLSRoute", version="v1alpha3", hostnames=["shop.example.com"])
        return [secure, m.http_route("raw", kind="TCPRoute", version="v1alpha2"), *SERVICES]

    def garbage(self) -> list[Manifest]:
        return [m.http_route("secure", kind="TLSRoute", version="v1beta1")]


class TestAllTogether(_Contract):
    """One Rollout with every backend, which move together."""

    header_routes_at_once = 1
    allowed = TestSmi.allowed
    routing = {**TestNginx.routing, **TestIstioHosts.routing, **TestSmi.routing, **TestGateway.routing}

    def objects(self) -> list[Manifest]:
        return [m.ingress(), m.virtual_service(), m.http_route(), *SERVICES]

    def store(self) -> ContractStore:
        return MemoryStore(self.objects(), served=SMI_SERVED)

    def garbage(self) -> list[Manifest]:
        return TestIstioHosts().garbage()


def test_every_backend_has_a_contract_class() -> None:
    """A backend without a subclass of the contract suite is not finished."""
    covered = {name for kind in _Contract.__subclasses__() for name in kind().rollout().backends}
    assert covered == set(BUILTIN)
