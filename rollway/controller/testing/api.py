"""Objects as an API server keeps them, in memory: versions, uids, generations, JSON Patch, merge patch, and who listens."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonpatch
import jsonpointer

from rollway.controller.status import merged
from rollway.routers.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from rollway.routers.objects import Manifest


class Key(NamedTuple):
    """Name an object by kind and name; there is one namespace."""

    kind: str
    name: str


class ObjectStore:
    """The objects of one namespace. `changed` is called with each key after it was written or deleted."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.objects: dict[Key, Manifest] = {}
        self.changed: list[Callable[[Key, Manifest | None], None]] = []
        self.writes = 0
        self._now = now
        self._versions = itertools.count(1)

    def of(self, kind: str) -> list[Manifest]:
        """Return the objects of a kind by name."""
        return [self.objects[key] for key in sorted(self.objects) if key.kind == kind]

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object.

        Raises:
            ConflictError: the name is taken.
        """
        key = Key(manifest["kind"], manifest["metadata"]["name"])
        if key in self.objects:
            raise ConflictError(f"{key.kind} {key.name} exists already")
        stored = copy.deepcopy(manifest)
        version = next(self._versions)
        stored["metadata"] |= {
            "uid": f"uid-{version}",
            "generation": 1,
            "creationTimestamp": self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        return self._store(key, stored, version)

    def patch(self, key: Key, operations: Sequence[Mapping[str, Any]]) -> Manifest:
        """Apply a JSON Patch.

        Raises:
            NotFoundError: there is no such object.
            ConflictError: a test failed, or a place does not exist.
        """
        try:
            changed = jsonpatch.apply_patch(self._present(key), [dict(each) for each in operations])
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
            raise ConflictError(f"{key.kind} {key.name}: {error}") from error
        return self.update(key, changed)

    def merge_status(self, key: Key, patch: Mapping[str, Any], version: str = "") -> Manifest:
        """Merge a patch into a status, if the object still has a version."""
        present = self._present(key)
        if version and present["metadata"]["resourceVersion"] != version:
            raise ConflictError(f"{key.kind} {key.name} has changed")
        changed = copy.deepcopy(present)
        changed["status"] = merged(changed.get("status") or {}, patch)
        return self.update(key, changed)

    def update(self, key: Key, manifest: Manifest) -> Manifest:
        """Store an object in place of the one that there is; nothing happens where they are the same."""
        present = self._present(key)
        if manifest == present:
            return present
        stored = copy.deepcopy(manifest)
        if stored.get("spec") != present.get("spec"):
            stored["metadata"]["generation"] = present["metadata"]["generation"] + 1
        return self._store(key, stored, next(self._versions))

    def delete(self, key: Key, *, cascade: bool = True) -> None:
        """Delete an object, and what it owns, if that does not stay until garbage is collected."""
        gone = self.objects.pop(key, None)
        if gone is None:
            return
        next(self._versions)
        for listener in self.changed:
            listener(key, None)
        if not cascade:
            return
        uid = gone["metadata"]["uid"]
        for other, manifest in list(self.objects.items()):
            if any(owner["uid"] == uid for owner in manifest["metadata"].get("ownerReferences") or ()):
                self.delete(other)

    def collect_garbage(self) -> None:
        """Delete what has owners of which none is there."""
        uids = {manifest["metadata"]["uid"] for manifest in self.objects.values()}
        for key, manifest in list(self.objects.items()):
            owners = manifest["metadata"].get("ownerReferences") or ()
            if owners and not any(owner["uid"] in uids for owner in owners):
                self.delete(key)

    def _present(self, key: Key) -> Manifest:
        if key not in self.objects:
            raise NotFoundError(f"{key.kind} {key.name} is not there")
        return self.objects[key]

    def _store(self, key: Key, stored: Manifest, version: int) -> Manifest:
        stored["metadata"]["resourceVersion"] = str(version)
        self.objects[key] = stored
        self.writes += 1
        for listener in self.changed:
            listener(key, stored)
        return stored
