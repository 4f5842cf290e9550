"""Where each value of a YAML text stands, as libyaml reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from rollway.routers import yaml_loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.objects import Pointer


class Node:
    """One value in the text, by the event that begins it: its span, and what is inside. Keys are nodes as well."""

    __slots__ = ("anchor", "column", "end", "flow", "items", "kind", "pairs", "start", "style", "value")

    def __init__(self, kind: str, event: Any) -> None:
        self.kind = kind
        self.start, self.end = event.start_mark.index, event.end_mark.index
        self.column = event.start_mark.column
        self.flow = bool(getattr(event, "flow_style", False))
        self.style: str | None = getattr(event, "style", None)
        self.value: str = getattr(event, "value", "")
        self.anchor: str | None = event.anchor
        self.pairs: list[tuple[Node, Node]] = []
        self.items: list[Node] = []


def document_spans(text: str) -> list[tuple[int, int]]:
    """Return where each document starts and ends, its `---` included."""
    starts: list[int] = []
    for event in yaml_loader.events(text):
        if isinstance(event, yaml.DocumentStartEvent):
            assert event.start_mark is not None, "a parsed event has its place"
            starts.append(event.start_mark.index)
    starts[:1] = [0] if starts else []
    return list(zip(starts, [*starts[1:], len(text)], strict=False))


def roots(text: str) -> list[Node]:
    """Return the root node of each document.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return [_node(next(document), document) for document in _documents(text)]


def _documents(text: str) -> Iterator[Iterator[Any]]:
    """Yield the events of each document."""
    events: list[Any] = []
    for event in yaml_loader.events(text):
        if isinstance(event, yaml.DocumentStartEvent):
            events = []
        elif isinstance(event, yaml.DocumentEndEvent):
            yield iter(events)
        else:
            events.append(event)


def _node(event: Any, events: Iterator[Any]) -> Node:
    if isinstance(event, yaml.AliasEvent):
        return Node("alias", event)
    if isinstance(event, yaml.ScalarEvent):
        return Node("scalar", event)
    if isinstance(event, yaml.MappingStartEvent):
        node = Node("map", event)
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = _node(event, events)
            node.pairs.append((key, _node(next(events), events)))
        last = node.pairs[-1][1] if node.pairs else None
    else:
        node = Node("seq", event)
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            node.items.append(_node(event, events))
        last = node.items[-1] if node.items else None
    # A block collection ends with its last value; libyaml's own mark stands behind the comments that follow.
    node.end = event.end_mark.index if node.flow or last is None else last.end
    return node


def walk(node: Node, path: Pointer = ()) -> Iterator[tuple[Pointer, Node]]:
    """Yield a node and all that are inside, each with the way to it."""
    yield path, node
    for key, child in node.pairs:
        yield from walk(child, (*path, key.value))
    for index, child in enumerate(node.items):
        yield from walk(child, (*path, index))
