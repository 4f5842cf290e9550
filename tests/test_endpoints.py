"""Readiness as every backend sees it: pure findings over EndpointSlices, Services and Pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from rollway.routers.errors import RefusedError
from rollway.routers.findings import Severity
from rollway.routers.guards import Limits
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore

if TYPE_CHECKING:
    from rollway.routers.findings import Finding
    from rollway.routers.objects import Manifest

ISTIO: dict[str, Any] = {"istio": {"virtualService": {"name": "web"}}}
NGINX: dict[str, Any] = {"nginx": {"stableIngress": "web"}}
SUBSETS: dict[str, Any] = {
    "istio": {
        "virtualService": {"name": "web"},
        "destinationRule": {"name": "shop", "stableSubsetName": "stable", "canarySubsetName": "canary"},
    }
}
SERVICES = [m.service("shop-stable"), m.service("shop-canary")]
READY = [m.endpoint_slice("shop-stable"), m.endpoint_slice("shop-canary")]


def router(
    routing: dict[str, Any], *manifests: Manifest, running: bool = True, **limits: Any
) -> TrafficRouter:
    """Return a router on objects of a running cluster."""
    store = MemoryStore(manifests, running=running)
    return TrafficRouter(parse_rollout(m.rollout(routing)), store, Limits(**limits))


def findings(found: TrafficRouter, weight: int) -> list[Finding]:
    """Return the findings of the plan for a weight about readiness."""
    plan = found.plan(weight)
    assert plan is not None
    codes = ("endpoints-not-ready", "subset-not-ready", "canary-capacity")
    return [finding for finding in plan.findings if finding.code in codes]


def subset_objects(**labels: str) -> list[Manifest]:
    """Return a VirtualService by subsets, its rule, one stable pod and one pod with the given labels."""
    pair = [m.destination("shop", 100, subset="stable"), m.destination("shop", 0, subset="canary")]
    pods = [m.pod("shop-0", version="stable"), m.pod("shop-1", **labels)]
    return [
        m.virtual_service(http=[{"route": pair}]),
        m.destination_rule(),
        m.endpoint_slice("shop", ready=2),
        *pods,
    ]


@pytest.mark.parametrize("routing", [NGINX, ISTIO, {"smi": {}}])
def test_ready_destinations_need_no_word(routing: dict[str, Any]) -> None:
    """With ready endpoints on both sides there is no finding, whatever the router."""
    found = router(routing, m.ingress(), m.virtual_service(), *SERVICES, *READY)
    assert findings(found, 20) == []


@pytest.mark.parametrize("routing", [NGINX, ISTIO, {"smi": {}}])
def test_files_tell_nothing_about_endpoints(routing: dict[str, Any]) -> None:
    """Objects that no cluster runs are never refused for endpoints that nobody can know."""
    found = router(routing, m.ingress(), m.virtual_service(), *SERVICES, running=False)
    assert findings(found, 20) == []


@pytest.mark.parametrize(
    ("slices", "text"),
    [
        ([m.endpoint_slice("shop-stable")], "has no ready endpoint (0 in all)"),
        (
            [m.endpoint_slice("shop-stable"), m.endpoint_slice("shop-canary", ready=0, unready=3)],
            "(3 in all)",
        ),
        ([m.endpoint_slice("shop-stable"), m.endpoint_slice("shop-canary", "elsewhere")], "(0 in all)"),
    ],
)
def test_a_canary_without_a_ready_endpoint_is_refused(slices: list[Manifest], text: str) -> None:
    """No slice, none ready, or only those of another namespace: refused, and waiting can end it."""
    (finding,) = findings(router(ISTIO, m.virtual_service(), *SERVICES, *slices), 20)
    assert (finding.severity, finding.transient, text in finding.message) == (Severity.REFUSAL, True, True)


def test_ready_unset_means_ready() -> None:
    """An endpoint without the condition counts as ready, as the API defines it."""
    slices = [m.endpoint_slice("shop-stable"), m.endpoint_slice("shop-canary", ready=0, unready=1)]
    del slices[1]["endpoints"][0]["conditions"]
    assert findings(router(ISTIO, m.virtual_service(), *SERVICES, *slices), 20) == []


@pytest.mark.parametrize(
    ("port", "ports", "ready"),
    [
        (80, [{"name": "http", "port": 8080}], True),
        ("http", [{"name": "http", "port": 8080}], True),
        ("http", [{"name": "http"}], False),
        (80, [{"name": "metrics", "port": 9090}], False),
        (80, [], False),
        (81, [{"name": "http", "port": 8080}], False),
    ],
)
def test_the_port_that_is_used_must_be_served(port: int | str, ports: list[Any], ready: bool) -> None:
    """A Service's port is looked up in the slice by its name; a port that no pod has, or the Service lacks, is not served."""
    web = m.ingress("web", "shop.example.com", m.path("shop-stable", port=port))
    slices = [m.endpoint_slice(name, ports=ports) for name in ("shop-stable", "shop-canary")]
    found = router(NGINX, web, *SERVICES, *slices)
    refused = [finding for finding in findings(found, 20) if finding.code == "endpoints-not-ready"]
    assert (not refused) == ready


