"""A Rollout manifest is read as Argo Rollouts reads it, and its faults are all reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import manifests as m
from rollway.routers.backends import packages
from rollway.routers.backends.istio.stanza import (
    IstioDestinationRule,
    IstioTrafficRouting,
    IstioVirtualService,
    TLSRoute,
)
from rollway.routers.backends.nginx.stanza import NginxTrafficRouting
from rollway.routers.backends.smi.stanza import SmiTrafficRouting
from rollway.routers.errors import ManifestError, RollwayError, UnsupportedError
from rollway.routers.model import PingPong, RolloutStatus, Strategy
from rollway.routers.rollout import dotted, parse_rollout
from rollway.routers.rollout.schema import rollout_schema

NGINX = {"stableIngress": "web"}


def faults(manifest: Any) -> tuple[str, ...]:
    """Return the faults of a manifest."""
    with pytest.raises(ManifestError) as caught:
        parse_rollout(manifest)
    return tuple(map(str, caught.value.faults))


def test_every_field_is_read() -> None:
    """A manifest with every field of every backend becomes a Rollout that has them all."""
    routing = {
        "maxTrafficWeight": 1000,
        "managedRoutes": [{"name": "beta"}],
        "nginx": {
            "stableIngresses": ["web", "admin"],
            "annotationPrefix": "example.com",
            "additionalIngressAnnotations": {"a": "1", "example.com/b": "2"},
            "canaryIngressAnnotations": {"c": "3"},
        },
        "istio": {
            "virtualServices": [
                {"name": "web.other", "routes": ["primary"]},
                {
                    "name": "tcp",
                    "tlsRoutes": [{"port": 443, "sniHosts": ["a"]}],
                    "tcpRoutes": [{"port": 3306}],
                },
                {"name": "a.b.c.svc.cluster.local"},
            ],
            "destinationRule": {
                "name": "shop",
                "stableSubsetName": "s",
                "canarySubsetName": "c",
                "additionalSubsetNames": ["x"],
            },
        },
        "smi": {"rootService": "root", "trafficSplitName": "split"},
    }
    rollout = parse_rollout(m.rollout(routing))
    assert (rollout.name, rollout.namespace, rollout.total, rollout.strategy) == (
        "shop",
        "default",
        1000,
        Strategy.CANARY,
    )
    assert (rollout.stable_service, rollout.canary_service) == ("shop-stable", "shop-canary")
    assert rollout.managed_routes == ("beta",)
    assert rollout.backends == ("nginx", "istio", "smi")
    annotations = (("c", "3"), ("example.com/a", "1"), ("example.com/b", "2"))
    assert rollout.stanza(NginxTrafficRouting) == NginxTrafficRouting(
        ("web", "admin"), "example.com", annotations
    )
    istio = rollout.stanza(IstioTrafficRouting)
    assert istio.virtual_services == (
        IstioVirtualService("web", "other", ("primary",)),
        IstioVirtualService("tcp", "default", (), (TLSRoute(443, ("a",)),), (3306,)),
        IstioVirtualService("a.b", "c"),
    )
    assert istio.destination_rule == IstioDestinationRule("shop", "s", "c", ("x",))
    assert rollout.stanza(SmiTrafficRouting) == SmiTrafficRouting("root", "split")


def test_defaults_are_those_of_argo() -> None:
    """What is left out, null or empty gets Argo's default."""
    nulls = {
        "maxTrafficWeight": None,
        "nginx": {**NGINX, "stableIngresses": None, "annotationPrefix": ""},
        "smi": {"rootService": ""},
    }
    manifest = m.rollout(nulls)
    manifest["metadata"] = {"name": "shop", "uid": "1"}
    rollout = parse_rollout(manifest, namespace="prod")
    assert (rollout.namespace, rollout.total, rollout.uid) == ("prod", 100, "1")
    assert rollout.stanza(NginxTrafficRouting) == NginxTrafficRouting(("web",), "nginx.ingress.kubernetes.io")
    assert rollout.stanza(SmiTrafficRouting) == SmiTrafficRouting()


def test_blue_green_has_routing_too() -> None:
    """Active plays stable and preview plays canary."""
    rollout = parse_rollout(m.rollout({"smi": {}}, strategy="blueGreen"))
    assert (rollout.stable_service, rollout.canary_service, rollout.strategy) == (
        "shop-stable",
        "shop-canary",
        Strategy.BLUE_GREEN,
    )


@pytest.mark.parametrize(("status", "stable"), [(None, ""), ("", ""), ("pong", "pong"), ("ping", "ping")])
def test_ping_pong_follows_the_status(status: str | None, stable: str) -> None:
    """The status names the stable Service; without one this is not decided yet."""
    manifest = m.rollout(
        {"smi": {}},
        pingPong={"pingService": "ping", "pongService": "pong"},
        stableService=None,
        canaryService=None,
    )
    if status is not None:
        manifest["status"] = {"canary": {"stablePingPong": status}}
    rollout = parse_rollout(manifest)
    assert rollout.ping_pong == PingPong("ping", "pong", stable)
    assert rollout.stable_service == (stable or "pong")


