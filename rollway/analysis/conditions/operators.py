"""The operators of expr-lang: how strong they bind, what they take, and what they do. Pure.

Source: expr-lang, `parser/operator/operator.go` and `checker/checker.go`.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.analysis.conditions import values
from rollway.analysis.conditions.errors import OperationError
from rollway.analysis.conditions.expressions import Expression, size_of
from rollway.analysis.conditions.values import (
    ANY,
    ARRAY,
    BOOL,
    DURATION,
    FLOAT,
    INT,
    MAP,
    NIL,
    NUMBER,
    STRING,
    TIME,
    fits,
    require,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.analysis.conditions.expressions import Frame, Run

COALESCE, PIPE = "??", "|"
SPELLINGS = {"||": "or", "&&": "and", "!": "not", "^": "**"}
UNARY = {"not": 50, "-": 90, "+": 90}
BINARY = {
    "or": 10,
    "and": 15,
    **dict.fromkeys(("==", "!=", "<", ">", ">=", "<="), 20),
    **dict.fromkeys(("in", "matches", "contains", "startsWith", "endsWith"), 20),
    "..": 25,
    "+": 30,
    "-": 30,
    "*": 60,
    "/": 60,
    "%": 60,
    "**": 100,
    COALESCE: 500,
}
"""How strong each operator binds; all but `**` bind to the left."""
_RANGE_ITEMS = 100_000


class _Operator(NamedTuple):
    """What a binary operator does to values; `pairs` are the kinds on its sides that it is defined for."""

    apply: Callable[[Any, Any], Any]
    pairs: tuple[tuple[str, str], ...]
    returns: str


_ORDERED = ((NUMBER, NUMBER), (STRING, STRING), (TIME, TIME), (DURATION, DURATION))


def _comparison(sign: str, compare: Callable[[Any, Any], bool]) -> _Operator:
    def apply(left: Any, right: Any) -> bool:
        values.ordered(left, right, sign)
        return compare(left, right)

    return _Operator(apply, _ORDERED, BOOL)


def _on_texts(word: str, compare: Callable[[str, str], bool]) -> _Operator:
    def apply(left: Any, right: Any) -> bool:
        require(left, STRING, word)
        require(right, STRING, word)
        return compare(left, right)

    return _Operator(apply, ((STRING, STRING),), BOOL)


def _matches(text: str, pattern: str) -> bool:
    return pattern_of(pattern).search(text) is not None


_NUMBERS = ((NUMBER, NUMBER),)
_OPERATORS = {
    "==": _Operator(values.equal, ((ANY, ANY),), BOOL),
    "!=": _Operator(lambda left, right: not values.equal(left, right), ((ANY, ANY),), BOOL),
    "<": _comparison("<", operator.lt),
    ">": _comparison(">", operator.gt),
    "<=": _comparison("<=", operator.le),
    ">=": _comparison(">=", operator.ge),
    "in": _Operator(values.contained, ((ANY, ARRAY), (STRING, MAP), (NIL, MAP)), BOOL),
    "matches": _on_texts("matches", _matches),
    "contains": _on_texts("contains", operator.contains),
    "startsWith": _on_texts("startsWith", str.startswith),
    "endsWith": _on_texts("endsWith", str.endswith),
    "+": _Operator(
        values.add, (*_NUMBERS, (STRING, STRING), (TIME, DURATION), (DURATION, f"{TIME}|{DURATION}")), ANY
    ),
    "-": _Operator(values.subtract, (*_NUMBERS, (TIME, f"{TIME}|{DURATION}"), (DURATION, DURATION)), ANY),
    "*": _Operator(values.multiply, _NUMBERS, ANY),
    "/": _Operator(values.divide, _NUMBERS, FLOAT),
    "%": _Operator(values.remainder, ((INT, INT),), INT),
    "**": _Operator(values.power, _NUMBERS, FLOAT),
}


@functools.lru_cache(maxsize=256)
def pattern_of(pattern: str) -> Any:
    """Return a compiled regular expression in Go's language (RE2), which takes linear time.

    Raises:
        OperationError: it is none.
    """
    import re2  # noqa: PLC0415 - 10 ms that few expressions need

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise OperationError(f"{pattern!r} is no regular expression: {text}") from None


def binary(sign: str, left: Expression, right: Expression, position: int) -> Expression:
    """Return the expression of a binary operator.

    Raises:
        OperationError: it is not defined for the kinds of its sides.
    """
    size, depth = size_of(left, right)
    if sign in ("and", "or"):
        for side in (left, right):
            _expect(side, BOOL, sign)
        return Expression(_logic(sign, left.run, right.run), BOOL, position, size, depth)
    if sign == COALESCE:
        kind = left.kind if left.kind == right.kind else ANY
        return Expression(_coalesce(left.run, right.run), kind, position, size, depth)
    if sign == "..":
        for side in (left, right):
            _expect(side, NUMBER, "..")
        return Expression(_range(left.run, right.run), ARRAY, position, size, depth)
    rule = _OPERATORS[sign]
    if not any(fits(left.kind, one) and fits(right.kind, two) for one, two in rule.pairs):
        raise OperationError(f"{left.kind} {sign} {right.kind} is not defined")
    if sign in ("==", "!=") and not _comparable(left.kind, right.kind):
        raise OperationError(f"{left.kind} {sign} {right.kind} is never decided by a value")
    returns = _sum_kind(sign, left.kind, right.kind) if rule.returns == ANY else rule.returns
    run = _applied(rule.apply, left.run, right.run, sign)
    return Expression(run, returns, position, size, depth)


def _applied(apply: Callable[[Any, Any], Any], left: Run, right: Run, sign: str) -> Run:
    if sign != "+":
        return lambda frame: apply(left(frame), right(frame))

    def added(frame: Frame) -> Any:
        total = apply(left(frame), right(frame))
        if type(total) is str:
            frame.spend(len(total))
        return total

    return added


def _comparable(left: str, right: str) -> bool:
    return NIL in (left, right) or fits(left, right) or {left, right} <= {INT, FLOAT, NUMBER}


def _sum_kind(sign: str, left: str, right: str) -> str:
    """Return the kind of a sum, a difference or a product; ANY where it depends on the values."""
    if {left, right} <= {INT, FLOAT}:
        return INT if left == right == INT else FLOAT
    if sign == "*" or {left, right} & {INT, FLOAT, NUMBER}:
        return NUMBER
    if left == right == STRING:
        return STRING
    if ANY in (left, right):
        return ANY
    if sign == "-" and left == right == TIME:
        return DURATION
    return TIME if TIME in (left, right) else DURATION


def _logic(sign: str, left: Run, right: Run) -> Run:
    decisive = sign == "or"

    def logic(frame: Frame) -> bool:
        value = left(frame)
        if type(value) is not bool:
            require(value, BOOL, sign)
        if bool(value) is decisive:
            return decisive
        value = right(frame)
        if type(value) is not bool:
            require(value, BOOL, sign)
        return bool(value)

    return logic


def _coalesce(left: Run, right: Run) -> Run:
    def coalesce(frame: Frame) -> Any:
        value = left(frame)
        return right(frame) if value is None else value

    return coalesce


def _range(left: Run, right: Run) -> Run:
    def items(frame: Frame) -> list[int]:
        first, last = values.to_int(left(frame), ".."), values.to_int(right(frame), "..")
        count = max(last - first + 1, 0)
        if count > _RANGE_ITEMS:
            raise OperationError(f"a range has at most {_RANGE_ITEMS} items")
        frame.spend(count)
        return list(range(first, last + 1))

    return items


def unary(sign: str, operand: Expression, position: int) -> Expression:
    """Return the expression of `not`, `-` or `+`.

    Raises:
        OperationError: it is not defined for the kind of its operand.
    """
    size, depth = size_of(operand)
    run = operand.run
    if sign == "not":
        _expect(operand, BOOL, "not")
        return Expression(_not(run), BOOL, position, size, depth)
    _expect(operand, NUMBER, sign)
    applied: Run = (lambda frame: values.negate(run(frame))) if sign == "-" else _plus(run)
    return Expression(applied, operand.kind, position, size, depth)


def _not(run: Run) -> Run:
    def inverted(frame: Frame) -> bool:
        value = run(frame)
        require(value, BOOL, "not")
        return not value

    return inverted


def _plus(run: Run) -> Run:
    def plus(frame: Frame) -> Any:
        value = run(frame)
        require(value, NUMBER, "+")
        return value

    return plus


def _expect(side: Expression, wanted: str, what: str) -> None:
    if not fits(side.kind, wanted):
        raise OperationError(f"{what} expects {wanted}, got {side.kind}")
