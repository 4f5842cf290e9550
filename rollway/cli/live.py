"""What the routing objects of a Rollout show beside what its status reports, and how much is known about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.cli.answers import canary
from rollway.routers.data_planes import DataPlaneProbes, data_plane_probes
from rollway.routers.errors import RollwayError
from rollway.routers.lookup import rollout_of
from rollway.routers.roles import known_roles
from rollway.routers.rollout.unused import asks_for_routing
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import Evidence, Outcome

if TYPE_CHECKING:
    from rollway.cli.probes import DataPlaneOptions
    from rollway.routers.objects import LiveObject
    from rollway.routers.observation import Observation
    from rollway.routers.stores import Store


class LiveTraffic(NamedTuple):
    """What the objects show, line by line; where they cannot be read, the reason, and no observation."""

    lines: tuple[str, ...]
    seen: Observation | None = None
    evidence: str = Evidence.UNKNOWN.name.lower()
    reason: str = ""


class LiveLook:
    """Look at the traffic of one Rollout; where its data planes are is looked up once."""

    def __init__(self, store: Store, planes: DataPlaneOptions) -> None:
        self._store = store
        self._planes = planes
        self._probes: DataPlaneProbes | None = None

    def __call__(self, item: LiveObject) -> LiveTraffic | None:
        """Return what is live; None for a Rollout that moves no traffic. What goes wrong is part of the answer."""
        if not asks_for_routing(item.manifest):
            return None
        try:
            rollout = known_roles(rollout_of(item), self._store, "", "")
            if self._probes is None:
                reaches = self._store if hasattr(self._store, "forward") else None
                self._probes = data_plane_probes(
                    rollout, reaches, self._planes.places, self._planes.namespaces
                )
            seen = TrafficRouter(rollout, self._store, probes=self._probes.probes).observe(check=True)
        except RollwayError as error:
            reason = error.message.replace("\n", " ")
            return LiveTraffic((f"unknown: {reason}",), reason=reason)
        evidence, reason = _evidence(seen, self._probes)
        known = evidence if not reason else f"{evidence}; {reason}"
        if seen.traffic:
            return LiveTraffic((f"{seen.traffic.split} ({known})",), seen, evidence, reason)
        shown = (
            f"{' '.join(filter(None, (reading.ref.kind, reading.ref.name, reading.part)))}: {canary(reading)}"
            for reading in seen.readings
        )
        return LiveTraffic((*shown, f"({known})"), seen, evidence, reason)


def _evidence(seen: Observation, probes: DataPlaneProbes) -> tuple[str, str]:
    """Return how much is known about what the objects show, and why it is no more."""
    level = seen.evidence.name.lower()
    if not seen.loaded:
        return level, "; ".join(dict.fromkeys(probes.obstacles.values()))
    for outcome, text in ((Outcome.DIFFERS, "not loaded yet"), (Outcome.UNKNOWN, "loaded is unknown")):
        judged = next((verdict for verdict in seen.loaded if verdict.outcome is outcome), None)
        if judged:
            return level, f"{text}: {judged.ref}: {judged.reason}"
    return Evidence.LOADED.name.lower(), ""
