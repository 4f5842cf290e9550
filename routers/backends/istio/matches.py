"""The match blocks of an http route: what a header or mirror route adds to those of the route it narrows, and back.

Source: Istio, VirtualService, HTTPMatchRequest: the conditions of one block all hold, and the blocks are alternatives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.routers.errors import UnsupportedError
from rollway.routers.objects import duplicate
from rollway.routers.traffic import EVERY_PATH, RequestMatch, StringMatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollway.routers.objects import Manifest

KINDS = ("exact", "prefix", "regex")
IGNORED_HEADERS = frozenset({"uri", "scheme", "method", "authority"})
"""Istio ignores these names among the headers of a match, so a route that asks for one would match everything."""


def narrowed(blocks: Sequence[Manifest], matches: Sequence[RequestMatch]) -> list[Manifest]:
    """Return the blocks of a route that is to take only those of the requests that fulfil one of the matches.

    For each block, in order, there is one for each match. No blocks at all means every request.

    Raises:
        UnsupportedError: one block cannot hold the conditions of both.
    """
    product = [_narrowed(block, match) for block in blocks or [{}] for match in matches]
    return [] if product == [{}] else product


def added(blocks: Sequence[Manifest], base: Sequence[Manifest]) -> tuple[RequestMatch, ...] | None:
    """Return the matches that narrow the blocks of `base` to these; None where nothing of that kind does.

    A condition of a match that the base has anyway is not among them.
    """
    blocks, base = blocks or [{}], base or [{}]
    count, rest = divmod(len(blocks), len(base))
    if rest:
        return None
    for start, block in enumerate(base):
        group = [_added(narrow, block) for narrow in blocks[start * count : (start + 1) * count]]
        matches = tuple(match for match in group if match)
        if len(matches) == count and _is_product(blocks, base, matches):
            return matches
    return None


def _is_product(
    blocks: Sequence[Manifest], base: Sequence[Manifest], matches: Sequence[RequestMatch]
) -> bool:
    try:
        return (narrowed(base, matches) or [{}]) == blocks
    except UnsupportedError:
        return False


def _narrowed(block: Manifest, match: RequestMatch) -> Manifest:
    """Return a block with the conditions of a match as well.

    Raises:
        UnsupportedError: it has a condition on the same header, path or method that does not contain the match's.
    """
    wanted: Manifest = duplicate(block)
    for name, condition in match.headers:
        headers = wanted.setdefault("headers", {})
        present = next((key for key in headers if key.lower() == name.lower()), name)
        if name.lower() in IGNORED_HEADERS:
            raise UnsupportedError(
                f"Istio ignores a header that is named {name}", hint="match another header"
            )
        absent = {key.lower(): value for key, value in (block.get("withoutHeaders") or {}).items()}
        if name.lower() in absent and _contains(absent[name.lower()], condition):
            raise UnsupportedError(
                f"the route it narrows excludes requests with header {name}, {_shown(condition)}"
            )
        both = _both(f"header {name}", headers.get(present, {}), condition)
        if both == headers.get(present):
            # Only what a block has beside its base shows which conditions are ours.
            raise UnsupportedError(
                f"the route it narrows asks for header {name} already, which {_shown(condition)} does not narrow"
            )
        headers[present] = both
    if match.path and match.path != EVERY_PATH:
        if block.get("ignoreUriCase"):
            raise UnsupportedError("the route it narrows ignores the case of the path, and a match cannot")
        wanted["uri"] = _both("path", block.get("uri", {}), match.path)
    if match.method:
        wanted["method"] = _both("method", block.get("method", {}), match.method)
    return wanted


def _both(what: str, present: Any, condition: StringMatch) -> Manifest:
    """Return the narrower of two conditions on the same thing."""
    if condition.kind != "exact" and not condition.value:
        raise UnsupportedError(f"{what}: Envoy takes no empty {condition.kind}")
    if _contains(present, condition):
        return _written(condition)
    known = _read(present)
    if known and _contains(_written(condition), known):
        return dict(present)
    raise UnsupportedError(
        f"{what}: one match block cannot hold both {_shown(condition)} and that of the route it narrows ({present})",
        hint="ask for something that the condition of the route contains",
    )


def _contains(wide: Any, narrow: StringMatch) -> bool:
    """Return whether a condition as Istio writes it certainly holds for all that fulfils another one."""
    if wide in ({}, None) or wide == {"regex": "*"}:
        return True  # any value, as long as there is one
    known = _read(wide)
    if known is None or known == narrow:
        return known is not None
    return known.kind == "prefix" and narrow.kind != "regex" and narrow.value.startswith(known.value)


def _shown(condition: StringMatch) -> str:
    return f"{condition.kind} {condition.value!r}"


def _written(condition: StringMatch) -> dict[str, str]:
    return {condition.kind: condition.value}


def _read(value: Any) -> StringMatch | None:
    """Read a StringMatch of Istio; None where it is none, or asks only for presence."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((kind, text),) = value.items()
    return StringMatch(kind, text) if kind in KINDS and isinstance(text, str) else None


def _added(block: Mapping[str, Any], base: Mapping[str, Any]) -> RequestMatch | None:
    """Return the conditions that a block has beside those of its base; None where it cannot come from it."""
    headers, known = block.get("headers") or {}, base.get("headers") or {}
    if not isinstance(headers, dict) or not isinstance(known, dict) or known.keys() - headers.keys():
        return None
    own = {name: _read(value) for name, value in headers.items() if value != known.get(name)}
    singles: dict[str, StringMatch | None] = {}
    for key in ("uri", "method"):
        if block.get(key) != base.get(key):
            singles[key] = _read(block.get(key))
    others = [
        {key: value for key, value in item.items() if key not in ("headers", "uri", "method")}
        for item in (block, base)
    ]
    if others[0] != others[1] or None in own.values() or None in singles.values():
        return None
    conditions = tuple((name, value) for name, value in own.items() if value)
    return RequestMatch(conditions, singles.get("uri"), singles.get("method"))
