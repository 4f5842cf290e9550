"""Traffic as values: what is wanted, what objects show, and how much is known about it.

Weights are integers out of a total; a share is weight/total. There are no floats.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
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


class RequestMatch(NamedTuple):
    """Requests that fulfil every condition given here; without any, all requests."""

    headers: tuple[tuple[str, StringMatch], ...] = ()
    path: StringMatch | None = None
    method: StringMatch | None = None


class HeaderRoute(NamedTuple):
    """Requests that fulfil any of the matches go to the canary."""

    name: str
    matches: tuple[RequestMatch, ...]


class MirrorRoute(NamedTuple):
    """Copy `percentage` percent of the requests that fulfil any of the matches to the canary."""

    name: str
    matches: tuple[RequestMatch, ...] = (RequestMatch(),)
    percentage: int = 100


@dataclass(frozen=True)
class Traffic:
    """The whole wish: the split, the header routes and the mirror routes of one rollout."""

    split: Split
    header_routes: tuple[HeaderRoute, ...] = ()
    mirror_routes: tuple[MirrorRoute, ...] = ()


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
    mirror_routes: bool = False

    def missing(self, want: Traffic) -> str:
        """Name the first feature of the wish that the backend lacks, or return an empty string."""
        if want.header_routes and not self.header_routes:
            return "header routes"
        if want.mirror_routes and not self.mirror_routes:
            return "mirror routes"
        if want.split.total < self.smallest_total:
            return f"a total below {self.smallest_total}"
        return ""


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
