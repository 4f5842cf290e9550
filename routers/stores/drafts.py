"""What a change makes of files, worked out before anything is written.

A draft is a list of new contents. The order counts: killed between two of them, the next call goes on from there.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from jsonpointer import JsonPointer

from rollway.routers.errors import UnwritableError
from rollway.routers.objects import dig, duplicate
from rollway.routers.stores import files, kustomization, originals, yaml_text
from rollway.routers.stores.json_memory import with_memories, without_memories
from rollway.routers.stores.manifests import UnreadableError, parse, sections
from rollway.routers.stores.yaml_nodes import document_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.objects import Manifest
    from rollway.routers.plan import Change
    from rollway.routers.stores.manifest_files import Place
    from rollway.routers.stores.manifests import Section
    from rollway.routers.stores.originals import Memory


_PROPERTY = re.compile(rb"(?:^|[\s\[{,])[&*!][^\s&*]", re.MULTILINE)


class FileChange(NamedTuple):
    """The new content of one file; None deletes it."""

    path: str
    content: bytes | None


class _FileText:
    """The text of a file, and the section of it that holds an object."""

    def __init__(self, place: Place) -> None:
        self.place, self.is_json = place, place.path.endswith(".json")
        self.mark, self.text = files.decode(files.read(place.path) or b"")
        self.memories: dict[str, Memory] = {}
        if self.is_json:
            self.text, self.memories = without_memories(self.text)
        self.sections = sections(self.text, is_json=self.is_json)

    @property
    def section(self) -> Section:
        return self.sections[self.place.placed.section]

    def document(self) -> Any:
        """Return a copy of the document that holds the object."""
        return duplicate(self.section.documents[self.place.placed.document])

    def with_section(self, part: str) -> FileChange:
        """Return the file with another text in place of the section."""
        start, end = self.section.start, self.section.start + len(self.section.text)
        text = f"{self.text[:start]}{part}{self.text[end:]}"
        return FileChange(self.place.path, self.mark + with_memories(text, self.memories).encode())

    def with_document(self, wanted: Any) -> FileChange:
        """Return the file with another value in place of the document.

        Raises:
            UnwritableError: the text cannot take it.
        """
        return self.with_section(self._edited(wanted))

    def with_memory(self, wanted: Any, original: Manifest | None) -> FileChange:
        """Return the same with a memory of what a later edit could not find out; `original`: the object at first.

        Raises:
            UnwritableError: the text cannot take the value.
        """
        edited, is_json = self._edited(wanted), self.is_json
        number, path = self.place.placed.document, self.place.placed.path
        subject = originals.subject_of(self.place.placed.manifest)
        recalled = self.memories.get(subject) or originals.recall(self.section.text, subject)
        known = recalled.moved(self.document(), wanted, path)
        lost = originals.lost_texts(self.section.text, edited, number, is_json=is_json)
        edited, left = originals.with_texts(edited, number, {**known.texts, **lost}, is_json=is_json)
        memory = known.following(original, dig(wanted, *path))._replace(texts=left)
        if is_json:
            self.memories = {**self.memories, subject: memory}
        if is_json or memory == recalled:
            return self.with_section(edited)
        end = document_spans(edited)[number][1]
        remembering = originals.remember(edited, end, subject, memory)
        # At the end of a text without a line end, a comment may make a block scalar longer.
        return self.with_section(remembering if parse(remembering) == parse(edited) else edited)

    def _edited(self, wanted: Any) -> str:
        number = self.place.placed.document
        try:
            return yaml_text.edit(
                self.section.text, number, wanted, documents=self.section.documents, is_json=self.is_json
            )
        except UnwritableError as error:
            raise UnwritableError(
                f"{self.place.path}: {error.message}", hint="simplify that part of the file by hand"
            ) from error


def replaces_scalars(change: Change) -> bool:
    """Return whether a change only puts numbers and texts where others are."""
    edits = [operation for operation in change.patch if operation["op"] != "test"]
    return bool(edits) and all(
        operation["op"] == "replace"
        and isinstance(operation["value"], int | str)
        and isinstance(JsonPointer(operation["path"]).resolve(change.before, None), int | str)
        for operation in edits
    )


def has_properties(text: bytes) -> bool:
    """Return whether a YAML text may have anchors and aliases, by which places share a value, or tags of values."""
    return _PROPERTY.search(text) is not None


def changed(place: Place, wanted: Manifest) -> list[FileChange]:
    """Draft an object with other values.

    Raises:
        UnwritableError: the text of the file cannot take them.
    """
    text = _FileText(place)
    return [text.with_document(_inside(text, wanted))]


def patched(place: Place, wanted: Manifest, original: Manifest | None) -> list[FileChange]:
    """Draft the user's object with other values, such that its text can be had again.

    `original` is the object as it was at first, where no later change could find that out.

    Raises:
        UnwritableError: the text of the file cannot take them.
    """
    text = _FileText(place)
    return [text.with_memory(_inside(text, wanted), original)]


def _inside(text: _FileText, wanted: Manifest) -> Any:
    """Return the document that holds an object, with another one in its place."""
    path = text.place.placed.path
    if not path:
        return wanted
    document = text.document()
    parent = dig(document, *path[:-1])
    parent[path[-1]] = wanted
    return document


def appended(path: str, manifest: Manifest) -> list[FileChange]:
    """Draft a new document at the end of a file, which ends with a line end afterwards if it did before.

    Raises:
        UnwritableError: it is a JSON file.
    """
    if path.endswith(".json"):
        raise UnwritableError(
            f"{path}: a JSON file holds one document, so no object can be added to it",
            hint="give --dir the folder",
        )
    mark, text = files.decode(files.read(path) or b"")
    newline = "\r\n" if "\r\n" in text else "\n"
    ended = not text or text.endswith("\n")
    document = f"---{newline}{yaml_text.block(manifest, 0, newline, literals=ended)}"
    added = f"{document}{newline}" if ended else f"{newline}{document}"
    if parse(text + added)[:-1] != parse(text):
        raise UnwritableError(
            f"{path}: a document at its end would change the last value", hint="end it with a new line"
        )
    return [FileChange(path, mark + (text + added).encode())]


def created(root: str, folder: str, beside: str | None, manifest: Manifest) -> list[FileChange]:
    """Draft a file of its own for an object, listed in each kustomization under `root` that lists the file `beside`.

    Raises:
        UnwritableError: such a list cannot take it.
    """
    path = files.new_name(folder, f"{manifest['kind'].lower()}-{manifest['metadata']['name']}")
    newline = "\n"
    lists: Sequence[FileChange] = ()
    if beside:
        # The list comes first: were the process killed in between, the next call would find the object missing and
        # write it, but it would not find a list that lacks the file.
        lists = [FileChange(*change) for change in kustomization.add(root, beside, path)]
        newline = "\r\n" if b"\r\n" in (files.read(beside) or b"") else "\n"
    return [
        *lists,
        FileChange(path, (yaml_text.block(manifest, 0, newline, literals=True) + newline).encode()),
    ]


def deleted(root: str, place: Place) -> list[FileChange]:
    """Draft the removal of an object: its file when it is alone in it, its document, or its place in a List.

    Raises:
        UnwritableError: the text cannot lose it, or the file is the whole store.
    """
    text, placed = _FileText(place), place.placed
    if placed.path:
        document = text.document()
        del document["items"][placed.path[-1]]
        return [text.with_document(document)]
    if _is_alone(text):
        if os.path.isfile(root):
            raise UnwritableError(
                f"{place.path} holds nothing else, and it is the whole store", hint="delete the file yourself"
            )
        lists = [FileChange(*change) for change in kustomization.remove(root, place.path)]
        return [*lists, FileChange(place.path, None)]
    return [text.with_section(_without_document(text))]


def _is_alone(text: _FileText) -> bool:
    """Return whether a file holds nothing but the object."""
    return not any(section.problem for section in text.sections) and all(
        document is None or (section is text.section and index == text.place.placed.document)
        for section in text.sections
        for index, document in enumerate(section.documents)
    )


def _without_document(text: _FileText) -> str:
    """Return the section without the object's document; a text that ends without a line end does so again."""
    section, number = text.section, text.place.placed.document
    if text.is_json:
        raise UnwritableError(f"{text.place.path}: a JSON file holds one document", hint="delete it yourself")
    start, end = document_spans(section.text)[number]
    rest = section.text[:start] + section.text[end:]
    is_last = section.start + end == len(text.text)
    if is_last and rest.endswith("\n") and not text.text.endswith("\n"):
        rest = rest.removesuffix("\n").removesuffix("\r")
    try:
        kept = parse(rest)
    except UnreadableError:
        kept = []
    if kept != [item for index, item in enumerate(section.documents) if index != number]:
        raise UnwritableError(
            f"{text.place.path}: the document cannot be taken out", hint="move it to a file of its own"
        )
    return rest
