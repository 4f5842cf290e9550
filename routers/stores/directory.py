"""A directory (or one file) of manifests as a store: a GitOps repository, say.

Only files that can hold a needed object are parsed: an object's kind and name stand in its text, or the text has
escapes. Writes change single values inside a file (see `yaml_text`), replace the file atomically, and happen under a
lock on the directory, against what the file holds at that moment.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollway.routers import stores
from rollway.routers.errors import (
    ConflictError,
    DuplicateObjectError,
    NotFoundError,
    StoreError,
    UnsupportedError,
    UnwritableError,
)
from rollway.routers.model import Evidence, Finding, Live, LiveObject, Need, Severity, duplicate
from rollway.routers.plan import Action, Change
from rollway.routers.stores import files, kustomization, patches, yaml_text
from rollway.routers.stores.manifests import Found, UnreadableError, line_of, objects, parse, ref_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.model import Manifest, ObjectRef, Pointer

_ESCAPES = (b"\\x", b"\\u", b"\\U", b"\\\n", b"\\\r", b"\x00")
"""What lets a YAML text spell a name so that a search does not find it; a zero byte is UTF-16."""

_NAMED_SKIPPED = 8


@dataclass(frozen=True)
class _Parsed:
    """What a file holds; `problem` says why nothing of it counts."""

    digest: bytes
    found: tuple[Found, ...]
    problem: str = ""


class DirectoryStore:
    """Read and write the manifests under a path. `namespace` is that of objects which name none."""

    evidence = Evidence.WRITTEN
    notes = (
        Finding(
            "files-only",
            Severity.NOTE,
            None,
            "files do not tell ready endpoints or what a data plane has loaded, so neither was checked",
        ),
    )

    def __init__(self, path: str | os.PathLike[str], namespace: str = "default") -> None:
        self.path = os.fspath(path)
        self.namespace = namespace
        self._cache: dict[str, _Parsed] = {}
        if not os.path.exists(self.path):
            raise StoreError(f"{self.path} does not exist", hint="give a directory or a file of manifests")

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the needed objects; see `Store.read`."""
        places = self._find([need for need in needs if not need.runtime])
        absent = stores.missing(needs, places)
        if absent:
            raise self._not_found(absent)
        return Live((self._live(ref, *place) for ref, place in places.items()), notes=self.notes)

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Make one change in one file; see `Store.write`."""
        if dry_run:
            raise UnsupportedError(
                "a directory has no admission to ask, so it cannot check a write without making it",
                hint="use --dry-run=client, or a cluster",
            )
        with files.locked(self.path):
            place = self._find([_need(change.ref)]).get(change.ref)
            if change.action is Action.CREATE:
                if place:
                    raise ConflictError(f"{change.ref} exists already, in {place[0]}")
                assert change.after is not None, "a creation has an object"
                return self._create(change, change.after)
            if place is None:
                raise ConflictError(f"{change.ref} is gone")
            # A store of a folder below, or of one that links here, locks the file's own folder: hold that as well.
            with files.locked(os.path.realpath(place[0])):
                return self._write_in(place[0], change)

    def _write_in(self, path: str, change: Change) -> LiveObject | None:
        """Change or delete an object in a file whose folder is locked."""
        parsed = self._parse(path, files.read(path) or b"")
        found = next(
            (item for item in parsed.found if ref_of(item.manifest, self.namespace) == change.ref), None
        )
        if found is None:
            raise ConflictError(f"{change.ref} is gone")
        if change.action is Action.PATCH:
            after = patches.patched(change, found.manifest)
        else:
            if _version(found.manifest) != change.version:
                raise ConflictError(f"{change.ref} in {path} has changed since it was read")
            if change.after is None:
                self._delete(path, found)
                return None
            after = change.after
        self._rewrite(path, found, after)
        return self._stored(change.ref, path)

    # -- reading

    def _find(self, needs: Sequence[Need]) -> dict[ObjectRef, tuple[str, Found]]:
        """Return where each object that a need asks for stands.

        Raises:
            DuplicateObjectError: one that must be unique stands in two places.
        """
        tokens = {(need.kind.encode(), need.name.encode()) for need in needs}
        # Whether an object must be unique, by what a need names; an empty namespace or name means any.
        asked: dict[tuple[str, str, str, str], bool] = {}
        for need in needs:
            key = (need.group, need.kind, need.namespace, need.name)
            asked[key] = asked.get(key, False) or bool(need.name) or need.unique
        places: dict[ObjectRef, tuple[str, Found]] = {}
        for path in files.walk(self.path):
            raw = files.read(path)
            if raw is None or not _may_hold(raw, tokens):
                continue
            for found in self._parse(path, raw).found:
                ref = ref_of(found.manifest, self.namespace)
                unique = [
                    asked[key]
                    for namespace in ("", ref.namespace)
                    for name in ("", ref.name)
                    if (key := (ref.group, ref.kind, namespace, name)) in asked
                ]
                if not unique:
                    continue
                if ref in places and any(unique):
                    raise DuplicateObjectError(
                        f"{ref} stands in two places: {self._where(*places[ref], ())} and {self._where(path, found, ())}",
                        hint="keep one of them, or give --dir a folder that has only one",
                    )
                places.setdefault(ref, (path, found))
        return places

    def _parse(self, path: str, raw: bytes) -> _Parsed:
        digest = hashlib.blake2b(raw, digest_size=16).digest()
        known = self._cache.get(path)
        if known and known.digest == digest:
            return known
        try:
            documents = parse(files.decode(raw)[1], is_json=path.endswith(".json"))
            parsed = _Parsed(digest, tuple(objects(documents)))
            if not parsed.found:
                parsed = _Parsed(digest, (), "no Kubernetes object")
        except (UnreadableError, UnicodeError) as error:
            parsed = _Parsed(digest, (), str(error))
        self._cache[path] = parsed
        return parsed

    def _live(self, ref: ObjectRef, path: str, found: Found) -> LiveObject:
        def locate(pointer: Pointer) -> str:
            return self._where(path, found, pointer)

        return LiveObject(ref, found.manifest, _version(found.manifest), locate)

    def _where(self, path: str, found: Found, pointer: Pointer) -> str:
        raw = files.read(path)
        if raw is None:
            return path
        return f"{path}:{line_of(files.decode(raw)[1], found.document, (*found.path, *pointer))}"

    def _not_found(self, missing: Sequence[Need]) -> NotFoundError:
        """Say what is missing, where something alike stands, and which files were not read as objects."""
        alike: list[str] = []
        skipped: list[str] = []
        for path in files.walk(self.path):
            raw = files.read(path)
            if raw is None:
                skipped.append(f"{path} (cannot be read)")
                continue
            parsed = self._parse(path, raw)
            if parsed.problem:
                skipped.append(f"{path} ({parsed.problem})")
            for found in parsed.found:
                ref = ref_of(found.manifest, self.namespace)
                if any((ref.kind, ref.name) == (need.kind, need.name) for need in missing):
                    alike.append(f"{self._where(path, found, ())} has {found.manifest['apiVersion']} {ref}")
        hints = [
            *alike,
            *(["a manifest without a namespace counts as the one given with -n"] if alike else []),
        ]
        if skipped:
            more = f" and {len(skipped) - _NAMED_SKIPPED} more" if len(skipped) > _NAMED_SKIPPED else ""
            hints.append(f"not read as Kubernetes objects: {', '.join(skipped[:_NAMED_SKIPPED])}{more}")
        return NotFoundError(f"{stores.names(missing)} not found in {self.path}", hint="\n  ".join(hints))

    # -- writing

    def _rewrite(self, path: str, found: Found, after: Manifest) -> None:
        mark, text = files.decode(files.read(path) or b"")
        document = _document(text, path, found)
        target: Any = duplicate(document)
        if found.path:
            parent = target
            for step in found.path[:-1]:
                parent = parent[step]
            parent[found.path[-1]] = after
        else:
            target = after
        files.replace(path, mark + self._edit(path, text, found.document, target).encode())

    @staticmethod
    def _edit(path: str, text: str, document: int, target: Any) -> str:
        try:
            return yaml_text.edit(text, document, target, is_json=path.endswith(".json"))
        except UnwritableError as error:
            raise UnwritableError(
                f"{path}: {error.message}", hint="simplify that part of the file by hand"
            ) from error

    def _stored(self, ref: ObjectRef, path: str) -> LiveObject:
        """Read an object back from the file that it was written to."""
        parsed = self._parse(path, files.read(path) or b"")
        found = next((item for item in parsed.found if ref_of(item.manifest, self.namespace) == ref), None)
        if found is None:
            raise ConflictError(f"{ref} was taken out of {path} at once")
        return self._live(ref, path, found)

    def _create(self, change: Change, manifest: Manifest) -> LiveObject:
        """Put a new object in a file beside the one that it derives from; a store of one file gets a new document.

        It names its namespace only if that one does: a repository that leaves it out gives it when it is applied.
        """
        beside = (
            self._find([_need(change.derived_from)]).get(change.derived_from) if change.derived_from else None
        )
        if beside and "namespace" not in beside[1].manifest["metadata"]:
            metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
            manifest = {**manifest, "metadata": metadata}
        if os.path.isfile(self.path):
            self._append(self.path, manifest)
            return self._stored(change.ref, self.path)
        folder = os.path.dirname(beside[0]) if beside else self.path
        with files.locked(folder):
            path = self._create_in(folder, beside[0] if beside else None, manifest)
            return self._stored(change.ref, path)

    def _create_in(self, folder: str, beside: str | None, manifest: Manifest) -> str:
        path = files.new_name(folder, f"{manifest['kind'].lower()}-{manifest['metadata']['name']}")
        newline = "\n"
        # The list comes first: were the process killed in between, the next call would find the object missing and
        # write it, but it would not find a list that lacks the file.
        if beside:
            kustomization.add(self.path, beside, path)
            newline = "\r\n" if b"\r\n" in (files.read(beside) or b"") else "\n"
        files.replace(path, (yaml_text.block(manifest, 0, newline) + newline).encode())
        return path

    @staticmethod
    def _append(path: str, manifest: Manifest) -> None:
        raw = files.read(path) or b""
        mark, text = files.decode(raw)
        if path.endswith(".json"):
            raise UnwritableError(
                f"{path}: a JSON file holds one document, so no object can be added to it",
                hint="give --dir the folder",
            )
        newline = "\r\n" if "\r\n" in text else "\n"
        head = text if not text or text.endswith("\n") else text + newline
        files.replace(
            path, mark + f"{head}---{newline}{yaml_text.block(manifest, 0, newline)}{newline}".encode()
        )

    def _delete(self, path: str, found: Found) -> None:
        """Remove an object: its file when it is alone in it, its document, or its place in a List."""
        mark, text = files.decode(files.read(path) or b"")
        if found.path:
            target = duplicate(_document(text, path, found))
            del target["items"][found.path[-1]]
            files.replace(path, mark + self._edit(path, text, found.document, target).encode())
            return
        documents = parse(text, is_json=path.endswith(".json"))
        if all(index == found.document or item is None for index, item in enumerate(documents)):
            if os.path.isfile(self.path):
                raise UnwritableError(
                    f"{path} holds nothing else, and it is the whole store", hint="delete the file yourself"
                )
            kustomization.remove(self.path, path)
            files.remove(path)
            return
        start, end = yaml_text.document_spans(text)[found.document]
        rest = text[:start] + text[end:]
        if parse(rest) != [*documents[: found.document], *documents[found.document + 1 :]]:
            raise UnwritableError(
                f"{path}: the document cannot be taken out", hint="move it to a file of its own"
            )
        files.replace(path, mark + rest.encode())


def _may_hold(raw: bytes, tokens: set[tuple[bytes, bytes]]) -> bool:
    """Tell whether a text can hold one of the objects, given as (kind, name), without parsing it."""
    if len(tokens) > 24:  # so many that parsing is cheaper than searching
        return True
    if any(kind in raw and name in raw for kind, name in tokens):
        return True
    return (b"\\" in raw and any(escape in raw for escape in _ESCAPES)) or raw[:2] in (
        b"\xff\xfe",
        b"\xfe\xff",
    )


def _need(ref: ObjectRef) -> Need:
    return Need(ref.group, ref.kind, ref.name, ref.namespace, required=False)


def _version(manifest: Manifest) -> str:
    text = json.dumps(manifest, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _document(text: str, path: str, found: Found) -> Any:
    return parse(text, is_json=path.endswith(".json"))[found.document]
