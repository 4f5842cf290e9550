"""The weighted destinations of a route, of which stable and canary are two: shares beside those of others, and back.

Where a routing object lists destinations with weights (Istio, Gateway API), a destination's share is its weight out of
the sum of its route. Other destinations keep their weights, so stable and canary share what the two have together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollway.routers.errors import AmbiguousError, RefusedError
from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.model import CANARY, STABLE
from rollway.routers.traffic import Reading, Traffic
from rollway.routers.weights import divide, nearest_split, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.objects import ObjectRef
    from rollway.routers.weights import Split


@dataclass(frozen=True)
class Destinations:
    """One route with weighted destinations: the positions of stable and canary, and the weight of each destination."""

    ref: ObjectRef
    part: str
    """How people call the route inside its object."""
    stable: int
    canary: int
    weights: tuple[int, ...]
    labels: tuple[str, ...]
    """How people call each destination."""

    @property
    def pair(self) -> int:
        """What stable and canary have together: the rollout's own traffic."""
        return self.weights[self.stable] + self.weights[self.canary]

    @property
    def foreign(self) -> int:
        """What all other destinations have together."""
        return sum(self.weights) - self.pair

    def shares(self, split: Split) -> dict[str, int]:
        """Return the weights of stable and canary, by role, that give the canary its share of the pair.

        The sum of the route stays what it was. Only where that cannot express the share, and no other destination
        takes part, the two are written out of the total instead.

        Raises:
            RefusedError: the pair has no traffic that could be shared.
        """
        exact = self.pair > 0 and split.canary * self.pair % split.total == 0
        if not exact and not self.foreign:
            return {STABLE: split.stable, CANARY: split.canary}
        if not self.pair and split.canary:
            raise RefusedError(
                f"{self.ref}, {self.part}: stable and canary get no traffic there, only other destinations do",
                hint="give the stable destination the weight that this Rollout is to share",
            )
        stable, canary = divide(split, self.pair)
        return {STABLE: stable, CANARY: canary}

    def reading(self, total: int) -> Reading:
        """Read the weights as a Split of that total: the inverse of `shares`."""
        stable, canary = (self.weights[position] for position in (self.stable, self.canary))
        nearest = nearest_split(stable, canary, total)
        weights = tuple(zip(self.labels, map(str, self.weights), strict=True))
        traffic = Traffic(nearest[0]) if nearest else None
        return Reading(self.ref, self.part, weights, traffic, nearest is None or nearest[1])


def positions_of(roles: Sequence[str | None], ref: ObjectRef, place: str) -> tuple[int, int] | None:
    """Return the positions of stable and canary among the roles of a route's destinations; None unless both are there.

    Raises:
        AmbiguousError: a role is there more than once.
    """
    if STABLE not in roles or CANARY not in roles:
        return None
    for role in (STABLE, CANARY):
        if roles.count(role) > 1:
            raise AmbiguousError(
                f"{ref}, {place}: {roles.count(role)} destinations are the {role} one",
                hint="keep one of them",
            )
    return roles.index(STABLE), roles.index(CANARY)


def check_share(backend: str, split: Split, destinations: Destinations) -> Iterator[Finding]:
    """Note a share that whole numbers cannot hold; refuse one that leaves a version without any of its traffic.

    The destinations are those of the object as it would be written. The codes are those of `share_codes`.
    """
    part, pair, foreign = destinations.part, destinations.pair, destinations.foreign
    canary = destinations.weights[destinations.canary]
    if foreign:
        share = f", {percent(canary, pair)}" if pair else ""
        message = (
            f"{part}: other destinations keep {foreign} of {sum(destinations.weights)}; "
            f"of the rollout's own {pair} the canary gets {canary}{share}"
        )
        yield Finding(f"{backend}-effective-share", Severity.NOTE, destinations.ref, message)
    lost = 0 < split.canary < split.total and canary in (0, pair)
    if lost and pair:
        message = f"{part}: {split} of {pair} comes out as {canary}, so one version would get nothing"
        remedy = "write the route's weights out of a larger sum"
        yield Finding(f"{backend}-share-lost", Severity.REFUSAL, destinations.ref, message, remedy)


def share_codes(backend: str) -> tuple[FindingCode, ...]:
    """Describe the findings of `check_share` for a backend."""
    return (
        FindingCode(
            f"{backend}-effective-share",
            "Other destinations take part in the route, and keep their weights.",
            "The canary's share counts of what stable and canary have together, and the message gives it.",
            "Nothing, if that is what you want.",
        ),
        FindingCode(
            f"{backend}-share-lost",
            "The weights of the route are too coarse for the share, beside other destinations.",
            "One of the two versions would get nothing, although it was given a share.",
            "Write the weights of the route out of a larger sum, or ask for a larger share.",
        ),
    )
