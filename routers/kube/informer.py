"""Objects of one kind kept in memory by a watch, for whoever asks often; each change is reported once, old and new.

They are listed once and watched from there. What changed while a watch was broken is found by listing again, and is
reported as well. Own writes are put in at once, so that the next look finds them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Generic

from rollway.routers.errors import RollwayError
from rollway.routers.kube.cache import Cache, Item, ObjectChange, is_older
from rollway.routers.kube.connection import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rollway.routers.kube.client import Client, Object, Target

_PAUSE_S = (0.1, 10.0)
"""The first and the longest pause before a broken watch is tried again."""
_SHORT_WATCH_S = 1.0
"""A server that ends each watch sooner than this is not asked in a tight circle."""

_logger = logging.getLogger(__name__)


def metadata_only(manifest: Object) -> Object:
    """Keep what names an object, its labels, annotations and owners: a projection for an informer.

    With `Target.metadata_only` the rest is not even sent.
    """
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata}


def labels_only(manifest: Object) -> dict[str, str]:
    """Keep the labels: a projection for an informer that only answers who is there."""
    labels: dict[str, str] = manifest["metadata"].get("labels") or {}
    return labels


class Informer(Generic[Item]):
    """All objects of a target; safe to use from many threads.

    `project` returns what is kept of each object: a whole Pod of 3 KB costs about 19 KiB of memory, its metadata alone 3
    KiB, and its labels 1 KiB. `changed` is
    called with every change, also those that the first list and every later one show, in order and from one thread,
    the informer's own; when it raises, that is logged, and the next change is reported as usual.
    """

    def __init__(
        self,
        client: Client,
        target: Target,
        project: Callable[[Object], Item],
        changed: Callable[[ObjectChange[Item]], None] = lambda _change: None,
    ) -> None:
        self.target = target
        self.synced = False
        """Whether the memory is as new as the watch; while it is False, only the API server knows."""
        self._client = client
        self._cache = Cache(project)
        self._changed = changed
        self._lock = threading.RLock()
        self._unreported: deque[ObjectChange[Item]] = deque()
        self._untaken: list[ObjectChange[Item]] | None = None
        self._suspects: set[tuple[str, str]] = set()
        self._version = ""
        self._stop = Stop()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """List the objects, the first time, and start to watch them.

        Raises:
            StoreError: they cannot be listed.
        """
        with self._lock:
            if self._thread is None:
                self._list()
                self.synced = True
                name = f"rollway-watch-{self.target.kind}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the watch; `join` waits for it."""
        self._ended.set()
        self._stop()

    def join(self, timeout: float = 10) -> None:
        """Wait until the thread has ended, `timeout` seconds at most."""
        if self._thread:
            self._thread.join(timeout)

    def get(self, namespace: str, name: str) -> Item | None:
        """Return one object, or None; the namespace of cluster-scoped ones is empty."""
        with self._lock:
            if (namespace, name) in self._suspects:
                self._read_suspects()
            return self._cache.get(namespace, name)

    def items(self, namespace: str = "") -> list[Item]:
        """Return the objects of a namespace, or of all."""
        with self._lock:
            self._read_suspects()
            return self._cache.items(namespace)

    def labelled(self, key: str, values: Iterable[str], namespace: str = "") -> list[Item]:
        """Return the objects whose label has one of some values; the index is made by the first question about a label."""
        with self._lock:
            self._read_suspects()
            return self._cache.labelled(key, values, namespace)

    def take_changes(self) -> list[ObjectChange[Item]]:
        """Return what has changed since this was last called, the first time everything: for one reader with a copy."""
        with self._lock:
            self._read_suspects()
            changes = self._untaken
            if changes is None:
                changes = self._cache.additions()
            self._untaken = []
            return changes

    def owned(self, uid: str) -> list[Item]:
        """Return the objects that name an owner with this uid in their ownerReferences."""
        with self._lock:
            self._read_suspects()
            return self._cache.owned(uid)

    def orphans(self, namespace: str) -> list[Item]:
        """Return the objects of a namespace without an owner that is their controller."""
        with self._lock:
            self._read_suspects()
            return self._cache.orphans(namespace)

    def put(self, manifest: Object) -> None:
        """Remember what a write of our own stored, before the watch brings it."""
        version = manifest["metadata"].get("resourceVersion", "")
        with self._lock:
            # The watch has brought this version already, and perhaps the deletion of the object after it.
            if version != self._version and not is_older(version, self._version):
                self._note(self._cache.put(manifest))

    def remove(self, namespace: str, name: str) -> None:
        """Remember a deletion of our own."""
        with self._lock:
            self._note(self._cache.remove(namespace, name))

    def suspect(self, namespace: str, name: str) -> None:
        """Read an object anew before it is returned again, as after a conflict that the watch has not brought yet."""
        with self._lock:
            self._suspects.add((namespace, name))

    def _read_suspects(self) -> None:
        for namespace, name in list(self._suspects):
            manifest = self._client.get(self.target._replace(namespace=namespace, name=name, selector=""))
            change = self._cache.put(manifest) if manifest else self._cache.remove(namespace, name)
            self._note(change)
            self._suspects.discard((namespace, name))

    def _note(self, change: ObjectChange[Item] | None) -> None:
        """Leave a change to the informer's thread to report, so that all of them are reported in order."""
        if change:
            self._record([change])

    def _record(self, changes: Sequence[ObjectChange[Item]]) -> None:
        self._unreported += changes
        if self._untaken is not None:
            self._untaken += changes

    def _list(self) -> None:
        manifests, version = self._client.list(self.target)
        with self._lock:
            self._record(self._cache.replace(manifests, version))
            self._version = version

    def _run(self) -> None:
        pause = _PAUSE_S[0]
        try:
            while not self._ended.is_set():
                pause = _PAUSE_S[0] if self._watch() else min(pause * 2, _PAUSE_S[1])
                self._ended.wait(pause)
        finally:
            # However the thread ends, a memory that nobody keeps up to date must not be believed.
            self.synced = False

    def _watch(self) -> bool:
        """Follow one watch to its end, after a list where one is needed; return False when it could not be followed."""
        followed = False
        try:
            if not self._version:
                self._list()
            started = time.monotonic()
            events = self._client.watch(self.target, self._version, self._stop)
            self.synced = True
            self._report()
            for event in events:
                self._follow(event.type, event.object)
                self._report()
                followed = True
            # It ended in order, and goes on from the last version.
            return followed or time.monotonic() - started > _SHORT_WATCH_S
        except RollwayError as error:
            _logger.info("the watch of %s ended: %s", self.target.kind, error.message)
        except Exception:
            _logger.exception("the watch of %s failed", self.target.kind)
        # What was missed is listed before the memory counts again, because a watch does not show when it has caught up.
        self._version = ""
        self.synced = False
        return followed

    def _follow(self, event_type: str, manifest: Object) -> None:
        with self._lock:
            metadata = manifest["metadata"]
            self._version = metadata["resourceVersion"]
            if event_type == "DELETED":
                space, name = metadata.get("namespace", ""), metadata["name"]
                self._note(self._cache.remove(space, name, self._version))
            elif event_type != "BOOKMARK":
                self._note(self._cache.put(manifest))

    def _report(self) -> None:
        while True:
            with self._lock:
                if not self._unreported:
                    return
                change = self._unreported.popleft()
            try:
                self._changed(change)
            except Exception:
                _logger.exception(
                    "%s %s/%s has changed, and its listener failed",
                    self.target.kind,
                    change.namespace,
                    change.name,
                )
