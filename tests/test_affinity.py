"""What keeps users with one version is reported, with what the weight then means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

PREFIX = "nginx.ingress.kubernetes.io"
NGINX = {"nginx": {"stableIngress": "web"}}
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


def web(**annotations: str) -> Manifest:
    """Return the stable Ingress with annotations of ingress-nginx, `_` for `-`."""
    words = {f"{PREFIX}/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return m.ingress(metadata={"annotations": words})


def test_cookie_affinity_keeps_users_with_both_versions() -> None:
    """By default the canary inherits the cookie: nobody who was answered moves, whatever the weight, also at 0."""
    ((ref, message),) = notes(NGINX, web(affinity="cookie"), *SERVICES)
    assert ref == "Ingress default/web"
    assert "cookie INGRESSCOOKIE, until the browser is closed" in message
    assert "who was answered by the canary stays with it, also at weight 0" in message
    assert "the weight is the share of users without the cookie" in message
    assert notes(NGINX, web(affinity="cookie"), *SERVICES, weight=0) == [(ref, message)]


def test_legacy_cookie_affinity_keeps_users_with_stable_alone() -> None:
    """With `affinity-canary-behavior: legacy` on the canary, only stable keeps its users."""
    stanza = {"stableIngress": "web", "additionalIngressAnnotations": {"affinity-canary-behavior": "legacy"}}
    words = {"affinity": "cookie", "session_cookie_name": "shop", "session_cookie_max_age": "3600"}
    ((_, message),) = notes({"nginx": stanza}, web(**words), *SERVICES)
    assert "cookie shop, for 3600 s" in message
    assert "who was answered by stable stays with it" in message
    assert "whom a request to the canary gives no cookie" in message


def test_affinity_of_another_ingress_of_the_same_service_counts() -> None:
    """The controller keeps affinity for each Service, so an Ingress at another host makes the users sticky as well."""
    other = web(affinity="cookie")
    other["metadata"]["name"] = "admin"
    other["spec"]["rules"][0]["host"] = "admin.example.com"
    assert [ref for ref, _ in notes(NGINX, m.ingress(), other, *SERVICES)] == ["Ingress default/admin"]


@pytest.mark.parametrize("annotations", [{}, {"affinity": "Cookie"}, {"session_cookie_name": "shop"}])
def test_without_affinity_nothing_is_noted(annotations: dict[str, str]) -> None:
    """A word that the controller does not know, and the name of a cookie alone, keep nobody."""
    assert not notes(NGINX, web(**annotations), *SERVICES)


def test_a_hash_chooses_a_pod_and_no_version() -> None:
    """`upstream-hash-by` looks as if it kept users with a version, and the version is chosen before it."""
    ((ref, message),) = notes(NGINX, web(upstream_hash_by="$remote_addr"), *SERVICES)
    assert ref == "Ingress default/web"
    assert "uses upstream-hash-by $remote_addr: it chooses the pod after the version is chosen" in message


def test_ingress_nginx_does_not_use_client_ip() -> None:
    """Affinity of a Service has no effect, because the controller sends to the endpoints; with service-upstream it sees only the controller."""
    objects = [client_ip("shop-stable"), client_ip("shop-canary")]
    unused = notes(NGINX, m.ingress(), *objects)
    assert [ref for ref, _ in unused] == ["Service default/shop-canary", "Service default/shop-stable"]
    assert all("does not use it" in message for _, message in unused)
    through = dict(notes(NGINX, web(service_upstream="true"), *objects))
    assert "the only client is the controller" in through["Service default/shop-stable"]
    assert "does not use it" in through["Service default/shop-canary"]


def test_affinity_is_not_known_of_a_canary_that_is_not_loaded() -> None:
    """Where the controller would ignore the canary, that is the finding, and the weight means nothing beside it."""
    other = m.ingress(
        "a",
        "shop.example.com",
        m.path("shop-canary", "/nowhere"),
        metadata={"annotations": {f"{PREFIX}/canary": "true"}},
    )
    assert not notes(NGINX, web(affinity="cookie"), other, *SERVICES, weight=0)


HASH = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}
RANDOM = {"loadBalancer": {"simple": "RANDOM"}}
SUBSETS = {
    "istio": {
        "virtualService": {"name": "web"},
        "destinationRule": {"name": "shop", "stableSubsetName": "stable", "canarySubsetName": "canary"},
    }
}


def subsets(stable: Any, canary: Any, host: Any) -> list[Manifest]:
    """Return a VirtualService by subsets and its DestinationRule, with a policy for each subset and for the host."""
    rule = m.destination_rule()
    policies = {"stable": stable, "canary": canary}
    rule["spec"]["subsets"] = [
        {"name": name, "labels": {"version": name}, **({"trafficPolicy": policy} if policy else {})}
        for name, policy in policies.items()
    ]
    rule["spec"] |= {"trafficPolicy": host} if host else {}
    pair = [m.destination("shop", 100, subset="stable"), m.destination("shop", 0, subset="canary")]
    return [m.virtual_service(http=[{"route": pair}]), rule, *SERVICES]


@pytest.mark.parametrize(
    ("stable", "canary", "host", "named"),
    [
        (None, None, HASH, "subset stable and canary"),
        (None, HASH, None, "subset canary"),
        (RANDOM, None, HASH, "subset canary"),
        ({"connectionPool": {}}, RANDOM, HASH, "subset stable"),
        ({"portLevelSettings": [{"port": {"number": 80}, **HASH}]}, None, None, "subset stable"),
        ({"portLevelSettings": {}}, RANDOM, None, ""),
        (RANDOM, RANDOM, HASH, ""),
        (None, None, None, ""),
    ],
)
def test_a_hash_of_istio_chooses_the_pod_and_not_the_version(
    stable: Any, canary: Any, host: Any, named: str
) -> None:
    """`consistentHash` holds within a subset, where the subset's policy or the host's asks for it."""
    found = notes(SUBSETS, *subsets(stable, canary, host))
    assert [ref for ref, _ in found] == ["DestinationRule default/shop"] * bool(named)
    for _, message in found:
        assert message.startswith(f"uses consistentHash for {named}: it chooses the pod after the version")
        assert "the weight is the share of all requests" in message


@pytest.mark.parametrize("weight", [0, 100])
def test_a_hash_of_istio_matters_only_while_both_versions_are_served(weight: int) -> None:
    """With all requests on one version nobody changes versions, so nothing is noted."""
    assert not notes(SUBSETS, *subsets(None, None, HASH), weight=weight)


def test_istio_does_not_use_client_ip() -> None:
    """Envoy sends to the endpoints itself, so affinity of a Service keeps nobody."""
    objects = [m.virtual_service(), client_ip("shop-canary"), m.service("shop-stable")]
    ((ref, message),) = notes({"istio": {"virtualService": {"name": "web"}}}, *objects)
    assert ref == "Service default/shop-canary"
    assert message.startswith("has sessionAffinity ClientIP: Istio sends to the endpoints itself")
