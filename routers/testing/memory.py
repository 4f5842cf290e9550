"""A store in memory: objects with versions, patches with tests, and failures on purpose. No more of an API server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rollway.routers import stores
from rollway.routers.errors import ConflictError, NotFoundError, StoreError
from rollway.routers.model import Evidence, Live, LiveObject, dig, duplicate
from rollway.routers.plan import Action
from rollway.routers.stores.manifests import ref_of
from rollway.routers.stores.patches import patched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rollway.routers.model import Finding, Manifest, Need, ObjectRef
    from rollway.routers.plan import Change


class Faults:
    """What makes a store of the tests fail on purpose; the store calls `interfere` after it has logged a change.

    `log` lists each write that was asked for. `interfere` is called with each change just before it is made, and may
    change the objects or raise: a foreign writer, or a fault.
    """

    def __init__(self) -> None:
        self.log: list[Change] = []
        self.interfere: Callable[[Change], None] = lambda _change: None

    def fail(self, *, at: int, error: BaseException | None = None, times: int = 1) -> None:
        """Let the write with that number (from 0, counted from now) fail, and as many after it as `times` says."""
        start = len(self.log)

        def interfere(change: Change) -> None:
            if at <= len(self.log) - 1 - start < at + times:
                raise error or StoreError(f"{change.ref}: the disk is on fire")

        self.interfere = interfere


class MemoryStore(Faults):
    """Hold manifests in memory.

    `served` maps API groups to served versions. `running` lets it pass for a cluster, whose endpoints count. `log` lists each write that was asked for. `interfere` is called
    with each change just before it is made, and may change `manifests` or raise: a foreign writer, or a fault.
    """

    evidence = Evidence.WRITTEN
    notes: Sequence[Finding] = ()

    def __init__(
        self,
        manifests: Iterable[Manifest] = (),
        namespace: str = "default",
        served: Mapping[str, Sequence[str]] | None = None,
        *,
        running: bool = False,
    ) -> None:
        super().__init__()
        self.running = running
        self.namespace = namespace
        self.served = dict(served or {})
        self.manifests: dict[ObjectRef, Manifest] = {}
        self._versions: dict[ObjectRef, tuple[Manifest, int]] = {}
        self._lock = threading.RLock()
        self._last = 0
        for manifest in manifests:
            self.put(manifest)

    def put(self, manifest: Manifest) -> ObjectRef:
        """Store an object, as a foreign writer would."""
        with self._lock:
            ref = ref_of(manifest, self.namespace)
            self.manifests[ref] = duplicate(manifest)
            return ref

    def edit(self, ref: ObjectRef, change: Callable[[Manifest], None]) -> None:
        """Change an object in place, as a foreign writer would."""
        with self._lock:
            change(self.manifests[ref])

    def remove(self, ref: ObjectRef) -> None:
        """Delete an object, as a foreign writer would."""
        with self._lock:
            del self.manifests[ref]

    def version(self, ref: ObjectRef) -> str:
        """Return a number that changes whenever the object does."""
        manifest = self.manifests[ref]
        known = self._versions.get(ref)
        if known is None or known[0] != manifest:
            self._last += 1
            self._versions[ref] = (duplicate(manifest), self._last)
        return str(self._versions[ref][1])

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the needed objects; see `rollway.routers.stores.Store.read`."""
        with self._lock:
            found = [
                LiveObject(ref, manifest, self.version(ref))
                for ref, manifest in self.manifests.items()
                if any(need.matches(ref) for need in needs)
            ]
        absent = stores.missing(needs, {item.ref for item in found})
        if absent:
            raise NotFoundError(", ".join(str(need.ref) for need in absent) + " not found in memory")
        return Live(found, self.served, notes=self.notes, running=self.running)

    def check(self, change: Change) -> None:
        """Find nothing; see `Store.check`."""

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Make one change; see `rollway.routers.stores.Store.write`."""
        with self._lock:
            self.log.append(change)
            self.interfere(change)
            found = self.manifests.get(change.ref)
            if (found is None) != (change.action is Action.CREATE):
                raise ConflictError(f"{change.ref} {'is gone' if found is None else 'exists already'}")
            if change.action in (Action.APPLY, Action.DELETE) and self.version(change.ref) != change.version:
                raise ConflictError(f"{change.ref} has changed since it was read")
            if dry_run:
                return LiveObject(change.ref, change.after, "") if change.after else None
            if change.after is None:
                del self.manifests[change.ref]
                return None
            if change.action is Action.PATCH:
                assert found is not None, "a patch has an object, see above"
                self.manifests[change.ref] = patched(change, found)
            else:
                self.manifests[change.ref] = duplicate(change.after)
            return LiveObject(change.ref, duplicate(self.manifests[change.ref]), self.version(change.ref))

    def record(self, event: Manifest) -> None:
        """Keep an Event like any other object; see `rollway.routers.stores.EventStore`."""
        self.put(event)

    def recorded(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Return the Events with a label; see `rollway.routers.stores.EventStore`."""
        key, _, value = selector.partition("=")
        with self._lock:
            return [
                duplicate(manifest)
                for ref, manifest in self.manifests.items()
                if (ref.kind, ref.namespace) == ("Event", namespace)
                and dig(manifest, "metadata", "labels", key) == value
            ]
