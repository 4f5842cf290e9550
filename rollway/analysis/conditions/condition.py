"""Conditions of metrics, and times of queries: an expression with what it must return. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rollway.analysis.conditions.compiling import compile_expression
from rollway.analysis.conditions.errors import ConditionError, OperationError
from rollway.analysis.conditions.expressions import Frame
from rollway.analysis.conditions.values import ANY, BOOL, TIME, fits, kind_of

if TYPE_CHECKING:
    from rollway.analysis.conditions.expressions import Run


class _Expression:
    """An expression that was parsed once; see `docs/analysis.md` for its language.

    Raises:
        ConditionError: it has a fault that shows without a value; the error has the place.
    """

    _names: tuple[str, ...] = ()
    _wanted = ""

    def __init__(self, source: str) -> None:
        self.source = source
        self._runs = {ANY: self._compile(ANY)}

    def _compile(self, kind: str) -> Run:
        """Compile the expression for results of a kind."""
        made = compile_expression(self.source, names=dict.fromkeys(self._names, kind))
        if not fits(made.kind, self._wanted):
            raise ConditionError(f"the expression is {made.kind}, not {self._wanted}", self.source, 0)
        return made.run

    def _run(self, result: Any) -> Run:
        """Return what decides a result: as in Argo Rollouts, its kind is known, and a nil may be anything."""
        kind = ANY if result is None else kind_of(result)
        if kind not in self._runs:
            self._runs[kind] = self._compile(kind)
        return self._runs[kind]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r})"

    def _evaluate(self, result: Any, now: datetime) -> Any:
        try:
            value = self._run(result)(Frame(result, now))
        except OperationError as error:
            raise ConditionError(str(error), self.source, 0) from None
        except RecursionError:
            raise ConditionError("the value is too deep", self.source, 0) from None
        if kind_of(value) != self._wanted:
            raise ConditionError(f"the expression is {kind_of(value)}, not {self._wanted}", self.source, 0)
        return value


class Condition(_Expression):
    """A condition on the `result` of a measurement."""

    _names = ("result",)
    _wanted = BOOL

    def holds(self, result: Any, now: datetime) -> bool:
        """Decide the condition for a result: None, bool, float, str, or lists and maps of them.

        Raises:
            ConditionError: it cannot be decided for this result; the error has the place.
        """
        return bool(self._evaluate(result, now))


class TimeExpression(_Expression):
    """The start or end of a range query, like `now() - duration("5m")`."""

    _wanted = TIME

    def time(self, now: datetime) -> datetime:
        """Return the time that it stands for.

        Raises:
            ConditionError: it cannot be computed; the error has the place.
        """
        value = self._evaluate(None, now)
        assert isinstance(value, datetime), "the kind was checked"
        return value
