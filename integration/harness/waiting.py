"""Wait for what happens elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def until(reached: Callable[[], object], what: str, seconds: float = 30) -> float:
    """Wait until something is true and return how many seconds that took."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        if reached():
            return time.monotonic() - begin
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")
