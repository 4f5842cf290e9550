"""Change values inside a YAML or JSON text and leave every other character of it alone.

Libraries that round-trip YAML write the whole text anew and lose some of its style (indentation of lists, line ends,
quotes, blanks in flow mappings). This module asks libyaml where each value stands, and replaces just those spans. The
result is parsed again and compared with what was wanted, so that a text can only ever change as asked.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from rollway.routers.differences import Relocation, aligned
from rollway.routers.errors import UnwritableError
from rollway.routers.objects import dig
from rollway.routers.stores.manifests import UnreadableError, parse
from rollway.routers.stores.yaml_nodes import Node, roots, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.objects import Pointer

_PLAIN = re.compile(r"(?:\.{1,2}/)?[A-Za-z_/][A-Za-z0-9_./-]*")
# A reference to an image, with colons that no parser takes for a mapping or a number in base 60, in block context.
_IMAGE = re.compile(
    r"(?=[A-Za-z])[A-Za-z0-9._/-]+(?::[A-Za-z0-9][A-Za-z0-9._/-]*){1,2}(?:@sha256:[0-9a-f]{64})?"
)
# Words that YAML 1.1 or 1.2 parsers read as something else than text.
_RESERVED = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none", "nan", "inf"}
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s+)+")
# Characters that JSON leaves as they are and YAML does not: they are no part of its printable set (YAML 1.1, 5.1)
# or break the line.
_UNPRINTABLE = "[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]"
_encode = json.JSONEncoder(ensure_ascii=False).encode


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


def edit(
    text: str, document: int, new: Any, *, documents: Sequence[Any] | None = None, is_json: bool = False
) -> str:
    """Return the text with one document changed to `new`, all else as it was.

    `documents` are those of the text, where they are known.

    Raises:
        UnwritableError: the text cannot take the change (for example, a value that two places share through an anchor in a
            way that cannot be parted).
    """
    documents = parse(text, is_json=is_json) if documents is None else documents
    if documents[document] == new:
        return text
    if not text.endswith("\n") and not is_json:
        newline = "\r\n" if "\r\n" in text else "\n"
        if parse(text + newline) == [*documents]:  # else the last value is a block scalar
            return edit(text + newline, document, new).removesuffix(newline)
    try:
        changed = _Editor(text, roots(text)[document], documents[document], new, is_json=is_json).run()
        result = parse(changed, is_json=is_json)
    except (UnreadableError, yaml.YAMLError, RecursionError, KeyError, IndexError) as error:
        raise UnwritableError(f"the change cannot be written into this text: {error}") from error
    if result != [*documents[:document], new, *documents[document + 1 :]]:
        raise UnwritableError("the change cannot be written into this text without touching other values")
    return changed


def block(value: Any, indent: int, newline: str = "\n", *, literals: bool = False) -> str:
    """Write a value in block style, every line indented, without a final line end.

    With `literals`, a text of several lines is a literal block scalar; the caller must write the final line end then.
    """
    return newline.join(" " * indent + line for line in _block_lines(value, literals))


def _block_lines(value: Any, literals: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if item and isinstance(item, dict | list):
                yield f"{scalar(key)}:"
                yield from ("  " + line for line in _block_lines(item, literals))
            else:
                first, *rest = (literals and _literal(item)) or [scalar(item)]
                yield f"{scalar(key)}: {first}"
                yield from ("  " + line for line in rest)
    else:
        for item in value:
            if item and isinstance(item, dict | list):
                first, *rest = _block_lines(item, literals)
            else:
                first, *rest = (literals and _literal(item)) or [scalar(item)]
            yield f"- {first}"
            yield from ("  " + line for line in rest)


def _literal(value: Any) -> list[str]:
    """Write a text of several lines as a literal block scalar (`|`); an empty list where quotes are needed.

    `|-` is for a text without a final line end (YAML 1.2, 8.1.1.2); more than one need quotes. A text that begins with a
    blank would need its indentation in the header.
    """
    if not isinstance(value, str) or value.endswith("\n\n"):
        return []
    lines = value.removesuffix("\n").split("\n")
    if len(lines) == 1 or value[0].isspace():
        return []
    if not all(line.replace("\t", " ").isprintable() and not line.startswith("\t") for line in lines):
        return []
    return ["|" if value.endswith("\n") else "|-", *lines]


def scalar(value: Any, style: str | None = None, *, is_json: bool = False) -> str:
    """Write a scalar (or an empty collection): plain where every parser reads it the same, else in quotes."""
    if isinstance(value, str) and not is_json:
        readable = style is None and '"' in value and "'" not in value
        if (style == "'" or readable) and value.isprintable() and value.isascii():
            return "'" + value.replace("'", "''") + "'"
        if style != '"' and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
            return value
    return to_json(value)


def to_json(value: Any) -> str:
    """Write a value as JSON that YAML reads as the same value."""
    text = _encode(value)
    if text.isascii() and "\x7f" not in text:
        return text
    return re.sub(_UNPRINTABLE, lambda match: f"\\u{ord(match.group()):04x}", text)


def _is_image(value: Any) -> bool:
    """Return whether a value is a reference to an image, which people write without quotes."""
    return isinstance(value, str) and bool(_IMAGE.fullmatch(value))


def _inserted(new: list[Any], pairs: list[tuple[int, int]]) -> dict[int, list[Any]]:
    """Return the new items of a list by the index of the old one behind which they come; -1 is before the first."""
    kept = {other: place for place, other in pairs}
    groups: dict[int, list[Any]] = {}
    behind = -1
    for index, item in enumerate(new):
        if index in kept:
            behind = kept[index]
        else:
            groups.setdefault(behind, []).append(item)
    return groups


class _Editor:
    """Collect the edits that turn one document into another."""

    def __init__(self, text: str, root: Node, old: Any, new: Any, *, is_json: bool) -> None:
        self.text, self.root, self.old, self.new = text, root, old, new
        self.is_json = is_json
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.edits: list[_Edit] = []

    def run(self) -> str:
        self._change(self.root, self.old, self.new, None)
        self._part_aliases()
        text = self.text
        # Backwards, so that positions stay true. Of two additions at one place the inner one was found first, and
        # must come first in the text: so it is put in last.
        order = sorted(
            enumerate(self.edits), key=lambda item: (item[1].start, item[1].end, item[0]), reverse=True
        )
        for _, change in order:
            text = text[: change.start] + change.text + text[change.end :]
        return text

    def _part_aliases(self) -> None:
        """Write out each alias whose value is no longer that of its anchor."""
        relocation = Relocation(self.old, self.new)
        anchors: dict[str, Pointer | None] = {}
        for path, node in list(walk(self.root, ())):
            if node.kind != "alias":
                if node.anchor:
                    anchors[node.anchor] = relocation.of(path)
                continue
            assert node.anchor is not None, "an alias names its anchor"
            there, anchor = relocation.of(path), anchors[node.anchor]
            if there is None or "<<" in path:
                continue
            wanted = dig(self.new, *there)
            if anchor is None or dig(self.new, *anchor) != wanted:
                inside = any(change.start <= node.start and node.end <= change.end for change in self.edits)
                if not inside:
                    self.edits.append(_Edit(node.start, node.end, self._flow(wanted)))

    def _change(self, node: Node, old: Any, new: Any, key: Node | None) -> None:
        """Change the value at a node; `key` is the key that it stands behind, if it does."""
        if node.kind == "alias" or (old == new and type(old) is type(new)):
            return
        if (
            node.kind == "map"
            and isinstance(new, dict)
            and new
            and isinstance(old, dict)
            and self._mapping(node, old, new)
        ):
            return
        if (
            node.kind == "seq"
            and isinstance(new, list)
            and new
            and isinstance(old, list)
            and self._sequence(node, old, new)
        ):
            return
        self._replace(node, new, key)

    def _mapping(self, node: Node, old: dict[str, Any], new: dict[str, Any]) -> bool:
        """Change a mapping key by key; False when it has to be written as a whole."""
        places = {self._key(key): position for position, (key, _) in enumerate(node.pairs)}
        gone = [places[name] for name in old if name not in new and name in places]
        added = {
            name: value for name, value in new.items() if name not in places and old.get(name, Node) != value
        }
        if len(gone) == len(node.pairs) or any(name not in new and name not in places for name in old):
            return False
        if gone and added and node.flow:
            return False
        for name, value in new.items():
            if name in places:
                key, child = node.pairs[places[name]]
                self._change(child, old[name], value, key)
        self._remove_all(
            [pair[0] for pair in node.pairs], [pair[1] for pair in node.pairs], sorted(gone), node.flow
        )
        if added:
            last = max(position for position in range(len(node.pairs)) if position not in gone)
            if node.flow:
                key, value = node.pairs[last]
                written = to_json(added) if key.style == '"' else self._flow(added)
                self._insert_flow(node, key, value.end, written[1:-1])
            else:
                self._insert_lines(
                    node.pairs[last][1].end, block(added, node.pairs[0][0].column, self.newline)
                )
        return True

    def _key(self, key: Node) -> str:
        """Return a key as the parsed document has it: `1` is text there, and JSON has escapes of its own."""
        if self.is_json:
            return str(json.loads(self.text[key.start : key.end]))
        documents = (
            parse(f"? {self.text[key.start : key.end]}\n")
            if key.style is None and key.kind == "scalar"
            else None
        )
        return next(iter(documents[0])) if documents else key.value

    def _sequence(self, node: Node, old: list[Any], new: list[Any]) -> bool:
        """Change a list item by item, as `aligned` tells them apart; False when it has to be written as a whole."""
        pairs = aligned(old, new)
        gone = sorted({*range(len(old))} - {place for place, _ in pairs})
        groups = _inserted(new, pairs)
        if not pairs or (node.flow and gone and groups):
            return False
        if groups and not node.flow and not self._begins_line(node.items[0]):
            return False
        for place, other in pairs:
            self._change(node.items[place], old[place], new[other], None)
        self._remove_all(node.items, node.items, gone, node.flow)
        for place, items in groups.items():
            self._insert_items(node, place, items)
        return True

    def _begins_line(self, item: Node) -> bool:
        """Return whether nothing but the dash of an item stands before it on its line."""
        dash = self.text.rfind("-", 0, item.start)
        return not self.text[self.text.rfind("\n", 0, dash) + 1 : dash].strip()

    def _insert_items(self, node: Node, place: int, items: list[Any]) -> None:
        """Add items to a list behind the one with this index; -1 puts them before the first."""
        anchor = node.items[max(place, 0)]
        if node.flow:
            written = self._flow(items)[1:-1]
            if place < 0:
                self.edits.append(_Edit(anchor.start, anchor.start, written + self._separator(node, anchor)))
            else:
                self._insert_flow(node, anchor, anchor.end, written)
            return
        dash = self.text.rfind("-", 0, anchor.start)
        line = self.text.rfind("\n", 0, dash) + 1
        lines = block(items, dash - line, self.newline)
        if place >= 0:
            self._insert_lines(anchor.end, lines)
            return
        # Comments above an item are about it, so they stay with it.
        above = self.text.rfind("\n", 0, max(line - 1, 0)) + 1
        while line and self.text[above:line].lstrip().startswith("#"):
            line, above = above, self.text.rfind("\n", 0, max(above - 1, 0)) + 1
        self.edits.append(_Edit(line, line, lines + self.newline))

    def _replace(self, node: Node, new: Any, key: Node | None) -> None:
        """Write a value as a whole, in the style of the one that it replaces."""
        start, end = node.start, node.end
        properties = _PROPERTIES.match(self.text, start, end)
        if properties and node.kind == "scalar":
            start = properties.end()
        if node.style in ("|", ">"):
            end = start + len(self.text[start:end].rstrip("\r\n"))
        collection = isinstance(new, dict | list)
        style = node.style if node.kind == "scalar" else None
        in_block = key is not None and not node.flow and not self._in_flow(key)
        if in_block and node.kind == "scalar" and style not in ("'", '"') and _is_image(new):
            written = str(new)
        else:
            written = self._flow(new) if collection else scalar(new, style, is_json=self.is_json)
        if key and in_block and (node.kind != "scalar" or (new and collection)):
            # A block stands on the lines below its key; what takes its place may not.
            colon = self.text.index(":", key.end) + 1
            end = colon + len(self.text[colon:end].rstrip("\r\n"))  # a block scalar ends with its line
            if new and collection:
                written = self.newline + block(new, key.column + 2, self.newline)
            else:
                written = f" {written}"
            self.edits.append(_Edit(colon, end, written))
            return
        if start == end and start and self.text[start - 1] in ":-,":
            written = f" {written}"
        self.edits.append(_Edit(start, end, written))

    def _in_flow(self, key: Node) -> bool:
        return any(node.flow and node.start < key.start < node.end for _, node in walk(self.root, ()))

    def _flow(self, value: Any) -> str:
        if isinstance(value, dict) and not self.is_json:
            return "{" + ", ".join(f"{scalar(key)}: {self._flow(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list) and not self.is_json:
            return "[" + ", ".join(self._flow(item) for item in value) + "]"
        return scalar(value, is_json=self.is_json)

    def _insert_flow(self, node: Node, last: Node, end: int, written: str) -> None:
        """Add to a flow collection behind `end`, on a line of its own where the others have theirs."""
        self.edits.append(_Edit(end, end, self._separator(node, last) + written))

    def _separator(self, node: Node, item: Node) -> str:
        """Return what stands between the entries of a flow collection: a line end where each has a line of its own."""
        line_start = self.text.rfind("\n", node.start, item.start) + 1
        indent = self.text[line_start : item.start]
        return f",{self.newline}{indent}" if line_start and indent.isspace() else ", "

    def _insert_lines(self, end: int, lines: str) -> None:
        """Add lines behind the line in which a value ends."""
        if self.text[end - 1] == "\n":  # a block scalar ends with its line
            self.edits.append(_Edit(end, end, lines + self.newline))
            return
        line_end = self.text.find("\n", end)
        if line_end < 0:
            self.edits.append(_Edit(len(self.text), len(self.text), self.newline + lines))
        else:
            self.edits.append(_Edit(line_end + 1, line_end + 1, lines + self.newline))

    def _remove_all(self, starts: list[Node], ends: list[Node], gone: list[int], flow: bool) -> None:
        """Remove entries of a collection, in order: their lines, or their parts of a line."""
        for count, position in enumerate(gone):
            # In a flow collection each takes the comma before it away, except those at the beginning.
            self._remove(starts, ends, position, flow, leading=position == count)

    def _remove(
        self, starts: list[Node], ends: list[Node], position: int, flow: bool, *, leading: bool
    ) -> None:
        start, end = starts[position].start, ends[position].end
        if flow:
            if not leading:
                start = ends[position - 1].end
            else:
                end = starts[position + 1].start
            self.edits.append(_Edit(start, end, ""))
            return
        dash = self.text.rfind("-", 0, start) if starts is ends else start
        line_start = self.text.rfind("\n", 0, dash) + 1
        if self.text[line_start:dash].strip():  # the first key behind a dash: the next one takes its place
            self.edits.append(_Edit(start, starts[position + 1].start, ""))
            return
        line_end = end - 1 if self.text[end - 1] == "\n" else self.text.find("\n", end)
        if line_end < 0:  # the last line of a text without a final line end
            self.edits.append(_Edit(max(line_start - len(self.newline), 0), len(self.text), ""))
        else:
            self.edits.append(_Edit(line_start, line_end + 1, ""))
