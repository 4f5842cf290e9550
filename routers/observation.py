"""What the live objects of a Rollout show, one by one and together. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.backends import backends_of
from rollway.routers.errors import RefusedError
from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.traffic import Evidence, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live
    from rollway.routers.traffic import HeaderRoute, MirrorRoute, ObjectVerdict, Reading, SubsetHashes

FINDINGS = (
    FindingCode(
        "objects-disagree",
        "The objects of a Rollout give the canary different shares.",
        "Requests are split in one way here and in another one there.",
        "Set the weight again: it is written to all of them.",
    ),
)


class Observation(NamedTuple):
    """What the live objects show: one reading for each object or route, and the traffic if they agree."""

    rollout: Rollout
    readings: tuple[Reading, ...]
    findings: tuple[Finding, ...] = ()
    evidence: Evidence = Evidence.WRITTEN
    loaded: tuple[ObjectVerdict, ...] = ()
    """Whether the data planes have what each object shows; empty where none was asked."""

    @property
    def traffic(self) -> Traffic | None:
        """The traffic that all objects agree on; an absent object gives the canary nothing, unless its reading shows more.

        A route counts that any of the objects has. None when they differ, or when that is not known.
        """
        if any(reading.outcome for reading in self.readings):
            return None
        splits = {traffic.split for traffic in self._shown}
        return self.nearest_traffic if len(splits) == 1 and not self._contradictory else None

    @property
    def subsets(self) -> SubsetHashes | None:
        """The hashes that subsets select; None where no router has subsets, or the Rollout asks for no hashes."""
        return next((reading.subsets for reading in self.readings if reading.subsets is not None), None)

    @property
    def disagreement(self) -> Finding | None:
        """That the objects give the canary different traffic, with that of each; None when they agree."""
        known = [reading for reading in self.readings if not reading.outcome]
        splits = {self._traffic_of(reading).split for reading in known}
        contradictory = self._contradictory
        if len(splits) < 2 and not contradictory:
            return None
        shares = ", ".join(
            f"{' '.join(filter(None, (str(reading.ref), reading.part)))} gives the canary "
            f"{', '.join(map(str, [traffic.split, *contradictory.intersection(traffic.routes)]))}"
            for reading in known
            for traffic in [self._traffic_of(reading)]
        )
        message = f"its objects do not agree: {shares}"
        return Finding(
            "objects-disagree", Severity.REFUSAL, self.rollout.ref, message, "set the weight again, or reset"
        )

    @property
    def serves_canary(self) -> bool:
        """Whether any object gives the canary requests of users."""
        return any(traffic.split.canary or traffic.header_routes for traffic in self._shown)

    @property
    def nearest_traffic(self) -> Traffic:
        """The traffic that all objects agree on; where they differ, that of the first object that exists.

        It has every route that any of the objects has, in the order of `managedRoutes`.
        """
        existing = (reading.traffic.split for reading in self.readings if reading.traffic)
        nearest = Traffic(next(existing, Split(0, self.rollout.total)))
        for traffic in reversed(self._shown):
            for route in traffic.routes:
                nearest = nearest.with_route(route)
        return nearest.ordered(self.rollout.managed_routes) if nearest.routes else nearest

    @property
    def agreed_traffic(self) -> Traffic:
        """The traffic that all objects agree on.

        Raises:
            RefusedError: they do not, or what one of them shows is not known.
        """
        traffic = self.traffic
        if traffic is None:
            doubts = [f"{reading.ref}: {reading.reason}" for reading in self.readings if reading.outcome]
            reason = self.disagreement.message if self.disagreement else "; ".join(doubts)
            raise RefusedError(f"{self.rollout.ref}: {reason}", hint="set the weight first, or reset")
        return traffic

    def _traffic_of(self, reading: Reading) -> Traffic:
        return reading.traffic or Traffic(Split(0, self.rollout.total))

    @property
    def _shown(self) -> list[Traffic]:
        return [self._traffic_of(reading) for reading in self.readings]

    @property
    def _contradictory(self) -> frozenset[HeaderRoute | MirrorRoute]:
        """The routes of one name that are not the same in all objects that have one."""
        routes = {route for traffic in self._shown for route in traffic.routes}
        names = Counter(route.name for route in routes)
        return frozenset(route for route in routes if names[route.name] > 1)


def observe(rollout: Rollout, live: Live) -> Observation:
    """Return what the live objects show."""
    readings = tuple(reading for part in backends_of(rollout) for reading in part.observe(rollout, live))
    return Observation(rollout, readings, live.notes)