def test_a_destination_with_a_port_asks_for_that_port() -> None:
    """In a VirtualService a destination's port number decides, where it has one."""
    pair = [
        m.destination("shop-stable", 100, port={"number": 80}),
        m.destination("shop-canary", 0, port={"number": 80}),
    ]
    twice = [{"name": "a", "route": pair}, {"name": "b", "route": pair}]
    routing = {"istio": {"virtualService": {"name": "web", "routes": ["a", "b"]}}}
    slices = [
        m.endpoint_slice("shop-stable"),
        m.endpoint_slice("shop-canary", ports=[{"name": "x", "port": 1}]),
    ]
    (finding,) = findings(router(routing, m.virtual_service(http=twice), *SERVICES, *slices), 20)
    assert "for port 80" in finding.message


def test_one_endpoint_must_serve_every_port_that_is_used() -> None:
    """Two ports served by different pods are not one destination that serves both."""
    services = [m.service("shop-stable"), m.service("shop-canary")]
    for service in services:
        service["spec"]["ports"].append({"name": "admin", "port": 81})
    web = m.ingress(
        "web", "shop.example.com", m.path("shop-stable", port=80), m.path("shop-stable", "/a", port=81)
    )
    first = m.endpoint_slice("shop-canary", ready=1)
    second = m.endpoint_slice("shop-canary", ready=1, ports=[{"name": "admin", "port": 8081}])
    second["metadata"]["name"] = "shop-canary-b"
    both = [{"name": "http", "port": 8080}, {"name": "admin", "port": 8081}]
    found = [web, *services, m.endpoint_slice("shop-stable", ports=both), first, second]
    assert findings(router(NGINX, *found), 20) == []
    second["endpoints"][0]["addresses"] = ["10.244.9.9"]
    (finding,) = findings(router(NGINX, *found), 20)
    assert "for port 80, 81" in finding.message


def test_a_service_that_does_not_exist_is_refused() -> None:
    """In a cluster a missing Service is a refusal, not the note that files get."""
    (finding,) = findings(router(ISTIO, m.virtual_service(), SERVICES[0], READY[0]), 20)
    assert "does not exist" in finding.message


def test_an_external_name_has_no_endpoints() -> None:
    """A Service that stands for a name outside is not asked for endpoints."""
    outside = m.service("shop-canary")
    outside["spec"] = {"type": "ExternalName", "externalName": "canary.example.com"}
    assert findings(router(ISTIO, m.virtual_service(), SERVICES[0], outside, READY[0]), 20) == []


def test_ingress_nginx_needs_stable_at_every_weight() -> None:
    """ingress-nginx answers 503 without a stable endpoint, so it is asked for at 100 as well; Istio does not need it."""
    slices = [m.endpoint_slice("shop-stable", ready=0), m.endpoint_slice("shop-canary")]
    (finding,) = findings(router(NGINX, m.ingress(), *SERVICES, *slices), 100)
    assert "answers 503 to all" in finding.message
    assert findings(router(ISTIO, m.virtual_service(), *SERVICES, *slices), 100) == []


def test_back_to_a_dead_stable_is_refused_only_while_the_canary_serves() -> None:
    """Going back loses users while the canary serves them; when nobody serves, it loses nothing."""
    live = m.virtual_service(
        http=[{"route": [m.destination("shop-stable", 50), m.destination("shop-canary", 50)]}]
    )
    dead = m.endpoint_slice("shop-stable", ready=0)
    (finding,) = findings(router(ISTIO, live, *SERVICES, dead, m.endpoint_slice("shop-canary")), 0)
    assert finding.severity is Severity.REFUSAL
    (finding,) = findings(router(ISTIO, live, *SERVICES, dead, m.endpoint_slice("shop-canary", ready=0)), 0)
    assert finding.severity is Severity.NOTE


