"""Traffic as values: what is wanted, what objects show, and how much is known about it.

Weights are integers out of a total; a share is weight/total. There are no floats.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from rollway.routers.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rollway.routers.objects import Access, ObjectRef
    from rollway.routers.weights import Split


class Evidence(enum.IntEnum):
    """How much is known about a weight, from nothing to counted requests."""

    UNKNOWN = 0
    WRITTEN = 1
    ACCEPTED = 2
    LOADED = 3
    MEASURED = 4


MatchKind: TypeAlias = Literal["exact", "prefix", "regex"]


class StringMatch(NamedTuple):
    """How a value of a request is compared; a regex (RE2) has to match the whole value."""

    kind: MatchKind
    value: str

    def __str__(self) -> str:
        return {"exact": "{}", "prefix": "{}*", "regex": "~{}"}[self.kind].format(self.value)


class RequestMatch(NamedTuple):
    """Requests that fulfil every condition given here; without any, all requests."""

    headers: tuple[tuple[str, StringMatch], ...] = ()
    path: StringMatch | None = None
    method: StringMatch | None = None

    def __str__(self) -> str:
        conditions = [f"{name}: {value}" for name, value in self.headers]
        conditions += [f"path {self.path}"] if self.path else []
        conditions += [f"method {self.method}"] if self.method else []
        return " and ".join(conditions) or "all requests"

    @property
    def conditions(self) -> dict[str, dict[str, Any]]:
        """The conditions as an item of `setMirrorRoute.match` of Argo Rollouts writes them."""
        conditions: dict[str, dict[str, Any]] = {}
        if self.headers:
            conditions["headers"] = {name: {value.kind: value.value} for name, value in self.headers}
        if self.path:
            conditions["path"] = {self.path.kind: self.path.value}
        if self.method:
            conditions["method"] = {self.method.kind: self.method.value}
        return conditions


EVERY_PATH = StringMatch("prefix", "/")


def _checked(name: str, matches: Sequence[RequestMatch]) -> tuple[RequestMatch, ...]:
    """Return the matches in the one form that objects are read back in.

    Headers stand in the order of their names, because the order has no meaning; the prefix / is no condition.

    Raises:
        InvalidInputError: nothing can be made of them.
    """
    if not name or not matches:
        raise InvalidInputError(f"route {name!r} needs a name and at least one match")
    for match in matches:
        names = Counter(header.lower() for header, _ in match.headers)
        twice = [header for header, count in names.items() if count > 1 or not header]
        if twice:
            raise InvalidInputError(
                f"route {name!r}: header {twice[0]!r} has to stand once in a match, with a name",
                hint="give each header one value, exact, by prefix or by a regular expression",
            )
    return tuple(
        match._replace(
            headers=tuple(sorted(match.headers, key=lambda header: header[0].lower())),
            path=None if match.path == EVERY_PATH else match.path,
        )
        for match in matches
    )


@dataclass(frozen=True)
class HeaderRoute:
    """Requests that fulfil any of the matches go to the canary; each match names at least one header."""

    name: str
    matches: tuple[RequestMatch, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "matches", _checked(self.name, self.matches))
        if not all(match.headers for match in self.matches):
            raise InvalidInputError(f"header route {self.name!r} has a match without a header")

    def __str__(self) -> str:
        return f"header route {self.name} ({' or '.join(map(str, self.matches))})"


@dataclass(frozen=True)
class MirrorRoute:
    """Copy `percentage` percent of the requests that fulfil any of the matches to the canary."""

    name: str
    matches: tuple[RequestMatch, ...] = (RequestMatch(),)
    percentage: int = 100

    def __post_init__(self) -> None:
        object.__setattr__(self, "matches", _checked(self.name, self.matches))
        if type(self.percentage) is not int or not 0 <= self.percentage <= 100:
            raise InvalidInputError(
                f"mirror route {self.name!r}: {self.percentage!r} is no whole percentage from 0 to 100"
            )

    def __str__(self) -> str:
        return f"mirror route {self.name} ({' or '.join(map(str, self.matches))}, {self.percentage} %)"


@dataclass(frozen=True)
class Traffic:
    """The whole wish: the split, the header routes and the mirror routes of one rollout.

    Each route has a name of its own. Header routes and mirror routes stand in the order of `managedRoutes`.
    """

    split: Split
    header_routes: tuple[HeaderRoute, ...] = ()
    mirror_routes: tuple[MirrorRoute, ...] = ()

    def __post_init__(self) -> None:
        if self.routes:
            names = Counter(route.name for route in self.routes)
            name, count = names.most_common(1)[0]
            if count > 1:
                raise InvalidInputError(
                    f"there are {count} routes named {name!r}", hint="give each route a name of its own"
                )

    @property
    def routes(self) -> tuple[HeaderRoute | MirrorRoute, ...]:
        """The header routes, and then the mirror routes."""
        return (*self.header_routes, *self.mirror_routes)

    @property
    def is_all_stable(self) -> bool:
        """Whether the canary gets nothing: no weight, no header route, no mirror route."""
        return not self.split.canary and not self.routes

    def with_route(self, route: HeaderRoute | MirrorRoute) -> Traffic:
        """Return the same with a route, in place of the one that has its name."""
        others = self.without([route.name])
        if isinstance(route, HeaderRoute):
            return replace(others, header_routes=(*others.header_routes, route))
        return replace(others, mirror_routes=(*others.mirror_routes, route))

    def without(self, names: Collection[str]) -> Traffic:
        """Return the same without the routes of these names."""
        return Traffic(
            self.split,
            tuple(route for route in self.header_routes if route.name not in names),
            tuple(route for route in self.mirror_routes if route.name not in names),
        )

    def ordered(self, names: Sequence[str]) -> Traffic:
        """Return the same with its routes in the order of some names; the others come last."""
        places = {name: place for place, name in reversed([*enumerate(names)])}

        def place(route: HeaderRoute | MirrorRoute) -> int:
            return places.get(route.name, len(names))

        return Traffic(
            self.split,
            tuple(sorted(self.header_routes, key=place)),
            tuple(sorted(self.mirror_routes, key=place)),
        )


BESIDE = "a weight beside header routes"
"""The name of the feature that a backend without `weights_beside_header_routes` lacks."""


class Capabilities(NamedTuple):
    """What a backend can do; planning refuses a wish whose flag is off, before it renders anything."""

    objects: str
    """The routing objects, for people: `Ingress`, `VirtualService`."""
    versions: tuple[str, ...]
    """The API versions that the backend reads and writes, as in `apiVersion`."""
    access: Access
    smallest_total: int = 1
    """Totals below this are ignored by the data plane."""
    header_routes: bool = False
    weights_beside_header_routes: bool = True
    """Whether the canary can have a weight while a header route is there."""
    mirror_routes: bool = False
    obstacles: Mapping[str, str] = MappingProxyType({})
    """Why the data plane cannot do a feature, by the name that `missing` has for it."""
    partial_weights: bool = True
    """Whether stable and canary can share the traffic; without that one of the two gets all of it."""

    def missing(self, want: Traffic) -> str:
        """Name the first feature of the wish that the backend lacks, or return an empty string."""
        if want.header_routes and not self.header_routes:
            return "header routes"
        if want.header_routes and want.split.canary and not self.weights_beside_header_routes:
            return BESIDE
        if want.mirror_routes and not self.mirror_routes:
            return "mirror routes"
        if want.split.total < self.smallest_total:
            return f"a total below {self.smallest_total}"
        if want.split.canary not in (0, want.split.total) and not self.partial_weights:
            return f"weights other than 0 and {want.split.total}"
        return ""


class SubsetHashes(NamedTuple):
    """The pod-template hashes that the subsets of both roles select by their label; empty where a subset has none.

    As a wish, an empty one leaves the label of its subset as it is.
    """

    stable: str = ""
    canary: str = ""


class Reading(NamedTuple):
    """What one routing object (or one route of it) shows: the weight of every destination, and the traffic it means.

    `traffic` is None when the object does not exist or has no weight of this Rollout. `exact` is False when the
    weights stand for a share that the rollout's total cannot express; `traffic` then holds the nearest one.
    Where the object is absent, and stable does not get everything because of that, `outcome` and `reason` describe what is
    known instead: UNKNOWN, or DIFFERS when the canary certainly gets some.
    """

    ref: ObjectRef
    part: str = ""
    weights: tuple[tuple[str, str], ...] = ()
    traffic: Traffic | None = None
    exact: bool = True
    outcome: Outcome | None = None
    reason: str = ""
    subsets: SubsetHashes | None = None
    """The hashes that the subsets of both roles select, where the Rollout asks for some."""


class Outcome(enum.Enum):
    """Whether the world is as asked, is not, or is not known."""

    MATCHES = "matches"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class ObjectVerdict(NamedTuple):
    """Whether the data planes have loaded what one routing object shows, and the reason."""

    ref: ObjectRef
    outcome: Outcome
    reason: str


class RequestSample(NamedTuple):
    """Counted requests: how many stable, canary and others answered, and how many of whose requests failed.

    Failed ones are not among those answered; `failed` counts those of which nobody knows who got them.
    """

    stable: int = 0
    canary: int = 0
    other: int = 0
    stable_failed: int = 0
    canary_failed: int = 0
    failed: int = 0


class Verdict(NamedTuple):
    """The answer of `verify`: the outcome, the evidence that it rests on, what was observed, and why.

    `readings` hold what each object shows, `objects` whether that is loaded (empty: no data plane was asked), `samples`
    every sample of requests that was taken meanwhile. `final` means that asking again cannot improve it.
    """

    outcome: Outcome
    evidence: Evidence
    readings: tuple[Reading, ...] = ()
    reason: str = ""
    objects: tuple[ObjectVerdict, ...] = ()
    samples: tuple[RequestSample, ...] = ()
    final: bool = False
