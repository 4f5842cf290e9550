"""The literals of expr-lang. Pure.

Source: expr-lang, `parser/parser.go` (numbers) and `parser/lexer/utils.go` (texts).
"""

from __future__ import annotations

import re

from rollway.analysis.conditions.errors import OperationError
from rollway.analysis.conditions.values import whole

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPES |= {character: character for character in "\\'\"`?"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL)


def number_of(text: str) -> int | float:
    """Read a number: `1_000`, `0x1f`, `1.5e3`.

    Raises:
        OperationError: it does not fit into 64 bits.
    """
    digits = text.replace("_", "")
    if digits[:2] in ("0x", "0X"):
        if len(digits) == 2:
            raise OperationError(f"`{text}` is no number")
        return whole(int(digits, 16))
    if set(digits) & set(".eE"):
        return float(digits)
    return whole(int(digits))


def string_of(text: str) -> str:
    """Read a text in quotes, with the escapes of Go.

    Raises:
        OperationError: an escape is unknown.
    """
    return _ESCAPE.sub(_escaped, text[1:-1])


def _escaped(match: re.Match[str]) -> str:
    code = match[1]
    if code in _ESCAPES:
        return _ESCAPES[code]
    try:
        if code[0] in "xuU":
            return chr(int(code[1:], 16))
        return chr(int(code, 8))
    except (ValueError, OverflowError):
        raise OperationError(f"unknown escape `\\{code}`") from None
