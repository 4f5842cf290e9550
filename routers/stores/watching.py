"""A cluster whose objects are kept in memory by watches, for controllers: a reconcile that changes nothing asks nothing.

Each kind is listed and watched once, from the first need of it. Writes go to the API server with the version, or the
tests, that they were computed with, so an object that moved since is a conflict: it is read anew before it is served
again. A kind whose watch is broken is read from the API server until it is whole again.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

from rollway.routers import stores
from rollway.routers.errors import ConflictError, RollwayError
from rollway.routers.kube.connection import Stop
from rollway.routers.kube.failures import RequestInfo
from rollway.routers.model import Evidence, Live, LiveObject, ObjectRef, dig
from rollway.routers.stores.cluster import CRD, METADATA, Query, live_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rollway.routers.model import Manifest, Need
    from rollway.routers.plan import Change
    from rollway.routers.stores.cluster import ClusterStore

_IN = re.compile(r"(\S+) in \(([^)]*)\)")

_WATCH_S = 240
"""How long the server keeps one watch open before it is asked for again."""
_PAUSE_S = (0.1, 10.0)
"""The first and the longest pause before a broken watch is tried again."""


class WatchingStore:
    """Serve reads from memory, write through a cluster store; safe to use from many threads.

    `namespace` limits the watches to one namespace; empty watches the whole cluster. `changed` is called, from the
    watching thread, with each object that changed.
    """

    evidence = Evidence.WRITTEN

    def __init__(
        self,
        cluster: ClusterStore,
        namespace: str = "",
        changed: Callable[[ObjectRef], None] = lambda _ref: None,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._changed = changed
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the needed objects, from memory where a watch keeps them; see `rollway.routers.stores.Store.read`."""
        wanted = [need for need in needs if (need.group, need.kind) != CRD]
        kinds: dict[tuple[str, str], _Kind] = {}
        for need in wanted:
            key = (need.group, need.kind)
            if key not in kinds and self._cluster.is_served(*key, required=need.required):
                kinds[key] = self._kind(need)
        outside = self._namespace and any(need.namespace != self._namespace for need in wanted if need.name)
        if outside or not all(kind.connected for kind in kinds.values()):
            return self._cluster.read(needs)
        found: dict[ObjectRef, LiveObject] = {}
        for need in wanted:
            kind = kinds.get((need.group, need.kind))
            if kind:
                found.update((item.ref, item) for item in kind.select(need))
        if stores.missing(wanted, found):
            # The error, with the cluster's words; or what was created this moment.
            return self._cluster.read(needs)
        return Live(found.values(), self._cluster.discovery.served(), running=True)

    def check(self, change: Change) -> None:
        """Find nothing; see `Store.check`."""

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Make one change, and remember what was stored; see `rollway.routers.stores.Store.write`."""
        kind = self._kinds.get((change.ref.group, change.ref.kind))
        try:
            stored = self._cluster.write(change, dry_run=dry_run)
        except ConflictError:
            if kind:
                kind.refresh(change.ref)
            raise
        if kind and not dry_run:
            kind.keep(change.ref, stored)
        return stored

    def record(self, event: Manifest) -> None:
        """Write an Event through the cluster store; see `rollway.routers.stores.EventStore`."""
        self._cluster.record(event)

    def recorded(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Ask the API server: Events are many, and nobody waits for one, so they are not watched."""
        return self._cluster.recorded(namespace, selector)

    def close(self) -> None:
        """End every watch, and wait for the threads."""
        with self._lock:
            kinds, self._kinds = list(self._kinds.values()), {}
        for kind in kinds:
            kind.stop()
        for kind in kinds:
            kind.join()

    def _kind(self, need: Need) -> _Kind:
        key = (need.group, need.kind)
        with self._lock:
            known = self._kinds.get(key)
            if known is None:
                query = Query(*key, self._namespace, metadata_only=need.metadata_only)
                known = self._kinds[key] = _Kind(self._cluster, query, self._changed)
        known.start()
        return known


