"""Keys that wait for a worker: each once, never with two workers at a time, some only later."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Key = TypeVar("Key", bound="Hashable")
_BACKOFF_S = (0.01, 10.0)
_FAIR = 4
"""One of so many keys is taken from those that are not urgent, so that they come as well."""


class WorkQueue(Generic[Key]):
    """A queue without duplicates; safe to use from many threads. `clock` returns seconds.

    A key that is added while a worker has it comes again afterwards. One that fails waits longer each time. Urgent keys come
    before the others, three times of four.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: dict[Key, None] = {}
        self._urgent: dict[Key, None] = {}
        self._turns = itertools.count(1)
        self._taken: set[Key] = set()
        # Whether it is urgent then.
        self._again: dict[Key, bool] = {}
        self._later: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready) + len(self._urgent)

    def add(self, key: Key, *, urgent: bool = False) -> None:
        """Let a worker take a key as soon as one is free."""
        with self._changed:
            self._add(key, urgent=urgent)

    def _add(self, key: Key, *, urgent: bool = False) -> None:
        if key in self._taken:
            self._again[key] = urgent or self._again.get(key, False)
        elif key not in self._urgent and (urgent or key not in self._ready):
            self._ready.pop(key, None)
            (self._urgent if urgent else self._ready)[key] = None
            self._changed.notify()

    def add_after(self, key: Key, seconds: float) -> None:
        """Add a key after so many seconds; of several times the first one counts."""
        due = self._clock() + max(seconds, 0)
        with self._changed:
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._later, (due, next(self._numbers), key))
                self._changed.notify()

    def fail(self, key: Key) -> None:
        """Add a key again after a pause, which doubles with each failure."""
        with self._changed:
            count = self._failures.get(key, 0)
            self._failures[key] = count + 1
        self.add_after(key, min(_BACKOFF_S[0] * 2 ** min(count, 20), _BACKOFF_S[1]))

    def succeed(self, key: Key) -> None:
        """Forget the failures of a key."""
        with self._changed:
            self._failures.pop(key, None)

    def take(self) -> Key | None:
        """Wait for a key and take it; None when the queue is closed."""
        with self._changed:
            while not self._closed:
                wait = self._take_due()
                if self._ready or self._urgent:
                    fair = self._ready and not next(self._turns) % _FAIR
                    keys = self._ready if fair or not self._urgent else self._urgent
                    key = next(iter(keys))
                    del keys[key]
                    self._taken.add(key)
                    return key
                self._changed.wait(wait)
        return None

    def _take_due(self) -> float | None:
        """Move what is due to the ready ones; return the seconds until the next one."""
        now = self._clock()
        while self._later:
            due, _, key = self._later[0]
            if due > now:
                return due - now
            heapq.heappop(self._later)
            if self._due.get(key) == due:
                del self._due[key]
                self._add(key)
        return None

    def done(self, key: Key) -> None:
        """Give a key back."""
        with self._changed:
            self._taken.discard(key)
            if key in self._again:
                self._add(key, urgent=self._again.pop(key))

    def close(self) -> None:
        """Let every worker end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
