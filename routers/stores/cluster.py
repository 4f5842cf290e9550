"""A Kubernetes cluster as a store.

Objects of ours are written by server-side apply with the field manager `rollway`, unforced; objects of the user by JSON
Patch with tests. A write whose answer got lost is not sent again, because the answer to the second one would be about
the first; it is an UncertainError, and only a read finds out.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers import ownership, stores
from rollway.routers.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    NotServedError,
    RollwayError,
    UncertainError,
)
from rollway.routers.kube import port_forward
from rollway.routers.kube.connection import TIMEOUT_S, Connection
from rollway.routers.kube.discovery import Discovery, default_folder
from rollway.routers.kube.failures import ExpiredError, RequestInfo
from rollway.routers.kube.kubeconfig import Identity
from rollway.routers.model import (
    Evidence,
    Finding,
    Live,
    LiveObject,
    Need,
    ObjectRef,
    Severity,
    dig,
    without_server_fields,
)
from rollway.routers.plan import Action, pointer

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Sequence

    from rollway.routers.kube.connection import Answer
    from rollway.routers.model import Manifest
    from rollway.routers.plan import Change, Operation

FIELD_MANAGER = "rollway"
_RESTORER = "rollway-restored"
"""The manager of foreign fields that are put back with a deleted object, so that they are not ours afterwards."""

_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
"""The form of an answer that leaves out all but `metadata`: of a `List`, or of each event of a watch (empty)."""
_PAGE = 500
_LISTINGS = 3
"""How often a list is begun before it is given up as too long for the server's memory."""

_EVENT_ATTEMPTS = 3
_PARALLEL = 8
CRD = ("apiextensions.k8s.io", "CustomResourceDefinition")
"""A kind that is never read: which versions it serves is what discovery tells, and a Role in a namespace could not allow it."""


class Query(NamedTuple):
    """One request to read: an object (`name` given) or a list."""

    group: str
    kind: str
    namespace: str = ""
    name: str = ""
    selector: str = ""
    metadata_only: bool = False


