"""Remember in a JSON text what a change of weights cannot be undone from, as `originals` does in a YAML text.

JSON has no comments, so an annotation of the object holds it until the reset. It is put into the text and taken out again
as a text, so that every other byte stays, and nobody who reads the files sees it: neither a backend nor a version.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from rollway.routers.objects import dig
from rollway.routers.stores.manifests import objects, sections
from rollway.routers.stores.originals import Memory, memory_of, subject_of
from rollway.routers.stores.yaml_nodes import Node, roots
from rollway.routers.stores.yaml_text import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.routers.objects import Pointer

ANNOTATION = "rollway.dev/had-before"
_MADE = "made"
"""Whether the object had no annotations at all, so that they go as a whole with this one."""


class _Span(NamedTuple):
    start: int
    end: int


def without_memories(text: str) -> tuple[str, dict[str, Memory]]:
    """Return a JSON text without the annotations of rollway, and what they remember by the object's subject.

    An annotation that cannot be read stays, as one of somebody else.
    """
    memories: dict[str, Memory] = {}
    if ANNOTATION not in text:
        return text, memories
    try:
        spans = list(_spans(text, memories))
    except (yaml.YAMLError, ValueError, LookupError):
        return text, {}
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text, memories


def with_memories(text: str, memories: Mapping[str, Memory]) -> str:
    """Return the text with these memories of its objects; one that could not be taken out again is left out."""
    for subject, memory in memories.items():
        if memory.is_empty:
            continue
        try:
            added = _with_memory(text, subject, memory)
        except (yaml.YAMLError, ValueError, LookupError):
            continue
        _, others = without_memories(text)
        if without_memories(added) == (without_memories(text)[0], {**others, subject: memory}):
            text = added
    return text


def _spans(text: str, memories: dict[str, Memory]) -> Iterator[_Span]:
    """Yield what each memory has put into a text, and add what it remembers to `memories`."""
    for path, manifest in _objects(text):
        written = dig(manifest, "metadata", "annotations", ANNOTATION)
        memory = memory_of(written) if isinstance(written, str) else None
        if not isinstance(written, str) or memory is None:
            continue
        metadata = _inside(text, _at(text, (*path, "metadata")))
        _, annotations = metadata["annotations"]
        memories[subject_of(manifest)] = memory
        alone = len(annotations.pairs) == 1
        if alone and json.loads(written).get(_MADE):
            yield _span(_at(text, (*path, "metadata")), list(metadata).index("annotations"))
        else:
            yield _span(annotations, list(_inside(text, annotations)).index(ANNOTATION))


def _span(node: Node, place: int) -> _Span:
    """Return a pair of a mapping, with what stands between it and the next one, or else the one before it."""
    key, value = node.pairs[place]
    if place + 1 < len(node.pairs):
        return _Span(key.start, node.pairs[place + 1][0].start)
    return _Span(node.pairs[place - 1][1].end if place else key.start, value.end)


def _with_memory(text: str, subject: str, memory: Memory) -> str:
    """Return the text with an annotation in front of the others of an object, or with annotations in front of its metadata."""
    path, manifest = {subject_of(found[1]): found for found in _objects(text)}[subject]
    metadata = _at(text, (*path, "metadata"))
    made = "annotations" not in manifest["metadata"]
    content = {
        **{name: value for name, value in memory._asdict().items() if value},
        **({_MADE: True} if made else {}),
    }
    pair = f"{to_json(ANNOTATION)}: {to_json(json.dumps(content))}"
    if made:
        place, written = metadata.pairs[0][0].start, f'"annotations": {{{pair}}}, '
    else:
        _, annotations = _inside(text, metadata)["annotations"]
        first = annotations.pairs[0][0].start if annotations.pairs else annotations.start + 1
        place, written = first, f"{pair}, " if annotations.pairs else pair
    return text[:place] + written + text[place:]


def _objects(text: str) -> Iterator[tuple[Pointer, Any]]:
    """Yield the objects of a JSON text, each with the way to it."""
    for placed in objects(sections(text, is_json=True)):
        yield placed.path, placed.manifest


def _at(text: str, path: Pointer) -> Node:
    (node,) = roots(text)
    for step in path:
        node = node.items[step] if isinstance(step, int) else _inside(text, node)[step][1]
    return node


def _inside(text: str, node: Node) -> dict[str, tuple[Node, Node]]:
    """Return the pairs of a mapping by their keys, as JSON reads those."""
    return {json.loads(text[key.start : key.end]): (key, value) for key, value in node.pairs}
