"""Spare the garbage collector: a command lives for a moment.

It is imported before everything else, because most of what a command does is importing: collecting meanwhile would
cost a tenth of its time, and as much again at the end.
"""

from __future__ import annotations

import gc

gc.set_threshold(200_000, 20, 20)


def leave_all() -> None:
    """Leave what there is to the end of the process, which then has nothing to look through."""
    gc.freeze()
