"""Read text as Kubernetes objects, and find where each value stands.

A text that cannot be read as a whole is read document by document, so that a broken one hides no other.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from rollway.routers import yaml_loader
from rollway.routers.objects import Manifest, ObjectRef, Pointer, duplicate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_EXPANDED_LIMIT = 2_000_000
_DEPTH_LIMIT = 200
# Three dashes at the start of a line begin a document wherever they stand, also inside a block scalar (YAML 1.1, 9.1).
_DOCUMENT_START = re.compile(r"^---(?=\s|$)", re.MULTILINE)

NO_LONGER_SERVED = {
    ("Ingress", "extensions/v1beta1"): "networking.k8s.io/v1",
    ("Ingress", "networking.k8s.io/v1beta1"): "networking.k8s.io/v1",
}
"""The version to move to, by kind and old apiVersion.

Source: https://kubernetes.io/docs/reference/using-api/deprecation-guide/, "v1.22".
"""


class UnreadableError(Exception):
    """The text is no list of Kubernetes objects; the message has the reason, in a few words. `line` counts from 1."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


class Section(NamedTuple):
    """A part of a text that is read by itself: the whole, or one document where the whole cannot be read.

    `start` is its offset in the text, `first_line` the number of its first line (from 1).
    """

    start: int
    first_line: int
    text: str
    documents: Sequence[Any] = ()
    problem: str = ""
    """Why it cannot be read."""
    problem_line: int = 1


class PlacedManifest(NamedTuple):
    """One object in a text: the section and the document in it that hold it, and the way to it inside (for a List)."""

    section: int
    document: int
    path: Pointer
    manifest: Manifest


class Unreadable(NamedTuple):
    """A part of a text that cannot be read: its line (from 1), why, and what it may hold."""

    line: int
    reason: str
    kind: str = ""
    """The kind of the object that it is; empty where `text` is all that is known."""
    name: str = ""
    text: str = ""

    def may_be(self, kind: str, name: str) -> bool:
        """Return whether an object of that kind and name may be in it; an empty name stands for any."""
        if self.kind:
            return (self.kind, name or self.name) == (kind, self.name)
        return name in self.text and mentions(self.text, kind)


def sections(text: str, *, is_json: bool = False) -> list[Section]:
    """Divide a text as far as it has to be to read what can be read of it. Together the sections are the text."""
    try:
        return [Section(0, 1, text, parse(text, is_json=is_json))]
    except UnreadableError as error:
        starts = [] if is_json else [match.start() for match in _DOCUMENT_START.finditer(text)]
        starts = [0, *(start for start in starts if start)]
        if len(starts) == 1:
            return [Section(0, 1, text, (), str(error), error.line)]
    divided: list[Section] = []
    line = 1
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end]
        try:
            divided.append(Section(start, line, part, parse(part)))
        except UnreadableError as error:
            divided.append(Section(start, line, part, (), str(error), line + error.line - 1))
        line += part.count("\n")
    return divided


def parse(text: str, *, is_json: bool = False) -> list[Any]:
    """Return the documents of a text.

    Raises:
        UnreadableError: it is no YAML (or JSON), or would grow beyond all measure when its aliases are followed.
    """
    try:
        if is_json:
            return [json.loads(text)]
        _refuse_deep(text)
        documents = yaml_loader.load_all(text)
    except yaml.YAMLError as error:
        if "nesting depth" in str(error):  # libyaml's own limit, in the wheels of PyYAML since 6.0.4
            raise UnreadableError("nested too deep") from error
        template = " (a template?)" if "{{" in text or "{%" in text else ""
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "malformed"
        raise UnreadableError(f"not YAML{template}: {reason}", mark.line + 1 if mark else 1) from error
    except json.JSONDecodeError as error:
        raise UnreadableError(f"not JSON: {error.msg}", error.lineno) from error
    except (ValueError, RecursionError, OverflowError, TypeError) as error:
        raise UnreadableError(f"cannot be read: {error}") from error
    if "&" in text and "*" in text:
        if _expanded(documents, {}, ()) > _EXPANDED_LIMIT:
            raise UnreadableError("its aliases expand to too much, or to themselves")
        documents = duplicate(documents)  # what two places share in the text is two values in the object
    return documents


