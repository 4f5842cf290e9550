"""A cluster of one node by kind, from its own images, or from images of Debian's packages and Go modules alone."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from containers import engine, images
from containers.docker import DockerError, docker
from harness import tools

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES = ("auto", "registry", "packages")
"""Where the images come from; `auto` is the registry where it answers, and packages elsewhere."""
HTTP_PORT, GATEWAY_PORT = 30080, 30081
"""The ports of the node on which ingress-nginx and Traefik answer; they are published on loopback."""
_CREATE_S = 300
_DELETE_S = 60


@dataclass(frozen=True)
class Node:
    """The container that is the node of a cluster, by its name for Docker."""

    container: str

    def run(self, *command: str, stdin: Any = subprocess.DEVNULL) -> str:
        """Run a command in the node, and return what it printed."""
        interactive = [] if stdin is subprocess.DEVNULL else ["--interactive"]
        return docker("exec", *interactive, self.container, *command, stdin=stdin)

    def load(self, archive: Path) -> None:
        """Give the node's containerd an image, as a docker archive."""
        with archive.open("rb") as content:
            self.run("ctr", "--namespace", "k8s.io", "images", "import", "-", stdin=content)

    def host(self) -> str:
        """Return the address at which the node finds this machine."""
        return self.run("ip", "-4", "route", "show", "default").split()[2]

    def log_in(self, kubeconfig: Path) -> None:
        """Put the token of an administrator into a kubeconfig instead of a certificate, which no proxy can pass on."""
        kubectl, account = ("kubectl", "--namespace", "kube-system"), "rollway-tests"
        self.run(*kubectl, "create", "serviceaccount", account)
        role = ("--clusterrole", "cluster-admin", "--serviceaccount", f"kube-system:{account}")
        self.run(*kubectl, "create", "clusterrolebinding", account, *role)
        token = self.run(*kubectl, "create", "token", account, "--duration", "24h").strip()
        config = yaml.safe_load(kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        kubeconfig.write_text(yaml.safe_dump(config))

    def processes(self, pod_uid: str, name: str) -> list[str]:
        """Return the pids, as the node counts them, of a pod's processes whose command begins with a name."""
        find = 'for pid in $(pgrep --full "^$1"); do grep -qs "$2\\|$3" /proc/$pid/cgroup && echo $pid; done; true'
        # systemd writes the dashes of a uid as underscores.
        found = self.run("sh", "-c", find, "sh", name, pod_uid, pod_uid.replace("-", "_"))
        return found.split()


@dataclass(frozen=True)
class NodeImage:
    """The image of a node: its reference, and the archive to load it from (None: kind pulls it by digest)."""

    reference: str
    archive: Path | None


def node_image(source: str) -> NodeImage:
    """Return the node image from a source, pulled or made now.

    Raises:
        MissingToolError: the registry does not answer, or the image cannot be made here.
    """
    alone = engine.INSIDE in os.environ or engine.running()
    if source == "registry" and alone:
        raise tools.MissingToolError("images of a registry need a Docker engine that runs already")
    if source != "packages" and not alone:
        own = own_image()
        try:
            docker("pull", "--quiet", own)
            return NodeImage(own, None)
        except DockerError as error:
            if source == "registry":
                raise tools.MissingToolError(f"{own} cannot be pulled: {error}") from None
    made = images.node()
    return NodeImage(made.reference, made.archive())


def own_image() -> str:
    """Return the image, by digest, that this version of kind is released with."""
    file = tools.module_folder("sigs.k8s.io/kind", pinned_by="kind") / "pkg/apis/config/defaults/image.go"
    found = re.search(r'Image = "(\S+@sha256:\w+)"', file.read_text())
    assert found, file
    return found[1]


def versions(node: Node, image: NodeImage) -> str:
    """Describe what a cluster is made of, and where its images come from."""
    origin = (
        "built from Debian packages and Go modules" if image.archive else "from their registries, by digest"
    )
    kubernetes = node.run("cat", "/kind/version").strip()
    parts = (_kind("version").split()[1], kubernetes, tools.INGRESS_NGINX)
    return "kind {}, Kubernetes {}, ingress-nginx {}; images {}".format(*parts, origin)


def create(name: str, image: NodeImage, kubeconfig: Path, ports: Mapping[int, int]) -> Node:
    """Create a cluster whose node publishes these ports as others on loopback, and wait until it is ready."""
    if image.archive:
        _load(image.reference, image.archive)
    words = ["create", "cluster", "--name", name, "--image", image.reference, "--config", "-"]
    _kind(
        *words, "--kubeconfig", str(kubeconfig), "--wait", "180s", stdin=yaml.safe_dump(_config(image, ports))
    )
    return Node(f"{name}-control-plane")


def delete(name: str) -> None:
    """Delete a cluster, if it is there, and make sure that it is gone."""
    label = f"label=io.x-k8s.kind.cluster={name}"
    deadline = time.monotonic() + _DELETE_S
    while True:
        _kind("delete", "cluster", "--name", name, "--kubeconfig", os.devnull)
        # kind reports a node as deleted while Docker is still starting it.
        left = docker("ps", "--all", "--quiet", "--filter", label)
        if not left.strip():
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"cluster {name} is still there after {_DELETE_S} s: containers {left}")
        time.sleep(0.5)


def _kind(*words: str, stdin: str = "") -> str:
    """Run kind, and let it end also where this run is interrupted: what it has begun can then be deleted."""
    command = [str(tools.kind().path()), *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            printed, errors = process.communicate(stdin, _CREATE_S)
        except KeyboardInterrupt:
            process.wait(_CREATE_S)
            raise
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{errors[-6000:]}")
    return printed


def _load(reference: str, archive: Path) -> None:
    """Give the engine an image, if it lacks it, and take away those that it replaces: a node is a gigabyte."""
    present = docker("images", "--format", "{{.Repository}}:{{.Tag}}", reference.rpartition(":")[0]).split()
    if reference not in present:
        docker("load", "--quiet", "--input", str(archive))
    for older in set(present) - {reference}:
        # An image that another cluster uses stays.
        with contextlib.suppress(DockerError):
            docker("rmi", older)


def _config(image: NodeImage, ports: Mapping[int, int]) -> dict[str, Any]:
    """Return the cluster as kind's configuration, v1alpha4."""
    patches: list[dict[str, Any]] = []
    kubelet: dict[str, Any] = {"kind": "KubeletConfiguration"}
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        kubelet["failCgroupV1"] = False
    if image.archive:
        # These nodes have no DNS, and nothing here needs it: Services are found by their addresses.
        kubelet["resolvConf"] = "/kind/resolv.conf"
        patches.append({"kind": "InitConfiguration", "skipPhases": ["preflight", "addon/coredns"]})
    node = {
        "role": "control-plane",
        "labels": {"ingress-ready": "true"},
        "extraPortMappings": [
            {"containerPort": port, "hostPort": published, "listenAddress": "127.0.0.1", "protocol": "TCP"}
            for port, published in ports.items()
        ],
    }
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"kubeProxyMode": "iptables"},
        "kubeadmConfigPatches": [yaml.safe_dump(patch) for patch in (kubelet, *patches)],
        "nodes": [node],
    }