class ClusterStore:
    """Read and write the objects of a cluster; safe to use from many threads.

    `cache` keeps on disk which kinds the cluster serves.
    """

    evidence = Evidence.WRITTEN

    def __init__(self, connection: Connection, *, cache: bool = True) -> None:
        self.connection = connection
        self.namespace = connection.namespace
        self.discovery = Discovery(connection, default_folder() if cache else "")
        self._threads = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="rollway-read")
        self._narrowed: set[tuple[str, str]] = set()

    @classmethod
    def open(
        cls,
        kubeconfig: str | None = None,
        context: str | None = None,
        *,
        user: str = "",
        groups: Sequence[str] = (),
        timeout: float = TIMEOUT_S,
        cache: bool = True,
    ) -> ClusterStore:
        """Return the store of a kubeconfig's context (default: the current one, or the pod's own cluster).

        `user` and `groups` are impersonated. `timeout` is that of one request, in seconds.

        Raises:
            CredentialsError: there are no credentials, or they cannot be read.
        """
        return cls(Connection(kubeconfig, context, Identity(user, tuple(groups)), timeout), cache=cache)

    def close(self) -> None:
        """Close the connections and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.connection.close()

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the needed objects, read in parallel; see `rollway.routers.stores.Store.read`.

        Raises:
            NotServedError: a required kind is not served.
            ForbiddenError: the role lacks a verb.
        """
        wanted = [need for need in needs if (need.group, need.kind) != CRD]
        notes: list[Finding] = []
        required = {(need.group, need.kind) for need in wanted if need.required}
        queries = [
            query
            for query in _queries(wanted)
            if self.is_served(query.group, query.kind, required=query[:2] in required)
        ]
        found: dict[ObjectRef, LiveObject] = {}

        def fetch(query: Query) -> list[LiveObject]:
            try:
                return self._fetch(query, wanted, notes)
            except NotServedError:
                if query[:2] in required:
                    raise
                return []  # what is kept about the cluster was out of date

        for part in self._each(fetch, queries):
            found.update((item.ref, item) for item in part)
        absent = stores.missing(wanted, found)
        if absent:
            raise NotFoundError(f"{stores.names(absent)} not found in {self.connection.host}")
        return Live(found.values(), self.discovery.served(), notes=dict.fromkeys(notes), running=True)

    def check(self, change: Change) -> None:
        """Find nothing; see `Store.check`."""

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Make one change; see `rollway.routers.stores.Store.write`.

        Raises:
            ConflictError: the object is no longer what the change was computed from.
            ForeignOwnerError: another field manager applied a field that is ours; names both.
            AdmissionError: the API server or a webhook refuses the object, in its words.
            StoreError: the cluster cannot be written.
        """
        query = {"dryRun": "All"} if dry_run else {}
        try:
            if change.action is Action.PATCH:
                return self._patch(change.ref, change.before or {}, change.patch, query)
            if change.after is None:
                self._delete(change, query)
                return None
            if change.action is Action.CREATE:
                return self._create(change, change.after, query)
            return self._apply(change, change.after, query)
        except NotFoundError as error:
            if isinstance(error, NotServedError):
                raise
            raise ConflictError(f"{change.ref} is gone") from error

    def record(self, event: Manifest) -> None:
        """Write an Event, whose name must be its own; see `rollway.routers.stores.EventStore`."""
        namespace = event["metadata"]["namespace"]
        info = RequestInfo("create", "events", "", namespace)
        for attempt in range(_EVENT_ATTEMPTS):
            try:
                self.connection.request("POST", f"/api/v1/namespaces/{namespace}/events", info, body=event)
            except UncertainError:
                if attempt == _EVENT_ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
            except ConflictError:
                return  # it is there: the attempt before was stored, and its answer got lost
            else:
                return

    def recorded(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Return the Events that the API server still has; see `rollway.routers.stores.EventStore`."""
        need = Need("", "Event", namespace=namespace, required=False, selector=selector, runtime=True)
        return [item.manifest for item in self.read([need]).of("", "Event")]

    def may_forward(self, namespace: str) -> bool:
        """Tell whether the role allows port-forward to the pods of a namespace; see `port_forward`."""
        return port_forward.may_forward(self.connection, namespace)

    def forward(self, namespace: str, pod: str, port: int, timeout: float) -> socket.socket:
        """Open a connection to a port of a pod; see `port_forward`."""
        return port_forward.forward(self.connection, namespace, pod, port, timeout)

    # -- reading

    def is_served(self, group: str, kind: str, *, required: bool) -> bool:
        """Tell whether a kind is served.

        Raises:
            NotServedError: it is required, and is not.
        """
        try:
            self.discovery.resource(group, kind)
        except NotServedError:
            if required:
                raise
            return False
        return True

    def _each(self, fetch: Any, queries: Sequence[Query]) -> Iterable[list[LiveObject]]:
        if len(queries) == 1:
            return [fetch(queries[0])]
        return list(self._threads.map(fetch, queries))

    def _fetch(self, query: Query, needs: Sequence[Need], notes: list[Finding]) -> list[LiveObject]:
        if query.name:
            found = self.get(query)
            return [found] if found else []
        named = {need.namespace for need in needs if need.name and (need.group, need.kind) == query[:2]}
        spaces = sorted(named - {""})
        if query.namespace or query[:2] not in self._narrowed:
            try:
                return self.list(query)[0]
            except ForbiddenError:
                if query.namespace or not spaces:
                    raise
                # A role in a namespace is common; what it cannot see is told each time, and asked for once.
                self._narrowed.add(query[:2])
        resource = self.discovery.resource(query.group, query.kind)
        notes.append(
            Finding(
                "namespace-only",
                Severity.NOTE,
                None,
                f"the role may not list {resource.plural} in the whole cluster, so only those of namespace "
                f"{', '.join(spaces)} were checked",
            )
        )
        return [item for space in spaces for item in self.list(query._replace(namespace=space))[0]]

    def get(self, query: Query) -> LiveObject | None:
        """Return one object, or None when it does not exist."""
        try:
            return live_object(query.group, query.kind, self._ask(query, {}).body)
        except NotServedError:
            raise
        except NotFoundError:
            return None

    def list(self, query: Query) -> tuple[list[LiveObject], str]:
        """Return all objects that a query asks for, page by page, and the version of the list."""
        first = {"limit": str(_PAGE), **({"labelSelector": query.selector} if query.selector else {})}
        words = first
        found: list[LiveObject] = []
        expired = 0
        while True:
            try:
                body = self._ask(query, words).body
            except ExpiredError:
                # The list took longer than the server keeps its old state: from the start.
                expired += 1
                if expired == _LISTINGS:
                    raise
                found, words = [], first
                continue
            version = self.discovery.resource(query.group, query.kind).version
            for item in body.get("items") or ():
                # The items of a list do not say what they are; the list does.
                item["apiVersion"] = f"{query.group}/{version}" if query.group else version
                item["kind"] = query.kind
                found.append(live_object(query.group, query.kind, item))
            rest = dig(body, "metadata", "continue")
            if not rest:
                return found, str(dig(body, "metadata", "resourceVersion"))
            words = {**first, "continue": rest}

    def _ask(self, query: Query, words: dict[str, str]) -> Answer:
        """Read an object or a list; a version that the server no longer serves is looked up anew, once."""
        accept = METADATA.format("List") if query.metadata_only and not query.name else "application/json"
        refreshed = False
        while True:
            resource = self.discovery.resource(query.group, query.kind)
            verb = "get" if query.name else "list"
            info = RequestInfo(verb, resource.plural, query.group, query.namespace, query.name)
            try:
                path = resource.path(query.namespace, query.name)
                return self.connection.request("GET", path, info, query=words, accept=accept)
            except NotServedError:
                if refreshed:
                    raise
                self.discovery.refresh()
                refreshed = True

    # -- writing

    def _send(
        self,
        method: str,
        manifest: Manifest,
        ref: ObjectRef,
        content_type: str,
        body: Any,
        query: dict[str, str],
    ) -> Answer:
        resource = self.discovery.resource(ref.group, ref.kind)
        verb = {"DELETE": "delete", "PUT": "update"}.get(method, "patch")
        info = RequestInfo(verb, resource.plural, ref.group, ref.namespace, ref.name)
        path = resource.path(ref.namespace, ref.name, _version_of(manifest))
        return self.connection.request(method, path, info, query=query, body=body, content_type=content_type)

    def _patch(
        self, ref: ObjectRef, manifest: Manifest, patch: Sequence[Operation], query: dict[str, str]
    ) -> LiveObject:
        words = {"fieldManager": FIELD_MANAGER, **query}
        answer = self._send("PATCH", manifest, ref, _JSON_PATCH, list(patch), words)
        return live_object(ref.group, ref.kind, answer.body)

    def _server_side_apply(
        self, change: Change, ours: Manifest, query: dict[str, str], *, force: bool
    ) -> Answer:
        words = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), **query}
        return self._send("PATCH", ours, change.ref, _APPLY, ours, words)

    def _create(self, change: Change, after: Manifest, query: dict[str, str]) -> LiveObject:
        """Create an object of ours; one that somebody else made in the meantime stays as it was."""
        ours = ownership.applied(after)
        answer = self._server_side_apply(change, ours, query, force=False)
        others = {
            entry.get("manager")
            for entry in dig(answer.body, "metadata", "managedFields") or ()
            if entry.get("manager") != FIELD_MANAGER and not entry.get("subresource")
        }
        if answer.status == 200 and others and not query:
            # Applying nothing gives back what only we set; fields of theirs were never changed, as it was unforced.
            metadata = {"name": change.ref.name, "namespace": change.ref.namespace}
            nothing = {"apiVersion": ours["apiVersion"], "kind": ours["kind"], "metadata": metadata}
            with _begun(change.ref):
                self._server_side_apply(change, nothing, {}, force=False)
            raise ConflictError(f"{change.ref} exists already, made by {', '.join(sorted(map(str, others)))}")
        manifest = without_server_fields(after)
        if manifest != ours and not query:
            words = {"fieldManager": _RESTORER}
            with _begun(change.ref):
                answer = self._send("PATCH", ours, change.ref, _MERGE_PATCH, manifest, words)
        return live_object(change.ref.group, change.ref.kind, answer.body)

    def _apply(self, change: Change, after: Manifest, query: dict[str, str]) -> LiveObject:
        """Bring an object of ours to `after`."""
        ours = ownership.applied(after)
        if "spec" not in ours:
            # Taking it over is being undone: it goes back to what it was, field by field.
            body = {**after, "metadata": {**after["metadata"], "resourceVersion": change.version}}
            answer = self._send(
                "PUT", after, change.ref, "application/json", body, {"fieldManager": _RESTORER, **query}
            )
            return live_object(change.ref.group, change.ref.kind, answer.body)
        freed = self._drop_controllers(change, query) if change.adopt else ""
        ours["metadata"]["resourceVersion"] = freed or change.version
        with _begun(change.ref) if freed else contextlib.nullcontext():
            answer = self._server_side_apply(change, ours, query, force=change.adopt)
        stored = live_object(change.ref.group, change.ref.kind, answer.body)
        # Server-side apply leaves a key that another manager set as well; those of `own_keys` are ours by nature.
        left = [
            {"op": "remove", "path": operation["path"]}
            for operation in change.patch
            if operation["op"] == "remove" and _has(stored.manifest, operation["path"])
        ]
        if not left or query:
            return stored
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": stored.version}
        with _begun(change.ref):
            return self._patch(change.ref, after, [test, *left], query)

    def _drop_controllers(self, change: Change, query: dict[str, str]) -> str:
        """Remove the controllers that the object had, which its new one replaces; return the new version, if any."""
        kept = dig(change.after, "metadata", "ownerReferences") or []
        owners = dig(change.before, "metadata", "ownerReferences") or []
        gone = [index for index, entry in enumerate(owners) if entry.get("controller") and entry not in kept]
        if not gone or query:
            return ""
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": change.version}
        removals = [
            {"op": "remove", "path": pointer(("metadata", "ownerReferences", index))} for index in gone[::-1]
        ]
        return self._patch(change.ref, change.before or {}, [test, *removals], query).version

    def _delete(self, change: Change, query: dict[str, str]) -> None:
        conditions = {"resourceVersion": change.version}
        uid = dig(change.before, "metadata", "uid")
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {**conditions, **({"uid": uid} if uid else {})},
            "propagationPolicy": "Background",
        }
        self._send("DELETE", change.before or {}, change.ref, "application/json", body, query)


