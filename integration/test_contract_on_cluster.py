"""The contract suite of every backend, on a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import test_contract as in_memory

from data_planes import running_pod
from harness.namespace import contract_store

if TYPE_CHECKING:
    from harness.namespace import ClusterContractStore, Namespace
    from rollway.routers.objects import Manifest


class _OnCluster(in_memory._Contract):
    # An API server drops fields that the schema of a kind does not have.
    keeps_unknown_fields = False

    @pytest.fixture(autouse=True)
    def _in_namespace(self, namespace: Namespace) -> None:
        type(self).current = namespace  # type: ignore[attr-defined]
        type(self).namespace = namespace.name

    def store(self) -> ClusterContractStore:
        return contract_store(type(self).current, self.objects())  # type: ignore[attr-defined]


@pytest.mark.kubelets
class TestNginx(_OnCluster, in_memory.TestNginx):
    """One stable Ingress."""


class TestNginxSeveral(_OnCluster, in_memory.TestNginxSeveral):
    """Three stable Ingresses of one Rollout."""


class TestIstioHosts(_OnCluster, in_memory.TestIstioHosts):
    """One VirtualService, split by host."""


class TestIstioSubsets(_OnCluster, in_memory.TestIstioSubsets):
    """Two VirtualServices, split by the subsets of a DestinationRule."""


class TestSmi(_OnCluster, in_memory.TestSmi):
    """One TrafficSplit, in the version that the CRD serves."""


class TestService(_OnCluster, in_memory.TestService):
    """Two Services, and a ready pod of each release: a switch asks for pods, not for endpoints."""

    def objects(self) -> list[Manifest]:
        """Return the Services, and a pod that each of them selects."""
        services = super().objects()
        pods = [
            running_pod(f"pod-{number}", "", f"10.244.9.{number}", **service["spec"]["selector"])
            for number, service in enumerate(services, 1)
        ]
        for pod in pods:
            # The deletion of a pod with a node waits for a kubelet, and the suite makes each pod many times.
            del pod["spec"]["nodeName"]
        return [*pods, *services]


class TestGateway(_OnCluster, in_memory.TestGateway):
    """One HTTPRoute."""

    def garbage(self) -> list[Manifest]:
        return [route for route in super().garbage() if route["apiVersion"].endswith("/v1")]


class TestGatewaySeveral(_OnCluster, in_memory.TestGatewaySeveral):
    """Two rules of an HTTPRoute, and GRPCRoutes that a selector finds."""


class TestGatewayConnections(_OnCluster, in_memory.TestGatewayConnections):
    """A TLSRoute and a TCPRoute, in the versions that the CRDs serve."""

    def garbage(self) -> list[Manifest]:
        """Return none: the one of the tests in memory is a version that the server does not serve."""
        return []


class TestGatewayCalls(_OnCluster, in_memory.TestGatewayCalls):
    """One GRPCRoute."""


class TestAllTogether(_OnCluster, in_memory.TestAllTogether):
    """One Rollout with every backend."""
