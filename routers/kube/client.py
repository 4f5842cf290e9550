"""Read, watch and write objects of any kind, and their subresources, as plain JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rollway.routers.errors import NotFoundError, NotServedError
from rollway.routers.kube.failures import ExpiredError, RequestInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.routers.kube.connection import Answer, Connection, Stop
    from rollway.routers.kube.discovery import Discovery

Object: TypeAlias = dict[str, Any]
"""One Kubernetes object, as the API server writes it in JSON."""

_Objects: TypeAlias = list[Object]

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_METADATA = JSON + ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1," + JSON
_METADATA_LIST = JSON + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1," + JSON
_PAGE = 500
_LISTINGS = 3
"""How often a list is begun before it is given up as too long for the server's memory."""
_WATCH_S = 240
"""How long the server keeps one watch open before it is asked for again."""


class Target(NamedTuple):
    """What a request is about: one object (`name` given), or all of a kind in a namespace or in all of them."""

    group: str
    kind: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    """Of one object: `status`, `scale`, `finalizers`, `eviction` ..."""
    version: str = ""
    """The API version to use; empty for the one that the server prefers."""
    selector: str = ""
    """Of a list or a watch: a label selector in the words of Kubernetes (`key in (a,b)`)."""
    metadata_only: bool = False
    """Whether to be sent `metadata` and no more (PartialObjectMetadata)."""

    @classmethod
    def of(cls, manifest: Object, subresource: str = "") -> Target:
        """Return the target that a manifest is, in its own API version."""
        group, _, version = manifest["apiVersion"].rpartition("/")
        metadata = manifest["metadata"]
        return cls(
            group, manifest["kind"], metadata.get("namespace", ""), metadata["name"], subresource, version
        )


class WatchEvent(NamedTuple):
    """One event of a watch; `type` is `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`."""

    type: str
    object: Object


