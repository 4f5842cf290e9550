"""The values of expressions, and what expr-lang does with them at run time. Pure.

Source: expr-lang, `vm/runtime/runtime.go`. A whole number is Go's int, a number of a metric its float64; texts are counted
in characters, as expr-lang does from 1.17.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rollway.analysis.conditions.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Callable

ANY, NIL, BOOL, INT, FLOAT, STRING = "any", "nil", "bool", "int", "float", "string"
ARRAY, MAP, TIME, DURATION, NUMBER = "array", "map", "time", "duration", "number"
_KINDS: dict[type, str] = {
    type(None): NIL,
    bool: BOOL,
    int: INT,
    float: FLOAT,
    str: STRING,
    list: ARRAY,
    dict: MAP,
    datetime: TIME,
    timedelta: DURATION,
}
_LARGEST = 2**63 - 1


def kind_of(value: Any) -> str:
    """Return the kind of a value; TIME, for example, of a datetime."""
    return _KINDS[type(value)]


def fits(kind: str, wanted: str) -> bool:
    """Return whether a kind may stand where others are wanted, like `array|map`; `number` is one of int and float."""
    if ANY in (kind, wanted):
        return True
    kinds = wanted.split("|")
    if kind == NUMBER:
        return not {NUMBER, INT, FLOAT}.isdisjoint(kinds)
    return kind in kinds or (NUMBER in kinds and kind in (INT, FLOAT))


def require(value: Any, wanted: str, what: str) -> None:
    """Raise OperationError unless a value is of the wanted kind."""
    if not fits(kind_of(value), wanted):
        raise OperationError(f"{what} expects {wanted.replace('|', ' or ')}, got {kind_of(value)}")


def is_number(value: Any) -> bool:
    """Return whether a value is a number; true and false are none."""
    return type(value) is int or type(value) is float


def whole(value: int) -> int:
    """Return a whole number that fits into 64 bits; Go's would wrap around."""
    if not -_LARGEST - 1 <= value <= _LARGEST:
        raise OperationError("the number does not fit into 64 bits")
    return value


def to_int(value: Any, what: str = "int") -> int:
    """Return a number without its fraction."""
    require(value, NUMBER, what)
    if type(value) is float and not math.isfinite(value):
        raise OperationError(f"{what}: {value} is no whole number")
    return whole(int(value))


def equal(left: Any, right: Any) -> bool:
    """Return whether two values are equal: numbers by their value, everything else also by its kind."""
    if type(left) is not type(right):
        return is_number(left) and is_number(right) and left == right
    if type(left) is list:
        return len(left) == len(right) and all(map(equal, left, right))
    if type(left) is dict:
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    return bool(left == right)


def ordered(left: Any, right: Any, sign: str) -> None:
    """Raise OperationError unless two values can be ordered: numbers, texts, times or durations."""
    if is_number(left) and is_number(right):
        return
    if type(left) is not type(right) or type(left) not in (str, datetime, timedelta):
        raise OperationError(f"{kind_of(left)} {sign} {kind_of(right)} is not defined")


def contained(needle: Any, values: Any) -> bool:
    """Return whether a value is in an array, or is a key of a map."""
    if values is None:
        return False
    require(values, f"{ARRAY}|{MAP}", "in")
    if type(values) is list:
        return any(equal(value, needle) for value in values)
    require(needle, STRING, "the key of a map")
    return needle in values


def fetch(value: Any, key: Any) -> Any:
    """Return a member of a map (nil where it has none), or an item of an array, from the end below 0."""
    if type(value) is dict:
        require(key, STRING, "the key of a map")
        return value.get(key)
    if type(value) is not list or not is_number(key):
        raise OperationError(f"cannot fetch {key!r} from {kind_of(value)}")
    index = to_int(key)
    if not -len(value) <= index < len(value):
        raise OperationError(f"index out of range: {index} of {len(value)} items")
    return value[index]


def cut(value: Any, start: Any, end: Any) -> Any:
    """Return a part of an array or a text; indexes below 0 count from the end."""
    require(value, f"{ARRAY}|{STRING}", "a slice")
    first = 0 if start is None else to_int(start)
    last = len(value) if end is None else to_int(end)
    first = max(first + len(value), 0) if first < 0 else first
    last = max(last + len(value), 0) if last < 0 else last
    return value[first:last]


def add(left: Any, right: Any) -> Any:
    """Return the sum of numbers or of a time and a duration, or two texts as one."""
    if is_number(left) and is_number(right):
        return _number(left + right)
    if type(left) is str and type(right) is str:
        return left + right
    if timedelta in (type(left), type(right)) and {type(left), type(right)} <= {datetime, timedelta}:
        return _in_range(lambda: left + right)
    raise OperationError(f"{kind_of(left)} + {kind_of(right)} is not defined")


def subtract(left: Any, right: Any) -> Any:
    """Return the difference of numbers, times or durations."""
    if is_number(left) and is_number(right):
        return _number(left - right)
    pairs = ((datetime, datetime), (datetime, timedelta), (timedelta, timedelta))
    if (type(left), type(right)) in pairs:
        return _in_range(lambda: left - right)
    raise OperationError(f"{kind_of(left)} - {kind_of(right)} is not defined")


def multiply(left: Any, right: Any) -> Any:
    """Return the product of two numbers."""
    _numbers(left, right, "*")
    return _number(left * right)


def divide(left: Any, right: Any) -> float:
    """Return the quotient of two numbers, which is always a float; that by 0 is infinite, and 0/0 is NaN."""
    _numbers(left, right, "/")
    try:
        return float(left) / float(right)
    except ZeroDivisionError:
        dividend, divisor = float(left), float(right)
        if dividend == 0 or math.isnan(dividend):
            return math.nan
        return math.copysign(math.inf, dividend) * math.copysign(1, divisor)


def remainder(left: Any, right: Any) -> int:
    """Return the remainder of whole numbers, which has the sign of the left one."""
    if type(left) is not int or type(right) is not int:
        raise OperationError(f"{kind_of(left)} % {kind_of(right)} is not defined")
    if right == 0:
        raise OperationError("integer divide by zero")
    return abs(left) % abs(right) * (1 if left >= 0 else -1)


def power(left: Any, right: Any) -> float:
    """Return a power of a number, which is always a float."""
    _numbers(left, right, "**")
    try:
        return math.pow(left, right)
    except OverflowError:
        return math.copysign(math.inf, left) if right % 2 == 1 else math.inf
    except ValueError:
        return math.inf if left == 0 else math.nan


def negate(value: Any) -> Any:
    """Return a number with the other sign."""
    if not is_number(value):
        raise OperationError(f"-{kind_of(value)} is not defined")
    return _number(-value)


def _number(value: float) -> float:
    return whole(value) if type(value) is int else value


def _numbers(left: Any, right: Any, sign: str) -> None:
    if not (is_number(left) and is_number(right)):
        raise OperationError(f"{kind_of(left)} {sign} {kind_of(right)} is not defined")


def _in_range(operation: Callable[[], Any]) -> Any:
    try:
        return operation()
    except (OverflowError, TypeError):
        raise OperationError("the time is out of range") from None
