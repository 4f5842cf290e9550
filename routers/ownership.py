"""Decide who owns a managed object, and merge what we want into what is there.

We stamp what we create: the label `app.kubernetes.io/managed-by`, an annotation that names the Rollout (which is always
in the object's own namespace), and a record of the keys that we set. A key on the record that we no longer want goes away; everything else in the object stays.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rollway.routers.errors import ForeignOwnerError
from rollway.routers.model import dig, duplicate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rollway.routers.model import Manifest, ObjectRef, Rollout

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "rollway"
ROLLOUT_ANNOTATION = "rollway.dev/rollout"
RECORD_ANNOTATION = "rollway.dev/applied-keys"

_RECORDED = (("metadata", "annotations"), ("metadata", "labels"), ("spec",))


def stamp(manifest: Manifest, rollout: Rollout) -> Manifest:
    """Return the wanted object with our label, our annotations and, when the Rollout has a uid, an ownerReference.

    The reference is without `blockOwnerDeletion`: where OwnerReferencesPermissionEnforcement is on it would need the right
    to `update` the Rollout's `finalizers`. It only means that a deletion in the foreground (`kubectl delete
    --cascade=foreground`) does not wait for this object, which goes with the Rollout either way.
    """
    stamped: Manifest = duplicate(manifest)
    metadata = stamped["metadata"]
    labels = {**metadata.get("labels", {}), MANAGED_BY_LABEL: MANAGED_BY}
    annotations = {**metadata.get("annotations", {}), ROLLOUT_ANNOTATION: rollout.name}
    metadata["labels"] = labels
    metadata["annotations"] = annotations
    record = {path[-1]: sorted(_dig(stamped, path)) for path in _RECORDED}
    annotations[RECORD_ANNOTATION] = json.dumps(record, separators=(",", ":"))
    if rollout.uid:
        metadata["ownerReferences"] = [
            {
                "apiVersion": rollout.api_version,
                "kind": "Rollout",
                "name": rollout.name,
                "uid": rollout.uid,
                "controller": True,
            }
        ]
    return stamped


def applied(manifest: Manifest) -> Manifest:
    """Return what of an object is ours by its record: what server-side apply wants to be given, and no more.

    An object without a record (nothing of it is ours) comes back as its name alone.
    """
    metadata = manifest["metadata"]
    ours: Manifest = {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": {key: metadata[key] for key in ("name", "namespace") if key in metadata},
    }
    record = _record(manifest)
    if not record:
        return ours
    for path in _RECORDED:
        source = _dig(manifest, path)
        keys = [*record.get(path[-1], ()), *([RECORD_ANNOTATION] if path[-1] == "annotations" else [])]
        _ensure(ours, path).update({key: duplicate(source[key]) for key in keys if key in source})
    controllers = [entry for entry in _owners(manifest) if entry.get("controller")]
    if controllers:
        ours["metadata"]["ownerReferences"] = duplicate(controllers)
    return ours


def owned_by(manifest: Manifest, rollout: Rollout) -> bool:
    """Return whether the live object is this Rollout's: by our stamp, or by Argo Rollouts' controller reference."""
    annotations = _dig(manifest, ("metadata", "annotations"))
    if annotations.get(ROLLOUT_ANNOTATION) == rollout.name:
        return True
    controller = _controller(manifest)
    if controller.get("kind") != "Rollout" or not str(controller.get("apiVersion")).startswith(
        "argoproj.io/"
    ):
        return False
    return controller.get("name") == rollout.name and (
        not rollout.uid or controller.get("uid") == rollout.uid
    )


def refuse_foreign(ref: ObjectRef, manifest: Manifest, rollout: Rollout) -> None:
    """Raise ForeignOwnerError, naming the owner, when the live object is not this Rollout's."""
    if owned_by(manifest, rollout):
        return
    annotations = _dig(manifest, ("metadata", "annotations"))
    controller = _controller(manifest)
    if ROLLOUT_ANNOTATION in annotations:
        owner = f"belongs to Rollout {annotations[ROLLOUT_ANNOTATION]}"
    elif controller:
        owner = f"is controlled by {controller.get('kind')} {controller.get('name')}"
    else:
        owner = "has no owner that rollway knows"
    raise ForeignOwnerError(
        f"{ref} exists already and {owner}, so Rollout {rollout.namespace}/{rollout.name} will not change it",
        hint="take it over with --adopt, or rename one of the two",
    )


def merge(live: Manifest, wanted: Manifest, own_keys: Iterable[str] = ()) -> Manifest:
    """Return the live object as it should become: our keys as wanted, keys we no longer want gone, the rest kept.

    `own_keys` are annotation keys that are ours by nature: they go when they are not wanted, recorded or not.
    """
    merged: Manifest = duplicate(live)
    merged["apiVersion"], merged["kind"] = wanted["apiVersion"], wanted["kind"]
    record = _record(live)
    ours_by_nature = {"annotations": set(own_keys)}
    for path in _RECORDED:
        gone = set(record.get(path[-1], ())) | ours_by_nature.get(path[-1], set())
        target = _ensure(merged, path)
        fresh = _dig(wanted, path)
        for key in gone - set(fresh):
            target.pop(key, None)
        target.update(duplicate(fresh))
    owners = wanted["metadata"].get("ownerReferences", [])
    if owners:
        # An object has one controller at most, so an adopted object loses the one that it had.
        theirs = [
            entry
            for entry in _owners(live)
            if not entry.get("controller") and entry.get("uid") != owners[0]["uid"]
        ]
        # A reference to this Rollout stays as it is, with `blockOwnerDeletion` when another controller made it.
        ours = [
            entry
            for entry in _owners(live)
            if entry.get("controller") and entry.get("uid") == owners[0]["uid"]
        ]
        if [*theirs, *(ours or owners)] != _owners(live):
            merged["metadata"]["ownerReferences"] = [*theirs, *(ours or owners)]
    return merged


def _record(manifest: Manifest) -> Mapping[str, Any]:
    """Read the record of our keys; a record that cannot be read counts as none, so nothing foreign is removed."""
    try:
        record = json.loads(_dig(manifest, ("metadata", "annotations")).get(RECORD_ANNOTATION, "{}"))
    except (TypeError, ValueError):
        return {}
    if not isinstance(record, dict) or not all(isinstance(keys, list) for keys in record.values()):
        return {}
    return {name: [key for key in keys if isinstance(key, str)] for name, keys in record.items()}


def _controller(manifest: Manifest) -> Mapping[str, Any]:
    return next((entry for entry in _owners(manifest) if entry.get("controller")), {})


def _owners(manifest: Manifest) -> list[dict[str, Any]]:
    owners = manifest["metadata"].get("ownerReferences")
    return [entry for entry in owners if isinstance(entry, dict)] if isinstance(owners, list) else []


def _dig(manifest: Manifest, path: tuple[str, ...]) -> Mapping[str, Any]:
    value = dig(manifest, *path)
    return value if isinstance(value, dict) else {}


def _ensure(manifest: Manifest, path: tuple[str, ...]) -> dict[str, Any]:
    value: dict[str, Any] = manifest
    for step in path:
        if not isinstance(value.get(step), dict):
            value[step] = {}
        value = value[step]
    return value
