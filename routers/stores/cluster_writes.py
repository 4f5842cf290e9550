"""The requests of one write to a cluster.

Objects of ours are written by server-side apply with the field manager `rollway`, unforced; objects of the user by JSON
Patch with tests. A write whose answer got lost is not sent again, because the answer to the second one would be about
the first; it is an UncertainError, and only a read finds out.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from jsonpointer import JsonPointer

from rollway.routers import ownership
from rollway.routers.errors import ConflictError, NotFoundError, RollwayError, UncertainError
from rollway.routers.kube.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, Client, Target
from rollway.routers.objects import LiveObject, ObjectRef, dig, without_server_fields
from rollway.routers.plan import Action, Change, pointer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.kube.connection import Answer
    from rollway.routers.objects import Manifest
    from rollway.routers.plan import Operation

FIELD_MANAGER = "rollway"
RESTORER = "rollway-restored"
"""The manager of foreign fields that are put back with a deleted object, so that they are not ours afterwards."""


class ClusterWrite(NamedTuple):
    """One change on its way to a cluster; with `dry_run` the API server checks it and stores nothing."""

    client: Client
    change: Change
    dry_run: bool = False

    def send(self) -> LiveObject | None:
        """Send it; return the object as it is stored, or None after a deletion.

        Raises:
            ConflictError: the object exists already, or is no longer what the change was computed from.
            UncertainError: it was written in part.
            StoreError: anything that the client raises.
        """
        change = self.change
        if change.action is Action.PATCH:
            return self._patch(change.before or {}, change.patch)
        if change.after is None:
            self._delete()
            return None
        if change.action is Action.CREATE:
            return self._create(change.after)
        return self._apply(change.after)

    @property
    def _options(self) -> dict[str, str]:
        return {"dryRun": "All"} if self.dry_run else {}

    def _patch(self, manifest: Manifest, patch: Sequence[Operation]) -> LiveObject:
        """Patch the object; a field that its CRD does not have is refused instead of being dropped in silence."""
        options = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", **self._options}
        target, body = _target(self.change.ref, manifest), list(patch)
        if self.change.subresource:
            # Argo's command line does the same: a CRD without the subresource answers "not found" for it.
            with contextlib.suppress(NotFoundError):
                within = target._replace(subresource=self.change.subresource)
                return live_object(self.client.patch(within, body, JSON_PATCH, options).body)
        return live_object(self.client.patch(target, body, JSON_PATCH, options).body)

    def _server_side_apply(self, ours: Manifest, *, force: bool = False) -> Answer:
        options = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), **self._options}
        return self.client.patch(_target(self.change.ref, ours), ours, APPLY_PATCH, options)

    def _create(self, after: Manifest) -> LiveObject:
        """Create an object; one that somebody else made in the meantime stays as it was."""
        if self.change.lasting:
            options = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", **self._options}
            return live_object(self.client.create(after, options).body)
        ref, ours = self.change.ref, ownership.applied(after)
        answer = self._server_side_apply(ours)
        others = {
            entry.get("manager")
            for entry in dig(answer.body, "metadata", "managedFields") or ()
            if entry.get("manager") != FIELD_MANAGER and not entry.get("subresource")
        }
        if answer.status == 200 and others and not self.dry_run:
            # Applying nothing gives back what only we set; fields of theirs were never changed, as it was unforced.
            metadata = {"name": ref.name, "namespace": ref.namespace}
            nothing = {"apiVersion": ours["apiVersion"], "kind": ours["kind"], "metadata": metadata}
            with _begun(ref):
                self._server_side_apply(nothing)
            raise ConflictError(f"{ref} exists already, made by {', '.join(sorted(map(str, others)))}")
        manifest = without_server_fields(after)
        if manifest != ours and not self.dry_run:
            with _begun(ref):
                options = {"fieldManager": RESTORER}
                answer = self.client.patch(_target(ref, ours), manifest, MERGE_PATCH, options)
        return live_object(answer.body)

    def _apply(self, after: Manifest) -> LiveObject:
        """Bring an object of ours to `after`."""
        change, ours = self.change, ownership.applied(after)
        if "spec" not in ours:
            # Taking it over is being undone: it goes back to what it was, field by field.
            body = {**after, "metadata": {**after["metadata"], "resourceVersion": change.version}}
            options = {"fieldManager": RESTORER, **self._options}
            return live_object(self.client.update(body, options=options).body)
        freed = self._drop_controllers() if change.adopt else ""
        ours["metadata"]["resourceVersion"] = freed or change.version
        with _begun(change.ref) if freed else contextlib.nullcontext():
            answer = self._server_side_apply(ours, force=change.adopt)
        stored = live_object(answer.body)
        # Server-side apply leaves a key that another manager set as well; those of `own_keys` are ours by nature.
        left = [
            {"op": "remove", "path": operation["path"]}
            for operation in change.patch
            if operation["op"] == "remove"
            # The place of a list item that went may hold another one that stays.
            and not _has(after, operation["path"])
            and _has(stored.manifest, operation["path"])
        ]
        if not left or self.dry_run:
            return stored
        with _begun(change.ref):
            return self._patch(after, [_is_version(stored.version), *left])

    def _drop_controllers(self) -> str:
        """Remove the controllers that the object had, which its new one replaces; return the new version, if any."""
        change = self.change
        kept = dig(change.after, "metadata", "ownerReferences") or []
        owners = dig(change.before, "metadata", "ownerReferences") or []
        gone = [index for index, entry in enumerate(owners) if entry.get("controller") and entry not in kept]
        if not gone or self.dry_run:
            return ""
        removals = [
            {"op": "remove", "path": pointer(("metadata", "ownerReferences", index))} for index in gone[::-1]
        ]
        return self._patch(change.before or {}, [_is_version(change.version), *removals]).version

    def _delete(self) -> None:
        change = self.change
        uid = dig(change.before, "metadata", "uid")
        preconditions = {"resourceVersion": change.version, **({"uid": uid} if uid else {})}
        self.client.delete(_target(change.ref, change.before or {}), preconditions, self._options)


def live_object(manifest: Manifest) -> LiveObject:
    """Return an object as the API server answered it, without the record of its field managers."""
    metadata = manifest["metadata"]
    metadata.pop("managedFields", None)
    group = manifest["apiVersion"].rpartition("/")[0]
    ref = ObjectRef(group, manifest["kind"], metadata.get("namespace", ""), metadata["name"])
    return LiveObject(ref, manifest, metadata.get("resourceVersion", ""))


def _is_version(version: str) -> Operation:
    """Return the operation that lets a patch fail when the object has another version."""
    return {"op": "test", "path": "/metadata/resourceVersion", "value": version}


def _target(ref: ObjectRef, manifest: Manifest) -> Target:
    """Return the target of an object in the API version that it is written in."""
    version = str(manifest.get("apiVersion", "")).rpartition("/")[2]
    return Target(ref.group, ref.kind, ref.namespace, ref.name, version=version)


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


_ABSENT = object()


def _has(manifest: object, path: str) -> bool:
    return JsonPointer(path).resolve(manifest, _ABSENT) is not _ABSENT
