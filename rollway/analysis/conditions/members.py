"""The methods of times and durations. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.analysis.conditions.errors import OperationError
from rollway.analysis.conditions.expressions import Expression, size_of
from rollway.analysis.conditions.times import DURATION_METHODS, TIME_COMPARISONS, TIME_METHODS
from rollway.analysis.conditions.values import BOOL, DURATION, FLOAT, INT, TIME, fits, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.analysis.conditions.expressions import Frame, Run


def method(name: str, base: Expression, arguments: Sequence[Expression], position: int) -> Expression:
    """Return the call of a method of a time or a duration.

    Raises:
        OperationError: there is none of that name, or it takes other arguments.
    """
    for methods, kind, returns in ((TIME_METHODS, TIME, INT), (DURATION_METHODS, DURATION, FLOAT)):
        if name in methods:
            _check(name, base, kind, arguments, 0)
            call, run = methods[name], base.run

            def alone(frame: Frame, kind: str = kind, call: Any = call, run: Run = run) -> Any:
                value = run(frame)
                require(value, kind, name)
                return call(value)

            return Expression(alone, returns, position, *size_of(base))
    if name not in TIME_COMPARISONS:
        raise OperationError(f"unknown method `{name}`")
    _check(name, base, TIME, arguments, 1)
    compare, left, right = TIME_COMPARISONS[name], base.run, arguments[0].run

    def compared(frame: Frame) -> bool:
        one, other = left(frame), right(frame)
        require(one, TIME, name)
        require(other, TIME, name)
        return compare(one, other)

    return Expression(compared, BOOL, position, *size_of(base, arguments[0]))


def _check(name: str, base: Expression, kind: str, arguments: Sequence[Expression], count: int) -> None:
    if not fits(base.kind, kind):
        raise OperationError(f"{base.kind} has no method `{name}`")
    if len(arguments) != count:
        raise OperationError(f"{name} takes {count} arguments, got {len(arguments)}")