def _refuse_deep(text: str) -> None:
    """Refuse text that could nest deeper than a parser's stack: a manifest nests some twenty levels."""
    shallow = text.count("[") + text.count("{") < _DEPTH_LIMIT and "- - - - - - - -" not in text
    if shallow and "\n" + " " * _DEPTH_LIMIT not in text:
        return
    depth = 0
    for event in yaml_loader.events(text):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH_LIMIT:
                raise UnreadableError("nested too deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _expanded(value: Any, sizes: dict[int, int], above: tuple[int, ...]) -> int:
    """Count the values of an object as if each alias were written out; each shared value is walked once."""
    if not isinstance(value, dict | list):
        return 1
    key = id(value)
    if key in above:
        return _EXPANDED_LIMIT + 1
    if key not in sizes:
        items = value.values() if isinstance(value, dict) else value
        sizes[key] = 1 + sum(_expanded(item, sizes, (*above, key)) for item in items)
    return sizes[key]


def objects(divided: Sequence[Section]) -> Iterator[PlacedManifest]:
    """Yield every Kubernetes object of a text, those of a `List` one by one."""
    for number, section in enumerate(divided):
        for index, document in enumerate(section.documents):
            for path, value in _candidates(document):
                if is_object(value):
                    yield PlacedManifest(number, index, path, value)


def unreadable(divided: Sequence[Section]) -> Iterator[Unreadable]:
    """Yield every part of a text that cannot be read, and every object of which a part is a template."""
    for section in divided:
        if section.problem:
            yield Unreadable(section.problem_line, section.problem, text=section.text)
        for index, document in enumerate(section.documents):
            for path, value in _candidates(document):
                reason = _fault(value, templates="{{" in section.text)
                if reason:
                    name = str(value["metadata"].get("name"))
                    yield Unreadable(line_of(section, index, path), reason, value["kind"], name)


def mentions(text: str, kind: str) -> bool:
    """Return whether a text may hold an object of a kind: it has the word, or a template where a kind belongs."""
    return bool(re.search(rf"\b{re.escape(kind)}\b|\bkind[\"']?\s*:\s*[\"']?\{{\{{", text, re.IGNORECASE))


def _candidates(document: Any) -> Iterator[tuple[Pointer, Any]]:
    """Yield what may be an object in a document, with the way to it."""
    items = document.get("items") if isinstance(document, dict) else None
    if isinstance(items, list) and str(document.get("kind")).endswith("List"):
        yield from ((("items", position), item) for position, item in enumerate(items))
    else:
        yield (), document


def is_object(value: Any) -> bool:
    """Return whether a value has what every Kubernetes object has: apiVersion, kind and a name."""
    if not _is_typed(value):
        return False
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        return False
    name, namespace = metadata.get("name"), metadata.get("namespace") or ""
    return isinstance(name, str) and isinstance(namespace, str) and "{{" not in name + namespace


def _is_typed(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("apiVersion"), str)
        and isinstance(value.get("kind"), str)
    )


_PLACEHOLDER = re.compile(r"\{\{ *(args|templates|experiment)\.[\w.-]+ *\}\}")
"""What stands for a value in an analysis or an experiment of Argo Rollouts, for whose controller it is text."""


def _fault(value: Any, *, templates: bool) -> str:
    """Return why an object cannot be read for sure; empty where it can, and for what is no object at all."""
    if not _is_typed(value):
        return ""
    if is_object(value):
        template = templates and "{{" in _PLACEHOLDER.sub("", json.dumps(value.get("spec")))
        return f"a value of this {value['kind']} is a template" if template else ""
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or ("name" not in metadata and "namespace" not in metadata):
        return ""  # a file that configures a tool, or an object with generateName, which no call can name
    return f"the name or the namespace of this {value['kind']} is a template, or is no text"


def ref_of(manifest: Manifest, namespace: str) -> ObjectRef:
    """Name an object; `namespace` stands in where the manifest has none."""
    group, slash, _ = manifest["apiVersion"].rpartition("/")
    metadata = manifest["metadata"]
    return ObjectRef(
        group if slash else "", manifest["kind"], metadata.get("namespace") or namespace, metadata["name"]
    )


def line_of(section: Section, document: int, path: Pointer) -> int:
    """Return the line (from 1) where the value at a path stands, or the nearest value above it that is there."""
    node = yaml_loader.nodes(section.text)[document]
    line = node.start_mark.line
    for step in path:
        child = _child(node, step)
        if child is None:
            break
        line, node = child
    return int(line) + section.first_line


def _child(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark.line, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line, node.value[step]
    return None
