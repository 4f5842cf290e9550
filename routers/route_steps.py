"""Read the steps of a Rollout that set or remove a header or mirror route, in the words of Argo Rollouts. Pure.

Shapes: Argo Rollouts, `SetHeaderRoute`, `SetMirrorRoute` and `StringMatch` in `pkg/apis/rollouts/v1alpha1/types.go`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from rollway.routers.errors import InvalidInputError
from rollway.routers.traffic import HeaderRoute, MatchKind, MirrorRoute, RequestMatch, StringMatch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rollway.routers.objects import Pointer

RouteKind: TypeAlias = Literal["header", "mirror"]

ROUTE_STEPS: dict[str, RouteKind] = {"setHeaderRoute": "header", "setMirrorRoute": "mirror"}
"""The keys of the steps that set or remove a route, with the kind of route."""

_MATCH_KINDS: tuple[MatchKind, ...] = get_args(MatchKind)
_MANAGED = "spec.strategy.canary.trafficRouting.managedRoutes"


@dataclass(frozen=True)
class SetRoute:
    """Set a header or mirror route, in place of the one that has its name."""

    route: HeaderRoute | MirrorRoute

    def __str__(self) -> str:
        return f"set {self.route}"


@dataclass(frozen=True)
class RemoveRoute:
    """Remove the header or mirror route of a name, if it is there."""

    name: str
    kind: RouteKind

    def __str__(self) -> str:
        return f"remove {self.kind} route {self.name}"


@dataclass
class RouteReader:
    """Read route steps; `faults` gets each fault with its pointer, `managed` holds the names of `managedRoutes`."""

    managed: Collection[str]
    faults: list[tuple[Pointer, str]] = field(default_factory=list)

    def step(self, kind: RouteKind, body: Any, path: Pointer) -> SetRoute | RemoveRoute | None:
        """Read the body of one step; None when it has faults."""
        count = len(self.faults)
        given = self._given(body, path, ("name", "match", *(["percentage"] if kind == "mirror" else [])))
        name = given.get("name")
        if isinstance(body, dict):
            self._check_name(name, (*path, "name"))
        percentage = given.get("percentage", 100)
        if type(percentage) is not int or not 0 <= percentage <= 100:
            self._fault((*path, "percentage"), f"{percentage!r} is not a whole number from 0 to 100")
        if "match" not in given:
            return None if self.faults[count:] else RemoveRoute(str(name), kind)
        matches = self._matches(kind, given["match"], (*path, "match"))
        if self.faults[count:]:
            return None
        try:
            if kind == "header":
                return SetRoute(HeaderRoute(str(name), matches))
            return SetRoute(MirrorRoute(str(name), matches, percentage))
        except InvalidInputError as error:
            self._fault((*path, "match"), error.message)
            return None

    def _fault(self, path: Pointer, message: str) -> None:
        self.faults.append((path, message))

    def _given(self, value: Any, path: Pointer, known: Sequence[str]) -> dict[str, Any]:
        """Return the keys of an object that have a value; null is none, as for the API server."""
        if not isinstance(value, dict):
            self._fault(path, f"{value!r} is not an object with {', '.join(known)}")
            return {}
        for key in value:
            if key not in known:
                self._fault((*path, str(key)), f"unknown key; known: {', '.join(known)}")
        return {key: item for key, item in value.items() if key in known and item is not None}

    def _check_name(self, name: object, path: Pointer) -> None:
        if not isinstance(name, str) or not name:
            self._fault(path, "is required, as a text")
        elif name not in self.managed:
            self._fault(path, f"{name!r} is not among the managedRoutes; add `- name: {name}` to {_MANAGED}")

    def _matches(self, kind: RouteKind, value: Any, path: Pointer) -> tuple[RequestMatch, ...]:
        """Read a list of matches, any of which is enough."""
        if not isinstance(value, list) or not value:
            self._fault(path, "is not a list of matches; leave it out to remove the route")
            return ()
        read = self._header_match if kind == "header" else self._request_match
        return tuple(read(item, (*path, index)) for index, item in enumerate(value))

    def _header_match(self, value: Any, path: Pointer) -> RequestMatch:
        given = self._given(value, path, ("headerName", "headerValue"))
        if not isinstance(value, dict):
            return RequestMatch()
        name = given.get("headerName")
        if not isinstance(name, str) or not name:
            self._fault((*path, "headerName"), "is required, as a text")
        match = self._string_match(given.get("headerValue", {}), (*path, "headerValue"))
        return RequestMatch(headers=((str(name), match),))

    def _request_match(self, value: Any, path: Pointer) -> RequestMatch:
        given = self._given(value, path, ("method", "path", "headers"))
        headers = given.get("headers", {})
        if not isinstance(headers, dict):
            self._fault((*path, "headers"), "is not an object with the names of headers")
            headers = {}
        return RequestMatch(
            tuple(
                (str(name), self._string_match(match, (*path, "headers", str(name))))
                for name, match in headers.items()
            ),
            *(
                self._string_match(given[key], (*path, key)) if key in given else None
                for key in ("path", "method")
            ),
        )

    def _string_match(self, value: Any, path: Pointer) -> StringMatch:
        """Read how a text is compared: by exactly one of the three kinds; an empty text is none, as for Argo Rollouts."""
        count = len(self.faults)
        given = {key: item for key, item in self._given(value, path, _MATCH_KINDS).items() if item != ""}
        if self.faults[count:]:
            return StringMatch("exact", "")
        if len(given) != 1:
            self._fault(path, f"has {' and '.join(given) or 'none'} of exact, prefix and regex: give one")
            return StringMatch("exact", "")
        ((kind, text),) = given.items()
        if not isinstance(text, str):
            self._fault((*path, kind), f"{text!r} is not a text (put it in quotes)")
        return StringMatch(next(known for known in _MATCH_KINDS if known == kind), str(text))
