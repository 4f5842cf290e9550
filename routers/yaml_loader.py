"""The one way to load YAML: libyaml where it is built in, and JSON's types alone.

A date stays text, a mapping's keys are text, anything that JSON cannot express is an error. So an object compares equal to
what an API server would make of it.
"""

from __future__ import annotations

import json
import operator
import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

_KNOWN_LIMIT = 20_000
_known_tags: dict[str, str] = {}
_known_values: dict[tuple[str, str], Any] = {}
_Base: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_STR, _MAP, _SEQ, _MERGE = (f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "merge"))
_TEXT_TAGS = {_STR, "tag:yaml.org,2002:value"}
_SCALAR_NODE, _MAPPING_NODE, _SEQUENCE_NODE = yaml.ScalarNode, yaml.MappingNode, yaml.SequenceNode
_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}

# JSON writes a character above U+FFFF as two escapes, which no YAML parser takes.
_SURROGATE = r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"


def load_all(text: str) -> list[Any]:
    """Return the documents of a text.

    Raises:
        yaml.YAMLError: it is no YAML, or has what JSON cannot express.
    """
    return list(yaml.load_all(text, Loader=_Loader))


def load(text: str) -> Any:
    """Return the only document of a text; see `load_all`."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader


def events(text: str) -> Iterator[Any]:
    """Yield the parser's events, which show where each value starts and ends."""
    yield from yaml.parse(_with_plain_escapes(text), Loader=_Base)


def nodes(text: str) -> list[Any]:
    """Return the root node of each document, which shows where each value starts."""
    return list(yaml.compose_all(_with_plain_escapes(text), Loader=_Base))


def _with_plain_escapes(text: str) -> str:
    """Write other escapes of the same length for those that only JSON has: positions stay what they are."""
    return re.sub(_SURROGATE, r"\\u2603", text) if "\\u" in text else text


class _Loader(_Base):  # type: ignore[misc] # the base is chosen when the module is imported
    """Load the types that JSON has."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way to configure a loader
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }

    # PyYAML calls these for every node, to resolve tags by their place, and no place has a tag here. So they are functions
    # without an effect, of the fastest kind.
    descend_resolver: Any = staticmethod(operator.is_)
    ascend_resolver: Any = staticmethod(dict)

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """Give a node its tag. The words of manifests repeat, so the answers for plain ones are kept."""
        if kind is not _SCALAR_NODE:
            return _MAP if kind is _MAPPING_NODE else _SEQ
        if not implicit[0]:
            return _STR
        tag = _known_tags.get(value)
        if tag is None:
            tag = str(super().resolve(kind, value, implicit))
            if len(_known_tags) < _KNOWN_LIMIT:
                _known_tags[value] = tag
        return tag

    def construct_document(self, node: yaml.Node) -> Any:
        """Build the document straight from its nodes, several times as fast as PyYAML's general way."""
        return self._build(node, {})

    def _build(self, node: yaml.Node, built: dict[yaml.Node, Any]) -> Any:
        tag = node.tag
        if isinstance(node, _SCALAR_NODE):
            return node.value if tag in _TEXT_TAGS else self._scalar(tag, node)
        if node in built:
            return built[node]
        if tag == _MAP and isinstance(node, _MAPPING_NODE):
            mapping: dict[str, Any] = {}
            built[node] = mapping
            self._fill(mapping, node, built)
            return mapping
        if tag == _SEQ and isinstance(node, _SEQUENCE_NODE):
            items: list[Any] = []
            built[node] = items
            items += [self._build(item, built) for item in node.value]
            return items
        raise _problem(f"no manifest has the tag {tag!r}", node)

    def _fill(self, mapping: dict[str, Any], node: yaml.MappingNode, built: dict[yaml.Node, Any]) -> None:
        for key, value in node.value:
            if key.tag == _MERGE:
                self.flatten_mapping(node)  # which leaves no merge key in it
                mapping.clear()
                self._fill(mapping, node, built)
                return
            mapping[key.value if key.tag == _STR else self._key(key)] = self._build(value, built)

    def _scalar(self, tag: str, node: yaml.Node) -> Any:
        known = _known_values.get((tag, node.value), _known_values)
        if known is not _known_values:
            return known
        if tag not in _SCALARS:
            raise _problem(f"no manifest has the tag {tag!r}", node)
        value = self.yaml_constructors[tag](self, node)
        if len(_known_values) < _KNOWN_LIMIT:
            _known_values[tag, node.value] = value
        return value

    def _key(self, node: yaml.Node) -> str:
        """Make every key text, as JSON does."""
        if not isinstance(node, yaml.ScalarNode):
            raise _problem("a key that is not text", node)
        key = self._build(node, {})
        return key if isinstance(key, str) else json.dumps(key)


def _problem(words: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, words, node.start_mark)
