"""How long ago something was, in the few characters of kubectl. Pure.

Source: apimachinery, `pkg/util/duration/duration.go` (`HumanDuration`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FORMS = (
    # (below so many seconds, the unit, its letter, the smaller unit beside it and its letter)
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * 365 * _DAY, _DAY, "d", 0, ""),
    (8 * 365 * _DAY, 365 * _DAY, "y", _DAY, "d"),
)


def short_duration(seconds: float) -> str:
    """Write a duration as kubectl does: `90s`, `5m30s`, `3h`, `2d4h`; clocks that differ by a second are forgiven."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    for limit, unit, letter, smaller, second in _FORMS:
        if whole < limit:
            rest = whole % unit // smaller if smaller else 0
            return f"{whole // unit}{letter}{f'{rest}{second}' if rest else ''}"
    return f"{whole // (365 * _DAY)}y"


def age(moment: datetime | None, now: datetime) -> str:
    """Write how long ago a moment was; empty where it is not known."""
    return short_duration((now - moment).total_seconds()) if moment else ""
