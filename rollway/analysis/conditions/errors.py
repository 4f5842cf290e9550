"""What is wrong with a condition, and where in it."""

from __future__ import annotations

from rollway.routers.errors import InvalidInputError

_SHOWN = 80
"""How many characters of a condition an error shows."""


class OperationError(Exception):
    """An operation that its values do not allow; the compiled expression adds the place."""


class ConditionError(InvalidInputError):
    """A condition that cannot be parsed or decided. `position` is the index of a character in its text."""

    def __init__(self, problem: str, source: str, position: int) -> None:
        self.problem = problem
        self.source = source
        self.position = min(max(position, 0), len(source))
        super().__init__(f"{problem}, at character {self.position + 1} of {_excerpt(source, self.position)}")


def _excerpt(source: str, position: int) -> str:
    """Return the condition, or the part of it around a position."""
    start = max(0, min(position - _SHOWN // 2, len(source) - _SHOWN))
    part = source[start : start + _SHOWN]
    before, after = "..." if start else "", "..." if start + _SHOWN < len(source) else ""
    return f"`{before}{part}{after}`"
