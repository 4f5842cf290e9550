"""Bind operators to their operands by their strength. Pure.

Source: expr-lang, `parser/parser.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.analysis.conditions.operators import BINARY, COALESCE, SPELLINGS, UNARY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.analysis.conditions.compiling import Compiler
    from rollway.analysis.conditions.expressions import Expression


class Operations:
    """The operators and operands of one level, bound by their strength."""

    def __init__(self, parts: Sequence[Any], compiler: Compiler) -> None:
        self._parts: list[Any] = []
        for part in parts:
            self._parts += part.children if part.data == "prefixed" else [part]
        self._compiler = compiler
        self._next = 0

    def bind(self, strength: int) -> Expression:
        """Return the expression of the operators from here that bind at least so strong."""
        left = self._operand()
        previous = ""
        while (operator := self._operator()) is not None:
            sign, position, inverted = operator
            if sign == "|":
                if strength:
                    break
                left = self._compiler.pipe(left, self._parts[self._next])
                self._next += 1
                previous = sign
                continue
            if BINARY[sign] < strength:
                break
            if previous == COALESCE and sign != COALESCE:
                raise self._compiler.refuse(
                    f"`{sign}` stands beside `??`: put one of them in brackets", position
                )
            self._next += 1
            right = self.bind(BINARY[sign] + (sign != "**"))
            left = self._compiler.operation(sign, position, left, right)
            if inverted:
                left = self._compiler.operation("not", position, left)
            previous = sign
        return left

    def _operand(self) -> Expression:
        part = self._parts[self._next]
        self._next += 1
        if hasattr(part, "type"):
            sign = SPELLINGS.get(str(part), str(part))
            operand = self.bind(UNARY[sign])
            return self._compiler.operation(sign, part.start_pos, operand)
        return self._compiler.compile(part)

    def _operator(self) -> tuple[str, int, bool] | None:
        """Return the sign of the next operator, its place, and whether it stands behind `not`."""
        if self._next >= len(self._parts):
            return None
        part = self._parts[self._next]
        if part.data == "piped":
            return "|", position_of(part), False
        token = part.children[-1]
        sign = str(token)
        return SPELLINGS.get(sign, sign), token.start_pos, part.data == "negated_operator"


def position_of(tree: Any) -> int:
    """Return the index of the first character of a tree."""
    if hasattr(tree, "type"):
        return int(tree.start_pos)
    return 0 if tree.meta.empty else int(tree.meta.start_pos)
