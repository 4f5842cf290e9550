"""ingress-nginx: the real controller with its Lua balancer, on Debian's nginx.

The project's own balancer.lua decides which requests go to the canary; `ingress_nginx_files` lists what is changed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from data_planes import echo, fetch, ingress_nginx_files, running_pod
from harness import debian, tools
from harness.control_plane import flags
from harness.daemon import Daemon

if TYPE_CHECKING:
    from data_planes import PodPorts
    from harness.api import Api
    from harness.providers import Cluster

NAMESPACE = "ingress-nginx"
SYNC_RATE = 0.5
"""Posts per second. balancer.lua compares whole seconds, so workers may miss the later of two posts in one second until the
next post. Posts begin 1/rate seconds apart, but one that waits for a reload of nginx comes that much later: at this rate
a reload may take one second, and at the controller's own default (0.3) 2.3."""
SETTLED_S = 4.0
"""Seconds until nginx' workers have a write: the controller posts every two seconds, and they look every second."""


class Replica:
    """One controller pod: a mount namespace of its own, and ports of its own on the sandbox's loopback."""

    def __init__(self, number: int) -> None:
        self.pod = f"ingress-nginx-controller-{number}"
        first = 20000 + 100 * number
        self.ports = {
            "http-port": first,
            "https-port": first + 1,
            "status-port": first + 2,
            "stream-port": first + 3,
            "default-server-port": first + 4,
            "healthz-port": first + 5,
            "profiler-port": first + 6,
        }
        self.url = f"http://127.0.0.1:{first}"
        self.status = f"127.0.0.1:{first + 2}"
        self.metrics = f"127.0.0.1:{first + 5}"
        self.daemon: Daemon | None = None

    def start(self, cluster: Cluster, folder: Path, sync_rate: float) -> None:
        """Start the controller and wait until its balancer has a configuration."""
        root = debian.unpacked(debian.NGINX)
        home = folder / self.pod
        sink = self.ports["http-port"] + 9
        ingress_nginx_files.lay_out(root, home / "etc-nginx", sink)
        words = {name: str(port) for name, port in self.ports.items()} | {
            "kubeconfig": str(cluster.kubeconfig),
            "configmap": f"{NAMESPACE}/controller",
            "ingress-class": "nginx",
            "sync-rate-limit": str(sync_rate),
            "update-status": "false",
            "disable-leader-election": "true",
            "post-shutdown-grace-period": "0",
            "enable-metrics": "true",
            # The default since 1.12, and what the model of rollway assumes.
            "enable-annotation-validation": "true",
        }
        program = [str(tools.ingress_nginx().path()), *flags(words)]
        inside = [
            sys.executable,
            str(Path(__file__).parent / "private_paths.py"),
            str(home / "etc-nginx"),
            str(sink),
            *program,
        ]
        environment = {
            **echo.nginx_environment(root),
            "POD_NAME": self.pod,
            "POD_NAMESPACE": NAMESPACE,
            "NGINX_BINARY": str(root / "usr/sbin/nginx"),
        }
        self.daemon = Daemon(self.pod, ["unshare", "--mount", *inside], folder, environment)
        self.restart()

    @property
    def root(self) -> Path:
        """The file system as the controller sees it."""
        assert self.daemon is not None, "it was started"
        return Path(f"/proc/{self.daemon.pid}/root")

    def kill(self) -> None:
        """Kill the controller and its nginx, which has a process group of its own."""
        assert self.daemon is not None, "it was started"
        nginx = int((self.root / "tmp/nginx/nginx.pid").read_text())
        os.killpg(os.getpgid(nginx), signal.SIGKILL)
        self.daemon.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Start the same program, again after `kill`."""
        assert self.daemon is not None, "it was started"
        self.daemon.start()
        self.daemon.wait(lambda: fetch(f"http://{self.status}/is-dynamic-lb-initialized") is not None)

    def pause(self, number: signal.Signals) -> None:
        """Stop (SIGSTOP) or continue (SIGCONT) the controller; its nginx serves on with what it has."""
        assert self.daemon is not None, "it was started"
        os.kill(self.daemon.pid, number)

    def backends(self) -> list[dict[str, Any]]:
        """Return what the Lua balancer has."""
        found: list[dict[str, Any]] = json.loads(fetch(f"http://{self.status}/configuration/backends"))
        return found


class IngressNginx:
    """One or more replicas of the controller; requests go to the first."""

    name: ClassVar[str] = "nginx"
    settled_s: ClassVar[float] = SETTLED_S

    def __init__(self, replicas: int = 1, sync_rate: float = SYNC_RATE, first: int = 0) -> None:
        self.replicas = [Replica(first + number) for number in range(replicas)]
        self.sync_rate = sync_rate
        self.url = self.replicas[0].url

    def start(self, cluster: Cluster, api: Api, folder: Path) -> None:
        """Create the controller's objects and start every replica."""
        for manifest in _objects([replica.pod for replica in self.replicas]):
            api.put(manifest)
        for replica in self.replicas:
            replica.start(cluster, folder, self.sync_rate)

    def host(self, namespace: str) -> str:
        """Return the host name of a namespace's shop."""
        return f"shop.{namespace}.example.com"

    @property
    def loaded_options(self) -> tuple[str, ...]:
        """The addresses that rollway asks, as its options."""
        return tuple(word for replica in self.replicas for word in ("--nginx-status", replica.status))

    @property
    def pod_ports(self) -> PodPorts:
        """The status port of each."""
        return {f"{NAMESPACE}/{replica.pod}": {"10246": replica.status} for replica in self.replicas}

    @property
    def metrics(self) -> list[str]:
        """Where each replica shows its metrics."""
        return [replica.metrics for replica in self.replicas]

    def kill(self) -> None:
        """Kill the replica that gets the requests."""
        self.replicas[0].kill()

    def restart(self) -> None:
        """Start it again."""
        self.replicas[0].restart()

    def dump(self, folder: Path) -> None:
        """Write each replica's loaded backends and its log."""
        for replica in self.replicas:
            if replica.daemon:
                shutil.copy(replica.daemon.log, folder)
                root = replica.root
                # The last one that nginx refused is still there; where it took all, there is only nginx.conf.
                refused = sorted(root.glob("tmp/nginx/nginx-cfg*"), key=lambda path: path.stat().st_mtime)
                for file in (root / "etc/nginx/nginx.conf", *refused[-1:]):
                    (folder / f"{replica.pod}-{file.name}").write_bytes(file.read_bytes())
            try:
                (folder / f"{replica.pod}-backends.json").write_text(json.dumps(replica.backends(), indent=1))
            except OSError as error:
                (folder / f"{replica.pod}-backends.txt").write_text(str(error))

    def stop(self) -> None:
        """End every replica."""
        for replica in self.replicas:
            if replica.daemon:
                replica.daemon.stop()


def _objects(pods: list[str]) -> list[dict[str, Any]]:
    root = debian.unpacked(debian.NGINX)
    found: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "controller", "namespace": NAMESPACE},
            "data": ingress_nginx_files.settings(root),
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": "nginx"},
            "spec": {"controller": "k8s.io/ingress-nginx"},
        },
    ]
    labels = {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}
    for number, pod in enumerate(pods):
        address = f"10.244.255.{number + 10}"
        found.append(running_pod(pod, NAMESPACE, address, **labels))
    return found
