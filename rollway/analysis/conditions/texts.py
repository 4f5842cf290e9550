"""Numbers and values as texts, as Go writes them. Pure.

Source: Go, `strconv.FormatFloat` and `encoding/json`.
"""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from rollway.analysis.conditions.errors import OperationError


def plain(number: float) -> str:
    """Write a number without an exponent, with as few digits as it takes: `0.00001`, `NaN`, `+Inf`."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def general(value: Any) -> str:
    """Write a value as Go's `%v`: `1e+21`, `true`, `[1 2]`, `map[a:1]`, `<nil>`."""
    if value is None:
        return "<nil>"
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is float:
        return _exponential(value) if _is_extreme(value, -4) else plain(value)
    if type(value) is list:
        return f"[{' '.join(map(general, value))}]"
    if type(value) is dict:
        return f"map[{' '.join(f'{key}:{general(value[key])}' for key in sorted(value))}]"
    return str(value)


def json_text(value: Any, indent: str = "", level: int = 0) -> str:
    """Write a value as JSON, with the keys of maps in order; `indent` as that of `json.MarshalIndent`.

    Raises:
        OperationError: JSON has no form for it: NaN, an infinity, a time.
    """
    inner, outer = (f"\n{indent * (level + 1)}", f"\n{indent * level}") if indent else ("", "")
    if type(value) is dict and value:
        colon = ": " if indent else ":"
        pairs = (f"{_quoted(key)}{colon}{json_text(value[key], indent, level + 1)}" for key in sorted(value))
        return "{" + inner + f",{inner}".join(pairs) + outer + "}"
    if type(value) is list and value:
        return (
            "[" + inner + f",{inner}".join(json_text(item, indent, level + 1) for item in value) + outer + "]"
        )
    if type(value) is float:
        if not math.isfinite(value):
            raise OperationError(f"JSON has no {plain(value)}")
        return _shortened(_exponential(value)) if _is_extreme(value, -6) else plain(value)
    if type(value) is str:
        return _quoted(value)
    if type(value) in (datetime, timedelta):
        raise OperationError("a time is not written as JSON here")
    return json.dumps(value)


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        quoted = quoted.replace(character, f"\\u{ord(character):04x}")
    return quoted


def _is_extreme(number: float, smallest: int) -> bool:
    size = abs(number)
    return math.isfinite(number) and size != 0 and (size < 10.0**smallest or size >= 1e21)


def _exponential(number: float) -> str:
    """Write a number with an exponent of at least two digits."""
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    text = "".join(map(str, digits))
    power = int(exponent) + len(text) - 1
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{'-' if sign else ''}{text[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _shortened(text: str) -> str:
    """Write an exponent as encoding/json does: `1e-7` for `1e-07`."""
    return text.replace("e-0", "e-")
