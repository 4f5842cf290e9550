"""The functions of expr-lang and those that Argo Rollouts adds, with what they take and return. Pure.

Source: expr-lang, `builtin/builtin.go`; Argo Rollouts, `utils/evaluate/evaluate.go`.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import math
import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.analysis.conditions import texts, times, values
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
    NUMBER,
    STRING,
    TIME,
    is_number,
    kind_of,
    require,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollway.analysis.conditions.expressions import Frame


class Function(NamedTuple):
    """One function: what it does, the kinds that it takes, how many of the last may be missing, and what it returns.

    With `more` the last kind may stand any number of times.
    """

    call: Callable[..., Any]
    takes: tuple[str, ...]
    returns: str = ANY
    optional: int = 0
    more: bool = False

    def check(self, name: str, kinds: Sequence[str]) -> None:
        """Raise OperationError unless arguments of these kinds are taken."""
        least, most = len(self.takes) - self.optional, len(self.takes)
        if len(kinds) < least or (len(kinds) > most and not self.more):
            wanted = (
                f"{least} or more" if self.more else (f"{least}" if least == most else f"{least} to {most}")
            )
            raise OperationError(f"{name} takes {wanted} arguments, got {len(kinds)}")
        for position, kind in enumerate(kinds):
            wanted = self.takes[min(position, most - 1)]
            if not values.fits(kind, wanted):
                raise OperationError(f"{name} expects {wanted.replace('|', ' or ')}, got {kind}")


_LARGEST_TEXT = 100_000
_JSON_DEPTH = 100


def _parsed(value: str, read: Callable[[str], Any], kind: str) -> Any:
    try:
        number = read(value)
    except (ValueError, OverflowError):
        number = None
    if number is None or "_" in value or value != value.strip():
        raise OperationError(f"{value!r} is no {kind}")
    return number


def _as_int(value: Any) -> int:
    if type(value) is str:
        return values.whole(_parsed(value, int, INT))
    return values.to_int(value, "asInt")


def _as_float(value: Any) -> float:
    if type(value) is str:
        return float(_parsed(value, float, FLOAT))
    return float(value)


def _flat(arguments: Sequence[Any]) -> list[float]:
    numbers: list[float] = []
    for value in arguments:
        if type(value) is list:
            numbers += _flat(value)
        elif is_number(value):
            numbers.append(value)
        else:
            raise OperationError(f"expects number or array of numbers, got {kind_of(value)}")
    return numbers


def _extreme(pick: Callable[[list[float]], float]) -> Callable[..., Any]:
    def extreme(*arguments: Any) -> Any:
        numbers = _flat(arguments)
        return pick(numbers) if numbers else None

    return extreme


def _sum(items: list[Any]) -> float:
    total = sum(_flat(items))
    return values.whole(total) if type(total) is int else float(total)


def _mean(*arguments: Any) -> float:
    numbers = _flat(arguments)
    return math.fsum(numbers) / len(numbers) if _finite(numbers) else (math.nan if numbers else 0.0)


def _finite(numbers: Sequence[float]) -> bool:
    return bool(numbers) and all(map(math.isfinite, numbers))


def _median(*arguments: Any) -> float:
    numbers = _flat(arguments)
    return float(statistics.median(numbers)) if numbers else 0.0


def _round(value: float) -> float:
    """Round halves away from 0."""
    if not math.isfinite(value):
        return value
    return math.copysign(math.floor(abs(value) + 0.5), value)


def _on_float(apply: Callable[[float], float]) -> Callable[[float], float]:
    return lambda value: float(apply(value)) if math.isfinite(value) else float(value)


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if not separator:
        parts = list(text)
        return (
            parts if count < 0 or len(parts) <= count else [*parts[: count - 1], "".join(parts[count - 1 :])]
        )
    return text.split(separator, count - 1 if count > 0 else -1)


def _split_after(text: str, separator: str, count: int = -1) -> list[str]:
    parts = _split(text, separator, count)
    return [part + separator for part in parts[:-1]] + parts[-1:]


def _repeat(text: str, count: int) -> str:
    if count < 0 or len(text) * count > _LARGEST_TEXT:
        raise OperationError(f"repeat makes at most {_LARGEST_TEXT} characters")
    return text * count


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    if len(text) + (text.count(old) + 1) * len(new) > _LARGEST_TEXT:
        raise OperationError(f"replace makes at most {_LARGEST_TEXT} characters")
    return text.replace(old, new, count)


def _join(items: list[Any], glue: str = "") -> str:
    for item in items:
        require(item, STRING, "join")
    if sum(map(len, items)) + len(glue) * len(items) > _LARGEST_TEXT:
        raise OperationError(f"join makes at most {_LARGEST_TEXT} characters")
    return glue.join(items)


def _trimmed(strip: Callable[[str, str], str]) -> Callable[..., str]:
    return lambda text, part=" ": strip(text, part)


def _from_json(text: str) -> Any:
    if text.count("[") + text.count("{") > _JSON_DEPTH * 10:
        raise OperationError("the JSON text is too deep")
    try:
        return json_value(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise OperationError(f"no JSON: {error}") from None


def json_value(value: Any) -> Any:
    """Return a JSON value as Go has it: every number is a float."""
    if type(value) is int:
        return float(value)
    if type(value) is list:
        return [json_value(item) for item in value]
    if type(value) is dict:
        return {key: json_value(item) for key, item in value.items()}
    return value


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        raise OperationError("no base64") from None


def _get(value: Any, key: Any) -> Any:
    try:
        return values.fetch(value, key)
    except OperationError:
        return None


def _take(items: list[Any], count: int) -> list[Any]:
    if count < 0:
        raise OperationError("take expects a number from 0")
    return items[:count]


def _from_pairs(pairs: list[Any]) -> dict[str, Any]:
    for pair in pairs:
        require(pair, ARRAY, "fromPairs")
        if len(pair) != 2 or type(pair[0]) is not str:
            raise OperationError("fromPairs expects arrays of a text and a value")
    return dict(pairs)


def _sort(items: list[Any], order: str = "asc") -> list[Any]:
    return _sorted(items, lambda item: item, order)


def _sort_by(items: list[Any], field: str, order: str = "asc") -> list[Any]:
    return _sorted(items, lambda item: values.fetch(item, field), order)


def _sorted(items: list[Any], key: Callable[[Any], Any], order: str) -> list[Any]:
    if order not in ("asc", "desc"):
        raise OperationError(f'the order is "asc" or "desc", not {order!r}')
    keys = [key(item) for item in items]
    for one, other in itertools.pairwise(keys):
        values.ordered(one, other, "<")
    return sorted(items, key=key, reverse=order == "desc")


def _unique(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items[:1000]:
        if not values.contained(item, kept):
            kept.append(item)
    if len(items) > 1000:
        raise OperationError("uniq takes at most 1000 items")
    return kept


def _flatten(items: list[Any]) -> list[Any]:
    flat: list[Any] = []
    for item in items:
        flat += _flatten(item) if type(item) is list else [item]
    return flat


def _concat(*arrays: list[Any]) -> list[Any]:
    return [item for array in arrays for item in array]


_TEXTS = (STRING, STRING)
_WHOLE = f"{NUMBER}|{STRING}"
_LISTS = f"{NUMBER}|{ARRAY}"

FUNCTIONS: dict[str, Function] = {
    "len": Function(len, (f"{ARRAY}|{MAP}|{STRING}",), INT),
    "type": Function(kind_of, (ANY,), STRING),
    "abs": Function(abs, (NUMBER,)),
    "ceil": Function(_on_float(math.ceil), (NUMBER,), FLOAT),
    "floor": Function(_on_float(math.floor), (NUMBER,), FLOAT),
    "round": Function(_round, (NUMBER,), FLOAT),
    "int": Function(_as_int, (_WHOLE,), INT),
    "float": Function(_as_float, (_WHOLE,), FLOAT),
    "string": Function(texts.general, (ANY,), STRING),
    "trim": Function(lambda text, part=None: text.strip(part), _TEXTS, STRING, 1),
    "trimPrefix": Function(_trimmed(str.removeprefix), _TEXTS, STRING, 1),
    "trimSuffix": Function(_trimmed(str.removesuffix), _TEXTS, STRING, 1),
    "upper": Function(str.upper, (STRING,), STRING),
    "lower": Function(str.lower, (STRING,), STRING),
    "split": Function(_split, (*_TEXTS, INT), ARRAY, 1),
    "splitAfter": Function(_split_after, (*_TEXTS, INT), ARRAY, 1),
    "replace": Function(_replace, (*_TEXTS, STRING, INT), STRING, 1),
    "repeat": Function(_repeat, (STRING, INT), STRING),
    "join": Function(_join, (ARRAY, STRING), STRING, 1),
    "indexOf": Function(str.find, _TEXTS, INT),
    "lastIndexOf": Function(str.rfind, _TEXTS, INT),
    "hasPrefix": Function(str.startswith, _TEXTS, BOOL),
    "hasSuffix": Function(str.endswith, _TEXTS, BOOL),
    "max": Function(_extreme(max), (_LISTS,), ANY, more=True),
    "min": Function(_extreme(min), (_LISTS,), ANY, more=True),
    "sum": Function(_sum, (ARRAY,)),
    "mean": Function(_mean, (_LISTS,), FLOAT, more=True),
    "median": Function(_median, (_LISTS,), FLOAT, more=True),
    "toJSON": Function(lambda value: texts.json_text(value, "  "), (ANY,), STRING),
    "fromJSON": Function(_from_json, (STRING,)),
    "toBase64": Function(lambda text: base64.b64encode(text.encode()).decode(), (STRING,), STRING),
    "fromBase64": Function(_from_base64, (STRING,), STRING),
    "duration": Function(times.parse_duration, (STRING,), DURATION),
    "date": Function(times.parse_date, (STRING, STRING, STRING), TIME, 2),
    "first": Function(lambda items: _get(items, 0), (ARRAY,)),
    "last": Function(lambda items: _get(items, -1), (ARRAY,)),
    "get": Function(_get, (ANY, ANY)),
    "take": Function(_take, (ARRAY, INT), ARRAY),
    "keys": Function(list, (MAP,), ARRAY),
    "values": Function(lambda value: list(value.values()), (MAP,), ARRAY),
    "toPairs": Function(lambda value: [list(pair) for pair in value.items()], (MAP,), ARRAY),
    "fromPairs": Function(_from_pairs, (ARRAY,), MAP),
    "sort": Function(_sort, (ARRAY, STRING), ARRAY, 1),
    "sortBy": Function(_sort_by, (ARRAY, STRING, STRING), ARRAY, 1),
    "reverse": Function(lambda items: items[::-1], (ARRAY,), ARRAY),
    "uniq": Function(_unique, (ARRAY,), ARRAY),
    "concat": Function(_concat, (ARRAY,), ARRAY, more=True),
    "flatten": Function(_flatten, (ARRAY,), ARRAY),
    "asInt": Function(_as_int, (_WHOLE,), INT),
    "asFloat": Function(_as_float, (_WHOLE,), FLOAT),
    "isNaN": Function(math.isnan, (NUMBER,), BOOL),
    "isInf": Function(math.isinf, (NUMBER,), BOOL),
    "isNil": Function(lambda value: value is None, (ANY,), BOOL),
    "default": Function(lambda value, other: other if value is None else value, (ANY, ANY)),
}
"""All functions but `now`, which reads the clock of the evaluation, and those with predicates."""


def called(name: str, arguments: Sequence[Expression], position: int) -> Expression:
    """Return the call of a function.

    Raises:
        OperationError: it does not take such arguments.
    """
    function = FUNCTIONS[name]
    function.check(name, [each.kind for each in arguments])
    runs = [each.run for each in arguments]

    def call(frame: Frame) -> Any:
        given = [run(frame) for run in runs]
        function.check(name, [kind_of(each) for each in given])
        frame.spend(sum(len(each) for each in given if type(each) in (str, list)))
        try:
            return function.call(*given)
        except (ValueError, OverflowError, RecursionError) as error:
            raise OperationError(f"{name}: {error}") from None

    return Expression(call, function.returns, position, *size_of(*arguments))
