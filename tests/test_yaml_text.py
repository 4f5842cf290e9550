"""Edits of YAML and JSON text change what must change, and not one other character."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rollway.routers.errors import UnwritableError
from rollway.routers.objects import duplicate
from rollway.routers.stores.manifests import Section, UnreadableError, line_of, objects, parse, sections
from rollway.routers.stores.yaml_nodes import document_spans
from rollway.routers.stores.yaml_text import block, edit

if TYPE_CHECKING:
    from collections.abc import Callable

STYLES = {
    "comments": "# top\na: 1   # one\n\n# before b\nb: 2\n# end\n",
    "flow": "x: {a: 1, 'b': [1, 2,3]} # c\nb: 2\n",
    "flow over lines": "x: {\n  a: 1,\n  b: 2,\n}\nb: [\n  1,\n  2\n]\n",
    "block scalars": "b: |\n  text\n   more\n\na: >-\n  folded\n  text\nc: 1\n",
    "anchors": "base: &base\n  a: 1\nb: *base\nc:\n  <<: *base\n  d: 2\n",
    "windows": "a: 1\r\nb:\r\n  - x\r\n  - y # c\r\n",
    "no final newline": "a: 1\nb:\n  c: 2",
    "tabs in comments": "a: 1\t# one\tby one\nb: 2 \t \n",
    "documents": "---\na: 1\n---\n# second\nb: 2\n...\n---\nc: 3\n",
    "indentless": "a:\n- b: 1\n  c: 2\n- d: 3\ne: 4\n",
    "deep indent": "a:\n        - b:   1\n          c:   2\n",
    "quotes": "a: 'it''s'\nb: \"x\\ty\"\n\"c d\": 'e'\n",
    "empty values": "a:\nb: ~\nc: ''\nd: {}\ne: []\n",
    "explicit keys": "? a\n: 1\n? b\n: - 2\n",
    "tags": 'a: !!str 1\nb: !!int "2"\n',
    "unicode": 'a: é☃\nb: "\\u00e9"\nc: 😀 # 😀\nd: 1\n',
    "json": '{\n\t"a": 1,\n\t"b": [1, {"c": null}],\n\t"d": "x\\/y"\n}\n',
    "json in one line": '{"a":{"b":1},"c":[]}',
    "dashes": "- - 1\n  - 2\n-\n  - 3\n- a-b: - # x-y\n",
}
STYLES["dashes"] = "- - 1\n  - 2\n-\n  - 3 # x-y\n- a-b: 1\n"

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-9, 10**6)
    | st.sampled_from(
        [
            "x",
            "no",
            "1e3",
            "a: b",
            "# c",
            "line\nbreak",
            "two\nlines\n",
            "more\n\n  lines # \n\n",
            " indented\nfirst",
            "a\n\tb\r\nc",
            "a\nb\u2028c\n",
            "'",
            '"',
            "",
            " ",
            "é☃",
            "{a}",
            "- a",
            "0x1F",
            "12:30",
            "2001-01-01",
            "~",
            "*a",
            "&a",
            "\x7f\u2028",
            "=",
        ]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c d", "no"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in a document, the document's own aside."""
    items = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    return [deeper for key, item in items for deeper in ((*path, key), *places(item, (*path, key)))]


def parent(document: Any, path: tuple[Any, ...]) -> Any:
    """Return the collection that holds the value at a path."""
    for step in path[:-1]:
        document = document[step]
    return document


def test_texts_of_several_lines_stay_readable() -> None:
    """A snippet of several lines is written as a literal block scalar, in mappings and in lists."""
    snippet = "more_set_headers 'A: b';\n\nproxy_buffering off;\n"
    assert block({"a": [snippet], "b": "x\ny"}, 0, literals=True).splitlines() == [
        "a:",
        "  - |",
        "    more_set_headers 'A: b';",
        "    ",
        "    proxy_buffering off;",
        "b: |-",
        "  x",
        "  y",
    ]


