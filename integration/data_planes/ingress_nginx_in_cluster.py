"""ingress-nginx in a cluster whose kubelets run pods: the manifests of its release for kind, with what the tests need.

Its image is the release's, by digest, or the one of `ingress_nginx_image`.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import yaml

from containers import ingress_nginx_image
from containers.ingress_nginx_image import CONTROLLER
from containers.kind import HTTP_PORT
from data_planes import ingress_nginx_files
from data_planes.ingress_nginx import NAMESPACE, SETTLED_S, SYNC_RATE
from harness.waiting import until
from rollway.routers.backends.nginx.data_plane import LABELS
from rollway.routers.kube.port_forward import forward
from rollway.routers.probes.http import Address, NoAnswerError, fetch

if TYPE_CHECKING:
    import signal

    from containers.kind import Node
    from data_planes import PodPorts
    from harness.api import Api
    from harness.providers import Cluster
    from rollway.routers.objects import Manifest

_DEPLOYMENT = "ingress-nginx-controller"
_STATUS_PORT = 10246


class Replica:
    """One controller pod."""

    def __init__(self, cluster: Cluster, api: Api, manifest: Manifest) -> None:
        self.cluster = cluster
        self.api = api
        self.pod = manifest["metadata"]["name"]
        self.uid = manifest["metadata"]["uid"]
        self.status = f"pod {NAMESPACE}/{self.pod}"

    def pause(self, number: signal.Signals) -> None:
        """Stop (SIGSTOP) or continue (SIGCONT) the controller; its nginx serves on with what it has."""
        self.send(number.name)

    def send(self, signal_name: str) -> None:
        """Send a signal to the controller."""
        node, pids = self._processes()
        node.run("kill", f"-{signal_name}", *pids)

    def _processes(self) -> tuple[Node, list[str]]:
        if self.cluster.node is None:
            pytest.skip(f"--cluster={self.cluster.provider} has no node whose processes can be reached")
        found = self.cluster.node.processes(self.uid, CONTROLLER)
        assert found, f"{self.pod} has no controller"
        return self.cluster.node, found

    def backends(self) -> list[dict[str, Any]]:
        """Return what the Lua balancer has."""
        dial = functools.partial(forward, self.api.connection, NAMESPACE, self.pod, _STATUS_PORT)
        address = Address(self.status, f"http://127.0.0.1:{_STATUS_PORT}", dial)
        found: list[dict[str, Any]] = fetch(address, "/configuration/backends")
        return found

    def configuration(self) -> str:
        """Return the nginx.conf that it has written."""
        node, pids = self._processes()
        return node.run("cat", f"/proc/{pids[0]}/root/etc/nginx/nginx.conf")


class IngressNginxInCluster:
    """One or more replicas of the controller behind one port of the node."""

    name: ClassVar[str] = "nginx"
    settled_s: ClassVar[float] = SETTLED_S
    loaded_options: ClassVar[tuple[str, ...]] = ()
    """None: the pods are found, and asked by port-forward."""
    pod_ports: ClassVar[PodPorts] = {}
    """None: a kubelet knows them."""

    def __init__(self, replicas: int = 1) -> None:
        self.wanted = replicas
        self.url = ""

    def start(self, cluster: Cluster, api: Api, folder: Path) -> None:
        """Install it, or change the number of its replicas, and wait until all of them serve; use one that is there already."""
        del folder  # the kubelet keeps the pods' logs
        self.cluster, self.api, self.url = cluster, api, cluster.url
        if cluster.node is None:
            return
        if cluster.made_here:
            cluster.node.load(ingress_nginx_image.image().archive())
        for manifest in self._manifests():
            api.apply(manifest, manager="test-user", force=True)
        self.restart()

    @property
    def replicas(self) -> list[Replica]:
        """The controller pods that there are now; when a test with two has ended, either of them may be the one that stays."""
        return [Replica(self.cluster, self.api, pod) for pod in self._pods()]

    def host(self, namespace: str) -> str:
        """Return the host name of a namespace's shop."""
        return f"shop.{namespace}.example.com"

    def kill(self) -> None:
        """Kill the controller of the first replica, and with it the container; the kubelet starts it again at once."""
        before = self._restarts()
        self.replicas[0].send("KILL")
        until(lambda: self._restarts() > before, "the controller was killed and is started again", 60)

    def restart(self) -> None:
        """Wait until every replica serves again; kubelets start them."""
        until(self._complete, f"{_DEPLOYMENT} has {self.wanted} ready replicas", 120)

    def dump(self, folder: Path) -> None:
        """Write each replica's loaded backends and its nginx.conf."""
        for replica in self.replicas:
            try:
                (folder / f"{replica.pod}-backends.json").write_text(json.dumps(replica.backends(), indent=1))
                (folder / f"{replica.pod}-nginx.conf").write_text(replica.configuration())
            except (NoAnswerError, RuntimeError, OSError) as error:
                (folder / f"{replica.pod}.txt").write_text(str(error))
        pods = [pod for pod in self.api.items("v1", "Pod") if "kube-" not in pod["metadata"]["namespace"]]
        events = self.api.items("v1", "Event")
        (folder / "cluster.yaml").write_text(yaml.safe_dump_all([*pods, *events], sort_keys=False))

    def stop(self) -> None:
        """Leave one replica, which other tests use."""
        if self.wanted > 1:
            self.wanted = 1
            for manifest in self._manifests():
                if manifest["kind"] == "Deployment":
                    self.api.apply(manifest, manager="test-user", force=True)
            self.restart()

    def _pods(self) -> list[Manifest]:
        labels = dict(pair.split("=") for pair in LABELS.split(","))
        found = [
            pod
            for pod in self.api.items("v1", "Pod", NAMESPACE)
            if labels.items() <= pod["metadata"]["labels"].items()
            and "deletionTimestamp" not in pod["metadata"]
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def _restarts(self) -> int:
        return sum(
            container["restartCount"]
            for pod in self._pods()
            for container in pod["status"].get("containerStatuses", ())
        )

    def _complete(self) -> bool:
        everything = self.api.items("v1", "Pod", NAMESPACE)
        pods = self._pods()
        ready = [
            condition["status"] == "True"
            for pod in pods
            for condition in pod["status"].get("conditions", ())
            if condition["type"] == "Ready"
        ]
        # One that is about to end may still get requests.
        return len(pods) == len(everything) == self.wanted and ready == [True] * self.wanted

    def _manifests(self) -> list[Manifest]:
        """Return the release's manifests without its admission webhook, on a port of the node, with the tests' flags."""
        found: list[Manifest] = []
        for manifest in yaml.safe_load_all(ingress_nginx_files.release().read_text()):
            labels = manifest["metadata"].get("labels", {})
            kind = manifest["kind"]
            if labels.get("app.kubernetes.io/component") == "admission-webhook" or (
                manifest["metadata"]["name"] == f"{_DEPLOYMENT}-admission"
            ):
                continue
            if kind == "Service":
                _publish(manifest)
            if kind == "ConfigMap":
                # As behind a load balancer that ends TLS: a request with the header for https is not redirected.
                manifest["data"] = {"use-forwarded-headers": "true"}
                if self.cluster.made_here:
                    manifest["data"] |= ingress_nginx_files.settings(Path("/"))
            if kind == "Deployment":
                self._configure(manifest)
            found.append(manifest)
        return found

    def _configure(self, deployment: Manifest) -> None:
        deployment["spec"]["replicas"] = self.wanted
        pod = deployment["spec"]["template"]["spec"]
        del pod["volumes"]
        (container,) = pod["containers"]
        del container["volumeMounts"]
        kept = [
            word for word in container["args"] if not word.startswith(("--validating-webhook", "--enable-"))
        ]
        flags = [
            f"--sync-rate-limit={SYNC_RATE}",
            "--enable-annotation-validation=true",
            "--enable-metrics=false",
        ]
        container["args"] = kept + flags
        container["ports"] = [
            {key: value for key, value in port.items() if key != "hostPort"}
            for port in container["ports"]
            if port["name"] != "webhook"
        ]
        # Otherwise it counts as ready ten seconds later.
        container["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 10}
        if self.cluster.made_here:
            container["image"] = ingress_nginx_image.image().reference
            container["env"] = [item for item in container["env"] if item["name"] != "LD_PRELOAD"]
            # It calls a shell, and the controller does the same on SIGTERM anyway.
            del container["lifecycle"]


def _publish(service: Manifest) -> None:
    service["spec"]["type"] = "NodePort"
    for port in service["spec"]["ports"]:
        if port["name"] == "http":
            port["nodePort"] = HTTP_PORT
