"""Narrow the matches of a rule by conditions of ours, and find those conditions again.

Source: Gateway API v1.4, `HTTPRouteMatch` and `GRPCRouteMatch`. A match with more header conditions goes before one with
fewer, so a rule that is narrowed by a header gets the requests of the rule that it was made from. What the API server
fills in by default is written out, so that a rule reads back as it was written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from rollway.routers.errors import UnsupportedError
from rollway.routers.objects import dig, duplicate
from rollway.routers.traffic import RequestMatch, StringMatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.objects import Manifest

EXACT, PREFIX, REGEX = "Exact", "PathPrefix", "RegularExpression"
EVERY_PATH = {"type": PREFIX, "value": "/"}


class Narrowing:
    """The matches of one rule, narrowed by the conditions of a header or mirror route.

    `subject` is how errors name the route.
    """

    def __init__(self, kind: str, rule: Manifest, subject: str) -> None:
        self._is_http = kind == "HTTPRoute"
        self._subject = subject
        self._base = base_matches(kind, rule)

    def by(self, matches: Sequence[RequestMatch]) -> list[Manifest]:
        """Return each match of the rule with each of some conditions added; without those that no request fulfils.

        Raises:
            UnsupportedError: the two cannot be joined into one match.
        """
        narrowed: list[Manifest] = []
        for base in self._base:
            for match in matches:
                joined = self._joined(base, match)
                if joined is not None and joined not in narrowed:
                    narrowed.append(joined)
        return narrowed

    def _joined(self, base: Manifest, match: RequestMatch) -> Manifest | None:
        joined: Manifest = duplicate(base)
        if match.headers:
            joined["headers"] = [*(base.get("headers") or []), *self._headers(base, match)]
        if not self._is_http:
            if match.path or match.method:
                self._refuse(
                    "a GRPCRoute matches by service and method, so a path or an HTTP method cannot be added"
                )
            return joined
        path = self._path(base.get("path") or EVERY_PATH, match.path)
        method = self._method(base.get("method"), match.method)
        if path is None or method is None:
            return None
        joined["path"] = path
        return {**joined, "method": method} if method else joined

    def _headers(self, base: Manifest, match: RequestMatch) -> Iterator[Manifest]:
        known = {str(dig(entry, "name")).lower() for entry in base.get("headers") or []}
        for name, value in match.headers:
            if name.lower() in known:
                self._refuse(
                    f"the rule matches header {name} already, and Gateway API takes each header once in a match"
                )
            if value.kind == "exact" and not value.value:
                self._refuse(f"header {name} cannot be compared with an empty value")
            yield {
                "type": EXACT if value.kind == "exact" else REGEX,
                "name": name,
                "value": header_value(value),
            }

    def _path(self, base: Manifest, wanted: StringMatch | None) -> Manifest | None:
        """Return the path that both the rule and the route match; None where there is none."""
        kind, value = base.get("type") or PREFIX, base.get("value") or "/"
        path: Manifest | None = {"type": kind, "value": value}
        if wanted is None:
            return path
        if kind == EXACT and wanted.kind != "regex":
            fits = value == wanted.value if wanted.kind == "exact" else value.startswith(wanted.value)
            path = path if fits else None
        elif kind == PREFIX and wanted.kind == "exact":
            path = {"type": EXACT, "value": wanted.value} if _is_below(wanted.value, value) else None
        elif (kind, value, wanted.kind) == (PREFIX, "/", "regex"):
            path = {"type": REGEX, "value": wanted.value}
        elif kind != PREFIX or wanted.kind != "prefix" or not value.startswith(wanted.value):
            self._refuse(f"path {wanted} cannot be joined with the path of the rule ({kind} {value})")
        return path

    def _method(self, base: str | None, wanted: StringMatch | None) -> str | None:
        """Return the method that both match: empty for any, None where there is none."""
        if wanted is None:
            return base or ""
        if wanted.kind != "exact":
            self._refuse(f"method {wanted} is not exact, and Gateway API compares methods exactly")
        return wanted.value if base in (None, wanted.value) else None

    def _refuse(self, reason: str) -> NoReturn:
        raise UnsupportedError(
            f"{self._subject}: {reason}",
            hint="give conditions that the rule does not have yet, headers above all",
        )


def base_matches(kind: str, rule: Manifest) -> list[Manifest]:
    """Return the matches of a rule; without any it matches every request."""
    matches = rule.get("matches")
    listed = [match for match in matches if isinstance(match, dict)] if isinstance(matches, list) else []
    return listed or [{"path": EVERY_PATH} if kind == "HTTPRoute" else {}]


def conditions(kind: str, rule: Manifest, narrowed: Manifest) -> list[RequestMatch]:
    """Return the conditions that made one rule's matches out of another's: the inverse of `Narrowing.by`."""
    base, made = base_matches(kind, rule), base_matches(kind, narrowed)
    count, rest = divmod(len(made), len(base))
    if not rest:
        block = [_added(base[0], match) for match in made[:count]]
        found = [match for match in block if match is not None]
        if len(found) == count and _gives(kind, rule, found, made):
            return found
    # The rule has changed since: what every match has beside the one that it was most likely made from.
    by_headers = sorted(base, key=lambda match: -len(match.get("headers") or []))
    remains = (
        next(
            (added for match in by_headers if (added := _added(match, narrowed_match)) is not None),
            RequestMatch(),
        )
        for narrowed_match in made
    )
    return list(dict.fromkeys(remains))


def _gives(kind: str, rule: Manifest, found: list[RequestMatch], made: list[Manifest]) -> bool:
    try:
        return Narrowing(kind, rule, "").by(found) == made
    except UnsupportedError:
        return False


def _added(base: Manifest, narrowed: Manifest) -> RequestMatch | None:
    """Return what one match has beside another; None when it lacks a header of that."""
    had = {str(dig(entry, "name")).lower() for entry in base.get("headers") or []}
    has = {str(dig(entry, "name")).lower(): entry for entry in narrowed.get("headers") or []}
    if not had <= has.keys():
        return None
    headers = [(str(entry["name"]), _string_match(entry)) for name, entry in has.items() if name not in had]
    path, method = narrowed.get("path") or EVERY_PATH, narrowed.get("method")
    kind = path.get("type")
    same = path == (base.get("path") or EVERY_PATH) or kind in (
        None,
        PREFIX,
        (base.get("path") or EVERY_PATH).get("type"),
    )
    return RequestMatch(
        tuple(sorted(headers, key=lambda header: header[0].lower())),
        None if same else StringMatch("exact" if kind == EXACT else "regex", str(path.get("value"))),
        None if not isinstance(method, str) or method == base.get("method") else StringMatch("exact", method),
    )


def header_value(value: StringMatch) -> str:
    """Write what a header is compared with; a pattern is anchored, since not every implementation compares the whole value."""
    if value.kind == "exact":
        return value.value
    return f"^{re.escape(value.value)}.*$" if value.kind == "prefix" else f"^(?:{value.value})$"


def _string_match(entry: Any) -> StringMatch:
    """Read a header condition: the inverse of `header_value`; a pattern of another form is a regex as it is."""
    value = str(dig(entry, "value"))
    if dig(entry, "type") != REGEX:
        return StringMatch("exact", value)
    if value.startswith("^(?:") and value.endswith(")$"):
        return StringMatch("regex", value[4:-2])
    literal = re.sub(r"\\(.)", r"\1", value[1:-3])
    if f"^{re.escape(literal)}.*$" == value:
        return StringMatch("prefix", literal)
    return StringMatch("regex", value)


def _is_below(path: str, prefix: str) -> bool:
    """Return whether a path is matched by a PathPrefix, which compares whole segments."""
    stem = prefix.rstrip("/")
    return path == stem or path.startswith(f"{stem}/")
