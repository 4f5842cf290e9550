"""Decide who owns a managed object, and merge what we want into what is there.

We stamp what we create: the label `app.kubernetes.io/managed-by`, an annotation that names the Rollout (which is always
in the object's own namespace), and a record of the keys that we set. A key on the record that we no longer want goes
away; everything else in the object stays. An object that was taken over remembers what it was, and is given back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, cast

from rollway.routers.errors import ForeignOwnerError, ManifestError
from rollway.routers.objects import dig, duplicate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest, ObjectRef

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "rollway"
ROLLOUT_ANNOTATION = "rollway.dev/rollout"
RECORD_ANNOTATION = "rollway.dev/applied-keys"
ADOPTED_ANNOTATION = "rollway.dev/adopted"
"""On an object that was taken over: what it had, as JSON, in the places that became ours. See `given_back`."""

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


def recorded(manifest: Manifest, place: Literal["annotations", "labels", "spec"]) -> frozenset[str]:
    """Return the keys that we set in one place of an object, by the record."""
    return frozenset(_record(manifest).get(place, ()))


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


def merge(
    live: Manifest, wanted: Manifest, own_keys: Iterable[str] = (), *, taken_over: bool = False
) -> Manifest:
    """Return the live object as it should become: our keys as wanted, keys we no longer want gone, the rest kept.

    `own_keys` are annotation keys that are ours by nature: they go when they are not wanted, recorded or not. An object
    that is `taken_over` with this keeps a memory of what it had.
    """
    merged: Manifest = duplicate(live)
    memory = {} if taken_over else _memory(live)
    if memory is not None:
        wanted = _with_memory(wanted, _remembered(live, wanted, own_keys, memory, taken_over=taken_over))
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


def given_back(manifest: Manifest) -> Manifest | None:
    """Return an object that was taken over as it was before; None for one that was not.

    What others have changed since, in places that are not ours, stays.

    Raises:
        ManifestError: the memory of what it was cannot be read.
    """
    memory = _memory(manifest)
    if memory is None:
        return None
    restored: Manifest = duplicate(manifest)
    record = _record(manifest)
    for *parents, name in _RECORDED:
        target, had = _ensure(restored, (*parents, name)), memory.get(name, {})
        for key in {*record.get(name, ()), RECORD_ANNOTATION} - set(had):
            target.pop(key, None)
        target.update(duplicate(had))
        if not target and name not in memory:
            _ensure(restored, tuple(parents)).pop(name)
    theirs = memory.get("ownerReferences", [])
    others = [entry for entry in _owners(manifest) if not entry.get("controller") and entry not in theirs]
    restored["metadata"].pop("ownerReferences", None)
    if theirs or others:
        restored["metadata"]["ownerReferences"] = [*theirs, *others]
    restored["apiVersion"] = memory.get("apiVersion", manifest["apiVersion"])
    return restored


def _remembered(
    live: Manifest, wanted: Manifest, own_keys: Iterable[str], memory: Mapping[str, Any], *, taken_over: bool
) -> dict[str, Any]:
    """Add to the memory what the live object has in the places that become ours with what is wanted."""
    record, remembered = _record(live), dict(memory)
    if taken_over:
        remembered["apiVersion"] = live["apiVersion"]
        if _owners(live):
            remembered["ownerReferences"] = duplicate(_owners(live))
    for path in _RECORDED:
        name, present = path[-1], dig(live, *path)
        known = set(record.get(name, ()))
        becoming = {*_dig(wanted, path), *(own_keys if name == "annotations" else ())}
        # Of another Rollout everything that it has set goes; of ours everything was remembered when it was set.
        becoming = becoming | known if taken_over else becoming - known - {RECORD_ANNOTATION}
        if isinstance(present, dict) and (taken_over or becoming & set(present)):
            had = {key: duplicate(value) for key, value in present.items() if key in becoming}
            remembered[name] = {**remembered.get(name, {}), **had}
    return remembered


def _with_memory(wanted: Manifest, memory: Mapping[str, Any]) -> Manifest:
    """Add the memory to what is wanted, and to the record of it."""
    stamped: Manifest = duplicate(wanted)
    annotations = stamped["metadata"]["annotations"]
    record = {**_record(wanted)}
    record["annotations"] = sorted({*record.get("annotations", ()), ADOPTED_ANNOTATION})
    annotations[ADOPTED_ANNOTATION] = json.dumps(memory, separators=(",", ":"), sort_keys=True)
    annotations[RECORD_ANNOTATION] = json.dumps(record, separators=(",", ":"))
    return stamped


def _memory(manifest: Manifest) -> Mapping[str, Any] | None:
    """Read what an object was before it was taken over; None when it was not."""
    text = _dig(manifest, ("metadata", "annotations")).get(ADOPTED_ANNOTATION)
    if text is None:
        return None
    try:
        memory = json.loads(text)
        readable = all(isinstance(memory.get(path[-1], {}), dict) for path in _RECORDED)
    except (TypeError, ValueError, AttributeError):
        readable = False
    if not readable:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        fault = (
            f"metadata.annotations[{ADOPTED_ANNOTATION}]: is not what rollway wrote, so it cannot be put back"
        )
        raise ManifestError(name, [fault])
    return cast("Mapping[str, Any]", memory)


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
