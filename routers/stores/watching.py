"""A cluster whose objects are kept in memory by watches, for controllers: a reconcile that changes nothing asks nothing.

Each kind is listed and watched once, from the first need of it. Writes go to the API server with the version, or the
tests, that they were computed with, so an object that moved since is a conflict: it is read anew before it is served
again. A kind whose watch is broken is read from the API server until it is whole again.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

from rollway.routers import stores
from rollway.routers.errors import ConflictError
from rollway.routers.kube.client import Target
from rollway.routers.kube.informer import Informer
from rollway.routers.objects import Kind, Live, LiveObject, ObjectRef
from rollway.routers.snapshot import Snapshot
from rollway.routers.stores.cluster import CRD, namespace_only
from rollway.routers.stores.cluster_writes import live_object
from rollway.routers.traffic import Evidence

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from rollway.routers.findings import Finding
    from rollway.routers.kube.cache import ObjectChange
    from rollway.routers.model import Rollout
    from rollway.routers.objects import KindSnapshot, Manifest, Need
    from rollway.routers.plan import Change
    from rollway.routers.stores.cluster import ClusterStore

_IN = re.compile(r"(\S+) in \(([^)]*)\)")


class WatchingStore:
    """Serve reads from memory, write through a cluster store; safe to use from many threads.

    `namespace` limits the watches to one namespace; empty watches the whole cluster. `selectors` limits the watch of a kind
    to the objects that a label selector selects: a need with another selector is read from the API server, and what that has
    shown is given to whoever asks the same within `shared` seconds.
    `changed` is called, from a watching thread, with each object that changed, also while its watch was broken; at first that is every object. When
    it raises, that is logged, and the watch goes on.
    """

    evidence = Evidence.WRITTEN

    def __init__(
        self,
        cluster: ClusterStore,
        namespace: str = "",
        changed: Callable[[ObjectRef], None] = lambda _ref: None,
        *,
        selectors: Mapping[Kind, str] = MappingProxyType({}),
        shared: float = 0,
    ) -> None:
        self._cluster = cluster
        self._selectors = selectors
        self._namespace = namespace
        self._changed = changed
        self._lock = threading.Lock()
        self._informers: dict[Kind, Informer[LiveObject]] = {}
        self._snapshots: dict[Kind, tuple[Informer[LiveObject], KindSnapshot]] = {}
        self._shared_s = shared
        self._shared: dict[tuple[Need, ...], tuple[float, Live]] = {}

    @property
    def synced(self) -> bool:
        """Whether every kind that was asked for is in memory now, and up to date."""
        return all(informer.synced for informer in self._informers.values())

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the needed objects, from memory where a watch keeps them; see `rollway.routers.stores.Store.read`."""
        wanted = [need for need in needs if (need.group, need.kind) != CRD]
        required = {(need.group, need.kind) for need in wanted if need.required}
        objects: dict[ObjectRef, LiveObject] = {}
        whole: dict[Kind, KindSnapshot] = {}
        notes: dict[Finding, None] = {}
        elsewhere: list[Need] = []
        for need in wanted:
            key = (need.group, need.kind)
            if self._is_unwatched(need):
                elsewhere.append(need)
                continue
            informer = self._informers.get(key)
            if informer is None or not informer.synced or not self._suits(informer, need):
                if not self._cluster.is_served(*key, required=key in required):
                    continue
                informer = self._informer(need)
            if informer is None or not informer.synced or need.fresh:
                elsewhere.append(need)
                continue
            if need.name or need.namespace or need.selector:
                objects.update((item.ref, item) for item in _selected(informer, need))
            else:
                whole[key] = self._snapshot(key, informer)
            if self._namespace and not need.namespace:
                notes[self._note(need)] = None
        if elsewhere:
            rest = self._read_elsewhere(elsewhere)
            objects.update(rest)
            notes.update(dict.fromkeys(rest.notes))
        if stores.missing(wanted, objects):
            # The error, with the cluster's words; or what was created this moment.
            return self._cluster.read(needs)
        served = self._cluster.client.discovery.served()
        return Live(objects.values(), served, notes=notes, running=True, kinds=whole)

    def _read_elsewhere(self, needs: Sequence[Need]) -> Live:
        """Read what no watch keeps from the API server."""
        # What a broken watch does not answer must be as it is now.
        if not self._shared_s or not all(self._is_unwatched(need) and not need.fresh for need in needs):
            return self._cluster.read(needs)
        now, key = time.monotonic(), tuple(needs)
        with self._lock:
            self._shared = {each: kept for each, kept in self._shared.items() if kept[0] > now}
            if key in self._shared:
                return self._shared[key][1]
        live = self._cluster.read(needs)
        with self._lock:
            self._shared[key] = now + self._shared_s, live
        return live

    def lock(self, rollout: Rollout) -> AbstractContextManager[bool]:  # noqa: ARG002 - there is nothing to hold
        """Keep nobody waiting: versions and tests find out what others write; see `Store.lock`."""
        return contextlib.nullcontext(False)

    def check(self, change: Change) -> None:
        """Find nothing; see `Store.check`."""

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Make one change, and remember what was stored; see `rollway.routers.stores.Store.write`."""
        informer = self._informers.get((change.ref.group, change.ref.kind))
        try:
            stored = self._cluster.write(change, dry_run=dry_run)
        except ConflictError:
            if informer:
                informer.suspect(change.ref.namespace, change.ref.name)
            raise
        if informer and not dry_run:
            if stored:
                informer.put(stored.manifest)
            else:
                informer.remove(change.ref.namespace, change.ref.name)
        return stored

    def record(self, event: Manifest) -> None:
        """Write an Event, whose name must be its own; see `rollway.routers.stores.EventStore`."""
        self._cluster.record(event)

    def recorded(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Return the Events that the API server still has; they are not watched."""
        return self._cluster.recorded(namespace, selector)

    def is_served(self, group: str, kind: str, *, required: bool) -> bool:
        """Return whether a kind is served; see `rollway.routers.stores.ClusterAccess`."""
        return self._cluster.is_served(group, kind, required=required)

    def allows(
        self, verb: str, resource: str, group: str = "", *, namespace: str = "", name: str = ""
    ) -> bool:
        """Ask the API server; see `rollway.routers.stores.ClusterAccess`."""
        return self._cluster.allows(verb, resource, group, namespace=namespace, name=name)

    def field_managers(self, ref: ObjectRef) -> Sequence[str]:
        """Ask the API server, as they are not kept in memory; see `rollway.routers.stores.ClusterAccess`."""
        return self._cluster.field_managers(ref)

    def may_forward(self, namespace: str) -> bool:
        """Return whether the role allows port-forward to the pods of a namespace."""
        return self._cluster.may_forward(namespace)

    def forward(self, namespace: str, pod: str, port: int, timeout: float) -> socket.socket:
        """Open a connection to a port of a pod; see `rollway.routers.kube.port_forward`."""
        return self._cluster.forward(namespace, pod, port, timeout)

    def close(self) -> None:
        """End every watch, wait for the threads, and close the cluster store."""
        with self._lock:
            informers, self._informers = list(self._informers.values()), {}
        for informer in informers:
            informer.stop()
        for informer in informers:
            informer.join()
        self._cluster.close()

    def _snapshot(self, kind: Kind, informer: Informer[LiveObject]) -> KindSnapshot:
        """Return all objects of a kind: the same snapshot while nothing changes, so that what was found out from it stays."""
        with self._lock:
            of, snapshot = self._snapshots.get(kind, (None, Snapshot({})))
            if of is not informer:
                snapshot = Snapshot({})
            latest = {
                ObjectRef(*kind, change.namespace, change.name): change.new
                for change in informer.take_changes()
            }
            written = {ref: item for ref, item in latest.items() if item}
            snapshot = snapshot.after(written, [ref for ref, item in latest.items() if not item])
            self._snapshots[kind] = informer, snapshot
            return snapshot

    def _informer(self, need: Need) -> Informer[LiveObject] | None:
        """Return what keeps the objects of a need; None for a need outside the watched namespace.

        One that keeps metadata alone is replaced when a need wants the whole objects.
        """
        key = (need.group, need.kind)
        if self._namespace and not self._is_inside(need):
            return None
        with self._lock:
            known = self._informers.get(key)
            outgrown = known if known and not self._suits(known, need) else None
            if known is None or outgrown:
                target = Target(
                    *key,
                    self._namespace,
                    selector=self._selectors.get(key, ""),
                    metadata_only=need.metadata_only,
                )
                known = Informer(self._cluster.client, target, live_object, self._report(key))
                self._informers[key] = known
        if outgrown:
            outgrown.stop()
        known.start()
        return known

    def _is_unwatched(self, need: Need) -> bool:
        """Return whether a need is about other objects of a kind than those that are watched."""
        return need.selector != self._selectors.get((need.group, need.kind), need.selector)

    def _is_inside(self, need: Need) -> bool:
        """Return whether a need is answered by the watched namespace; one for all of a kind is narrowed to it."""
        if not self._cluster.client.discovery.resource(need.group, need.kind).namespaced:
            return False
        return need.namespace == self._namespace or not (need.namespace or need.name)

    def _suits(self, informer: Informer[LiveObject], need: Need) -> bool:
        """Return whether an informer keeps enough of the objects that a need asks for."""
        inside = not self._namespace or need.namespace == self._namespace or not (need.namespace or need.name)
        return inside and (need.metadata_only or not informer.target.metadata_only)

    def _report(self, key: Kind) -> Callable[[ObjectChange[LiveObject]], None]:
        return lambda change: self._changed(ObjectRef(*key, change.namespace, change.name))

    def _note(self, need: Need) -> Finding:
        plural = self._cluster.client.discovery.resource(need.group, need.kind).plural
        return namespace_only(f"the {plural} of one namespace are watched", self._namespace)


def _selected(informer: Informer[LiveObject], need: Need) -> Sequence[LiveObject]:
    """Return the objects that a need asks for; more of them for a selector of another form than `key in (a,b)`."""
    item = informer.get(need.namespace, need.name) if need.name else None
    if item or (need.name and need.namespace):
        return [item] if item else []
    parsed = _IN.fullmatch(need.selector)
    if parsed:
        values = [value.strip() for value in parsed[2].split(",")]
        return informer.labelled(parsed[1], values, need.namespace)
    return [item for item in informer.items(need.namespace) if need.name in ("", item.ref.name)]
