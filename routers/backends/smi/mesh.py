"""What a mesh makes of a TrafficSplit: which Services a request of a client reaches, and with which shares.

Follows the specification (apis/traffic-split, v1alpha4) and `pkg/provider/rule.go` of traefik/mesh v1.4.8, in our own words.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.backends.patterns import compiled
from rollway.routers.backends.smi.split import backends_of
from rollway.routers.backends.smi.versions import ROUTE_GROUP, SPECS_GROUP
from rollway.routers.objects import ObjectRef, dig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.routers.objects import Live


class Request(NamedTuple):
    """A request of a client: its headers, the names in lower case, its path, and its method."""

    headers: Mapping[str, str]
    path: str = "/"
    method: str = "GET"


class Mesh(NamedTuple):
    """One way to read a TrafficSplit; what the specification leaves open is a field."""

    acts_on_matches: bool = True
    searches: bool = True
    """Whether a pattern may match a part of a value, or has to match the whole of it."""
    absent_is_empty: bool = False
    """Whether a header that is not there is taken for an empty one."""

    def destinations(self, split: ObjectRef, request: Request, live: Live) -> dict[str, Fraction]:
        """Return the share of each Service that such requests reach, of a split that is there."""
        manifest = live[split].manifest
        groups = dig(manifest, "spec", "matches") or []
        if self.acts_on_matches and groups and not self._is_chosen(split, groups, request, live):
            return {str(dig(manifest, "spec", "service")): Fraction(1)}
        weights = {name: weight for name, _, weight in backends_of(split, manifest) if weight}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}

    def _is_chosen(self, split: ObjectRef, groups: list[Any], request: Request, live: Live) -> bool:
        """Return whether any match of any group holds; a group that is not there leaves all to the root Service."""
        found = [
            live.manifest(ObjectRef(SPECS_GROUP, ROUTE_GROUP, split.namespace, str(dig(group, "name"))))
            for group in groups
        ]
        if not all(found):
            return False
        matches = [match for group in found for match in dig(group, "spec", "matches") or []]
        return any(self._holds(match, request) for match in matches)

    def _holds(self, match: Any, request: Request) -> bool:
        path, methods, headers = (dig(match, key) for key in ("pathRegex", "methods", "headers"))
        items = [headers] if isinstance(headers, dict) else headers or []
        values = [
            (request.headers.get(name.lower()), pattern) for item in items for name, pattern in item.items()
        ]
        return (
            (not path or self._fits(path, request.path, start=True))
            and (not methods or "*" in methods or request.method in methods)
            and all(self._fits(pattern, value) for value, pattern in values)
        )

    def _fits(self, pattern: str, value: str | None, *, start: bool = False) -> bool:
        if value is None and not self.absent_is_empty:
            return False
        regex, text = compiled(pattern), value or ""
        if not self.searches:
            return bool(regex.fullmatch(text))
        return bool(regex.match(text) if start else regex.search(text))
