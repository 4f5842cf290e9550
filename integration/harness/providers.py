"""Where a test cluster comes from: `local` processes, `kind`, `k3s`, or an `existing` one."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from containers import engine, images, kind
from harness import control_plane, tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from containers.kind import Node
    from harness.control_plane import ControlPlane


@dataclass(frozen=True)
class Cluster:
    """A running cluster, and the parts of it that the tests may reach into.

    `control_plane` is set where tests may kill it, and `node` where pods run in a container of ours. `url` is the address
    of its ingress-nginx, `gateway_url` that of its Traefik, and `host` the address at which the cluster finds this machine (empty: it does not). `made_here`
    is true when its images are not from a registry, and `ends` when all of it is deleted after the run.
    """

    provider: str
    kubeconfig: Path
    context: str = ""
    control_plane: ControlPlane | None = None
    node: Node | None = None
    host: str = "127.0.0.1"
    url: str = ""
    gateway_url: str = ""
    echo_image: str = ""
    rollway_image: str = ""
    made_here: bool = False
    versions: str = ""
    ends: bool = True


class Provider(Protocol):
    """Make a cluster, and delete it again."""

    name: ClassVar[str]

    def unavailable(self) -> str:
        """Return why this provider cannot run here; empty when it can."""
        ...

    def cluster(self) -> AbstractContextManager[Cluster]:
        """Return a running cluster; leaving the context deletes what was made."""
        ...


class Local:
    """etcd and kube-apiserver as processes on loopback, built from their Go modules."""

    name: ClassVar[str] = "local"

    def __init__(self, minor: str = tools.KUBERNETES[0]) -> None:
        self.minor = minor

    def unavailable(self) -> str:
        """Return what is missing; empty when nothing is."""
        if self.minor not in tools.KUBERNETES:
            return f"Kubernetes {self.minor} is not one of {', '.join(tools.KUBERNETES)}"
        return "" if shutil.which("go") else "Go is not on the PATH, and the API server is built with it"

    @contextlib.contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """Start the processes; they end with the context."""
        with tempfile.TemporaryDirectory(prefix="rollway-cluster-") as folder:
            plane = control_plane.started(Path(folder), self.minor)
            try:
                yield Cluster(self.name, plane.kubeconfig(), control_plane=plane)
            finally:
                plane.stop()


class Kind:
    """A kind cluster with a name of its own, in which the images of the tests are loaded."""

    name: ClassVar[str] = "kind"

    def __init__(self, source: str = "auto", *, keep: bool = False) -> None:
        self.source = source
        self.keep = keep

    def unavailable(self) -> str:
        """Return what is missing; empty when nothing is."""
        if not shutil.which("go"):
            return "Go is not on the PATH, and kind is built with it"
        return engine.running()

    @contextlib.contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """Create the cluster and delete it, also after a failure; with `keep`, leave it and print where it is."""
        name = f"rollway-{secrets.token_hex(3)}"
        image = kind.node_image(self.source)
        published = control_plane.free_ports(2)
        ports = dict(zip((kind.HTTP_PORT, kind.GATEWAY_PORT), published, strict=True))
        with contextlib.ExitStack() as stack:
            folder = tempfile.mkdtemp(prefix="rollway-kind-")
            stack.callback(shutil.rmtree, folder)
            stack.callback(kind.delete, name)
            path = Path(folder) / "kubeconfig"
            node = kind.create(name, image, path, ports)
            made_here = image.archive is not None
            found = _cluster(
                self.name, node, path, published, kind.versions(node, image), made_here=made_here
            )
            yield replace(found, ends=not self.keep)
            if self.keep:
                stack.pop_all()
                print(f"\nkept: export KUBECONFIG={path}")
                print(f"delete it with: {tools.kind().path()} delete cluster --name {name}")


class K3s:
    """k3s in a container of testcontainers."""

    name: ClassVar[str] = "k3s"

    def unavailable(self) -> str:
        """Return what is missing; empty when nothing is."""
        if not importlib.util.find_spec("testcontainers"):
            return "testcontainers is not installed: pip install testcontainers[k3s]"
        return engine.running()

    @contextlib.contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """Start the container; it ends with the context."""
        from testcontainers.k3s import K3SContainer

        with (
            K3SContainer().with_exposed_ports(6443, kind.HTTP_PORT, kind.GATEWAY_PORT) as container,
            tempfile.TemporaryDirectory(prefix="rollway-k3s-") as folder,
        ):
            path = Path(folder) / "kubeconfig"
            path.write_text(container.config_yaml())
            node = kind.Node(container.get_wrapped_container().name)
            (version, *_) = node.run("k3s", "--version").splitlines()
            ports = [container.get_exposed_port(port) for port in (kind.HTTP_PORT, kind.GATEWAY_PORT)]
            yield _cluster(self.name, node, path, ports, version, made_here=False)


def _cluster(
    provider: str, node: Node, kubeconfig: Path, ports: Sequence[int], versions: str, *, made_here: bool
) -> Cluster:
    """Return the cluster of a node, when what the tests run in pods is loaded there.

    `ports` are those on loopback of ingress-nginx and of Traefik.
    """
    node.log_in(kubeconfig)
    echo = images.echo()
    node.load(echo.archive())
    if made_here:
        node.load(images.rollway().archive())
        rollway = images.rollway().reference
    else:
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "rollway.tar"
            rollway = images.rollway_of_dockerfile(archive)
            node.load(archive)
    return Cluster(
        provider,
        kubeconfig,
        node=node,
        host=node.host(),
        url=f"http://127.0.0.1:{ports[0]}",
        gateway_url=f"http://127.0.0.1:{ports[1]}",
        echo_image=echo.reference,
        rollway_image=rollway,
        made_here=made_here,
        versions=versions,
    )


@dataclass(frozen=True)
class Existing:
    """The cluster of a kubeconfig that was named explicitly; nothing is created but namespaces and CRDs.

    `url` is where its ingress-nginx answers; the images are in a registry that it reaches: `echo_image` of
    `tools/pods/echo`, `rollway_image` of rollway. Without them, only what needs no traffic runs.
    """

    name: ClassVar[str] = "existing"

    kubeconfig: str
    context: str = ""
    url: str = ""
    echo_image: str = ""
    rollway_image: str = ""

    def unavailable(self) -> str:
        """Return what is missing; empty when nothing is."""
        if not self.kubeconfig:
            return "name the cluster with --cluster-kubeconfig FILE (and --cluster-context)"
        return "" if Path(self.kubeconfig).exists() else f"{self.kubeconfig} does not exist"

    @contextlib.contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """Return it."""
        yield Cluster(
            self.name,
            Path(self.kubeconfig),
            self.context,
            host="",
            url=self.url,
            echo_image=self.echo_image,
            rollway_image=self.rollway_image,
            ends=False,
        )


NAMES = ("local", "kind", "k3s", "existing")


def provider(name: str, **words: Any) -> Provider:
    """Return the provider of that name; the words are those of its constructor."""
    makers: dict[str, Callable[..., Provider]] = {
        "local": Local,
        "kind": Kind,
        "k3s": K3s,
        "existing": Existing,
    }
    return makers[name](**words)
