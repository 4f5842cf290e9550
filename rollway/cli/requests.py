"""The options that say which requests a header or mirror route takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from rollway.cli.parameters import Options, option
from rollway.routers.traffic import RequestMatch, StringMatch

if TYPE_CHECKING:
    from rollway.routers.traffic import MatchKind

MATCH = "Requests"
_HEADER = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*"
"""A header field as HTTP writes it (RFC 9110, 5.1 and 5.5)."""


def _header_option(spelling: str, what: str) -> tuple[str, ...]:
    words: tuple[str, ...] = option(spelling, heading=MATCH, metavar="HEADER", multiple=True, help=what)
    return words


class MatchOptions(Options):
    """Which requests a route takes: those that fulfil all of the conditions."""

    header: tuple[str, ...] = _header_option(
        "--header", "Requests with this header, as in 'X-Beta: 1' (repeatable; all conditions have to hold)."
    )
    header_prefix: tuple[str, ...] = _header_option(
        "--header-prefix", "Requests whose header begins like this: 'X-Version: v2.' (repeatable)."
    )
    header_regex: tuple[str, ...] = _header_option(
        "--header-regex",
        "Requests whose whole header matches a regular expression (RE2): 'X-User: (ann|bob)'.",
    )
    path: str | None = option("--path", heading=MATCH, metavar="PATH", help="Requests for this path.")
    path_prefix: str | None = option(
        "--path-prefix", heading=MATCH, metavar="PATH", help="Requests for paths that begin like this."
    )
    path_regex: str | None = option(
        "--path-regex", heading=MATCH, metavar="REGEX", help="Requests whose whole path matches (RE2)."
    )
    method: str | None = option("--method", heading=MATCH, help="Requests with this method: GET, POST.")

    def match(self) -> RequestMatch:
        """Return the conditions.

        Raises:
            click.UsageError: a header cannot be read, or the path is given twice.
        """
        given: dict[MatchKind, tuple[str, ...]] = {
            "exact": self.header,
            "prefix": self.header_prefix,
            "regex": self.header_regex,
        }
        headers = tuple(header_condition(text, kind) for kind, texts in given.items() for text in texts)
        words: dict[MatchKind, str | None] = {
            "exact": self.path,
            "prefix": self.path_prefix,
            "regex": self.path_regex,
        }
        paths = [StringMatch(kind, text) for kind, text in words.items() if text is not None]
        if len(paths) > 1:
            raise click.UsageError("give one of --path, --path-prefix and --path-regex")
        method = StringMatch("exact", self.method) if self.method is not None else None
        return RequestMatch(headers, paths[0] if paths else None, method)


def header_condition(text: str, kind: MatchKind) -> tuple[str, StringMatch]:
    """Read `X-Beta: 1`.

    Raises:
        click.UsageError: it is no header with a value.
    """
    parts = re.fullmatch(_HEADER, text)
    if not parts or not parts[2]:
        raise click.UsageError(f"{text!r} is no header: give it as 'X-Beta: 1'")
    return parts[1], StringMatch(kind, parts[2])
