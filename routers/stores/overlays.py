"""What kustomizations make of the objects in their files: another namespace, another name, a patch.

Read from the `kustomization.yaml` files alone; nothing is built. Outer kustomizations are applied last, so the
outermost namespace counts. Source: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.objects import dig
from rollway.routers.stores import files
from rollway.routers.stores.manifests import UnreadableError, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rollway.routers.objects import Manifest

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")

_TRANSFORMING = (b"namespace", b"namePrefix", b"nameSuffix", b"patch")
"""A repository whose kustomizations have none of these words is not looked at any closer."""

_API = "kustomize.config.k8s.io/"

_PATCHED_FIELDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "Rollout": (("spec", "strategy"),),
    "Service": (("spec", "ports"), ("spec", "selector")),
}
"""The fields of a kind that an answer rests on; of other kinds `spec` and the annotations."""

_ANY_KIND = (("spec",), ("metadata", "annotations"))


class Patch(NamedTuple):
    """One patch of a kustomization: whom it is for (patterns by field; empty: whom its own text names), and its text."""

    target: Mapping[str, Any]
    content: Any
    file: str = ""
    """The real path of the file that it is; empty for one that is written in the kustomization."""

    def touches(self, manifest: Manifest) -> bool:
        """Return whether it may change a field of an object that an answer rests on."""
        if not self._is_for(manifest):
            return False
        fields = _PATCHED_FIELDS.get(manifest["kind"], _ANY_KIND)
        if isinstance(self.content, list):
            paths = [str(dig(operation, "path")) for operation in self.content]
            return any(_overlap(path, "/" + "/".join(path_of)) for path in paths for path_of in fields)
        return any(dig(self.content, *path_of) is not None for path_of in fields)

    def _is_for(self, manifest: Manifest) -> bool:
        wanted = self.target or {
            "kind": dig(self.content, "kind"),
            "name": dig(self.content, "metadata", "name"),
        }
        # Labels and annotations narrow a target further; without building, the patch counts for all that is left.
        return all(
            _matches(wanted.get(key), value)
            for key, value in (("kind", manifest["kind"]), ("name", manifest["metadata"]["name"]))
        )


class Kustomization(NamedTuple):
    """What one kustomization does to what it lists."""

    path: str
    namespace: str = ""
    prefix: str = ""
    suffix: str = ""
    patches: tuple[Patch, ...] = ()
    resources: frozenset[str] = frozenset()
    """The real paths of the files and folders that it lists."""
    components: tuple[str, ...] = ()
    """The real paths of the components, which are applied to all that it lists."""

    @property
    def folder(self) -> str:
        """The real path of its folder, by which others list it."""
        return os.path.dirname(os.path.realpath(self.path))

    @property
    def renaming(self) -> str:
        """How it changes names: `namePrefix: eu-`; empty where it does not."""
        given = (("namePrefix", self.prefix), ("nameSuffix", self.suffix))
        return ", ".join(f"{name}: {value}" for name, value in given if value)


class View(NamedTuple):
    """What one chain of kustomizations, the innermost first, makes of a file."""

    chain: tuple[Kustomization, ...] = ()

    @property
    def namespace(self) -> str:
        """The namespace that all objects get; empty where they keep their own."""
        return next((item.namespace for item in reversed(self.chain) if item.namespace), "")

    @property
    def renaming(self) -> str:
        """Who changes names, and how; empty where nobody does."""
        return next((f"{item.path} ({item.renaming})" for item in self.chain if item.renaming), "")

    @property
    def outermost(self) -> str:
        """The kustomization that is built."""
        return self.chain[-1].path if self.chain else ""

    def patch_of(self, manifest: Manifest) -> str:
        """Return who patches an object in what an answer rests on; empty where nobody does."""
        return next(
            (item.path for item in self.chain if any(patch.touches(manifest) for patch in item.patches)), ""
        )

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two views of a file two objects."""
        return (self.namespace, self.renaming)


