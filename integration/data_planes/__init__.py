"""The data planes of the traffic tests: real programs beside the local API server, inside a sandbox."""

from __future__ import annotations

import shutil
import urllib.request
from typing import TYPE_CHECKING, ClassVar, Protocol

import manifests as m

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from harness.api import Api
    from harness.daemon import Daemon
    from harness.providers import Cluster
    from rollway.routers.objects import Manifest


PodPorts = dict[str, dict[str, str]]
"""Which address stands for a port of a pod: `NAMESPACE/POD`, port number, `HOST:PORT`."""


class DataPlane(Protocol):
    """Programs that carry the traffic of one kind of routing object."""

    name: ClassVar[str]
    settled_s: ClassVar[float]
    """After so many seconds every part of it has a write, on a machine that is busy with other tests."""
    url: str
    """Where requests go in; the `Host` header, which `host` returns, chooses the shop of a namespace."""

    def start(self, cluster: Cluster, api: Api, folder: Path) -> None:
        """Create the objects that the programs need, start them, and wait until they are ready."""
        ...

    def host(self, namespace: str) -> str:
        """Return the host name under which the shop of a namespace is served."""
        ...

    @property
    def loaded_options(self) -> tuple[str, ...]:
        """The options of rollway with the addresses to ask for the evidence `loaded`; empty where there is none."""
        ...

    @property
    def pod_ports(self) -> PodPorts:
        """The ports of its pods that a port-forward can reach."""
        ...

    def dump(self, folder: Path) -> None:
        """Write what the data plane itself has loaded, and its logs, into a folder."""
        ...

    def stop(self) -> None:
        """End the programs."""
        ...


def running_pod(name: str, namespace: str, address: str, **labels: str) -> Manifest:
    """Return a Pod that is ready at an address."""
    ready = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    found = m.pod(name, namespace, **labels)
    return {**found, "spec": {**found["spec"], "nodeName": "node"}, "status": ready}


def dump(folder: Path, daemons: Iterable[Daemon | None], urls: Mapping[str, str]) -> None:
    """Write the logs of programs, and what they answer at some URLs, by file name, into a folder."""
    for daemon in daemons:
        if daemon:
            shutil.copy(daemon.log, folder)
    for name, url in urls.items():
        try:
            (folder / name).write_bytes(fetch(url))
        except OSError as error:
            (folder / name).with_suffix(".txt").write_text(str(error))


def fetch(url: str) -> bytes:
    """Return what a program of ours answers on loopback."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=3) as answer:
        content: bytes = answer.read()
        return content
