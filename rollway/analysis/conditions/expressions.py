"""Compiled expressions: a tree of functions, each with what is known of it before it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rollway.analysis.conditions.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

STEPS = 1_000_000
"""How many steps one evaluation may take: operations in loops, items of ranges, characters of texts."""


class Frame:
    """The values while one expression is evaluated; `item`, `index` and `accumulated` are those of the innermost loop."""

    __slots__ = ("accumulated", "index", "item", "now", "result", "steps", "variables")

    def __init__(self, result: Any, now: datetime) -> None:
        self.result = result
        self.now = now
        self.steps = STEPS
        self.variables: dict[str, Any] = {}
        self.item: Any = None
        self.index = 0
        self.accumulated: Any = None

    def spend(self, steps: int) -> None:
        """Raise OperationError when the evaluation has taken too many steps."""
        self.steps -= steps
        if self.steps < 0:
            raise OperationError(f"the expression takes more than {STEPS} steps")


Run: TypeAlias = "Callable[[Frame], Any]"


class Expression(NamedTuple):
    """One compiled expression: its function, the kind of its value, its place, and how large and deep it is."""

    run: Run
    kind: str
    position: int
    size: int = 1
    depth: int = 1


def size_of(*parts: Expression) -> tuple[int, int]:
    """Return size and depth of an expression that has these parts."""
    return 1 + sum(part.size for part in parts), 1 + max((part.depth for part in parts), default=0)