@pytest.mark.uncovered
@pytest.mark.parametrize("style", STYLES)
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_any_edit_of_any_style_is_exact_or_refused(style: str, data: st.DataObject) -> None:
    """A value replaced, added or removed anywhere comes out as asked, with all other documents as they were."""
    text = STYLES[style]
    documents = duplicate(parse(text))
    number = data.draw(st.sampled_from([index for index, item in enumerate(documents) if item]))
    new = copy.deepcopy(documents[number])
    for _ in range(data.draw(st.integers(1, 3))):
        known = places(new)
        action = data.draw(st.sampled_from(["replace", "add", "remove"]))
        if action == "add":
            target = data.draw(st.sampled_from([(), *known]))
            holder: Any = {"": new}
            for step in ("", *target):
                holder = holder[step]
            if isinstance(holder, dict):
                holder[data.draw(st.sampled_from(["new", "a", "z y"]))] = data.draw(VALUES)
            elif isinstance(holder, list):
                holder.insert(data.draw(st.integers(0, len(holder))), data.draw(VALUES))
        elif known:
            path = data.draw(st.sampled_from(known))
            if action == "replace":
                parent(new, path)[path[-1]] = data.draw(VALUES)
            else:
                del parent(new, path)[path[-1]]
    try:
        changed = edit(text, number, new)
    except UnwritableError:
        return
    assert parse(changed) == [*documents[:number], new, *documents[number + 1 :]]
    if new == documents[number]:
        assert changed == text


@given(st.dictionaries(st.sampled_from(["a", "b", "no", "1"]), VALUES, min_size=1, max_size=4))
def test_blocks_are_read_back(value: dict[str, Any]) -> None:
    """A value written in block style is read as itself, by our loader and by PyYAML's."""
    assert parse(block(value, 0) + "\n") == [value]
    assert parse(block(value, 0, literals=True) + "\n") == [value]
    assert yaml.safe_load(block({"x": value}, 4)) == {"x": value}


def change(text: str, path: tuple[Any, ...], value: Any, document: int = 0) -> str:
    """Set the value at a path and return the new text."""
    new = copy.deepcopy(parse(text)[document])
    parent(new, path)[path[-1]] = value
    return edit(text, document, new)


@pytest.mark.parametrize(
    ("text", "path", "value", "changed"),
    [
        ("a: 1   # one\nb: 2\n", ("a",), 9, "a: 9   # one\nb: 2\n"),
        ("a: 1\r\nb: 2\r\n", ("b",), 9, "a: 1\r\nb: 9\r\n"),
        ("a: 'x'\nb: \"x\"\nc: x\n", ("a",), "it's", "a: 'it''s'\nb: \"x\"\nc: x\n"),
        ("a: 'x'\nb: \"x\"\n", ("b",), "y", "a: 'x'\nb: \"y\"\n"),
        ("w: 1\n", ("w",), "no", 'w: "no"\n'),
        ("r: [{w: 1}, {h: x}]\n", ("r", 1, "w"), 2, "r: [{w: 1}, {h: x, w: 2}]\n"),
        ("r:\n- h: x # x\n- h: y", ("r", 0, "w"), 2, "r:\n- h: x # x\n  w: 2\n- h: y"),
        ("r:\n- h: x\n- h: y", ("r", 1, "w"), 2, "r:\n- h: x\n- h: y\n  w: 2"),
        ("m:\n  t: |\n    a\n    b\nn: 1\n", ("m", "w"), 2, "m:\n  t: |\n    a\n    b\n  w: 2\nn: 1\n"),
        ("m:\n  t: |\n    a\nn: 1\n", ("m", "t"), "b", "m:\n  t: b\nn: 1\n"),
        ("a:\nb: 2\n", ("a",), 5, "a: 5\nb: 2\n"),
        ("a: 1\n", ("a",), {"b": [1]}, "a:\n  b:\n    - 1\n"),
        ("a: &x 1\nb: *x\n", ("b",), 2, "a: &x 1\nb: 2\n"),
        ("a: &x 1\nb: *x\n", ("a",), 2, "a: &x 2\nb: 1\n"),
        (
            "d: &d {w: 1}\nc:\n  <<: *d\n  x: 2\n",
            ("c", "w"),
            5,
            "d: &d {w: 1}\nc:\n  <<: *d\n  x: 2\n  w: 5\n",
        ),
        ('{\n  "a": 1\n}\n', ("b",), 2, '{\n  "a": 1,\n  "b": 2\n}\n'),
        ("a: 1\n---\nb: 2 # x\n", ("b",), 3, "a: 1\n---\nb: 3 # x\n"),
    ],
)
def test_edits_look_as_a_person_would_make_them(
    text: str, path: tuple[Any, ...], value: Any, changed: str
) -> None:
    """Each kind of edit keeps the style around it."""
    assert change(text, path, value, 1 if "---" in text else 0) == changed


