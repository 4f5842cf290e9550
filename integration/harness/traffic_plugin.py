"""The data planes of a run, each started once when a test first asks for it, and shops behind them."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from data_planes import echo
from data_planes.gateway_api import IstioGateway, TraefikGateway
from data_planes.ingress_nginx import IngressNginx
from data_planes.ingress_nginx_in_cluster import IngressNginxInCluster
from data_planes.istio import Istio
from data_planes.kubelet import Kubelet
from data_planes.prometheus import Prometheus
from data_planes.smi_mesh import SmiMesh
from data_planes.traefik_in_cluster import TraefikInCluster
from harness import sandbox
from harness.namespace import Namespace, complete
from harness.traffic import Shop
from harness.workloads import Deployed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from data_planes import DataPlane
    from harness.api import Api
    from harness.providers import Cluster

    RunPlane = Callable[[DataPlane], AbstractContextManager[DataPlane]]

_ROOT = Path(__file__).resolve().parent.parent.parent
FAILURES = _ROOT / "build" / "traffic-failures"
EXAMPLES = _ROOT / "examples" / "shop"


@pytest.fixture(scope="session")
def echo_pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The pods of all shops."""
    if not sandbox.inside():
        pytest.skip("traffic needs a network of its own: make traffic")
    daemon = echo.started(tmp_path_factory.mktemp("echo"))
    yield
    daemon.stop()


@pytest.fixture(scope="session")
def kubelet(api: Api, echo_pods: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    """The kubelet that forwards ports to the pods of the data planes."""
    found = Kubelet(tmp_path_factory.mktemp("kubelet"))
    found.start(api)
    yield found
    found.stop()


@pytest.fixture(scope="session")
def run_plane(
    request: pytest.FixtureRequest, cluster: Cluster, api: Api, tmp_path_factory: pytest.TempPathFactory
) -> RunPlane:
    """Start a data plane, with the shops' pods and a kubelet beside it where the cluster has none, and end it."""
    if cluster.control_plane is None and not cluster.echo_image:
        pytest.skip("for traffic, name --cluster-url and --echo-image")
    kubelet: Kubelet | None = request.getfixturevalue("kubelet") if cluster.control_plane else None

    @contextlib.contextmanager
    def run(plane: DataPlane) -> Iterator[DataPlane]:
        try:
            plane.start(cluster, api, tmp_path_factory.mktemp(plane.name))
            if kubelet:
                kubelet.serve(plane.pod_ports)
            yield plane
        finally:
            plane.stop()
            for pod in plane.pod_ports:
                namespace, _, name = pod.partition("/")
                api.delete(
                    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}}
                )

    return run


@pytest.fixture(scope="session")
def ingress_nginx(cluster: Cluster, run_plane: RunPlane) -> Iterator[DataPlane]:
    """A running ingress-nginx."""
    with run_plane(IngressNginx() if cluster.control_plane else IngressNginxInCluster()) as plane:
        yield plane


_FIRST = itertools.count(5, step=2)
"""No pod has the name of an earlier one: without a kubelet, the deletion of a pod never ends."""


@pytest.fixture
def two_replicas(
    request: pytest.FixtureRequest, cluster: Cluster, run_plane: RunPlane
) -> Iterator[DataPlane]:
    """An ingress-nginx with two replicas: beside the one of the other tests, or that one with a second."""
    if not cluster.control_plane:
        if cluster.node is None:
            pytest.skip(f"--cluster={cluster.provider} has no node whose processes can be reached")
        request.getfixturevalue("ingress_nginx")
    two = IngressNginx(2, first=next(_FIRST)) if cluster.control_plane else IngressNginxInCluster(2)
    with run_plane(two) as plane:
        yield plane


@pytest.fixture(scope="session")
def istio(cluster: Cluster, run_plane: RunPlane) -> Iterator[DataPlane]:
    """A running istiod with an Envoy as ingress gateway."""
    _only_local(cluster, "Istio")
    with run_plane(Istio()) as plane:
        yield plane


@pytest.fixture(scope="session")
def smi_mesh(cluster: Cluster, run_plane: RunPlane) -> Iterator[DataPlane]:
    """A running Traefik Mesh."""
    _only_local(cluster, "the SMI mesh")
    with run_plane(SmiMesh()) as plane:
        yield plane


@pytest.fixture(scope="session")
def istio_gateway(istio: Istio, run_plane: RunPlane) -> Iterator[DataPlane]:
    """A Gateway of the running istiod, at its Envoy."""
    with run_plane(IstioGateway(istio)) as plane:
        yield plane


@pytest.fixture(scope="session")
def traefik_gateway(cluster: Cluster, run_plane: RunPlane) -> Iterator[DataPlane]:
    """A running Traefik with a Gateway."""
    with run_plane(TraefikGateway() if cluster.control_plane else TraefikInCluster()) as plane:
        yield plane


def _only_local(cluster: Cluster, what: str) -> None:
    if not cluster.control_plane:
        pytest.skip(
            f"{what} runs beside the local API server; --cluster={cluster.provider} has ingress-nginx and Traefik only"
        )


@pytest.fixture(scope="session")
def prometheus(
    ingress_nginx: IngressNginx, istio: Istio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A running Prometheus that scrapes ingress-nginx and Envoy."""
    found = Prometheus()
    found.start(tmp_path_factory.mktemp("prometheus"), nginx=ingress_nginx.metrics, envoy=istio.admin)
    yield found
    found.stop()


@pytest.fixture(params=["ingress_nginx", "istio", "smi_mesh", "istio_gateway", "traefik_gateway"])
def plane(request: pytest.FixtureRequest) -> DataPlane:
    """Each data plane in turn."""
    found: DataPlane = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def examples(cluster: Cluster, api: Api, ingress_nginx: DataPlane) -> Iterator[Mapping[str, Namespace]]:
    """The examples, each in the namespace that its manifests name, with a Deployment of `echo` for each version."""
    if cluster.node is None:
        pytest.skip("the examples name their namespaces, so they need a cluster of ours that runs pods")
    made = {}
    for folder in sorted(EXAMPLES.iterdir()):
        found = made[folder.name] = Namespace(cluster, api, folder.name)
        Deployed(found, cluster.echo_image).prepare("stable", "canary")
        for file in sorted(folder.glob("*.yaml")):
            for manifest in yaml.safe_load_all(file.read_text()):
                if manifest and manifest["kind"] != "Kustomization":
                    api.put(complete(manifest))
    yield made
    # They end with the cluster; with `--keep` a person can look at them.
    for namespace in made.values():
        namespace.leave()


_NUMBERS = itertools.count(1)


@pytest.fixture
def make_shop(
    request: pytest.FixtureRequest, cluster: Cluster, api: Api, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Shop]]:
    """Make shops behind a data plane; when the test fails, a folder keeps what it left."""
    made: list[Shop] = []

    def make(plane: DataPlane, **words: Any) -> Shop:
        # The owner of the cluster may have namespaces with those names.
        name = f"{plane.name}-{secrets.token_hex(3)}" if cluster.provider == "existing" else ""
        shop = Shop(cluster, api, plane, next(_NUMBERS), namespace=name, **words)
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
        shop.delete()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember that a test failed, for the fixture that keeps what it left."""
    report = yield
    if report.when == "call" and report.failed:  # type: ignore[attr-defined]
        setattr(item, "failed_in_call", True)  # noqa: B010 - pytest has no such attribute
    return report
