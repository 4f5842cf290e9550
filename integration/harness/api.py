"""What a test does to a cluster beside rollway: create, edit and delete objects as an administrator."""

from __future__ import annotations

import contextlib
import copy
import time
from typing import TYPE_CHECKING, Any

from rollway.routers.errors import ConflictError, NotFoundError, RollwayError
from rollway.routers.kube.client import Client
from rollway.routers.kube.connection import Connection
from rollway.routers.kube.discovery import Discovery, Resource
from rollway.routers.kube.failures import RequestInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from harness.providers import Cluster
    from rollway.routers.objects import Manifest, ObjectRef

_CRD_READY_S = 60


class Api:
    """An administrator's access, apart from the store that is under test."""

    def __init__(self, cluster: Cluster) -> None:
        self.connection = Connection(str(cluster.kubeconfig), cluster.context or None)
        self._discovery = Discovery(self.connection)
        self._written: dict[str, set[str]] = {}

    def written(self, namespace: str) -> Collection[str]:
        """Return the kinds of which this access has written objects in a namespace."""
        return self._written.get(namespace, set())

    def put(self, manifest: Manifest, *, manager: str = "test-user") -> Manifest:
        """Create an object, or replace the one that is there, as a client that writes whole objects."""
        manifest = copy.deepcopy(manifest)
        status = manifest.get("status")
        try:
            found = self._send("POST", manifest, manifest, "", query={"fieldManager": manager})
        except ConflictError:
            for attempt in range(10):
                live = self.get(manifest)
                assert live is not None
                manifest["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
                try:
                    found = self._send(
                        "PUT",
                        manifest,
                        manifest,
                        manifest["metadata"]["name"],
                        query={"fieldManager": manager},
                    )
                    break
                except ConflictError:
                    if attempt == 9:
                        raise
        if status:
            whole = {**found, "status": status}
            self._send("PUT", manifest, whole, f"{manifest['metadata']['name']}/status", query={})
        return found

    def apply(self, manifest: Manifest, *, manager: str, force: bool = False) -> Manifest:
        """Apply an object on the server's side, as kubectl or a GitOps tool does."""
        return self._send(
            "PATCH",
            manifest,
            manifest,
            manifest["metadata"]["name"],
            query={"fieldManager": manager, "force": str(force).lower()},
            content_type="application/apply-patch+yaml",
        )

    def get(self, like: Manifest) -> Manifest | None:
        """Return the object of that kind and name, or None."""
        try:
            return self._send("GET", like, None, like["metadata"]["name"], query={})
        except NotFoundError:
            return None

    def edit(
        self, like: Manifest, change: Callable[[Manifest], None], *, manager: str = "test-user"
    ) -> Manifest:
        """Read, change and replace an object until nobody else was in between."""
        while True:
            live = self.get(like)
            assert live is not None, like
            change(live)
            try:
                return self._send(
                    "PUT", live, live, live["metadata"]["name"], query={"fieldManager": manager}
                )
            except ConflictError:
                continue

    def merge(self, like: Manifest, body: Any, *, manager: str = "test-user") -> Manifest:
        """Change some fields by a merge patch, as `kubectl annotate` and `kubectl patch --type=merge` do."""
        name = like["metadata"]["name"]
        content_type = "application/merge-patch+json"
        return self._send(
            "PATCH", like, body, name, query={"fieldManager": manager}, content_type=content_type
        )

    @property
    def client(self) -> Client:
        """The same access for what needs rollway's own client."""
        return Client(self.connection, self._discovery)

    def delete(self, like: Manifest, query: dict[str, str] | None = None) -> None:
        """Delete an object, if it is there."""
        with contextlib.suppress(NotFoundError):
            self._send("DELETE", like, None, like["metadata"]["name"], query=query or {})

    def clear(self, api_version: str, kind: str, namespace: str) -> list[Manifest]:
        """Delete all objects of a kind in a namespace, and return them; those with a finalizer stay until it is gone."""
        return self._all("DELETE", api_version, kind, namespace)

    def items(self, api_version: str, kind: str, namespace: str = "") -> list[Manifest]:
        """Return all objects of a kind."""
        return self._all("GET", api_version, kind, namespace)

    def token(self, namespace: str, service_account: str, seconds: int = 3600) -> str:
        """Return a token of a ServiceAccount."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        body = {"spec": {"expirationSeconds": seconds}}
        answer = self.connection.request("POST", path, RequestInfo("create", "tokens"), body=body)
        return str(answer.body["status"]["token"])

    def install(self, definitions: Iterable[Manifest]) -> None:
        """Apply CRDs and wait until the server serves them."""
        wanted = list(definitions)
        for crd in wanted:
            self.apply(crd, manager="test-crds", force=True)
        deadline = time.monotonic() + _CRD_READY_S
        for crd in wanted:
            while time.monotonic() < deadline:
                found = self.get(crd) or {}
                conditions = found.get("status", {}).get("conditions") or []
                if any(item["type"] == "Established" and item["status"] == "True" for item in conditions):
                    break
                time.sleep(0.05)
            else:
                raise RollwayError(f"the CRD {crd['metadata']['name']} was not served in {_CRD_READY_S} s")
        # A CRD is Established a moment before the server answers the first request.
        for crd in wanted:
            version = next(item["name"] for item in crd["spec"]["versions"] if item["served"])
            path = f"/apis/{crd['spec']['group']}/{version}/{crd['spec']['names']['plural']}"
            while True:
                try:
                    self.connection.request("GET", path, RequestInfo("list", path), query={"limit": "1"})
                    break
                except NotFoundError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
        self._discovery.refresh()

    def resource(self, manifest: Manifest) -> Resource:
        """Return how to address an object's kind."""
        group, _, _ = manifest["apiVersion"].rpartition("/")
        return self._discovery.resource(group, manifest["kind"])

    def _all(self, method: str, api_version: str, kind: str, namespace: str) -> list[Manifest]:
        like = {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace}}
        # The items of a list do not have their apiVersion and kind.
        found = self._send(method, like, None, "", query={})["items"]
        return [{**item, "apiVersion": api_version, "kind": kind} for item in found]

    def _send(
        self,
        method: str,
        like: Manifest,
        body: Any,
        name: str,
        *,
        query: dict[str, str],
        content_type: str = "application/json",
    ) -> Manifest:
        resource = self.resource(like)
        namespace = like["metadata"].get("namespace", "")
        if body is not None:
            self._written.setdefault(namespace, set()).add(like["kind"])
        verb = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]
        info = RequestInfo(verb, resource.plural, resource.group, namespace, name)
        version = like["apiVersion"].rpartition("/")[2]
        path = resource.path(namespace, name, version)
        return self.connection.request(
            method, path, info, query=query, body=body, content_type=content_type
        ).body


def like(ref: ObjectRef, version: str = "v1") -> Manifest:
    """Return the least manifest that names an object."""
    api_version = f"{ref.group}/{version}" if ref.group else version
    return {
        "apiVersion": api_version,
        "kind": ref.kind,
        "metadata": {"name": ref.name, **({"namespace": ref.namespace} if ref.namespace else {})},
    }
