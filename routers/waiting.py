"""Look again and again while time is left: the one loop behind everything that the library waits for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def looks_within(timeout: float, every: float, *, longest: float = 0) -> Iterator[float]:
    """Yield the seconds that are left, for one look each time, until `timeout` seconds are over.

    The last look comes when none are left (0), so there is always one. `every` is the pause between two looks in seconds;
    with `longest` it doubles each time, up to that.
    """
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        yield left
        time.sleep(min(every, left))
        if longest:
            every = min(every * 2, longest)
    yield 0.0
