"""A clock that only moves from one event to the next."""

from __future__ import annotations

import heapq
import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_EVENTS = 5_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualClock:
    """Events in the order of their times; those of one time in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now = BEGIN
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._count = itertools.count()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return (self.now - BEGIN).total_seconds()

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Let an event happen after so many seconds."""
        self.at(self.now + timedelta(seconds=max(seconds, 0)), event)

    def at(self, when: datetime, event: Callable[[], None]) -> None:
        """Let an event happen at a time; one that is over means now."""
        heapq.heappush(self._events, (max(when, self.now), next(self._count), event))

    def run(self, seconds: float) -> int:
        """Let everything happen that does within so many seconds from now; return how many events that were."""
        end, count = self.now + timedelta(seconds=seconds), 0
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
            count += 1
            if count > MOST_EVENTS:
                raise AssertionError(f"{count} events in {seconds} s: a hot loop")
        self.now = end
        return count