@pytest.mark.parametrize(
    ("stable", "canary", "weight", "reported"), [(5, 1, 20, False), (5, 1, 21, True), (2, 8, 100, False)]
)
def test_capacity_against_the_share(stable: int, canary: int, weight: int, reported: bool) -> None:
    """A canary that would carry more per endpoint than stable does with all of the traffic is noted."""
    slices = [m.endpoint_slice("shop-stable", ready=stable), m.endpoint_slice("shop-canary", ready=canary)]
    found = findings(router(ISTIO, m.virtual_service(), *SERVICES, *slices), weight)
    assert [finding.code for finding in found] == ["canary-capacity"] * reported


@pytest.mark.parametrize(
    ("labels", "ready"), [({"version": "canary"}, True), ({"version": "next"}, False), ({}, False)]
)
def test_subsets_select_ready_pods_by_their_labels(labels: dict[str, str], ready: bool) -> None:
    """A subset has endpoints only where a ready pod of the host has all of its labels."""
    found = findings(router(SUBSETS, *subset_objects(**labels)), 20)
    assert [finding.code for finding in found] == ["subset-not-ready"] * (not ready)
    assert all("version=canary" in finding.message for finding in found)


def test_an_unready_pod_does_not_count_for_its_subset() -> None:
    """The labels are right and the pod is not ready: no endpoint."""
    objects = subset_objects(version="canary")
    objects[2] = m.endpoint_slice("shop", ready=1, unready=1)
    assert [finding.code for finding in findings(router(SUBSETS, *objects), 20)] == ["subset-not-ready"]


def test_a_subset_without_labels_takes_every_pod() -> None:
    """A subset that names no label selects all pods of the host, as Istio has it."""
    objects = subset_objects(version="next")
    objects[1]["spec"]["subsets"][1] = {"name": "canary"}
    assert findings(router(SUBSETS, *objects), 20) == []


def test_subsets_of_a_host_elsewhere_are_not_judged() -> None:
    """Slices of another namespace were not asked for, so there is no finding about them."""
    objects = subset_objects(version="next")
    host = "shop.other.svc.cluster.local"
    objects[0] = m.virtual_service(
        http=[{"route": [m.destination(host, 100, subset="stable"), m.destination(host, 0, subset="canary")]}]
    )
    objects[1] = m.destination_rule(host=host)
    assert findings(router(SUBSETS, *objects), 20) == []
    assert findings(router(SUBSETS, *subset_objects(version="next"), running=False), 20) == []


def test_allow_lifts_readiness() -> None:
    """--allow turns the refusal into a note, and the weight is written."""
    objects = [m.virtual_service(), *SERVICES]
    with pytest.raises(RefusedError, match="--allow endpoints-not-ready"):
        router(ISTIO, *objects).set_weight(20)
    assert router(ISTIO, *objects, allow=frozenset({"endpoints-not-ready"})).set_weight(20).changed


def test_waiting_ends_when_it_becomes_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `wait` the call looks again until the endpoint is ready, reporting each time what it waits for."""
    monkeypatch.setattr("rollway.routers.router.WAIT_INTERVAL_S", 0.01)
    found = router(ISTIO, m.virtual_service(), *SERVICES, READY[0])
    store = found.store
    assert isinstance(store, MemoryStore)
    reported: list[str] = []

    def waiting(pending: Any) -> None:
        reported.extend(finding.code for finding in pending)
        if len(reported) == 3:
            store.put(READY[1])

    assert found.set_weight(20, wait=30, waiting=waiting).changed
    assert reported == ["endpoints-not-ready"] * 3
    with pytest.raises(RefusedError):
        router(ISTIO, m.virtual_service(), *SERVICES, READY[0]).set_weight(20, wait=0.05)


def test_nothing_to_change_and_not_ready_is_refused() -> None:
    """A weight that is written already and reaches no pod is refused."""
    live = m.virtual_service(
        http=[{"route": [m.destination("shop-stable", 80), m.destination("shop-canary", 20)]}]
    )
    found = router(ISTIO, live, *SERVICES, READY[0])
    with pytest.raises(RefusedError, match=r"nothing to change for .*, and yet it does not work"):
        found.set_weight(20)
    with pytest.raises(RefusedError, match="nothing to change"):
        found.plan(20)


def test_a_route_without_services_asks_for_none() -> None:
    """A Rollout that is split by subsets alone needs no Service of stable and canary."""
    from dataclasses import replace

    from rollway.routers.backends.endpoints import check_services, endpoint_needs
    from rollway.routers.objects import Live
    from rollway.routers.traffic import Traffic
    from rollway.routers.weights import Split

    rollout = replace(parse_rollout(m.rollout(SUBSETS)), stable_service="", canary_service="")
    assert endpoint_needs(rollout) == []
    assert list(check_services(rollout, Traffic(Split(20)), Live((), running=True), {})) == []
