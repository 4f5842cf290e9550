"""Play a run outside of a cluster: take what is due, assess, and wait; once, or with all its intervals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rollway.analysis.measuring import measure
from rollway.analysis.providers.protocol import NOTHING, Inputs
from rollway.analysis.run import assess
from rollway.analysis.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from rollway.analysis.measuring import Ask
    from rollway.analysis.run import Due, Measured
    from rollway.analysis.spec import Metric

_PARALLEL = 8


@dataclass(frozen=True)
class World:
    """What a run is played in: who sends requests, the clock, the environment, and credentials by the names of metrics."""

    ask: Ask
    now: Callable[[], datetime]
    sleep: Callable[[float], Any]
    environment: Mapping[str, str]
    credentials: Mapping[str, Mapping[str, str]]


def once(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return the metrics so that a run measures each of them one time, and any failure, error or doubt ends it."""
    return tuple(
        replace(
            metric,
            interval=None,
            initial_delay=None,
            count=1,
            failure_limit=0,
            inconclusive_limit=0,
            consecutive_error_limit=0,
            consecutive_success_limit=0,
        )
        for metric in metrics
    )


def play(metrics: Sequence[Metric], world: World, secrets: Sequence[str] = ()) -> Iterator[RunStatus]:
    """Yield the status of a run each time that something was measured, until it has ended."""
    now = world.now()
    assessment = assess(metrics, RunStatus(), now)
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="rollway-measure") as pool:
        while not assessment.status.completed:
            if not assessment.due:
                assert assessment.again is not None, "a run that goes on has something to wait for"
                world.sleep(max((assessment.again - world.now()).total_seconds(), 0.01))
                assessment = assess(metrics, assessment.status, world.now())
                continue
            measured = dict(pool.map(lambda due: _take(due, world, secrets), assessment.due))
            assessment = assess(metrics, assessment.status, world.now(), measured)
            yield assessment.status


def _take(due: Due, world: World, secrets: Sequence[str]) -> tuple[str, Measured]:
    """Take one measurement; one that somebody else has begun is ended."""
    now = world.now()
    assert due.unfinished is None, "every provider finishes its measurements at once"
    inputs = Inputs(now, world.environment, world.credentials.get(due.metric.name, NOTHING))
    return due.metric.name, measure(due.metric, world.ask, inputs, world.now, secrets)
