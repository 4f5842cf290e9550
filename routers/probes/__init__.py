"""What is known beyond the objects: a data plane's own configuration, and answers to real requests.

Probes only read. They ask the addresses that the user gave, and the pods that the cluster itself names. A probe that
cannot be sure says UNKNOWN.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from rollway.routers.model import Evidence, ObjectVerdict, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.model import Live, Rollout, Traffic

INTERVAL_S = 0.1
"""How often a data plane is asked while its answer is not the one that is waited for."""


class Probe(Protocol):
    """Ask one kind of data plane what it does with a route."""

    @property
    def evidence(self) -> Evidence:
        """The level that this probe can show."""
        ...

    @property
    def backends(self) -> frozenset[str]:
        """The routers whose data planes it asks; empty means whatever carries the requests."""
        ...

    def judge(self, rollout: Rollout, want: Traffic, live: Live) -> Verdict:
        """Say whether the data plane does what was asked, by one look at it.

        `live` holds the objects as the store has them, which are as asked already.
        """
        ...


def covering(probes: Sequence[Probe], rollout: Rollout, level: Evidence) -> tuple[Probe, ...]:
    """Return the probes that together show a level for every router of the route; empty when they cannot."""
    chosen = tuple(probe for probe in probes if probe.evidence is level)
    asked = frozenset[str]().union(*(probe.backends for probe in chosen))
    everything = any(not probe.backends for probe in chosen)
    return chosen if chosen and (everything or asked.issuperset(rollout.backends)) else ()


def prove(probes: Sequence[Probe], rollout: Rollout, want: Traffic, live: Live, timeout: float) -> Verdict:
    """Ask the probes in order until each has said MATCHES, for at most `timeout` seconds; 0 asks once.

    Returns:
        The verdict of the last one, or of the one that had not said MATCHES in time.
    """
    deadline = time.monotonic() + timeout
    verdict = Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason="no data plane was asked")
    objects: tuple[ObjectVerdict, ...] = ()
    for probe in probes:
        verdict = probe.judge(rollout, want, live)
        while verdict.outcome is not Outcome.MATCHES and time.monotonic() < deadline:
            time.sleep(INTERVAL_S)
            verdict = probe.judge(rollout, want, live)
        objects += verdict.objects
        if verdict.outcome is not Outcome.MATCHES:
            break
    return verdict._replace(objects=objects)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return one verdict for several places: DIFFERS if one does, else UNKNOWN if one is, else MATCHES.

    One place that lags means not yet; one that cannot be asked means unknown. The same holds for each object, about
    which every place has said something.
    """
    places = [{found.ref: found for found in verdict.objects} for verdict in verdicts]
    objects = tuple(
        ObjectVerdict(ref, *worst_outcome([place[ref] for place in places]))
        for ref in dict.fromkeys(ref for place in places for ref in place)
    )
    outcome, reason = worst_outcome(verdicts)
    first = next(verdict for verdict in verdicts if verdict.outcome is outcome)
    return first._replace(reason=reason, objects=objects)


def worst_outcome(found: Sequence[Verdict | ObjectVerdict]) -> tuple[Outcome, str]:
    """Return the outcome that decides, and the reasons of all that have it."""
    for outcome in (Outcome.DIFFERS, Outcome.UNKNOWN):
        reasons = [one.reason for one in found if one.outcome is outcome]
        if reasons:
            return outcome, "; ".join(reasons)
    return found[0].outcome, found[0].reason
