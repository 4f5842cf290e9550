"""Keep the `resources` of kustomizations in step with files that are added and deleted.

Source: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/resource/
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rollway.routers.errors import UnwritableError
from rollway.routers.objects import duplicate
from rollway.routers.stores import files, overlays, yaml_text
from rollway.routers.stores.manifests import UnreadableError, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def paths(root: str) -> list[str]:
    """Return the path of every kustomization under a folder."""
    return [path for path in files.walk(root) if os.path.basename(path) in overlays.NAMES]


def add(root: str, beside: str, path: str) -> Iterator[tuple[str, bytes]]:
    """Yield each kustomization under `root` that lists the file `beside`, with a new file listed right behind it.

    Raises:
        UnwritableError: the text of one cannot take it.
    """

    def insert(folder: str, resources: list[Any]) -> None:
        position = _index(folder, resources, beside)
        if position is not None and _index(folder, resources, path) is None:
            dot = "./" if str(resources[position]).startswith("./") else ""
            resources.insert(position + 1, dot + os.path.relpath(path, folder))

    return _changed(root, insert)


def remove(root: str, path: str) -> Iterator[tuple[str, bytes]]:
    """Yield each kustomization under `root` that lists a file, without it.

    Raises:
        UnwritableError: the text of one cannot lose it.
    """

    def drop(folder: str, resources: list[Any]) -> None:
        position = _index(folder, resources, path)
        if position is not None:
            del resources[position]

    return _changed(root, drop)


def _index(folder: str, resources: list[Any], path: str) -> int | None:
    wanted = os.path.realpath(path)
    for index, entry in enumerate(resources):
        if isinstance(entry, str) and os.path.realpath(os.path.join(folder, entry)) == wanted:
            return index
    return None


def _changed(root: str, change: Callable[[str, list[Any]], None]) -> Iterator[tuple[str, bytes]]:
    """Yield the kustomizations whose resources a function changes, with their new content."""
    for path in paths(root):
        try:
            mark, text = files.decode(files.read(path) or b"")
            documents = parse(text)
        except (UnreadableError, UnicodeError):
            continue
        for index, document in enumerate(documents):
            if not isinstance(document, dict) or not isinstance(document.get("resources"), list):
                continue
            wanted = duplicate(document)
            change(os.path.dirname(path), wanted["resources"])
            if wanted != document:
                try:
                    yield path, mark + yaml_text.edit(text, index, wanted).encode()
                except UnwritableError as error:
                    raise UnwritableError(
                        f"{path}: {error.message}", hint="list the file there yourself"
                    ) from error
