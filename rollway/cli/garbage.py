"""Spare the garbage collector: a command lives for a moment.

It is imported before everything else, because most of what a command does is importing: collecting meanwhile would
cost a tenth of its time.
"""

import gc

gc.set_threshold(200_000, 20, 20)
