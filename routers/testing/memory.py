"""A store in memory: objects with versions, patches with tests, and failures on purpose. No more of an API server."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from rollway.routers import stores
from rollway.routers.errors import ConflictError, NotFoundError, StoreError, UncertainError
from rollway.routers.objects import Live, LiveObject, dig, duplicate
from rollway.routers.plan import Action
from rollway.routers.stores.manifests import ref_of
from rollway.routers.stores.patches import patched
from rollway.routers.traffic import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rollway.routers.findings import Finding
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest, Need, ObjectRef
    from rollway.routers.plan import Change


class Faults:
    """What makes a store of the tests fail on purpose; the store calls `interfere` before, and `answer` after a change.

    `log` lists each write that was asked for. `interfere` is called with each change just before it is made, and may
    change the objects or raise: a foreign writer, or a fault. What `answer` raises is a fault after the change was made.
    """

    def __init__(self) -> None:
        self.log: list[Change] = []
        self.interfere: Callable[[Change], None] = lambda _change: None
        self.answer: Callable[[Change], None] = lambda _change: None

    def fail(self, *, at: int, error: BaseException | None = None, times: int = 1) -> None:
        """Let the write with that number (from 0, counted from now) fail, and `times` of them in all."""
        self.interfere = self._fault(at, error, times)

    def lose(self, *, at: int, error: BaseException | None = None, times: int = 1) -> None:
        """Let the answer to the write with that number get lost after it was made, and to as many after it."""
        self.answer = self._fault(at, error or UncertainError("the answer got lost"), times)

    def _fault(self, at: int, error: BaseException | None, times: int) -> Callable[[Change], None]:
        start = len(self.log)

        def fault(change: Change) -> None:
            if at <= len(self.log) - 1 - start < at + times:
                raise error or StoreError(f"{change.ref}: the disk is on fire")

        return fault


class MemoryStore(Faults):
    """Hold manifests in memory.

    `served` maps API groups to served versions. `running` lets it pass for a cluster, whose endpoints count.
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
        self._locks: dict[ObjectRef, threading.RLock] = {}
        # An object is replaced and never changed, so that what was read stays as it was without being copied.
        self._objects: dict[ObjectRef, LiveObject] = {}
        self._lock = threading.RLock()
        self._last = 0
        for manifest in manifests:
            self.put(manifest)

    @property
    def manifests(self) -> dict[ObjectRef, Manifest]:
        """A copy of every object."""
        with self._lock:
            return {ref: duplicate(known.manifest) for ref, known in self._objects.items()}

    def put(self, manifest: Manifest) -> ObjectRef:
        """Store an object, as a foreign writer would."""
        return self._keep(ref_of(manifest, self.namespace), duplicate(manifest)).ref

    def edit(self, ref: ObjectRef, change: Callable[[Manifest], None]) -> None:
        """Change an object in place, as a foreign writer would."""
        with self._lock:
            manifest = duplicate(self._objects[ref].manifest)
            change(manifest)
            self._keep(ref, manifest)

    def remove(self, ref: ObjectRef) -> None:
        """Delete an object, as a foreign writer would."""
        with self._lock:
            del self._objects[ref]

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the needed objects; see `rollway.routers.stores.Store.read`."""
        with self._lock:
            kinds = [(ref.group, ref.kind, ref.name) for ref in self._objects]
            present = [
                known for ref, known in self._objects.items() if any(need.matches(ref) for need in needs)
            ]
        absent = stores.missing(needs, {known.ref for known in present})
        if absent:
            hints = (
                stores.known_names(need, [name for *kind, name in kinds if kind == [need.group, need.kind]])
                for need in absent
            )
            raise NotFoundError(f"{stores.names(absent)} not found in memory", hint="\n  ".join(hints))
        return Live(present, self.served, notes=self.notes, running=self.running)

    @contextlib.contextmanager
    def lock(self, rollout: Rollout) -> Iterator[bool]:
        """Let one thread at a time act on a Rollout; see `rollway.routers.stores.Store.lock`."""
        with self._lock:
            lock = self._locks.setdefault(rollout.ref, threading.RLock())
        with lock:
            yield True

    def check(self, change: Change) -> None:
        """Find nothing; see `Store.check`."""

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Make one change; see `rollway.routers.stores.Store.write`."""
        with self._lock:
            self.log.append(change)
            self.interfere(change)
            known = self._objects.get(change.ref)
            if (known is None) != (change.action is Action.CREATE):
                raise ConflictError(f"{change.ref} {'is gone' if known is None else 'exists already'}")
            if change.action in (Action.APPLY, Action.DELETE) and known and known.version != change.version:
                raise ConflictError(f"{change.ref} has changed since it was read")
            if dry_run:
                return LiveObject(change.ref, change.after, "") if change.after else None
            stored = self._make(change, known)
            self.answer(change)
            return stored

    def record(self, event: Manifest) -> None:
        """Keep an Event like any other object; see `rollway.routers.stores.EventStore`."""
        self.put(event)

    def recorded(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Return the Events with a label; see `rollway.routers.stores.EventStore`."""
        key, _, value = selector.partition("=")
        with self._lock:
            return [
                duplicate(known.manifest)
                for ref, known in self._objects.items()
                if (ref.kind, ref.namespace) == ("Event", namespace)
                and dig(known.manifest, "metadata", "labels", key) == value
            ]

    def _make(self, change: Change, known: LiveObject | None) -> LiveObject | None:
        if change.after is None:
            del self._objects[change.ref]
            return None
        patching = change.action is Action.PATCH and known
        return self._keep(change.ref, patched(change, known.manifest) if patching and known else change.after)

    def _keep(self, ref: ObjectRef, manifest: Manifest) -> LiveObject:
        """Hold an object, with a new version if it is another one."""
        with self._lock:
            known = self._objects.get(ref)
            if known is None or known.manifest != manifest:
                self._last += 1
                known = self._objects[ref] = LiveObject(ref, manifest, str(self._last))
            return known
