"""Where a release can be waited for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.releases.phase import DEGRADED, HEALTHY, PAUSED, PROGRESSING, Phase, is_observed, phase_of
from rollway.releases.position import position_of
from rollway.routers.errors import InvalidInputError

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

_PHASES = {phase.lower(): phase for phase in (HEALTHY, PAUSED, DEGRADED, PROGRESSING)}
GOALS = (*_PHASES, "step=")
"""The words of all goals; behind `step=` stands a number."""


class Goal(NamedTuple):
    """A phase, or the number of steps that are done."""

    phase: str = ""
    step: int = 0

    def __str__(self) -> str:
        return self.phase or f"step {self.step}"

    def is_reached(self, rollout: Manifest) -> bool:
        """Return whether a Rollout is there.

        Raises:
            InvalidInputError: it has fewer steps.
        """
        if self.phase:
            return phase_of(rollout).name == self.phase
        position = position_of(rollout)
        count = position.count if position else 0
        if self.step > count or position is None:
            has = f"has {count} steps" if count else "has no steps"
            raise InvalidInputError(
                f"Rollout {rollout['metadata']['name']} {has}, so it never reaches step {self.step}"
            )
        return is_observed(rollout) and position.index >= self.step

    def is_out_of_reach(self, phase: Phase) -> bool:
        """Return whether a release of this phase does not get there unless somebody acts."""
        return phase.name == DEGRADED != self.phase


def goal_of(word: str) -> Goal:
    """Read `healthy`, `paused`, `degraded`, `progressing`, or `step=N`: N steps are done, as `get` shows them.

    Raises:
        InvalidInputError: it is none of them.
    """
    kind, equals, number = word.partition("=")
    if equals and kind == "step" and number.isdecimal():
        return Goal(step=int(number))
    if word.lower() in _PHASES:
        return Goal(_PHASES[word.lower()])
    raise InvalidInputError(f"{word!r} is nothing to wait for", hint=f"give {', '.join(_PHASES)} or step=N")