def live_object(group: str, kind: str, manifest: Manifest) -> LiveObject:
    """Return an object as the API server answered it, without the record of its field managers."""
    metadata = manifest["metadata"]
    metadata.pop("managedFields", None)
    ref = ObjectRef(group, kind, metadata.get("namespace", ""), metadata["name"])
    return LiveObject(ref, manifest, metadata.get("resourceVersion", ""))


def _queries(needs: Sequence[Need]) -> list[Query]:
    """Return the requests for some needs; one that a list answers is not asked for by name as well."""
    lists = {(need.group, need.kind, need.namespace) for need in needs if not need.name and not need.selector}
    queries: dict[Query, None] = {}
    for need in needs:
        key = (need.group, need.kind)
        listed = (*key, "") in lists or (*key, need.namespace) in lists
        if need.name and not need.namespace:
            queries[Query(*key)] = None
        elif need.name and not listed:
            queries[Query(*key, need.namespace, need.name)] = None
        elif not need.name and not (need.selector and listed):
            selector = need.selector
            queries[Query(*key, need.namespace, "", selector, need.metadata_only)] = None
    return list(queries)


@contextlib.contextmanager
def _begun(ref: ObjectRef) -> Iterator[None]:
    """Turn the failure of a later request of one write into what it is for the caller: the first one was stored."""
    try:
        yield
    except RollwayError as error:
        raise UncertainError(
            f"{ref} was written in part, and then: {error.message}",
            hint="run the same command again: it goes on from what is there",
        ) from error


def _version_of(manifest: Manifest) -> str:
    return str(manifest.get("apiVersion", "")).rpartition("/")[2]


def _has(manifest: Any, path: str) -> bool:
    for step in path.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(manifest, dict) or key not in manifest:
            return False
        manifest = manifest[key]
    return True
