"""A cluster of processes in this sandbox in which releases have users: pods are processes, behind a live ingress-nginx."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_planes.echo_pods import EchoPods
from data_planes.ingress_nginx import IngressNginx
from data_planes.kubelet import Kubelet
from harness.api import Api
from harness.full_control_plane import FullControlPlane
from harness.providers import Cluster
from harness.releasing import ControllerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rollway.routers.kube.client import Client


@dataclass(frozen=True)
class LiveCluster:
    """Where an administrator gets in, and at which URL users do; the `Host` header chooses the Ingress."""

    client: Client
    kubeconfig: Path
    url: str
    log: Path
    """The log of the controller."""

    def is_asked(self) -> bool:
        """Return whether the controller can ask ingress-nginx what it has loaded, and so waits for that."""
        return "cannot be asked" not in self.log.read_text()


@contextlib.contextmanager
def started(folder: Path) -> Iterator[LiveCluster]:
    """Start the control plane, `rollway controller`, ingress-nginx and what runs the pods; all of it ends with the block.

    Raises:
        StartError: something did not start.
    """
    with contextlib.ExitStack() as ending:
        plane = FullControlPlane(folder, plays_pods=False)
        ending.callback(plane.stop)
        plane.start_with_rollouts()
        cluster = Cluster("local", plane.kubeconfig(), control_plane=plane)
        api = Api(cluster)
        controller = ControllerProcess(cluster.kubeconfig, folder / "controller.log")
        ending.callback(controller.stop)
        kubelet, pods, ingress_nginx = Kubelet(folder), EchoPods(api, folder), IngressNginx()
        for part in (kubelet, pods, ingress_nginx):
            ending.callback(part.stop)
        kubelet.run()
        pods.start()
        kubelet.serve(ingress_nginx.pod_ports)
        ingress_nginx.start(cluster, api, folder)
        controller.wait_ready()
        yield LiveCluster(api.client, cluster.kubeconfig, ingress_nginx.url, controller.log)
