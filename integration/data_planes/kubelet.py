"""The kubelet of the only node: it forwards the ports of pods that are processes in this sandbox."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness import tools
from harness.daemon import Daemon
from harness.full_control_plane import KUBELET

if TYPE_CHECKING:
    from pathlib import Path

    from data_planes import PodPorts
    from harness.api import Api


class Kubelet:
    """A running kubelet, and which process stands for which port of a pod."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "pod-ports.json"
        self._ports: PodPorts = {}
        self._file.write_text("{}")
        command = [str(tools.kubelet().path()), ":".join(map(str, KUBELET)), str(self._file)]
        self._daemon = Daemon("kubelet", command, folder)

    def run(self) -> None:
        """Start it where the node is registered already."""
        self._daemon.start()

    def start(self, api: Api) -> None:
        """Start it, and register its address with the API server."""
        self.run()
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}
        status = {
            "addresses": [{"type": "InternalIP", "address": KUBELET[0]}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET[1]}},
        }
        api.put({**node, "status": status})

    def serve(self, pods: PodPorts) -> None:
        """Forward the ports of these pods as well."""
        self._ports |= pods
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self._ports))
        unfinished.rename(self._file)

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()
