"""The data planes of a run, each started once when a test first asks for it, and shops behind them."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sandbox
from data_planes import echo
from data_planes.ingress_nginx import IngressNginx
from data_planes.istio import Istio
from data_planes.smi_mesh import SmiMesh
from harness.traffic import Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from data_planes import DataPlane
    from harness.api import Api
    from harness.providers import Cluster

FAILURES = Path(__file__).resolve().parent.parent.parent / "build" / "traffic-failures"


@pytest.fixture(scope="session")
def echo_pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The pods of all shops."""
    if not sandbox.inside():
        pytest.skip("traffic needs a network of its own: make traffic")
    daemon = echo.started(tmp_path_factory.mktemp("echo"))
    yield
    daemon.stop()


def _running(plane: DataPlane, cluster: Cluster, api: Api, folder: Path) -> Iterator[DataPlane]:
    try:
        plane.start(cluster, api, folder)
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def ingress_nginx(
    cluster: Cluster, api: Api, echo_pods: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DataPlane]:
    """A running ingress-nginx."""
    yield from _running(IngressNginx(), cluster, api, tmp_path_factory.mktemp("ingress-nginx"))


@pytest.fixture(scope="session")
def istio(
    cluster: Cluster, api: Api, echo_pods: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DataPlane]:
    """A running istiod with an Envoy as ingress gateway."""
    yield from _running(Istio(), cluster, api, tmp_path_factory.mktemp("istio"))


@pytest.fixture(scope="session")
def smi_mesh(
    cluster: Cluster, api: Api, echo_pods: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DataPlane]:
    """A running Traefik Mesh."""
    yield from _running(SmiMesh(), cluster, api, tmp_path_factory.mktemp("smi"))


@pytest.fixture(params=["ingress_nginx", "istio", "smi_mesh"])
def plane(request: pytest.FixtureRequest) -> DataPlane:
    """Each data plane in turn."""
    found: DataPlane = request.getfixturevalue(request.param)
    return found


_NUMBERS = itertools.count(1)


@pytest.fixture
def make_shop(
    request: pytest.FixtureRequest, cluster: Cluster, api: Api, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Shop]]:
    """Make shops behind a data plane; when the test fails, a folder keeps what it left."""
    made: list[Shop] = []

    def make(plane: DataPlane, **words: Any) -> Shop:
        shop = Shop(cluster, api, plane, next(_NUMBERS), **words)
        made.append(shop)
        monkeypatch.setenv("KUBECONFIG", str(shop.namespace.kubeconfig))
        return shop

    yield make
    failed = getattr(request.node, "failed_in_call", False)
    for shop in made:
        if failed:
            name = re.sub(r"[^\w.-]+", "_", request.node.nodeid.rpartition("/")[2])
            target = FAILURES / name / shop.namespace.name
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            shop.dump(target)
            print(f"what the test left is in {os.path.relpath(target)}")
        shop.namespace.delete()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember that a test failed, for the fixture that keeps what it left."""
    report = yield
    if report.when == "call" and report.failed:  # type: ignore[attr-defined]
        setattr(item, "failed_in_call", True)  # noqa: B010 - pytest has no such attribute
    return report
