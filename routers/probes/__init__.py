"""What is known beyond the objects: a data plane's own configuration, and answers to real requests.

Probes only read. They ask the addresses that the user gave, and the pods that the cluster itself names. A probe that
cannot be sure answers UNKNOWN.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from rollway.routers.traffic import Evidence, ObjectVerdict, Outcome, RequestSample, Verdict
from rollway.routers.waiting import looks_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollway.routers.model import Context, Rollout

INTERVAL_S = 0.1
"""How often a data plane is asked while its answer is not the one that is waited for."""


class Probe(Protocol):
    """Ask one kind of data plane what it does with a Rollout."""

    @property
    def evidence(self) -> Evidence:
        """The level that this probe can show."""
        ...

    @property
    def backends(self) -> frozenset[str]:
        """The backends whose data planes it asks; empty means whatever carries the requests."""
        ...

    def judge(self, context: Context) -> Verdict:
        """Return whether the data plane does what was asked, by one look at it.

        `context.live` holds the objects as the store has them, which are as asked already.
        """
        ...


def covering(probes: Sequence[Probe], rollout: Rollout, level: Evidence) -> tuple[Probe, ...]:
    """Return the probes that together show a level for every backend of the Rollout; empty when they cannot."""
    chosen = tuple(probe for probe in probes if probe.evidence is level)
    asked = frozenset[str]().union(*(probe.backends for probe in chosen))
    everything = any(not probe.backends for probe in chosen)
    return chosen if chosen and (everything or asked.issuperset(rollout.backends)) else ()


def prove(
    probes: Sequence[Probe], context: Context, timeout: float, refresh: Callable[[Context], Context]
) -> Verdict:
    """Ask the probes in order until each has answered MATCHES, for at most `timeout` seconds; 0 asks once.

    A probe whose verdict is final is not asked again: later requests do not make up for failed ones.
    `refresh` reads the objects again, between two looks at the status in them.

    Returns:
        The verdict of the last one, or of the one that had not answered MATCHES in time, with every sample that was taken.
    """
    deadline = time.monotonic() + timeout
    verdict = Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason="no data plane was asked")
    objects: tuple[ObjectVerdict, ...] = ()
    samples: tuple[RequestSample, ...] = ()
    for probe in probes:
        looks: list[Verdict] = []
        for _ in looks_within(deadline - time.monotonic(), INTERVAL_S):
            if looks and probe.evidence is Evidence.ACCEPTED:
                context = refresh(context)
            looks.append(probe.judge(context))
            if looks[-1].outcome is Outcome.MATCHES or looks[-1].final:
                break
        verdict = looks[-1]._replace(reason=_reasons(looks))
        objects += verdict.objects
        samples += tuple(sample for look in looks for sample in look.samples)
        if verdict.outcome is not Outcome.MATCHES:
            break
    return verdict._replace(objects=objects, samples=samples)


def _reasons(looks: Sequence[Verdict]) -> str:
    """Return the reason of the last look; of several samples of requests, that of each."""
    sampled = [look.reason for look in looks if look.samples]
    if len(sampled) < 2:
        return looks[-1].reason
    return "; ".join(f"sample {number}: {reason}" for number, reason in enumerate(sampled, 1))


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return one verdict for several places: DIFFERS if one does, else UNKNOWN if one is, else MATCHES.

    One place that lags means not yet; one that cannot be asked means unknown. The same holds for each object, about
    which every place has answered.
    """
    places = [{verdict.ref: verdict for verdict in place.objects} for place in verdicts]
    objects = tuple(
        ObjectVerdict(ref, *worst_outcome([place[ref] for place in places if ref in place]))
        for ref in dict.fromkeys(ref for place in places for ref in place)
    )
    outcome, reason = worst_outcome(verdicts)
    first = next(verdict for verdict in verdicts if verdict.outcome is outcome)
    samples = tuple(sample for verdict in verdicts for sample in verdict.samples)
    return first._replace(reason=reason, objects=objects, samples=samples)


def worst_outcome(verdicts: Sequence[Verdict | ObjectVerdict]) -> tuple[Outcome, str]:
    """Return the outcome that decides, and the reasons of all that have it."""
    for outcome in (Outcome.DIFFERS, Outcome.UNKNOWN):
        reasons = [verdict.reason for verdict in verdicts if verdict.outcome is outcome]
        if reasons:
            return outcome, "; ".join(reasons)
    return verdicts[0].outcome, verdicts[0].reason
