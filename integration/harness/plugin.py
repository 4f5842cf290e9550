"""One cluster for the whole run, one namespace for each test."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

from containers import kind
from harness import crds, providers, tools
from harness.api import Api
from harness.namespace import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.control_plane import ControlPlane
    from harness.providers import Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what chooses the cluster."""
    group = parser.getgroup("cluster")
    group.addoption(
        "--cluster", choices=providers.NAMES, default="local", help="where the cluster comes from"
    )
    group.addoption("--kubernetes", default=tools.KUBERNETES[0], help="minor version of a local cluster")
    group.addoption("--cluster-kubeconfig", default="", help="kubeconfig of an existing cluster")
    group.addoption("--cluster-context", default="", help="context of an existing cluster")
    group.addoption("--cluster-url", default="", help="where ingress-nginx of an existing cluster answers")
    group.addoption(
        "--echo-image", default="", help="image of tools/pods/echo that an existing cluster reaches"
    )
    group.addoption("--rollway-image", default="", help="image of rollway that an existing cluster reaches")
    group.addoption(
        "--kind-images",
        choices=kind.SOURCES,
        default="auto",
        help="where the images of a kind cluster come from",
    )
    group.addoption("--keep", action="store_true", help="leave the kind cluster after the run")


_WORDS = {
    "local": {"minor": "--kubernetes"},
    "kind": {"source": "--kind-images", "keep": "--keep"},
    "k3s": {},
    "existing": {
        "kubeconfig": "--cluster-kubeconfig",
        "context": "--cluster-context",
        "url": "--cluster-url",
        "echo_image": "--echo-image",
        "rollway_image": "--rollway-image",
    },
}
"""The options of each provider."""
_VERSIONS = pytest.StashKey[str]()


def _provider(config: pytest.Config, name: str = "") -> providers.Provider:
    chosen = name or config.getoption("--cluster")
    return providers.provider(
        chosen, **{word: config.getoption(option) for word, option in _WORDS[chosen].items()}
    )


def pytest_configure(config: pytest.Config) -> None:
    """Fail at once with the reason when the cluster that was asked for cannot be started here."""
    config.addinivalue_line(
        "markers", "local: runs with --cluster=local only: it kills the control plane, or needs no cluster"
    )
    config.addinivalue_line(
        "markers",
        "kubelets: kubelets, or the other controllers of a whole cluster, could change the result, so `make integration-kind` runs it",
    )
    why = _provider(config).unavailable()
    if why:
        raise pytest.UsageError(f"--cluster={config.getoption('--cluster')} cannot run here: {why}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print which cluster the tests ran on, and why each of the others was not used."""
    name = config.getoption("--cluster")
    version = f"Kubernetes {config.getoption('--kubernetes')}" if name == "local" else ""
    versions = config.stash.get(_VERSIONS, version)
    terminalreporter.section("cluster")
    terminalreporter.line(f"the tests ran on: {name}{f' ({versions})' if versions else ''}")
    for other in providers.NAMES:
        if other != name:
            why = _provider(config, other).unavailable() or f"not asked for; --cluster={other} does"
            terminalreporter.line(f"not run on {other}: {why}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs processes of our own on a cluster that is not."""
    name = config.getoption("--cluster")
    if name != "local":
        for item in items:
            kills = "control_plane" in getattr(item, "fixturenames", ())
            if kills or item.get_closest_marker("local"):
                item.add_marker(
                    pytest.mark.skip(
                        reason=f"kills the control plane, or needs no cluster: not with --cluster={name}"
                    )
                )


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster with the CRDs of all routers."""
    # What rollway and kubectl cache must come from this run.
    os.environ["KUBECACHEDIR"] = str(tmp_path_factory.mktemp("kube-cache"))
    with _provider(request.config).cluster() as found:
        if found.versions:
            request.config.stash[_VERSIONS] = found.versions
        Api(found).install(crds.installed())
        yield found


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Api:
    """An administrator of the cluster."""
    return Api(cluster)


@pytest.fixture
def control_plane(cluster: Cluster) -> Iterator[ControlPlane]:
    """The processes of the local cluster; they run again when the test is over."""
    assert cluster.control_plane is not None, "the marker `local` skips the test elsewhere"
    yield cluster.control_plane
    cluster.control_plane.ensure_running()


@pytest.fixture
def namespace(cluster: Cluster, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    """A namespace of its own, which the command line finds as the current one."""
    found = Namespace(cluster, api, f"rollway-{secrets.token_hex(4)}")
    monkeypatch.setenv("KUBECONFIG", str(found.kubeconfig))
    monkeypatch.delenv("ROLLWAY_DIR", raising=False)
    yield found
    found.delete()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
