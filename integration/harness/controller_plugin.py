"""The fixtures of releases: a control plane in which pods come and go, controllers, and namespaces with a Rollout `web`.

All tests that use them have the mark `CONTROLLER_GROUP`, so that one worker runs them and starts one control plane.
"""

from __future__ import annotations

import itertools
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness.full_control_plane import FullControlPlane
from harness.releasing import ControllerProcess, Shop
from rollway.routers.stores.cluster import ClusterStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rollway.routers.kube.client import Client

CONTROLLER_GROUP = [pytest.mark.local, pytest.mark.xdist_group("controller")]
_NAMES = (f"shop-{number}" for number in itertools.count(1))


@pytest.fixture(scope="session")
def full_control_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FullControlPlane]:
    """A control plane with our CRDs and one node."""
    found = FullControlPlane(tmp_path_factory.mktemp("plane"), request.config.getoption("--kubernetes"))
    try:
        found.start_with_rollouts()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def client(full_control_plane: FullControlPlane) -> Iterator[Client]:
    """An administrator of the cluster in which pods come and go."""
    with closing(ClusterStore.open(str(full_control_plane.kubeconfig()), cache=False)) as store:
        yield store.client


@pytest.fixture(scope="session")
def start_controller(
    full_control_plane: FullControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., ControllerProcess]]:
    """Start a replica of the controller; it ends with the session."""
    folder = tmp_path_factory.mktemp("controllers")
    running: list[ControllerProcess] = []

    def begin(*words: str) -> ControllerProcess:
        log = folder / f"{len(running)}.log"
        running.append(ControllerProcess(full_control_plane.kubeconfig(), log, "--drain", "0s", *words))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture(scope="session")
def controller(start_controller: Callable[..., ControllerProcess]) -> ControllerProcess:
    """The controller of most tests."""
    found = start_controller("--log-format", "json")
    found.wait_ready()
    return found


@pytest.fixture
def empty_shop(client: Client) -> Callable[..., Shop]:
    """Make a namespace with Services, whose Rollout may be another controller's."""
    return lambda *services: Shop(client, next(_NAMES), services)


@pytest.fixture
def shop(
    controller: ControllerProcess,
    empty_shop: Callable[..., Shop],
    full_control_plane: FullControlPlane,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Shop]:
    """Make a namespace with Services, which the verbs find as well."""
    monkeypatch.setenv("KUBECONFIG", str(full_control_plane.kubeconfig()))
    return empty_shop
