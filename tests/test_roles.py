"""Which of two ping-pong Services is stable: by the status, by the live objects, or by an option."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

import manifests as m
from rollway.routers.errors import AmbiguousError, InvalidInputError, RefusedError
from rollway.routers.linting import lint
from rollway.routers.observing import observe_all
from rollway.routers.roles import known_roles
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split
from running import rollway

if TYPE_CHECKING:
    from pathlib import Path

    from rollway.routers.objects import Manifest

ISTIO: dict[str, Any] = {"istio": {"virtualService": {"name": "web"}}}
NGINX: dict[str, Any] = {"nginx": {"stableIngress": "web"}}
SMI: dict[str, Any] = {"smi": {"rootService": "root"}}


def ping_pong(routing: Any, stable: str = "") -> Manifest:
    """Return a Rollout with the Services ping and pong, and a status that names the stable one, if any."""
    services = {"pingService": "ping", "pongService": "pong"}
    manifest = m.rollout(routing, pingPong=services, stableService=None, canaryService=None)
    return {**manifest, "status": {"canary": {"stablePingPong": stable}}} if stable else manifest


def virtual_service(ping: int, pong: int) -> Manifest:
    """Return a VirtualService that gives ping and pong these weights."""
    route = [m.destination("ping", ping), m.destination("pong", pong)]
    return m.virtual_service(http=[{"name": "primary", "route": route}])


def canary_ingress(weight: int) -> Manifest:
    """Return the canary Ingress that leads to pong."""
    prefix = "nginx.ingress.kubernetes.io"
    annotations = {f"{prefix}/canary": "true", f"{prefix}/canary-weight": str(weight)}
    metadata = {"annotations": {**annotations, "rollway.dev/rollout": "shop"}}
    return m.ingress("shop-web-canary", "shop.example.com", m.path("pong"), metadata=metadata)


INGRESS = m.ingress("web", "shop.example.com", m.path("ping"))
SERVICES = [m.service("ping"), m.service("pong")]


def router(routing: Any, *objects: Manifest, stable: str = "") -> TrafficRouter:
    """Return a router whose roles are decided by the objects, or by the option."""
    store = MemoryStore([*objects, *SERVICES])
    return TrafficRouter(known_roles(parse_rollout(ping_pong(routing)), store, stable), store)


@pytest.mark.parametrize(
    ("routing", "objects"),
    [
        (ISTIO, [virtual_service(100, 0)]),
        (NGINX, [INGRESS]),
        (NGINX, [INGRESS, canary_ingress(0)]),
        (SMI, [m.traffic_split(root="root", ping=100, pong=0)]),
        ({**ISTIO, **NGINX}, [virtual_service(100, 0), INGRESS]),
    ],
    ids=["istio", "nginx", "nginx with a canary", "smi", "istio and nginx"],
)
def test_all_traffic_on_ping_means_that_ping_is_stable(routing: Any, objects: list[Manifest]) -> None:
    """Without a status a weight goes to pong, and a reset sends everything back to ping."""
    shop = router(routing, *objects)
    assert (shop.rollout.stable_service, shop.rollout.canary_service) == ("ping", "pong")
    shop.set_weight(25, adopt=True)
    assert shop.observe().traffic == Traffic(Split(25))
    shop.reset()
    assert shop.verify(0).outcome.value == "matches"
    weights = {name: int(weight) for reading in shop.observe().readings for name, weight in reading.weights}
    assert weights.get("ping", 100) == 100
    assert not weights.get("pong")


def test_all_traffic_on_pong_means_that_pong_is_stable() -> None:
    """The other way round it is the other one."""
    assert router(ISTIO, virtual_service(0, 100)).rollout.stable_service == "pong"


@pytest.mark.parametrize(
    ("routing", "objects"),
    [
        (ISTIO, [virtual_service(75, 25)]),
        (ISTIO, [virtual_service(0, 0)]),
        (NGINX, [INGRESS, canary_ingress(30)]),
        (NGINX, [INGRESS, canary_ingress(100)]),
        (SMI, []),
        (SMI, [m.traffic_split(root="root", ping=75, pong=25)]),
        ({**ISTIO, **NGINX}, [virtual_service(0, 100), INGRESS]),
    ],
    ids=["istio", "nothing", "nginx", "nginx all", "no split", "smi", "two that disagree"],
)
def test_shared_traffic_decides_nothing(routing: Any, objects: list[Manifest]) -> None:
    """Where both get traffic, or neither does, nobody guesses, and the option decides."""
    with pytest.raises(AmbiguousError, match="--stable ping or --stable pong"):
        router(routing, *objects)
    decided = router(routing, *objects, stable="ping").rollout
    assert (decided.stable_service, decided.canary_service) == ("ping", "pong")


def test_the_status_decides_before_the_objects() -> None:
    """With a status the store is not read, and no option can change it."""
    rollout = parse_rollout(ping_pong(ISTIO, "pong"))
    assert known_roles(rollout, MemoryStore()) is rollout
    assert known_roles(rollout, MemoryStore(), "pong") == rollout
    with pytest.raises(RefusedError, match="names pong as stable, not ping"):
        known_roles(rollout, MemoryStore(), "ping")


def test_roles_are_for_ping_pong_alone() -> None:
    """A Rollout that names its Services has no ping, and no router works without roles."""
    with pytest.raises(InvalidInputError, match="no 'ping' Service"):
        known_roles(parse_rollout(m.rollout(ISTIO)), MemoryStore(), "ping")
    with pytest.raises(AmbiguousError, match="does not show which Service is stable"):
        TrafficRouter(parse_rollout(ping_pong(ISTIO)), MemoryStore())


def test_lint_and_status_decide_as_the_other_verbs_do() -> None:
    """What is decided by the objects is shown so; what is not is a refusal, and an error beside the other Rollouts."""
    decided = MemoryStore([ping_pong(ISTIO), virtual_service(100, 0), *SERVICES])
    assert [problem for problem in lint(decided) if problem.severity != "note"] == []
    ((observation,), errors) = observe_all(decided)
    assert (observation.rollout.stable_service, errors) == ("ping", [])
    shared = MemoryStore([ping_pong(ISTIO), virtual_service(60, 40), *SERVICES])
    assert any(problem.severity == "refusal" and "pingPong" in problem.message for problem in lint(shared))
    assert [type(error) for _, error in observe_all(shared).errors] == [AmbiguousError]


def test_the_command_line_takes_the_role(tmp_path: Path) -> None:
    """`--stable` decides for every verb, because the objects do not any more after the first weight."""
    (tmp_path / "app.yaml").write_text(
        yaml.safe_dump_all([ping_pong(ISTIO), virtual_service(100, 0), *SERVICES])
    )
    where = ("--dir", str(tmp_path))
    assert rollway("set-weight", "shop", "25", *where).code == 0
    refused = rollway("set-weight", "shop", "50", *where)
    assert (refused.code, "--stable ping or --stable pong" in refused.stderr) == (4, True)
    assert "25 of 100" in rollway("status", "shop", "--stable", "ping", *where).stdout
    assert rollway("reset", "shop", "--stable", "ping", *where).code == 0
    route = yaml.safe_load_all((tmp_path / "app.yaml").read_text())
    weights = [item.get("weight") for item in list(route)[1]["spec"]["http"][0]["route"]]
    assert weights == [100, 0]