@pytest.mark.parametrize(
    ("text", "remove", "changed"),
    [
        ("a: 1\nb: 2\n", lambda new: new.pop("a"), "b: 2\n"),
        ("a: 1\nb: 2", lambda new: new.pop("b"), "a: 1"),
        ("x: {a: 1, b: 2}\n", lambda new: new["x"].pop("a"), "x: {b: 2}\n"),
        ("x: {a: 1, b: 2}\n", lambda new: new["x"].pop("b"), "x: {a: 1}\n"),
        ("x: {a: 1}\n", lambda new: new["x"].pop("a"), "x: {}\n"),
        ("r:\n- a: 1\n  b: 2\n- c: 3\n", lambda new: new["r"][0].pop("a"), "r:\n- b: 2\n- c: 3\n"),
        ("r:\n- a: 1\n  b: 2\n- c: 3\n", lambda new: new["r"].pop(0), "r:\n- c: 3\n"),
        ("r: # c\n  - a # x\n  - b\n  - d\n", lambda new: new["r"].pop(1), "r: # c\n  - a # x\n  - d\n"),
        ("r: [a, b, d]\n", lambda new: new["r"].pop(1), "r: [a, d]\n"),
        ("r:\n  - a\nb: 1\n", lambda new: new["r"].pop(), "r: []\nb: 1\n"),
        ("m:\n  t: |\n    a\n  x: 1\n", lambda new: new["m"].pop("t"), "m:\n  x: 1\n"),
    ],
)
def test_removals_take_their_lines_with_them(text: str, remove: Callable[[Any], Any], changed: str) -> None:
    """What is removed takes its lines, or its part of the line, and nothing else."""
    new = copy.deepcopy(parse(text)[0])
    remove(new)
    assert edit(text, 0, new) == changed


def test_json_stays_json() -> None:
    """An edited JSON file is still JSON, with its indentation."""
    text = '{\n\t"a": 1,\n\t"b": [1]\n}\n'
    new = {"a": "no", "b": [1, {"x": None}], "c": {"d": True}}
    changed = edit(text, 0, new, is_json=True)
    assert json.loads(changed) == new
    assert '\n\t"c": {"d": true}' in changed


def test_escapes_of_json_stay() -> None:
    """A character that JSON writes as two escapes stays so, in keys, in values and in text that only looks like it."""
    text = '{"k \\ud83d\\ude00": 1, "v": "\\ud83d\\ude00", "t": "\\\\ud83d", "b": 2}'
    documents = parse(text, is_json=True)
    new = {**documents[0], "k \U0001f600": 3, "b": 4}
    assert edit(text, 0, new, is_json=True) == text.replace("1", "3").replace("2}", "4}")


def test_what_cannot_be_written_is_refused() -> None:
    """A value whose tag forbids the new one cannot be written, and that is a typed error."""
    with pytest.raises(UnwritableError, match="without touching other values"):
        edit("a: !!str 1\n", 0, {"a": 2})
    with pytest.raises(UnwritableError):
        edit("a: 1\n", 0, {"a": "\ud800"})