class Overlays:
    """The kustomizations under a folder, those that they refer to, and what they make of each file."""

    def __init__(self, paths: Iterable[str], raw: Callable[[str], bytes | None]) -> None:
        self._raw, self._read = raw, dict[str, bytes | None]()
        self._kustomizations: dict[str, list[Kustomization]] = {}
        self.paths = [path for path in paths if os.path.basename(path) in NAMES]
        if any(word in (self._text(path) or b"") for path in self.paths for word in _TRANSFORMING):
            for path in self.paths:
                self._add(path)
        self._listing: dict[str, list[Kustomization]] = {}
        self._patches: set[str] = set()
        for item in self._all():
            self._patches.update(patch.file for patch in item.patches)
            for listed in (*item.resources, *item.components):
                self._listing.setdefault(listed, []).append(item)
        self._patches -= {listed for item in self._all() for listed in item.resources}
        self._views: dict[str, tuple[View, ...]] = {}

    def is_current(self, paths: Iterable[str]) -> bool:
        """Return whether the files are still what was read."""
        known = {path for path in paths if os.path.basename(path) in NAMES}
        return known <= self._read.keys() and all(
            self._raw(path) == text for path, text in self._read.items()
        )

    def is_patch(self, path: str) -> bool:
        """Return whether a file is a patch of a kustomization, and so holds no objects of its own."""
        return bool(self._patches) and os.path.realpath(path) in self._patches

    def views(self, path: str) -> tuple[View, ...]:
        """Return what the kustomizations make of a file: one view for each name and namespace that comes of it."""
        if not self._listing:
            return (View(),)
        real = os.path.realpath(path)
        if real not in self._views:
            views: dict[tuple[str, str], View] = {}
            for chain in self._chains(real, ()):
                view = View(chain)
                known = views.get(view.identity, View())
                views[view.identity] = View((*known.chain, *view.chain))
            self._views[real] = tuple(views.values())
        return self._views[real]

    def _chains(self, real: str, below: tuple[Kustomization, ...]) -> Iterator[tuple[Kustomization, ...]]:
        """Yield the kustomizations that are applied to a file or a folder, the innermost first, for each build."""
        listing = [item for item in self._listing.get(real, ()) if item not in below]
        if not listing:
            yield ()
        for item in listing:
            components = [part for folder in item.components for part in self._kustomizations.get(folder, ())]
            for outer in self._chains(item.folder, (*below, item)):
                yield (*components, item, *outer)

    def _all(self) -> list[Kustomization]:
        return [item for items in self._kustomizations.values() for item in items]

    def _text(self, path: str) -> bytes | None:
        if path not in self._read:
            self._read[path] = self._raw(path)
        return self._read[path]

    def _add(self, path: str) -> None:
        """Read a kustomization, and those of the folders that it refers to."""
        folder = os.path.dirname(os.path.realpath(path))
        if folder in self._kustomizations:
            return
        self._kustomizations[folder] = []
        try:
            documents = parse(files.decode(self._text(path) or b"")[1])
        except (UnreadableError, UnicodeError):
            return
        for document in documents:
            version = dig(document, "apiVersion")
            if not isinstance(document, dict) or not str(version or _API).startswith(_API):
                continue
            item = _kustomization(path, document, self._text)
            self._kustomizations[folder].append(item)
            for listed in (*item.resources, *item.components):
                for name in NAMES if os.path.isdir(listed) else ():
                    if os.path.isfile(os.path.join(listed, name)):
                        self._add(os.path.join(listed, name))


def _kustomization(
    path: str, document: Mapping[str, Any], raw: Callable[[str], bytes | None]
) -> Kustomization:
    folder = os.path.dirname(path)

    def real(entries: Iterable[Any]) -> list[str]:
        return [os.path.realpath(os.path.join(folder, entry)) for entry in entries if isinstance(entry, str)]

    return Kustomization(
        path,
        namespace=str(document.get("namespace") or ""),
        prefix=str(document.get("namePrefix") or ""),
        suffix=str(document.get("nameSuffix") or ""),
        patches=tuple(_patches(path, document, raw)),
        # `bases` is what older versions call the folders among the resources.
        resources=frozenset(real([*_list(document, "resources"), *_list(document, "bases")])),
        components=tuple(real(_list(document, "components"))),
    )


def _patches(path: str, document: Mapping[str, Any], raw: Callable[[str], bytes | None]) -> Iterator[Patch]:
    """Yield the patches of a kustomization, from files and written in it."""
    entries: list[tuple[Mapping[str, Any], Any, Any]] = [
        (dig(entry, "target") or {}, dig(entry, "path"), dig(entry, "patch"))
        for entry in (*_list(document, "patches"), *_list(document, "patchesJson6902"))
    ]
    for entry in _list(document, "patchesStrategicMerge"):
        text = str(entry)
        entries.append(({}, None, text) if "\n" in text else ({}, text, None))
    for target, file, text in entries:
        real, content = "", str(text or "")
        if isinstance(file, str):
            real = os.path.realpath(os.path.join(os.path.dirname(path), file))
            content = (raw(real) or b"").decode("utf-8", "replace")
        try:
            parsed = parse(content)
        except UnreadableError:
            parsed = [None]
        for item in parsed:
            yield Patch(target if isinstance(target, dict) else {}, item, real)


def _matches(pattern: Any, value: str) -> bool:
    """Compare with a pattern as kustomize does, anchored; one that is empty, or that cannot be read, matches all."""
    try:
        return pattern in (None, "") or re.fullmatch(str(pattern), value) is not None
    except re.error:
        return True


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    entries = document.get(name)
    return entries if isinstance(entries, list) else []


def _overlap(path: str, other: str) -> bool:
    """Return whether one of two JSON pointers lies within the other."""
    path, other = path.rstrip("/") + "/", other + "/"
    return path.startswith(other) or other.startswith(path)
