"""The functions with predicates: `all(result, # < 5)`. Pure.

Source: expr-lang, `compiler/compiler.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.analysis.conditions.errors import OperationError
from rollway.analysis.conditions.functions import FUNCTIONS
from rollway.analysis.conditions.texts import general
from rollway.analysis.conditions.values import ANY, ARRAY, BOOL, INT, MAP, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from rollway.analysis.conditions.expressions import Expression, Frame, Run

    Each: TypeAlias = "Iterator[tuple[int, Any, Any]]"

LOOPS: dict[str, tuple[str, str]] = {
    "all": (BOOL, BOOL),
    "none": (BOOL, BOOL),
    "any": (BOOL, BOOL),
    "one": (BOOL, BOOL),
    "filter": (BOOL, ARRAY),
    "map": (ANY, ARRAY),
    "count": (BOOL, INT),
    "sum": (ANY, ANY),
    "find": (BOOL, ANY),
    "findIndex": (BOOL, INT),
    "findLast": (BOOL, ANY),
    "findLastIndex": (BOOL, INT),
    "groupBy": (ANY, MAP),
    "sortBy": (ANY, ARRAY),
    "reduce": (ANY, ANY),
}
"""What the predicate of each function returns, and what the function does."""


def loop(name: str, items: Run, predicate: Expression, initial: Run | None) -> Run:
    """Return the function that takes an array through a predicate."""
    if name == "reduce":
        return _reduce(items, predicate, initial)
    backwards = name.startswith("findLast")
    finish = _FINISH[name]

    def run(frame: Frame) -> Any:
        return finish(_each(frame, name, items(frame), predicate, backwards=backwards))

    return run


def _each(frame: Frame, name: str, items: Any, predicate: Expression, *, backwards: bool) -> Each:
    """Yield index, item and the predicate's value of each item; what the outer loop has is put back at the end."""
    require(items, ARRAY, name)
    wanted = LOOPS[name][0]
    outer = frame.item, frame.index
    run, size = predicate.run, predicate.size
    indexes = range(len(items) - 1, -1, -1) if backwards else range(len(items))
    try:
        for index in indexes:
            frame.spend(size)
            frame.item, frame.index = items[index], index
            value = run(frame)
            if wanted is BOOL and type(value) is not bool:
                require(value, BOOL, f"the predicate of {name}")
            frame.item, frame.index = outer
            yield index, items[index], value
    finally:
        frame.item, frame.index = outer


def _reduce(items: Run, predicate: Expression, initial: Run | None) -> Run:
    def run(frame: Frame) -> Any:
        values = items(frame)
        require(values, ARRAY, "reduce")
        if initial is None and not values:
            raise OperationError("reduce of an empty array needs a first value")
        total, start = (values[0], 1) if initial is None else (initial(frame), 0)
        outer = frame.item, frame.index, frame.accumulated
        try:
            for index in range(start, len(values)):
                frame.spend(predicate.size)
                frame.item, frame.index, frame.accumulated = values[index], index, total
                total = predicate.run(frame)
        finally:
            frame.item, frame.index, frame.accumulated = outer
        return total

    return run


def _group(each: Each) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for _, item, key in each:
        groups.setdefault(key if type(key) is str else general(key), []).append(item)
    return groups


def _sum(each: Each) -> Any:
    return FUNCTIONS["sum"].call([value for _, _, value in each])


def _sort(each: Each) -> list[Any]:
    pairs = [{"key": value, "item": item} for _, item, value in each]
    return [pair["item"] for pair in FUNCTIONS["sortBy"].call(pairs, "key")]


_FINISH: dict[str, Callable[[Each], Any]] = {
    "all": lambda each: all(value for _, _, value in each),
    "none": lambda each: not any(value for _, _, value in each),
    "any": lambda each: any(value for _, _, value in each),
    "one": lambda each: sum(value for _, _, value in each) == 1,
    "filter": lambda each: [item for _, item, value in each if value],
    "map": lambda each: [value for _, _, value in each],
    "count": lambda each: sum(value for _, _, value in each),
    "sum": _sum,
    "find": lambda each: next((item for _, item, value in each if value), None),
    "findIndex": lambda each: next((index for index, _, value in each if value), -1),
    "findLast": lambda each: next((item for _, item, value in each if value), None),
    "findLastIndex": lambda each: next((index for index, _, value in each if value), -1),
    "groupBy": _group,
    "sortBy": _sort,
}