def test_an_alias_outlives_its_anchor() -> None:
    """When the anchored value goes, its alias is written out."""
    assert edit("a: &a [1]\nb: *a\n", 0, {"b": [1]}) == "b: [1]\n"


def test_a_key_of_a_merge_is_removed_by_writing_the_mapping_out() -> None:
    """A key that only a merge gives goes when the mapping is written without the merge."""
    assert (
        edit("a: &a {x: 1}\nb:\n  <<: *a\n  z: 2\n", 0, {"a": {"x": 1}, "b": {"z": 2}})
        == "a: &a {x: 1}\nb:\n  z: 2\n"
    )


def test_documents_are_found_where_they_stand() -> None:
    """Each document's span runs from its start to the next one's."""
    text = "# a\na: 1\n---\nb: 2\n--- \nc: 3\n"
    assert [text[start:end] for start, end in document_spans(text)] == [
        "# a\na: 1\n",
        "---\nb: 2\n",
        "--- \nc: 3\n",
    ]
    assert document_spans("") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ .Values.x }}: {{ y }}", r"not YAML \(a template\?\): "),
        ("a: !Ref b", "no manifest has the tag"),
        ("a: !!binary aGk=", "no manifest has the tag"),
        ("? [a]\n: b", "a key that is not text"),
        ("a: &a [*a]", "aliases expand"),
        ("x: " + "9" * 5000, "cannot be read"),
        ("[" * 5000, "nested too deep"),
        ("- " * 5000, "nested too deep"),
        ("".join(" " * level + "a:\n" for level in range(300)), "nested too deep"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(
                f"{x}: &{x} [{','.join(['*' + y] * 10)}]\n" for y, x in zip("abcdef", "bcdefg", strict=True)
            ),
            "aliases expand",
        ),
        ("\x00", "not YAML"),
    ],
)
def test_unreadable_text_is_told_in_few_words(text: str, reason: str) -> None:
    """Text that is no manifest, or is made to hurt, is refused with a reason."""
    with pytest.raises(UnreadableError, match=reason):
        parse(text)


def test_brackets_alone_are_no_harm() -> None:
    """Many brackets that do not nest are read."""
    assert parse("a: [" + "[]," * 300 + "]\n")[0]["a"] == [[]] * 300


def test_only_json_types_are_read() -> None:
    """Dates stay text and keys become text, as on an API server."""
    assert parse("a: 2001-01-01\n1: x\ntrue: y\n~: z\n") == [
        {"a": "2001-01-01", "1": "x", "true": "y", "null": "z"}
    ]
    assert parse("[1]", is_json=True) == [[1]]
    with pytest.raises(UnreadableError):
        parse("{", is_json=True)


def test_objects_are_found_in_documents_and_lists() -> None:
    """Objects are single documents or the items of a List; everything else is passed over."""
    thing = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    odd = [{**thing, "metadata": {"name": 5}}, {**thing, "metadata": []}, {"kind": "X"}, "text", None]
    documents = [thing, {"apiVersion": "v1", "kind": "List", "items": [*odd, thing]}, *odd]
    placed = list(objects([Section(0, 1, "", documents)]))
    assert [(item.document, item.path) for item in placed] == [(0, ()), (1, ("items", 5))]


def test_lines_are_found_for_paths() -> None:
    """The line of a value, or of the nearest value above it, is found in any document."""
    text = "a: 1\n---\nb:\n  - c: 1\n  - d:\n      e: 2\n"
    (section,) = sections(text)
    assert line_of(section, 1, ("b", 1, "d", "e")) == 6
    assert line_of(section, 1, ("b", 1, "zzz")) == 5
    assert line_of(section, 1, ("b", 7)) == 3
    assert line_of(section, 0, ()) == 1