def test_the_status_of_a_controller_is_read() -> None:
    """Phase, step, pauses and abort are read where they are of the right type, and no status is a fault."""
    manifest = m.rollout({"smi": {}}, steps=[{"setWeight": 5}, "odd", {"pause": {}}])
    pause = {"reason": "CanaryPauseStep", "startTime": "2026-01-01T00:00:00Z"}
    manifest["status"] = {"phase": "Paused", "currentStepIndex": 1, "pauseConditions": [pause], "abort": True}
    rollout = parse_rollout(manifest)
    assert rollout.status == RolloutStatus("Paused", 1, ("CanaryPauseStep",), aborted=True)
    assert rollout.steps == ({"setWeight": 5}, {"pause": {}})
    manifest["status"] = {"phase": 3, "currentStepIndex": "1", "pauseConditions": {}, "abort": "no"}
    assert parse_rollout(manifest).status == RolloutStatus()
    manifest["spec"]["strategy"]["canary"]["steps"] = "none"
    assert parse_rollout(manifest).steps == ()


def test_named_services_come_before_ping_pong() -> None:
    """As in Argo, ping-pong counts only where neither service is named."""
    manifest = m.rollout({"smi": {}}, pingPong={"pingService": "ping", "pongService": "pong"})
    assert parse_rollout(manifest).stable_service == "shop-stable"


def test_ping_pong_needs_two_services() -> None:
    """One Service cannot be both ping and pong."""
    manifest = m.rollout(
        {"smi": {}}, pingPong={"pingService": "a", "pongService": "a"}, stableService=None, canaryService=None
    )
    assert "spec.strategy.canary.pingPong" in faults(manifest)[0]


def test_subsets_need_no_services_but_not_one() -> None:
    """With a DestinationRule both services may be missing, but not just one of them."""
    rule = {"name": "shop", "stableSubsetName": "s", "canarySubsetName": "c"}
    routing = {"istio": {"virtualService": {"name": "web"}, "destinationRule": rule}}
    assert parse_rollout(m.rollout(routing, stableService=None, canaryService=None)).stable_service == ""
    assert "canaryService: is required" in faults(m.rollout(routing, canaryService=None))[0]


@pytest.mark.parametrize(
    ("routing", "fault"),
    [
        (
            {"nginx": {"stableIngres": "web", **NGINX}},
            "nginx.stableIngres: unknown key; did you mean 'stableIngress'?",
        ),
        ({"nginx": {"zzz": 1, **NGINX}}, "nginx.zzz: unknown key; known: additionalIngressAnnotations, "),
        (
            {"nginx": {}},
            "nginx.stableIngress: exactly one of stableIngress and stableIngresses is needed; neither is given",
        ),
        ({"nginx": {**NGINX, "stableIngresses": ["a"]}}, "needed; both are given"),
        ({"nginx": {"stableIngresses": ["a", "a"]}}, "nginx.stableIngresses[1]: Ingress 'a' is listed twice"),
        ({"nginx": {"stableIngress": "Web!"}}, "'Web!' is not a name that Kubernetes accepts"),
        (
            {"nginx": {**NGINX, "canaryIngressAnnotations": {"a": 1}}},
            'canaryIngressAnnotations.a: 1 is not of type "string" (put it in quotes)',
        ),
        ({"nginx": "web"}, 'nginx: "web" is not of type "object"'),
        (
            {"istio": {}},
            "istio.virtualService: exactly one of virtualService and virtualServices is needed; neither is given",
        ),
        (
            {"istio": {"virtualService": {"name": "a"}, "virtualServices": [{"name": "b"}]}},
            "needed; both are given",
        ),
        (
            {"istio": {"virtualServices": [{"name": "a"}, {"name": "a.default"}]}},
            "virtualServices[1]: VirtualService default/a is listed twice",
        ),
        (
            {"istio": {"virtualService": {"name": "a", "route": []}}},
            "virtualService.route: unknown key; did you mean 'routes'?",
        ),
        (
            {"istio": {"virtualService": {"name": "a", "tcpRoutes": [{"port": 0}]}}},
            "tcpRoutes[0].port: 0 is less than the minimum of 1",
        ),
        ({"istio": {"virtualService": {"name": "a", "tlsRoutes": [{}]}}}, "tlsRoutes[0]: "),
        (
            {"istio": {"virtualService": {"name": "a"}, "destinationRule": {"name": "d"}}},
            "destinationRule.canarySubsetName: is required",
        ),
        ({"smi": {"root": "x"}}, "smi.root: unknown key; did you mean 'rootService'?"),
        ({"maxTrafficWeight": 0, "smi": {}}, "maxTrafficWeight: 0 is less than the minimum of 1"),
        ({"maxTrafficWeight": True, "smi": {}}, 'maxTrafficWeight: true is not of type "integer"'),
        ({"managedRoutes": [{}], "smi": {}}, "managedRoutes[0].name: is required"),
        ({}, "trafficRouting: names no backend: add one of nginx, istio, smi, gateway"),
        (None, "trafficRouting: names no backend"),
    ],
)
def test_each_fault_is_told_with_its_path(routing: Any, fault: str) -> None:
    """A fault names its path and what is wrong."""
    assert any(fault in line for line in faults(m.rollout(routing))), faults(m.rollout(routing))


