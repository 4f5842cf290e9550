"""A control plane in which pods come and go: with kube-controller-manager, kube-scheduler and kwok for the nodes.

No container runs: kwok writes the status of each pod as a kubelet would, so a pod is ready a moment after it was made.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from harness import crds, tools
from harness.control_plane import ControlPlane, flags, free_ports
from harness.waiting import until
from rollway.routers.errors import RollwayError
from rollway.routers.kube.client import Target
from rollway.routers.stores.cluster import ClusterStore

if TYPE_CHECKING:
    from pathlib import Path

    from rollway.routers.kube.client import Client

PODS = "10.244.0.1/24"
KUBELET = "10.244.255.254", 10250
"""The address and port of the node's kubelet, where there is one (`data_planes/kubelet.py`)."""
_NODES = ("node/fast", "node/heartbeat-with-lease")


class FullControlPlane(ControlPlane):
    """A control plane with the controllers of Kubernetes, a scheduler, and one node that kwok plays.

    With `plays_pods` kwok plays its pods as well; otherwise somebody else runs them.
    """

    def __init__(self, folder: Path, minor: str = tools.KUBERNETES[0], *, plays_pods: bool = True) -> None:
        super().__init__(folder, minor)
        self._kwok_stages = (*_NODES, "pod/fast") if plays_pods else _NODES

    def start(self) -> None:
        """Start everything; the node is ready a moment later."""
        super().start()
        self._start_controllers()

    def _start_controllers(self) -> None:
        kubeconfig = str(self.kubeconfig())
        manager, scheduler, kwok = free_ports(3)
        shared = {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "authentication-skip-lookup": "true",
            "leader-elect": "false",
            "bind-address": "127.0.0.1",
        }
        certs = self.folder / "certs"
        ca = self.folder / "ca.crt"
        ca.write_bytes(self.ca)
        words = {
            **shared,
            "secure-port": str(manager),
            "cert-dir": str(certs / "manager"),
            "service-account-private-key-file": str(certs / "sa.key"),
            "root-ca-file": str(ca),
            "kube-api-qps": "500",
            "kube-api-burst": "1000",
            # Its default is 15 s, and only tests have an autoscaler.
            "horizontal-pod-autoscaler-sync-period": "1s",
        }
        self._run_kubernetes("kube-controller-manager", words)
        words = {**shared, "secure-port": str(scheduler), "cert-dir": str(certs / "scheduler")}
        self._run_kubernetes("kube-scheduler", {**words, "kube-api-qps": "500", "kube-api-burst": "1000"})
        words = {
            "kubeconfig": kubeconfig,
            "config": str(self._stages()),
            "manage-all-nodes": "true",
            "cidr": PODS,
            "node-ip": KUBELET[0],
            "node-port": str(KUBELET[1]),
            "node-lease-duration-seconds": "40",
            "server-address": f"127.0.0.1:{kwok}",
        }
        self._run("kwok", [str(tools.kwok().path()), *flags(words)])

    def start_with_rollouts(self) -> None:
        """Start everything, with our CRDs and one node; Rollouts are served then."""
        super().start()
        with closing(ClusterStore.open(str(self.kubeconfig()), cache=False)) as store:
            for crd in crds.own():
                store.client.create(crd)
            store.client.create(NODE)
            until(lambda: _serves_rollouts(store.client), "Rollouts are served")
        # Afterwards, because the autoscaler looks for new kinds only every 30 s.
        self._start_controllers()

    def _run_kubernetes(self, program: str, words: dict[str, str]) -> None:
        self._run(program, [str(tools.kubernetes(program, self.minor).path()), *flags(words)])

    def _stages(self) -> Path:
        """Write what kwok does: its own fast stages."""
        folder = tools.module_folder("sigs.k8s.io/kwok", "kwok") / "kustomize" / "stage"
        texts = [
            path.read_text()
            for stage in self._kwok_stages
            for path in sorted((folder / stage).glob("*.yaml"))
            if path.name != "kustomization.yaml"
        ]
        target = self.folder / "stages.yaml"
        target.write_text("\n---\n".join(texts))
        return target


NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "node",
        "labels": {"kubernetes.io/hostname": "node"},
        "annotations": {"kwok.x-k8s.io/node": "fake"},
    },
    "status": {
        "allocatable": {"cpu": "1000", "memory": "1000Gi", "pods": "10000"},
        "capacity": {"cpu": "1000", "memory": "1000Gi", "pods": "10000"},
    },
}


def _serves_rollouts(client: Client) -> bool:
    try:
        client.discovery.refresh()
        client.list(Target("argoproj.io", "Rollout"))
    except RollwayError:
        return False
    return True
