"""How the command line reads a time."""

from __future__ import annotations

from typing import Any

import click


class Duration(click.ParamType[float]):
    """A time like `30s`, `5m` or `1h30m`, as Go writes it, or a number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, int | float):
            return float(value)
        import durationpy  # noqa: PLC0415 - the defaults are numbers, so most calls do not need it

        try:
            seconds = float(value) if value.isdigit() else durationpy.from_str(value).total_seconds()
        except (durationpy.DurationError, ValueError):
            self.fail(f"{value!r} is not a time like 30s, 5m or 1h30m", param, ctx)
        if seconds < 0:
            self.fail(f"{value!r} is negative", param, ctx)
        return float(seconds)


DURATION = Duration()
