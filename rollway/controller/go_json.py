"""JSON as Go writes it after it has read it into typed structs: which fields stay, in which order, and how. Pure.

The types come from `go_types.json`: the fields of each struct in the order of encoding/json, and their kinds as Go writes
them. A name that ends with `?` is left out when its value is zero. `integration/programs/go_types.py` makes the file.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, NamedTuple, TypeAlias

from rollway.controller import quantities

Tree: TypeAlias = Any
"""What Go's types hold of a value: dicts in the order of the fields, lists, texts, integers, booleans and None."""

_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NO_TIME = "0001-01-01T00:00:00Z"
_ESCAPED = {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"}
_TO_ESCAPE = re.compile("[<>&\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Field(NamedTuple):
    """A field of a struct: its name in JSON, its kind, and whether its zero value is left out."""

    name: str
    kind: str
    optional: bool


Types: TypeAlias = Mapping[str, Sequence[Field]]


@functools.cache
def types(section: str, flavour: str) -> Types:
    """Return the structs of a section of `go_types.json`: of `template` or `steps`, as a flavour has them."""
    file = importlib.resources.files(__package__).joinpath("go_types.json")
    sections = json.loads(file.read_text(encoding="utf-8"))
    structs = sections["current"][section]
    if flavour != "current":
        structs = structs | sections[flavour][section]
    return {
        name: [Field(key.removesuffix("?"), kind, key.endswith("?")) for key, kind in fields.items()]
        for name, fields in structs.items()
    }


class Reading:
    """One reading of a manifest into Go's types.

    `faults` holds what Go would refuse to read, and `unknown` the fields that its types do not have.
    """

    def __init__(self, structs: Types, *, semantic: bool = False) -> None:
        self.faults: list[str] = []
        self.unknown: list[str] = []
        self._structs = structs
        self._semantic = semantic
        self._scalars = _SEMANTIC if semantic else _SCALARS

    def read(self, kind: str, value: object, path: str = "") -> Tree:
        """Return what Go holds of a value; `path` says where the value stands."""
        if kind.startswith("*"):
            return None if value is None else self.read(kind[1:], value, path)
        if kind.startswith("[]"):
            return self._list(kind[2:], value, path)
        if kind.startswith("map:"):
            return self._map(kind[4:], value, path)
        if kind in self._structs:
            return self._struct(kind, value, path)
        try:
            return self._scalars[kind](value)
        except (ValueError, OverflowError) as wrong:
            self.faults.append(f"{path or 'the value'}: {wrong}")
            return None

    def _list(self, kind: str, value: object, path: str) -> Tree:
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            self.faults.append(f"{path or 'the value'}: {_short(value)} is not a list")
            return None
        return [self.read(kind, item, f"{path}[{index}]") for index, item in enumerate(value)]

    def _map(self, kind: str, value: object, path: str) -> Tree:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.faults.append(f"{path or 'the value'}: {_short(value)} is not a map")
            return None
        return {str(key): self.read(kind, value[key], f"{path}[{key}]") for key in sorted(value, key=str)}

    def _struct(self, name: str, value: object, path: str) -> Tree:
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            self.faults.append(f"{path or 'the value'}: {_short(value)} is not an object")
            return {}
        prefix = f"{path}." if path else ""
        fields = self._structs[name]
        names = {field.name for field in fields}
        self.unknown += [f"{prefix}{key}" for key in value if key not in names]
        tree = {}
        for field in fields:
            optional = field.optional or self._semantic
            if optional and field.name not in value:
                continue
            item = self.read(field.kind, value.get(field.name), f"{prefix}{field.name}")
            if not (optional and _is_zero(field.kind, item)):
                tree[field.name] = item
        return tree


def _is_zero(kind: str, item: Tree) -> bool:
    if kind.startswith("*"):
        return item is None
    # Go writes raw JSON that is there, even `null`.
    return kind != "Raw" and not item


def text(tree: Tree) -> str:
    """Write a tree as encoding/json does."""
    if isinstance(tree, dict):
        return "{" + ",".join([f"{_quoted(key)}:{text(item)}" for key, item in tree.items()]) + "}"
    if isinstance(tree, list):
        return "[" + ",".join([text(item) for item in tree]) + "]"
    if isinstance(tree, str):
        return _quoted(tree)
    if tree is None:
        return "null"
    if isinstance(tree, bool):
        return "true" if tree else "false"
    return _number_text(tree)


def _quoted(value: str) -> str:
    """Quote a text. Go replaces a half of a surrogate pair, and escapes what has a meaning in HTML."""
    quoted = _TO_ESCAPE.sub(lambda found: _ESCAPED[found[0]], encode_basestring(value))
    return _SURROGATE.sub("\ufffd", quoted)


def _number_text(value: float) -> str:
    """Write a number as Go does, which has an exponent only below 1e-6 and from 1e21 on."""
    if isinstance(value, int):
        return str(value)
    shortest = repr(value)
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return format(Decimal(shortest), "f").removesuffix(".0")
    return shortest.replace("e-0", "e-")


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _string(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise ValueError(f"{_short(value)} is not a text; quote it")


def _bool(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise ValueError(f"{_short(value)} is not true or false")


def _integer(value: object, bits: int) -> int:
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{_short(value)} is not an integer")  # noqa: TRY004 - one error for all wrong values
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise ValueError(f"{_short(value)} is not an integer of {bits} bits")
    return value


def _quantity(value: object) -> quantities.Quantity:
    if value is None:
        return quantities.parse("0")
    if isinstance(value, str):
        return quantities.parse(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return quantities.parse(_number_text(value))
    raise ValueError(f"{_short(value)} is not a quantity")


def _int_or_string(value: object) -> int | str:
    return value if isinstance(value, str) else _integer(value, 32)


def _time(value: object) -> str | None:
    """Return a time in UTC to the second, or None for the zero time."""
    if value is None:
        return None
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"{_short(value)} is not a time like 2026-01-31T12:00:00Z")
    moment = datetime.fromisoformat((match[1] + match[2]).upper()).astimezone(UTC)
    written = moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(len(_NO_TIME), "0")
    return None if written == _NO_TIME else written


_SCALARS: dict[str, Callable[[Any], Tree]] = {
    "string": _string,
    "bool": _bool,
    "int32": lambda value: _integer(value, 32),
    "int64": lambda value: _integer(value, 64),
    "Quantity": lambda value: _quantity(value).text,
    "IntOrString": _int_or_string,
    "Time": _time,
    "Raw": lambda value: value,
}
_SEMANTIC = _SCALARS | {
    # The amount that Kubernetes reads again: it loses a suffix that it has no letter for.
    "Quantity": lambda value: quantities.parse(_quantity(value).text).amount,
    "IntOrString": lambda value: (type(_int_or_string(value)), _int_or_string(value)),
    "Raw": text,
}
"""Values that are equal when Kubernetes takes them for equal."""
