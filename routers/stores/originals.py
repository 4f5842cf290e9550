"""Remember in a text what a change of weights cannot be undone from, so that `reset` gives the same bytes again.

A weight that was absent, weights of a sum that does not hold the share, an alias that had to be written out, a number
in another spelling: what was there stands in one comment at the end of the object's document, and goes with the reset.
JSON has no comments: see `json_memory`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from jsonpointer import JsonPointer, JsonPointerException

from rollway.routers.differences import MISSING, Relocation, differences
from rollway.routers.objects import dig, duplicate
from rollway.routers.plan import pointer
from rollway.routers.stores.manifests import UnreadableError, parse
from rollway.routers.stores.yaml_nodes import roots, walk
from rollway.routers.stores.yaml_text import scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.routers.objects import Manifest, Pointer
    from rollway.routers.stores.yaml_nodes import Node

MARK = "# rollway: "
_T = TypeVar("_T")


class Memory(NamedTuple):
    """What stood in an object before: values (an empty list: none) and texts, both by JSON pointer."""

    values: Mapping[str, list[Any]]
    texts: Mapping[str, str]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not self.values and not self.texts

    def applied(self, manifest: Manifest) -> Manifest | None:
        """Return the object as it was; None when it has no longer the fields that are remembered."""
        original: Manifest = duplicate(manifest)
        try:
            for path, value in self.values.items():
                parent, last = cast("tuple[Any, Any]", JsonPointer(path).to_last(original))
                if value:
                    parent[last] = value[0]
                elif isinstance(parent, list):
                    del parent[last]
                else:
                    parent.pop(last, None)
        except (JsonPointerException, LookupError, TypeError, AttributeError):
            return None
        return original

    def following(self, original: Manifest | None, changed: Manifest) -> Memory:
        """Return what there is to remember of an object that was changed; `original` is how it was at first, if known."""
        original = original or self.applied(changed)
        if original is None:
            return NOTHING
        values: dict[str, list[Any]] = {}
        for path, now, before in differences(changed, original):
            if now is MISSING and isinstance(path[-1], int):
                # What is put back in a list is put back with the list: an item alone does not tell its place.
                home = Relocation(changed, original).of(path[:-1])
                assert home is not None, "a list with another item is in both"
                values[pointer(path[:-1])] = [dig(original, *home)]
            else:
                values[pointer(path)] = [] if before is MISSING else [before]
        return self._replace(values=values)

    def moved(self, document: Any, wanted: Any, place: Pointer) -> Memory:
        """Return the same for a document in which list items have come, gone or changed their places.

        `place` is where the object stands in it. What is no longer there is forgotten.
        """
        objects = Relocation(dig(document, *place), dig(wanted, *place))
        return Memory(
            _relocated(self.values, dig(document, *place), objects),
            _relocated(self.texts, document, Relocation(document, wanted)),
        )


NOTHING = Memory({}, {})


def _relocated(remembered: Mapping[str, _T], value: Any, relocation: Relocation) -> dict[str, _T]:
    result: dict[str, _T] = {}
    for text, known in remembered.items():
        there = relocation.of(_path(text, value))
        if there is not None:
            result[pointer(there)] = known
    return result


def _path(text: str, value: Any) -> Pointer:
    """Read a JSON pointer, with the indexes of lists as numbers."""
    path: list[str | int] = []
    for part in JsonPointer(text).parts:
        index = isinstance(value, list) and part.isdigit()
        path.append(int(part) if index else part)
        value = dig(value, path[-1])
    return tuple(path)


def subject_of(manifest: Manifest) -> str:
    """Return how a comment names an object, by its words in the text."""
    metadata = manifest["metadata"]
    namespace = metadata.get("namespace")
    return f"{manifest['kind']} {f'{namespace}/' if namespace else ''}{metadata['name']}"


def lost_texts(old: str, new: str, document: int, *, is_json: bool = False) -> dict[str, str]:
    """Return what an edit has written over that no later edit would write: aliases, and numbers in another spelling.

    They come by JSON pointer into the new text, as they were written.
    """
    after = _snippets(new, document)
    values = parse(old, is_json=is_json)[document]
    changed = {
        path: snippet
        for path, (node, snippet) in _snippets(old, document).items()
        if (path not in after or after[path][1] != snippet)
        and "<<" not in path
        and (
            node.kind == "alias"
            or (node.kind == "scalar" and scalar(dig(values, *path), node.style) != snippet)
        )
    }
    if not changed:
        return {}
    relocation = Relocation(values, parse(new, is_json=is_json)[document])
    places = {path: relocation.of(path) for path in changed}
    return {
        pointer(there): changed[path]
        for path, there in places.items()
        if there in after and after[there][1] != changed[path]
    }


def with_texts(
    text: str, document: int, wanted: Mapping[str, str], *, is_json: bool = False
) -> tuple[str, dict[str, str]]:
    """Write texts by JSON pointer where they mean what is there; return those as well for which that is not so.

    What has no place any more is forgotten.
    """
    left: dict[str, str] = {}
    for place, snippet in wanted.items():
        nodes = {pointer(path): node for path, (node, _) in _snippets(text, document).items()}
        if place not in nodes:
            continue
        restored = text[: nodes[place].start] + snippet + text[nodes[place].end :]
        if _means_the_same(restored, text, is_json=is_json):
            text = restored
        else:
            left[place] = snippet
    return text, left


def _means_the_same(text: str, other: str, *, is_json: bool) -> bool:
    try:
        return parse(text, is_json=is_json) == parse(other, is_json=is_json)
    except UnreadableError:
        return False


def _snippets(text: str, document: int) -> dict[Pointer, tuple[Node, str]]:
    return {path: (node, text[node.start : node.end]) for path, node in walk(roots(text)[document])}


def recall(text: str, subject: str) -> Memory:
    """Return what a text remembers of an object; a comment that cannot be read is none."""
    line = _line(text, subject)
    if line is None:
        return NOTHING
    return memory_of(text[line[0] : line[1]].removeprefix(_head(subject))) or NOTHING


def memory_of(written: str) -> Memory | None:
    """Return what is written as a memory; None where it is none."""
    try:
        known = json.loads(written)
        return Memory(dict(known.get("values", {})), dict(known.get("texts", {})))
    except (ValueError, TypeError, AttributeError):
        return None


def remember(text: str, end: int, subject: str, memory: Memory) -> str:
    """Return the text with this memory of an object, at the end of its document, in place of the one that it has.

    `end` is where the document ends. A text that ends without a line end does so again.
    """
    line = _line(text, subject)
    if line:
        start, stop = line
        if text[stop : stop + 1] == "\n":
            stop += 1
        elif start:  # the last line of a text without a line end
            start -= 2 if text[:start].endswith("\r\n") else 1
        text, end = text[:start] + text[stop:], end - (stop - start)
    if memory.is_empty:
        return text
    content = {name: value for name, value in memory._asdict().items() if value}
    comment = f"{_head(subject)}{json.dumps(content)}"
    newline = "\r\n" if "\r\n" in text else "\n"
    before = text[:end]
    added = f"{comment}{newline}" if before.endswith("\n") else f"{newline}{comment}"
    return f"{before}{added}{text[end:]}"


def _head(subject: str) -> str:
    return f"{MARK}{subject} had before: "


def _line(text: str, subject: str) -> tuple[int, int] | None:
    """Return where the comment on an object stands, without its line end."""
    start = text.find(_head(subject))
    if start < 0 or text[:start].rpartition("\n")[2]:
        return None
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    return start, end - (text[start:end].endswith("\r"))
