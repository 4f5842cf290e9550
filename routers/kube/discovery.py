"""Which kinds an API server serves, in which versions, under which names; kept on disk as kubectl does.

One request for the aggregated document (Kubernetes 1.30 or newer), else one for each group that is asked for.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.errors import NotServedError, RollwayError
from rollway.routers.kube.failures import RequestInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rollway.routers.kube.connection import Connection

MAX_AGE_S = 6 * 3600
"""As kubectl: client-go, `discovery/cached/disk`, used with six hours by cli-runtime."""

_AGAIN_S = 10.0
"""How long it counts that a kind is not served, before the server is asked again."""

_AGGREGATED = ",".join(
    [
        *(
            f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            for version in ("v2", "v2beta1")
        ),
        "application/json",
    ]
)
_CORE = {
    **{
        kind: (plural, True)
        for kind, plural in {
            "ConfigMap": "configmaps",
            "Endpoints": "endpoints",
            "Event": "events",
            "LimitRange": "limitranges",
            "PersistentVolumeClaim": "persistentvolumeclaims",
            "Pod": "pods",
            "PodTemplate": "podtemplates",
            "ReplicationController": "replicationcontrollers",
            "ResourceQuota": "resourcequotas",
            "Secret": "secrets",
            "Service": "services",
            "ServiceAccount": "serviceaccounts",
        }.items()
    },
    "Namespace": ("namespaces", False),
    "Node": ("nodes", False),
    "PersistentVolume": ("persistentvolumes", False),
}
"""The kinds of `/api/v1` and whether they are namespaced: the same on every server, so it is not asked for them."""


class Resource(NamedTuple):
    """How a kind is addressed: `/apis/GROUP/VERSION/[namespaces/NAMESPACE/]PLURAL`."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", version: str = "") -> str:
        """Return the path of an object, or of all in a namespace, or of all in the cluster."""
        root = f"/apis/{self.group}" if self.group else "/api"
        place = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}/{version or self.version}{place}/{self.plural}{'/' + name if name else ''}"


class Discovery:
    """What one API server serves.

    `folder` keeps it between processes; empty keeps it in memory only. `install` returns what to install where the kinds
    of an API group are not served, or an empty text.
    """

    def __init__(
        self, connection: Connection, folder: str = "", install: Callable[[str], str] = lambda _group: ""
    ) -> None:
        self._connection = connection
        self._install = install
        host = re.sub(r"[^A-Za-z0-9.]+", "_", connection.host.partition("://")[2] or connection.host)
        self._file = os.path.join(folder, f"{host}.json") if folder else ""
        self._lock = threading.Lock()
        self._groups: dict[str, Any] = {}
        self._served: dict[str, list[str]] = {}
        self._asked_at = 0.0

    def resource(self, group: str, kind: str) -> Resource:
        """Return how to address a kind; asks the server again before it reports that there is none.

        Raises:
            NotServedError: the server does not serve it.
        """
        if not group and kind in _CORE:
            return Resource("", "v1", *_CORE[kind])
        resource = self._find(group, kind)
        if resource is None and time.monotonic() - self._asked_at > _AGAIN_S:
            self.refresh()
            resource = self._find(group, kind)
        if resource is None:
            raise NotServedError(
                f"{self._connection.host} does not serve {kind}.{group}: its CustomResourceDefinition is not installed",
                hint=self._install(group) or "install the CustomResourceDefinition",
            )
        return resource

    def served(self) -> Mapping[str, list[str]]:
        """Return the served versions of each group, most preferred first."""
        self._known()
        return self._served

    def refresh(self) -> None:
        """Ask the server now."""
        with self._lock:
            self._renew()

    def _find(self, group: str, kind: str) -> Resource | None:
        for version, kinds in self._known().get(group, {}).items():
            if kind in kinds:
                plural, namespaced = kinds[kind]
                return Resource(group, version, plural, namespaced)
        return None

    def _known(self) -> dict[str, Any]:
        # Every request asks for this, so what is known is returned without the lock.
        if not self._groups:
            with self._lock:
                if not self._groups:
                    self._keep(self._read_file())
                if not self._groups:
                    self._renew()
        return self._groups

    def _renew(self) -> None:
        self._keep(self._ask())
        self._asked_at = time.monotonic()
        self._write_file()

    def _keep(self, groups: dict[str, Any]) -> None:
        self._served = {group: list(versions) for group, versions in groups.items()}
        self._groups = groups

    def _ask(self) -> dict[str, Any]:
        """Return {group: {version: {kind: [plural, namespaced]}}}, versions in the server's order of preference."""
        info = RequestInfo("get", "the API groups")
        body = self._connection.request("GET", "/apis", info, accept=_AGGREGATED).body
        if body.get("kind") == "APIGroupDiscoveryList":
            return {
                item["metadata"]["name"]: {
                    entry["version"]: {
                        resource["responseKind"]["kind"]: [
                            resource["resource"],
                            resource["scope"] == "Namespaced",
                        ]
                        for resource in entry.get("resources", ())
                        if "responseKind" in resource
                    }
                    for entry in item.get("versions", ())
                }
                for item in body.get("items", ())
            }
        return {group["name"]: self._ask_group(group) for group in body.get("groups", ())}

    def _ask_group(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Ask an older server for the resources of each version of a group; one whose server is down is left out."""
        versions: dict[str, Any] = {}
        for entry in group.get("versions", ()):
            path = f"/apis/{entry['groupVersion']}"
            with contextlib.suppress(RollwayError):
                body = self._connection.request("GET", path, RequestInfo("get", path)).body
                versions[entry["version"]] = {
                    resource["kind"]: [resource["name"], bool(resource["namespaced"])]
                    for resource in body.get("resources", ())
                    if "/" not in resource["name"]
                }
        return versions

    def _read_file(self) -> dict[str, Any]:
        """Read the file, unless it is too old or no longer what this version writes."""
        with contextlib.suppress(OSError, ValueError):
            if self._file and time.time() - os.stat(self._file).st_mtime < MAX_AGE_S:
                with open(self._file, encoding="utf-8") as stream:
                    content = json.load(stream)
                if isinstance(content, dict) and isinstance(content.get("groups"), dict):
                    return dict(content["groups"])
        return {}

    def _write_file(self) -> None:
        """Write the file; a home that cannot be written costs a request each time, and no more."""
        if not self._file:
            return
        import tempfile  # noqa: PLC0415 - once in six hours

        with contextlib.suppress(OSError):
            folder = os.path.dirname(self._file)
            os.makedirs(folder, mode=0o750, exist_ok=True)
            handle, unfinished = tempfile.mkstemp(dir=folder)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump({"groups": self._groups}, stream)
            os.replace(unfinished, self._file)
