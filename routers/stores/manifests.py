"""Read text as Kubernetes objects, and tell where each value stands.

YAML is read with libyaml and JSON's types alone: a date stays text, a mapping's keys are text, anything that JSON
cannot say is an error. So an object compares equal to what an API server would make of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from rollway.routers.model import Manifest, ObjectRef, Pointer, duplicate

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXPANDED_LIMIT = 2_000_000
_DEPTH_LIMIT = 200
_KNOWN_LIMIT = 20_000
_known_tags: dict[str, str] = {}
_Base: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UnreadableError(Exception):
    """The text is no list of Kubernetes objects; the message says why, in a few words."""


class _Loader(_Base):  # type: ignore[misc] # the base is chosen when the module is imported
    """Load the types that JSON has."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way to configure a loader
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """Give a node its tag. The words of manifests repeat, so the answers for plain ones are kept."""
        if kind is not yaml.ScalarNode:
            return _MAP if kind is yaml.MappingNode else _SEQ
        if not implicit[0]:
            return _STR
        tag = _known_tags.get(value)
        if tag is None:
            tag = super().resolve(kind, value, implicit)
            if len(_known_tags) < _KNOWN_LIMIT:
                _known_tags[value] = tag
        return str(tag)

    def construct_document(self, node: yaml.Node) -> Any:
        """Build the document straight from its nodes, several times as fast as PyYAML's general way."""
        return self._build(node, {})

    def _build(self, node: yaml.Node, built: dict[yaml.Node, Any]) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag in _TEXT_TAGS else self._scalar(node)
        if node in built:
            return built[node]
        if node.tag == _MAP and isinstance(node, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            built[node] = mapping
            self._fill(mapping, node, built)
            return mapping
        if node.tag == _SEQ and isinstance(node, yaml.SequenceNode):
            items: list[Any] = []
            built[node] = items
            items += [self._build(item, built) for item in node.value]
            return items
        raise _problem(f"no manifest has the tag {node.tag!r}", node)

    def _fill(self, mapping: dict[str, Any], node: yaml.MappingNode, built: dict[yaml.Node, Any]) -> None:
        for key, value in node.value:
            if key.tag == _MERGE:
                self.flatten_mapping(node)  # which leaves no merge key in it
                mapping.clear()
                self._fill(mapping, node, built)
                return
            mapping[key.value if key.tag == _STR else self._key(key)] = self._build(value, built)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag not in _SCALARS:
            raise _problem(f"no manifest has the tag {node.tag!r}", node)
        return self.yaml_constructors[node.tag](self, node)

    def _key(self, node: yaml.Node) -> str:
        """Make every key text, as JSON does."""
        if not isinstance(node, yaml.ScalarNode):
            raise _problem("a key that is not text", node)
        key = self._build(node, {})
        return key if isinstance(key, str) else json.dumps(key)


_STR, _MAP, _SEQ, _MERGE = (f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "merge"))
_TEXT_TAGS = {_STR, "tag:yaml.org,2002:value"}
_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}


def _problem(words: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, words, node.start_mark)


@dataclass(frozen=True)
class Found:
    """One object in a text: the document that holds it, and the way to it inside the document (for a List)."""

    document: int
    path: Pointer
    manifest: Manifest


def parse(text: str, *, is_json: bool = False) -> list[Any]:
    """Return the documents of a text.

    Raises:
        UnreadableError: it is no YAML (or JSON), or would grow beyond all measure when its aliases are followed.
    """
    try:
        if is_json:
            return [json.loads(text)]
        _refuse_deep(text)
        documents = list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        if "nesting depth" in str(error):  # libyaml's own limit, in the wheels of PyYAML since 6.0.4
            raise UnreadableError("nested too deep") from error
        template = " (a template?)" if "{{" in text or "{%" in text else ""
        raise UnreadableError(f"not YAML{template}: {_brief(error)}") from error
    except (ValueError, RecursionError, OverflowError, TypeError) as error:
        raise UnreadableError(f"cannot be read: {error}") from error
    if "&" in text and "*" in text:
        if _expanded(documents, {}, ()) > _EXPANDED_LIMIT:
            raise UnreadableError("its aliases expand to too much, or to themselves")
        documents = duplicate(documents)  # what two places share in the text is two values in the object
    return documents


def _brief(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or "malformed"
    mark = getattr(error, "problem_mark", None)
    return f"{problem}, line {mark.line + 1}" if mark else str(problem)


def _refuse_deep(text: str) -> None:
    """Refuse text that could nest deeper than a parser's stack: a manifest nests some twenty levels."""
    shallow = text.count("[") + text.count("{") < _DEPTH_LIMIT and "- - - - - - - -" not in text
    if shallow and "\n" + " " * _DEPTH_LIMIT not in text:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
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


def objects(documents: list[Any]) -> Iterator[Found]:
    """Yield every Kubernetes object of the documents, those of a `List` one by one."""
    for index, document in enumerate(documents):
        if not isinstance(document, dict):
            continue
        items = document.get("items")
        if str(document.get("kind")).endswith("List") and isinstance(items, list):
            for position, item in enumerate(items):
                if is_object(item):
                    yield Found(index, ("items", position), item)
        elif is_object(document):
            yield Found(index, (), document)


def is_object(value: Any) -> bool:
    """Tell whether a value has what every Kubernetes object has: apiVersion, kind and a name."""
    if not isinstance(value, dict):
        return False
    metadata = value.get("metadata")
    return (
        isinstance(value.get("apiVersion"), str)
        and isinstance(value.get("kind"), str)
        and isinstance(metadata, dict)
        and isinstance(metadata.get("name"), str)
        and isinstance(metadata.get("namespace", ""), str)
    )


def ref_of(manifest: Manifest, namespace: str) -> ObjectRef:
    """Name an object; `namespace` stands in where the manifest has none."""
    group, slash, _ = manifest["apiVersion"].rpartition("/")
    metadata = manifest["metadata"]
    return ObjectRef(
        group if slash else "", manifest["kind"], metadata.get("namespace") or namespace, metadata["name"]
    )


def line_of(text: str, document: int, path: Pointer) -> int:
    """Return the line (from 1) where the value at a path stands, or the nearest value above it that is there."""
    nodes = list(yaml.compose_all(text, Loader=_Base))
    node = nodes[document]
    line = node.start_mark.line
    for step in path:
        child = _child(node, step)
        if child is None:
            break
        line, node = child
    return int(line) + 1


def _child(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark.line, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line, node.value[step]
    return None
