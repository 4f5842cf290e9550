"""Move a weight step by step, from whatever is live: which weights come, and how one step is taken."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Unpack

from rollway.routers.errors import RefusedError, RollwayError, StalePlanError, WeightError
from rollway.routers.weights import parse_weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.routers.applying import Result
    from rollway.routers.router import TrafficRouter, WriteOptions

PATIENCE_S = 120.0
"""How long a step waits for an API server that does not answer, unless told otherwise."""


def weights(start: int | str, end: int | str, step: int | str, total: int, live: int) -> list[int]:
    """Return the weights that are still to come, the last one included; `live` is the weight now.

    Raises:
        WeightError: a weight cannot be read, or the step is 0.
        RefusedError: the live weight is beyond the end already.
    """
    first, last, size = (parse_weight(word, total) for word in (start, end, step))
    if not size:
        raise WeightError(f"a step of {step} of {total} never ends", hint="give --step at least 1")
    sign = 1 if last >= first else -1
    if (live - last) * sign > 0:
        raise RefusedError(
            f"the canary has {live} of {total} already, which is beyond {last}",
            hint=f"ramp from there ({live}..{last}), or set the weight at once",
        )
    planned = [*range(first, last, size * sign), last]
    # A ramp that stopped goes on: what is reached is not set again, except the weight that it ends at.
    return [weight for weight in planned if (weight - live) * sign > 0] or [last]


@dataclass
class Ramp:
    """Take the steps of one ramp.

    A step that fails because the API server does not answer is tried again for `patience` seconds; `waiting` is told
    why. A weight that somebody else set in the meantime ends the ramp.
    """

    router: TrafficRouter
    live: int
    patience: float = PATIENCE_S
    waiting: Callable[[str], None] = field(default=lambda _reason: None)
    _reached: set[int] = field(default_factory=set)

    def advance(self, weight: int, **options: Unpack[WriteOptions]) -> Result:
        """Set the next weight.

        Raises:
            StalePlanError: the weight is no longer the one that this ramp left.
            RollwayError: anything that `set_weight` raises, and that waiting does not mend.
        """
        self._reached = {self.live}
        return self._take(weight, check=True, **options)

    def back(self) -> Result:
        """Send all traffic to stable, whatever the weight is now.

        Raises:
            RollwayError: anything that `set_weight` raises, and that waiting does not mend.
        """
        return self._take(0, check=False)

    def _take(self, weight: int, *, check: bool, **options: Unpack[WriteOptions]) -> Result:
        deadline = time.monotonic() + self.patience
        pause = 0.2
        while True:
            try:
                if check:
                    self._refuse_foreign()
                # From here on the write may have been stored, whatever becomes of its answer.
                self._reached.add(weight)
                result = self.router.set_weight(weight, **options)
            except RollwayError as error:
                if not error.retryable or time.monotonic() > deadline:
                    raise
                self.waiting(error.message)
                time.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                self.live = weight
                return result

    def _refuse_foreign(self) -> None:
        traffic = self.router.observe().traffic
        if traffic is not None and traffic.split.canary not in self._reached:
            raise StalePlanError(
                f"{self.router.rollout.ref}: the canary has {traffic.split.canary} of {traffic.split.total} now, and this ramp "
                f"left it at {self.live}: somebody else set it",
                hint="run the ramp again from there if that is what is wanted",
            )
