"""Keep the `resources` of kustomizations in step with files that are added and deleted.

Source: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/resource/
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rollway.routers.errors import UnwritableError
from rollway.routers.model import duplicate
from rollway.routers.stores import files, yaml_text
from rollway.routers.stores.manifests import UnreadableError, parse

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def add(root: str, beside: str, path: str) -> None:
    """List a new file in every kustomization under `root` that lists the file `beside`, right behind it."""

    def insert(folder: str, resources: list[Any]) -> None:
        at = _index(folder, resources, beside)
        if at is not None and _index(folder, resources, path) is None:
            dot = "./" if str(resources[at]).startswith("./") else ""
            resources.insert(at + 1, dot + os.path.relpath(path, folder))

    _change(root, insert)


def remove(root: str, path: str) -> None:
    """Take a file out of every kustomization under `root` that lists it."""

    def drop(folder: str, resources: list[Any]) -> None:
        at = _index(folder, resources, path)
        if at is not None:
            del resources[at]

    _change(root, drop)


def _index(folder: str, resources: list[Any], path: str) -> int | None:
    wanted = os.path.realpath(path)
    for index, entry in enumerate(resources):
        if isinstance(entry, str) and os.path.realpath(os.path.join(folder, entry)) == wanted:
            return index
    return None


def _change(root: str, change: Callable[[str, list[Any]], None]) -> None:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in NAMES:
            if name in names:
                with files.locked(folder):
                    _change_one(os.path.join(folder, name), folder, change)


def _change_one(path: str, folder: str, change: Callable[[str, list[Any]], None]) -> None:
    try:
        mark, text = files.decode(files.read(path) or b"")
        documents = parse(text)
    except (UnreadableError, UnicodeError):
        return
    for index, document in enumerate(documents):
        if not isinstance(document, dict) or not isinstance(document.get("resources"), list):
            continue
        wanted = duplicate(document)
        change(folder, wanted["resources"])
        if wanted != document:
            try:
                files.replace(path, mark + yaml_text.edit(text, index, wanted).encode())
            except UnwritableError as error:
                raise UnwritableError(
                    f"{path}: {error.message}", hint="list the file there yourself"
                ) from error
