"""Traefik in a cluster whose kubelets run pods: its own manifests for Gateway API, with an image of its Go module."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, ClassVar

import pytest
import yaml

from containers import images
from containers.kind import GATEWAY_PORT
from data_planes.gateway_api import TRAEFIK_FLAGS, TRAEFIK_LABELS, TRAEFIK_NAMESPACE, TraefikGateway, attach
from harness import tools
from harness.control_plane import flags
from harness.waiting import until
from rollway.routers.kube.port_forward import forward
from rollway.routers.probes.http import Address, NoAnswerError, fetch

if TYPE_CHECKING:
    from pathlib import Path

    from data_planes import PodPorts
    from harness.api import Api
    from harness.providers import Cluster
    from rollway.routers.objects import Manifest

_API_PORT, _WEB_PORT = 8080, 8000
_DOCUMENTS = "docs/content/reference/dynamic-configuration"
_FILES = ("kubernetes-gateway-rbac.yml", "kubernetes-gateway-traefik-lb-svc.yml")
"""What Traefik documents for its provider of Gateway API: rights, Deployment and Service."""


class TraefikInCluster:
    """One Traefik behind a port of the node."""

    name: ClassVar[str] = TraefikGateway.name
    settled_s: ClassVar[float] = TraefikGateway.settled_s
    loaded_options: ClassVar[tuple[str, ...]] = ()
    """None: the pod is found, and asked by port-forward."""
    pod_ports: ClassVar[PodPorts] = {}
    """None: a kubelet knows them."""

    def start(self, cluster: Cluster, api: Api, folder: Path) -> None:
        """Install it, and wait until it has programmed its Gateway."""
        del folder  # the kubelet keeps the pod's log
        if cluster.node is None:
            pytest.skip(f"--cluster={cluster.provider} has no node that Traefik's image can be loaded into")
        self.api, self.url = api, cluster.gateway_url
        cluster.node.load(images.traefik().archive())
        for manifest in _manifests():
            api.apply(manifest, manager="test-user", force=True)
        until(self._pods, "Traefik's pod is ready", 90)
        attach(api, self.name, "traefik.io/gateway-controller", {"http": _WEB_PORT})

    def host(self, namespace: str) -> str:
        """Return the host name of a namespace's shop."""
        return f"shop.{namespace}.example.com"

    def dump(self, folder: Path) -> None:
        """Write what it has loaded."""
        for pod in self._pods():
            dial = functools.partial(forward, self.api.connection, TRAEFIK_NAMESPACE, pod, _API_PORT)
            try:
                document = fetch(Address(pod, f"http://127.0.0.1:{_API_PORT}", dial), "/api/rawdata")
                (folder / f"{pod}.json").write_text(json.dumps(document, indent=1))
            except NoAnswerError as error:
                (folder / f"{pod}.txt").write_text(str(error))

    def stop(self) -> None:
        """Leave it to the cluster, which ends after the run."""

    def _pods(self) -> list[str]:
        """Return the names of its pods that are ready."""
        return [
            pod["metadata"]["name"]
            for pod in self.api.items("v1", "Pod", TRAEFIK_NAMESPACE)
            for condition in pod.get("status", {}).get("conditions", ())
            if (condition["type"], condition["status"]) == ("Ready", "True")
        ]


def _manifests() -> list[Manifest]:
    """Return Traefik's documented manifests in a namespace of its own, with our image and flags, on a port of the node."""
    folder = tools.module_folder("github.com/traefik/traefik/v3", pinned_by="traefik") / _DOCUMENTS
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TRAEFIK_NAMESPACE}}
    manifests: list[Manifest] = [namespace]
    for file in _FILES:
        for manifest in filter(None, yaml.safe_load_all((folder / file).read_text())):
            if not manifest["kind"].startswith("ClusterRole"):
                manifest["metadata"]["namespace"] = TRAEFIK_NAMESPACE
            if manifest["kind"] == "ClusterRoleBinding":
                manifest["subjects"][0]["namespace"] = TRAEFIK_NAMESPACE
            if manifest["kind"] == "Service":
                port = {"name": "web", "port": _WEB_PORT, "targetPort": "web", "nodePort": GATEWAY_PORT}
                manifest["spec"] |= {"type": "NodePort", "ports": [port]}
            if manifest["kind"] == "Deployment":
                _configure(manifest)
            manifests.append(manifest)
    return manifests


def _configure(deployment: Manifest) -> None:
    template = deployment["spec"]["template"]
    # rollway finds Traefik by the label that its Helm chart sets.
    template["metadata"]["labels"] |= TRAEFIK_LABELS
    words = {
        "entrypoints.web.address": f":{_WEB_PORT}",
        "entrypoints.traefik.address": f":{_API_PORT}",
        **TRAEFIK_FLAGS,
    }
    (container,) = template["spec"]["containers"]
    container |= {
        "image": images.traefik().reference,
        "imagePullPolicy": "IfNotPresent",
        "args": flags(words),
        "ports": [{"name": "web", "containerPort": _WEB_PORT}],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": _API_PORT}, "periodSeconds": 1},
    }