class _Kind:
    """All objects of one kind, listed once and watched from there."""

    def __init__(self, cluster: ClusterStore, query: Query, changed: Callable[[ObjectRef], None]) -> None:
        self._cluster = cluster
        self._query = query
        self._changed = changed
        self._lock = threading.RLock()
        self._objects: dict[str, dict[str, LiveObject]] = {}
        # By label, from the first selector that asks for one: (namespace, value) to the objects by name.
        self._labelled: dict[str, dict[tuple[str, str], dict[str, LiveObject]]] = {}
        self._suspect: set[ObjectRef] = set()
        self._version = ""
        self._stop = Stop()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.connected = False

    def start(self) -> None:
        """List the objects, the first time, and start to watch them.

        Raises:
            StoreError: they cannot be listed.
        """
        with self._lock:
            if self._thread is None:
                self._list()
                self.connected = True
                name = f"rollway-watch-{self._query.kind}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def select(self, need: Need) -> Iterator[LiveObject]:
        """Return the objects that a need asks for."""
        with self._lock:
            for ref in [ref for ref in self._suspect if need.matches(ref)]:
                self._read(ref)
            found: list[LiveObject] = []
            for space in [need.namespace] if need.namespace else list(self._objects):
                if need.name:
                    known = self._objects.get(space, {}).get(need.name)
                    found += [known] if known else []
                elif need.selector:
                    found += self._selected(space, need.selector)
                else:
                    found += self._objects.get(space, {}).values()
        return iter(found)

    def _selected(self, space: str, selector: str) -> list[LiveObject]:
        """Return the objects that a selector of the form `key in (a,b)` asks for; of another form, all of them."""
        parsed = _IN.fullmatch(selector)
        if not parsed:
            return list(self._objects.get(space, {}).values())
        key, values = parsed[1], parsed[2].split(",")
        index = self._labelled.get(key)
        if index is None:
            index = self._labelled[key] = {}
            for objects in self._objects.values():
                for item in objects.values():
                    self._index(key, item)
        return [item for value in values for item in index.get((space, value.strip()), {}).values()]

    def _index(self, key: str, item: LiveObject) -> None:
        value = dig(item.manifest, "metadata", "labels", key)
        if value is not None:
            self._labelled[key].setdefault((item.ref.namespace, value), {})[item.ref.name] = item

    def _drop(self, ref: ObjectRef) -> None:
        """Forget an object, in the index as well."""
        known = self._objects.get(ref.namespace, {}).pop(ref.name, None)
        for key, index in self._labelled.items():
            value = dig(known.manifest, "metadata", "labels", key) if known else None
            if value is not None:
                index.get((ref.namespace, value), {}).pop(ref.name, None)

    def refresh(self, ref: ObjectRef) -> None:
        """Read an object anew before it is served again."""
        with self._lock:
            self._suspect.add(ref)

    def keep(self, ref: ObjectRef, stored: LiveObject | None) -> None:
        """Remember what a write stored; None after a deletion."""
        with self._lock:
            if stored is None:
                self._drop(ref)
            else:
                self._put(stored)

    def stop(self) -> None:
        """End the watch."""
        self._ended.set()
        self._stop()

    def join(self) -> None:
        """Wait until the thread has ended."""
        if self._thread:
            self._thread.join(timeout=10)

    def _read(self, ref: ObjectRef) -> None:
        query = Query(ref.group, ref.kind, ref.namespace, ref.name)
        self.keep(ref, self._cluster.get(query))
        self._suspect.discard(ref)

    def _list(self) -> None:
        found, version = self._cluster.list(self._query)
        objects: dict[str, dict[str, LiveObject]] = {}
        for item in found:
            objects.setdefault(item.ref.namespace, {})[item.ref.name] = item
        with self._lock:
            self._objects, self._version, self._labelled = objects, version, {}

    def _put(self, item: LiveObject) -> None:
        """Keep an object unless a newer one is known already; versions of one kind count upwards."""
        objects = self._objects.setdefault(item.ref.namespace, {})
        known = objects.get(item.ref.name)
        if known is None or not _older(item.version, known.version):
            self._drop(item.ref)
            objects[item.ref.name] = item
            for key in self._labelled:
                self._index(key, item)

    def _run(self) -> None:
        try:
            self._watch()
        finally:
            # However the thread ends, a memory that nobody keeps up to date must not be believed.
            self.connected = False

    def _watch(self) -> None:
        pause = _PAUSE_S[0]
        while not self._ended.is_set():
            try:
                if not self._version:
                    self._list()
                started = time.monotonic()
                events = self._open()
                self.connected = True
                for event in events:
                    pause = _PAUSE_S[0]
                    self._take(event)
                if time.monotonic() - started < 1:
                    # A server that ends each watch at once is not asked in a tight circle.
                    self._ended.wait(_PAUSE_S[0])
                continue  # the server ended it in order: it goes on from the last version
            except RollwayError:
                # Reads go to the API server meanwhile, which has the words for what is wrong. What was missed is
                # listed before the memory counts again, because a watch does not say when it has caught up.
                self._version = ""
                self.connected = False
            self._ended.wait(pause)
            pause = min(pause * 2, _PAUSE_S[1])

    def _open(self) -> Iterator[dict[str, Any]]:
        resource = self._cluster.discovery.resource(self._query.group, self._query.kind)
        info = RequestInfo("watch", resource.plural, self._query.group, self._query.namespace)
        query = {
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S),
        }
        accept = METADATA.format("") if self._query.metadata_only else "application/json"
        path = resource.path(self._query.namespace)
        return self._cluster.connection.stream(path, info, query=query, stop=self._stop, accept=accept)

    def _take(self, event: dict[str, Any]) -> None:
        manifest, kind = event["object"], event["type"]
        version = str(manifest["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            self._version = version
            return
        item = live_object(self._query.group, self._query.kind, manifest)
        with self._lock:
            self._version = version
            if kind == "DELETED":
                self._drop(item.ref)
            else:
                self._put(item)
        self._changed(item.ref)


def _older(version: str, than: str) -> bool:
    """Compare resource versions; Kubernetes, "Resource versions": they are numbers that grow, kind by kind."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)
