"""Apply the JSON Patch of a change to an object, with its tests (RFC 6902)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonpointer import JsonPointer

from rollway.routers.errors import ConflictError

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest
    from rollway.routers.plan import Change


def patched(change: Change, manifest: Manifest) -> Manifest:
    """Return the patched object; the given one stays as it is.

    Raises:
        ConflictError: a test fails, or a path is no longer there: somebody changed what the plan relies on.
    """
    import jsonpatch  # noqa: PLC0415 - 10 ms that only a patch costs

    try:
        for operation in change.patch:
            if operation["op"] == "add" and isinstance(operation["value"], dict):
                _refuse_taken(change, operation["path"], manifest)
        result: Manifest = jsonpatch.apply_patch(manifest, list(change.patch))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise ConflictError(f"{change.ref} has changed where the plan relies on it") from error
    return result


def _refuse_taken(change: Change, path: str, manifest: Manifest) -> None:
    """Raise ConflictError where a mapping that the patch adds is there already: adding it would replace that one.

    On an API server the patch relies on the version of the object for this.
    """
    parent, key = JsonPointer(path).to_last(manifest)
    if isinstance(parent, dict) and key in parent:
        raise ConflictError(f"{change.ref} has {path} already, which the plan adds")
