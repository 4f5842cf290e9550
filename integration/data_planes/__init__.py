"""The data planes of the traffic tests: real programs beside the local API server, inside a sandbox."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from harness.api import Api
    from harness.providers import Cluster


class DataPlane(Protocol):
    """Programs that carry the traffic of one kind of routing object."""

    name: ClassVar[str]
    url: str
    """Where requests go in; the shop of a namespace is chosen by the `Host` header, which `host` tells."""

    def start(self, cluster: Cluster, api: Api, folder: Path) -> None:
        """Create the objects that the programs need, start them, and wait until they are ready."""
        ...

    def host(self, namespace: str) -> str:
        """Return the host name under which the shop of a namespace is served."""
        ...

    @property
    def loaded_options(self) -> tuple[str, ...]:
        """The options of rollway that say where to ask for the evidence `loaded`; empty where there is none."""
        ...

    def dump(self, folder: Path) -> None:
        """Write what the data plane itself has loaded, and its logs, into a folder."""
        ...

    def stop(self) -> None:
        """End the programs."""
        ...


def fetch(url: str) -> bytes:
    """Return what a program of ours answers on loopback."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=3) as answer:
        content: bytes = answer.read()
        return content