LISTED = {
    "comments": "routes:\n# about a\n- name: a\n  x: 1 # one\n# about b\n- name: b\n\n# end\n",
    "indented": "routes:\n    # the main route\n\n    # about a\n    - name: a\n      x: [1, 2]\n    -  name: b\nlast: 1\n",
    "windows": "routes:\r\n- name: a\r\n- name: b # c\r\n",
    "no final newline": "routes:\n- name: a\n- name: b\n  x: text",
    "block scalar": "routes:\n- name: a\n  x: |\n    text\n\n- name: b\n  x: >-\n    more\nlast: 1\n",
    "flow": "routes: [{name: a}, {name: b, x: 1}] # c\nlast: 1\n",
    "flow over lines": "routes: [\n  {name: a},\n  {name: b}\n]\n",
    "json": '{\n\t"routes": [\n\t\t{"name": "a"},\n\t\t{"name": "b"}\n\t],\n\t"last": 1\n}\n',
    "aliases": "routes:\n- name: a\n  to: &to [x, {y: 1}]\n- name: b\n  to: *to\n  odd: 0x10\n",
    "unnamed": "routes:\n- x: 1\n- name: b\n  list:\n  - 1\n",
    "one": "routes:\n- name: a # alone\n",
}
ROUTE = {"name": "new", "match": [{"headers": {"x-beta": {"exact": "1"}}}], "to": ["x", {"y": 1}]}


@pytest.mark.parametrize("style", LISTED)
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 2])
def test_an_item_that_comes_and_goes_leaves_the_text_as_it_was(style: str, place: int, count: int) -> None:
    """Items are put before, between and behind others, which keep their text and the comments about them."""
    text = LISTED[style]
    is_json = style == "json"
    (before,) = parse(text, is_json=is_json)
    wanted = duplicate(before)
    wanted["routes"][place:place] = [{**duplicate(ROUTE), "number": number} for number in range(count)]
    changed = edit(text, 0, wanted, is_json=is_json)
    assert parse(changed, is_json=is_json) == [wanted]
    for line in text.splitlines():
        assert changed.count(line) >= 1 or "flow" in style or is_json
    assert edit(changed, 0, before, is_json=is_json) == text


def test_an_item_stands_above_the_comment_of_the_next_one() -> None:
    """The comment about the first item stays above it."""
    (before,) = parse(LISTED["comments"])
    wanted = {**before, "routes": [{"name": "new"}, *before["routes"]]}
    assert edit(LISTED["comments"], 0, wanted).startswith("routes:\n- name: new\n# about a\n- name: a\n")


@pytest.mark.parametrize("text", ["routes:\n- - name: a\n", "- name: a\n", "routes: []\n", "a: [[1], [2]]\n"])
def test_an_item_where_there_is_no_line_for_it(text: str) -> None:
    """A list that begins on the line of another one, or that is empty, is written anew."""
    (before,) = parse(text)
    wanted = duplicate(before)
    home = wanted if isinstance(wanted, list) else next(iter(wanted.values()))
    home = home[0] if home and isinstance(home[0], list) else home
    home.insert(0, {"name": "new"})
    assert parse(edit(text, 0, wanted)) == [wanted]


ROUTES = st.lists(
    st.builds(
        lambda name, x: {"name": name, **({"x": x} if x else {})},
        st.sampled_from("abcdef"),
        st.sampled_from([0, 1, "y"]),
    ),
    max_size=5,
    unique_by=lambda item: item["name"],
)


@given(style=st.sampled_from(sorted(LISTED)), routes=ROUTES)
@settings(max_examples=200, deadline=None)
def test_any_list_can_be_made_of_another(style: str, routes: list[Any]) -> None:
    """Items that come, go, move and change at once are written so that the text means them, or it is refused."""
    text, is_json = LISTED[style], style == "json"
    (before,) = parse(text, is_json=is_json)
    wanted = {**before, "routes": routes}
    assert parse(edit(text, 0, wanted, is_json=is_json), is_json=is_json) == [wanted]
