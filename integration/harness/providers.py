"""Where a test cluster comes from: `local` processes, `kind`, `k3s`, or an `existing` one."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from harness import control_plane, tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from harness.control_plane import ControlPlane


@dataclass(frozen=True)
class Cluster:
    """A running cluster: its kubeconfig, and its control plane where that is ours to kill."""

    provider: str
    kubeconfig: Path
    context: str = ""
    control_plane: ControlPlane | None = None


class Provider(Protocol):
    """Make a cluster and take it away again."""

    name: ClassVar[str]

    def unavailable(self) -> str:
        """Say why this provider cannot run here; empty when it can."""
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
        """Say what is missing."""
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
    """A kind cluster with a name of its own."""

    name: ClassVar[str] = "kind"

    def unavailable(self) -> str:
        """Say what is missing."""
        for program in ("kind", "docker"):
            if not shutil.which(program):
                return f"{program} is not on the PATH"
        done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False, timeout=30)
        return "" if done.returncode == 0 else f"docker does not run here: {done.stderr.strip()[:200]}"

    @contextlib.contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """Create the cluster and delete it, also after a failure."""
        name = f"rollway-{secrets.token_hex(3)}"
        with tempfile.TemporaryDirectory(prefix="rollway-kind-") as folder:
            path = Path(folder) / "kubeconfig"
            try:
                create = [
                    "kind",
                    "create",
                    "cluster",
                    "--name",
                    name,
                    "--kubeconfig",
                    str(path),
                    "--wait",
                    "120s",
                ]
                subprocess.run(create, check=True)
                yield Cluster(self.name, path)
            finally:
                delete = ["kind", "delete", "cluster", "--name", name, "--kubeconfig", str(path)]
                subprocess.run(delete, check=False)


class K3s:
    """k3s in a container of testcontainers."""

    name: ClassVar[str] = "k3s"

    def unavailable(self) -> str:
        """Say what is missing."""
        try:
            import docker
            import testcontainers.k3s
        except ImportError:
            return "testcontainers is not installed: pip install testcontainers[k3s]"
        del testcontainers
        try:
            docker.from_env().ping()
        except docker.errors.DockerException as error:
            return f"docker does not run here: {str(error)[:200]}"
        return ""

    @contextlib.contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """Start the container; it ends with the context."""
        from testcontainers.k3s import K3SContainer

        with K3SContainer() as container, tempfile.TemporaryDirectory(prefix="rollway-k3s-") as folder:
            path = Path(folder) / "kubeconfig"
            path.write_text(container.config_yaml())
            yield Cluster(self.name, path)


class Existing:
    """The cluster of a kubeconfig that was named explicitly; nothing is created but namespaces and CRDs."""

    name: ClassVar[str] = "existing"

    def __init__(self, kubeconfig: str, context: str) -> None:
        self.kubeconfig = kubeconfig
        self.context = context

    def unavailable(self) -> str:
        """Say what is missing."""
        if not self.kubeconfig:
            return "name the cluster with --cluster-kubeconfig FILE (and --cluster-context)"
        return "" if Path(self.kubeconfig).exists() else f"{self.kubeconfig} does not exist"

    @contextlib.contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """Return it."""
        yield Cluster(self.name, Path(self.kubeconfig), self.context)


NAMES = ("local", "kind", "k3s", "existing")


def provider(name: str, *, minor: str = "", kubeconfig: str = "", context: str = "") -> Provider:
    """Return the provider of that name."""
    if name == "local":
        return Local(minor or tools.KUBERNETES[0])
    if name == "kind":
        return Kind()
    if name == "k3s":
        return K3s()
    return Existing(kubeconfig, context)
