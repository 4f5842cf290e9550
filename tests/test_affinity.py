"""What keeps users with one version is reported, with what the weight then means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import manifests as m
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

SERVICES = [m.service("shop-stable"), m.service("shop-canary")]


def notes(routing: Any, *objects: Manifest, weight: int = 10) -> list[tuple[str, str]]:
    """Return the object and the message of each note about session affinity."""
    router = TrafficRouter(parse_rollout(m.rollout(routing)), MemoryStore(objects))
    router.set_weight(weight)
    return [
        (str(found.ref), found.message)
        for found in router.observe(check=True).findings
        if found.code == "session-affinity"
    ]


def client_ip(name: str) -> Manifest:
    """Return a Service that asks kube-proxy to keep each client with one endpoint."""
    service = m.service(name)
    service["spec"]["sessionAffinity"] = "ClientIP"
    return service


def test_a_mesh_does_not_use_client_ip() -> None:
    """A mesh sends to the endpoints itself, so affinity of a Service keeps nobody, and the weight counts requests."""
    objects = [client_ip("shop-stable"), m.service("shop-canary")]
    ((ref, message),) = notes({"smi": {}}, *objects)
    assert ref == "Service default/shop-stable"
    assert "does not use it, so the weight is the share of all requests" in message
    assert not notes({"smi": {}}, *SERVICES)