class Client:
    """Requests for objects on one connection; safe to use from many threads.

    Every method raises a leaf of the error tree; see `failures`. A write whose answer got lost is an UncertainError.
    `options` are query parameters: `fieldManager`, `dryRun`, `force`, `fieldValidation` ...
    """

    def __init__(self, connection: Connection, discovery: Discovery) -> None:
        self.connection = connection
        self.discovery = discovery

    def get(self, target: Target) -> Object | None:
        """Return one object or subresource, or None when it does not exist.

        Raises:
            NotServedError: its kind does not exist either.
        """
        try:
            manifest = self._read("get", target, {}, _METADATA if target.metadata_only else JSON).body
        except NotServedError:
            raise
        except NotFoundError:
            return None
        return self._named(target, manifest) if target.metadata_only else manifest

    def list(self, target: Target, *, from_cache: bool = False) -> tuple[_Objects, str]:
        """Return all objects of a target, and the resource version of the list.

        The list is read page by page, and is as new as the request. With `from_cache` it is what the API server has in
        its watch cache at that moment: usually some milliseconds old, older on a server that has lost its etcd. Source:
        Kubernetes, "Resource versions" (`resourceVersion=0`).
        """
        options = {"labelSelector": target.selector} if target.selector else {}
        if from_cache:
            return self._page(target, {**options, "resourceVersion": "0"})[:2]
        options["limit"] = str(_PAGE)
        for _ in range(_LISTINGS - 1):
            try:
                return self._pages(target, options)
            except ExpiredError:
                continue  # the list took longer than the server keeps its old state: from the start
        return self._pages(target, options)

    def _pages(self, target: Target, options: dict[str, str]) -> tuple[_Objects, str]:
        items, version, rest = self._page(target, options)
        while rest:
            more, version, rest = self._page(target, {**options, "continue": rest})
            items += more
        return items, version

    def _page(self, target: Target, options: dict[str, str]) -> tuple[_Objects, str, str]:
        """Return the objects of one page, the version of the list, and where it goes on."""
        body = self._read("list", target, options, _METADATA_LIST if target.metadata_only else JSON).body
        # The items of a list have no apiVersion and kind; the list has them.
        items = [self._named(target, item) for item in body.get("items") or ()]
        metadata = body["metadata"]
        return items, metadata["resourceVersion"], metadata.get("continue", "")

    def watch(self, target: Target, resource_version: str, stop: Stop) -> Iterator[WatchEvent]:
        """Return the changes after a version, until the server ends the watch (after some minutes) or `stop` is called.

        Raises:
            ExpiredError: the version is too old, now or while the events are read; list again.
            StoreError: the watch cannot be opened, or (while it is read) broke off.
        """
        options = {
            **({"labelSelector": target.selector} if target.selector else {}),
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S),
        }
        accept = _METADATA if target.metadata_only else JSON
        path, info = self._addressed("watch", target)
        events = self.connection.stream(path, info, query=options, stop=stop, accept=accept)
        return (WatchEvent(event["type"], self._named(target, event["object"])) for event in events)

    def create(self, manifest: Object, options: Mapping[str, str] | None = None) -> Answer:
        """Create an object.

        Raises:
            ConflictError: there is one of that name.
        """
        target = Target.of(manifest)
        path, info = self._addressed("create", target)
        return self.connection.request(
            "POST", path.rpartition("/")[0], info, query=options, body=manifest, content_type=JSON
        )

    def post(self, target: Target, body: Object) -> Answer:
        """Create what a subresource stands for, such as the eviction of a pod."""
        path, info = self._addressed("create", target)
        return self.connection.request("POST", path, info, body=body, content_type=JSON)

    def update(
        self, manifest: Object, *, subresource: str = "", options: Mapping[str, str] | None = None
    ) -> Answer:
        """Replace an object or a subresource; one of another `resourceVersion` than the manifest's is a ConflictError."""
        path, info = self._addressed("update", Target.of(manifest, subresource))
        return self.connection.request("PUT", path, info, query=options, body=manifest, content_type=JSON)

    def patch(
        self, target: Target, body: Any, content_type: str, options: Mapping[str, str] | None = None
    ) -> Answer:
        """Patch an object or a subresource, or apply one (`APPLY_PATCH`), which creates it where it is absent."""
        path, info = self._addressed("patch", target)
        return self.connection.request(
            "PATCH", path, info, query=options, body=body, content_type=content_type
        )

    def delete(
        self,
        target: Target,
        preconditions: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Answer:
        """Delete an object and, in the background, what it owns; `preconditions` are `uid` and `resourceVersion`."""
        path, info = self._addressed("delete", target)
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": dict(preconditions or {}),
            "propagationPolicy": "Background",
        }
        return self.connection.request("DELETE", path, info, query=options, body=body, content_type=JSON)

    def _read(self, verb: str, target: Target, options: dict[str, str], accept: str) -> Answer:
        """Read an object or a page; a version that the server no longer serves is looked up anew, once."""
        try:
            path, info = self._addressed(verb, target)
            return self.connection.request("GET", path, info, query=options, accept=accept)
        except NotServedError:
            self.discovery.refresh()
        path, info = self._addressed(verb, target)
        return self.connection.request("GET", path, info, query=options, accept=accept)

    def _named(self, target: Target, item: Object) -> Object:
        """Return an object with its own apiVersion and kind: metadata alone calls itself PartialObjectMetadata."""
        version = target.version or self.discovery.resource(target.group, target.kind).version
        item["apiVersion"] = f"{target.group}/{version}" if target.group else version
        item["kind"] = target.kind
        return item

    def _addressed(self, verb: str, target: Target) -> tuple[str, RequestInfo]:
        """Return the path of a target, and what the request is in the words of RBAC."""
        resource = self.discovery.resource(target.group, target.kind)
        namespace = target.namespace if resource.namespaced else ""
        path = resource.path(namespace, target.name, target.version)
        plural = resource.plural
        if target.subresource:
            path, plural = f"{path}/{target.subresource}", f"{plural}/{target.subresource}"
        return path, RequestInfo(verb, plural, target.group, namespace, target.name)