@pytest.mark.parametrize("name", ["alb", "traefik", "apisix", "ambassador", "appMesh"])
def test_another_backend_is_refused_by_name(name: str) -> None:
    """A backend that rollway lacks is refused even beside one that it has; supported ones are listed."""
    routings: list[dict[str, Any]] = [{name: {}}, {name: {}, "smi": {}}]
    for routing in routings:
        with pytest.raises(
            UnsupportedError,
            match=rf"backend '{name}' is not supported \(supported: nginx, istio, smi, gateway\)",
        ):
            parse_rollout(m.rollout(routing))


def test_a_misspelled_backend_is_recognized() -> None:
    """A typo in a backend's name gets the nearest one."""
    with pytest.raises(UnsupportedError, match="did you mean 'nginx'"):
        parse_rollout(m.rollout({"ngnix": NGINX}))


def test_a_rollout_has_only_the_stanzas_of_its_manifest() -> None:
    """To ask for the stanza of another backend is an error of the caller."""
    with pytest.raises(LookupError, match="Rollout shop has no IstioTrafficRouting"):
        parse_rollout(m.rollout({"smi": {}})).stanza(IstioTrafficRouting)


def test_all_faults_come_together() -> None:
    """Faults of types, of rules and of other backends are in one error, each once."""
    manifest = m.rollout(
        {"alb": {}, "maxTrafficWeight": "9", "nginx": {}, "istio": {"virtualService": {"routes": [1]}}},
        canaryService="shop-stable",
    )
    found = faults(manifest)
    assert len(found) == len(set(found)) == 6
    assert {line.split(": ")[0].rpartition(".")[2] for line in found} == {
        *("alb", "maxTrafficWeight", "stableIngress", "name", "routes[0]", "canaryService")
    }


@pytest.mark.parametrize(
    ("manifest", "fault"),
    [
        ([], "(the whole object)"),
        ({}, "metadata: is required"),
        ({"metadata": {"name": 3}, "spec": {"strategy": {}}}, "metadata.name: 3 is not of type"),
        ({"metadata": {"name": "a"}, "spec": []}, "spec: [] is not of type"),
        (
            {"metadata": {"name": "a"}, "spec": {"strategy": {"recreate": {}}}},
            "spec.strategy: give canary or blueGreen",
        ),
        (
            {
                "metadata": {"name": "a"},
                "spec": {
                    "strategy": {"canary": {}, "blueGreen": {"activeService": "a", "previewService": "b"}}
                },
            },
            "keep one",
        ),
        (
            {"metadata": {"name": "a"}, "spec": {"strategy": {"canary": {"trafficRouting": []}}}},
            "trafficRouting: [] is not of type",
        ),
    ],
)
def test_broken_manifests_have_faults_too(manifest: Any, fault: str) -> None:
    """A manifest that is no Rollout at all is a fault, not a crash."""
    assert any(fault in line for line in faults(manifest))


def test_unknown_keys_elsewhere_are_ignored() -> None:
    """Only the backends' stanzas are strict."""
    manifest = m.rollout({"smi": {}}, steps=[{"setWeight": 5}], future={"a": 1})
    manifest["spec"]["template"] = {"anything": [1, None]}
    manifest["metadata"]["labels"] = {1: 2}
    assert parse_rollout(manifest).name == "shop"


def test_faults_say_where_they_stand() -> None:
    """With a locator, each fault has file and line and they come in that order."""
    lines = {"maxTrafficWeight": 9, "zzz": 3}
    manifest = m.rollout({"maxTrafficWeight": "x", "smi": {"zzz": 1}})
    with pytest.raises(RollwayError) as caught:
        parse_rollout(manifest, locate=lambda path: f"app.yaml:{lines[str(path[-1])]}")
    assert isinstance(caught.value, ManifestError)
    assert [fault.place for fault in caught.value.faults] == ["app.yaml:3", "app.yaml:9"]


def test_paths_are_written_as_people_do() -> None:
    """Keys are joined with dots, indexes stand in brackets."""
    assert dotted(("spec", "rules", 0, "host")) == "spec.rules[0].host"


def test_schema_in_docs_is_the_one_in_use() -> None:
    """docs/schema/rollout.json is what the code checks against."""
    path = Path(__file__).parent.parent / "docs" / "schema" / "rollout.json"
    assert json.loads(path.read_text()) == rollout_schema(packages())
