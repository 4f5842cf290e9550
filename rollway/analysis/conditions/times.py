"""Times and durations of expressions, and the layouts with which Go reads them. Pure.

Source: Go, package `time`: a layout is how the moment 2006-01-02 15:04:05 -0700 MST (a Monday) would be written. Times
are read to the microsecond.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rollway.analysis.conditions.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKENS = {
    "2006": "%Y",
    "January": "%B",
    "Jan": "%b",
    "Monday": "%A",
    "Mon": "%a",
    "MST": "%Z",
    "Z07:00": "%z",
    "-07:00": "%z",
    "-0700": "%z",
    ".000000": ".%f",
    ".000": ".%f",
    "01": "%m",
    "02": "%d",
    "03": "%I",
    "04": "%M",
    "05": "%S",
    "06": "%y",
    "15": "%H",
    "PM": "%p",
    "_2": "%d",
    "1": "%m",
    "2": "%d",
    "3": "%I",
    "4": "%M",
    "5": "%S",
}
_TOKEN = re.compile("|".join(map(re.escape, _TOKENS)))
_LAYOUTS = (
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
)
_LONGEST = 64


def parse_duration(text: str) -> timedelta:
    """Read a duration as Go writes it: `1h30m`, `-5s`.

    Raises:
        OperationError: it is none.
    """
    import durationpy  # noqa: PLC0415 - few expressions need it

    try:
        return durationpy.from_str(text)
    except (durationpy.DurationError, ValueError, OverflowError):
        raise OperationError(f"{text!r} is no duration; 1h30m, for example, is one") from None


def parse_date(text: str, layout: str = "", zone: str = "") -> datetime:
    """Read a date with a layout of Go, or with one of those that are tried without it; UTC unless it has a zone.

    Raises:
        OperationError: it is none, or there is no such zone.
    """
    place = _zone(zone) if zone else UTC
    for each in (layout,) if layout else _LAYOUTS:
        read = _read(text, each)
        if read is not None:
            return read if read.tzinfo else read.replace(tzinfo=place)
    wanted = f"in the layout {layout!r}" if layout else "in a known layout"
    raise OperationError(f"{text!r} is no date {wanted}")


def _read(text: str, layout: str) -> datetime | None:
    if len(text) > _LONGEST or len(layout) > _LONGEST:
        return None
    pattern = "".join(
        _TOKENS.get(part, part.replace("%", "%%")) for part in re.split(f"({_TOKEN.pattern})", layout)
    )
    patterns = [pattern.replace("%S", "%S.%f")] if "%S" in pattern and "%f" not in pattern else []
    for each in (pattern, *patterns):
        try:
            read = datetime.strptime(text, each)  # noqa: DTZ007 - the zone is set by the caller
        except (ValueError, re.error):
            continue
        return read if "%Y" in pattern or "%y" in pattern else read.replace(year=1)
    return None


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - few expressions need it

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise OperationError(f"there is no time zone {name!r}") from None


TIME_METHODS: dict[str, Callable[[datetime], Any]] = {
    "Year": lambda time: time.year,
    "Month": lambda time: time.month,
    "Day": lambda time: time.day,
    "Hour": lambda time: time.hour,
    "Minute": lambda time: time.minute,
    "Second": lambda time: time.second,
    "Unix": lambda time: int(time.timestamp()),
    "Weekday": lambda time: time.isoweekday() % 7,
}
"""The methods of a time that take nothing."""

DURATION_METHODS: dict[str, Callable[[timedelta], Any]] = {
    "Hours": lambda span: span / timedelta(hours=1),
    "Minutes": lambda span: span / timedelta(minutes=1),
    "Seconds": lambda span: span.total_seconds(),
}
"""The methods of a duration."""

TIME_COMPARISONS: dict[str, Callable[[datetime, datetime], bool]] = {
    "Before": lambda time, other: time < other,
    "After": lambda time, other: time > other,
    "Equal": lambda time, other: time == other,
}
"""The methods of a time that take another one."""
