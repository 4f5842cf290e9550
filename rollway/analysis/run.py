"""The course of one run: what is to be measured now, and what follows from what was measured. Pure.

Rules: Argo Rollouts, `analysis/analysis.go`. What was measured is read from the status alone, so that a restart loses
nothing but the measurements under way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from rollway.analysis.status import WORST_LAST, Counts, MetricResult, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from rollway.analysis.spec import Metric
    from rollway.analysis.status import Measurement, RunStatus

ERROR_RETRY = timedelta(seconds=10)
"""After an error, and without an `interval`, a metric is measured again after this time."""


class Due(NamedTuple):
    """One measurement to take now; `unfinished` is the one to go on with, and `terminate` whether to end that one."""

    metric: Metric
    unfinished: Measurement | None = None
    terminate: bool = False


@dataclass(frozen=True)
class Assessment:
    """What a run has come to: its status, what to measure now, and when to look again (None: never by itself)."""

    status: RunStatus
    due: tuple[Due, ...] = ()
    again: datetime | None = None


@dataclass(frozen=True)
class Measured:
    """What came of a measurement, and what the result of its metric keeps of the settings."""

    measurement: Measurement
    metadata: Mapping[str, str] = field(default_factory=dict)


def assess(
    metrics: Sequence[Metric],
    status: RunStatus,
    now: datetime,
    measured: Mapping[str, Measured] | None = None,
    *,
    terminate: bool = False,
) -> Assessment:
    """Return what follows from the status and from new measurements, by the names of their metrics.

    A measurement that is under way stays due until it is among the new ones: whoever takes them knows those. `terminate`
    is `spec.terminate`.
    """
    if status.completed:
        return Assessment(status)
    results = _with_measured(metrics, status.results, measured or {})
    status = replace(status, results=results, started_at=status.started_at or now)
    ending = terminate or _is_ending(status)
    status = _assessed(metrics, status, now, terminate=terminate)
    if not status.completed and not ending and _is_ending(status):
        status = _assessed(metrics, status, now, terminate=terminate)
    results = {
        name: replace(result, measurements=result.measurements[-_retention(metrics, name) :])
        for name, result in status.results.items()
    }
    status = replace(status, results=results)
    if status.completed:
        return Assessment(status)
    ending = terminate or _is_ending(status)
    return Assessment(
        status,
        tuple(_due(metrics, status, now, ending=ending)),
        min(_next_looks(metrics, status, now, ending=ending), default=None),
    )


def _with_measured(
    metrics: Sequence[Metric], results: Mapping[str, MetricResult], measured: Mapping[str, Measured]
) -> dict[str, MetricResult]:
    known = dict(results)
    for metric in metrics:
        new = measured.get(metric.name)
        if new is None:
            continue
        before = known.get(metric.name) or MetricResult(
            metric.name, dry_run=metric.dry_run, metadata=new.metadata
        )
        if not before.phase.completed:
            known[metric.name] = before.after(new.measurement)
    return known


def _retention(metrics: Sequence[Metric], name: str) -> int:
    return next((max(metric.retention, 1) for metric in metrics if metric.name == name), 1)


def _is_ending(status: RunStatus) -> bool:
    """Whether a metric that counts has ended otherwise than well, so that nothing new is measured."""
    return any(
        result.phase.completed and result.phase is not Phase.SUCCESSFUL and not result.dry_run
        for result in status.results.values()
    )


def _assessed(metrics: Sequence[Metric], status: RunStatus, now: datetime, *, terminate: bool) -> RunStatus:
    """Return the status with the phases of metrics and run; what a metric ends here, the next call ends the others."""
    ending = terminate or _is_ending(status)
    results = dict(status.results)
    summaries = {False: Counts(), True: Counts()}
    worst: Phase | None = None
    message = "Run Terminated" if terminate else ""
    everything = True
    for metric in metrics:
        summaries[metric.dry_run] = _added(summaries[metric.dry_run], "count")
        result = results.get(metric.name)
        if result is None:
            everything = False
            continue
        result = results[metric.name] = _with_phase(metric, result, ending=ending)
        if not result.phase.completed:
            everything = False
            continue
        limit, reason = _exceeded(metric, result)
        key = (limit or Phase.SUCCESSFUL).value.lower()
        summaries[metric.dry_run] = _added(summaries[metric.dry_run], key)
        if metric.dry_run:
            worst = worst or Phase.SUCCESSFUL
            if reason:
                text = f"Metric assessed {result.phase.value} due to {reason}"
                results[metric.name] = replace(result, message=text)
            continue
        if worst is None or WORST_LAST.index(result.phase) > WORST_LAST.index(worst):
            worst = result.phase
            message = _message(metric, result, reason) if reason else message
    status = replace(status, results=results, summary=summaries[False], dry_run_summary=summaries[True])
    under_way = any(result.last and not result.last.phase.completed for _, result in _open(metrics, status))
    if ending:
        phase = Phase.RUNNING if under_way else worst or Phase.SUCCESSFUL
    else:
        phase = worst if everything and worst is not None else Phase.RUNNING
    return _in_phase(status, phase, message if phase.completed else "", now)


def _in_phase(status: RunStatus, phase: Phase, message: str, now: datetime) -> RunStatus:
    if phase is status.phase:
        return status
    completed = status.completed_at or (now if phase.completed else None)
    return replace(status, phase=phase, message=message, completed_at=completed)


def _added(counts: Counts, key: str) -> Counts:
    return replace(counts, **{key: getattr(counts, key) + 1})


def _with_phase(metric: Metric, result: MetricResult, *, ending: bool) -> MetricResult:
    phase = _metric_phase(metric, result, ending=ending)
    if phase is result.phase:
        return result
    last = result.last
    return replace(result, phase=phase, message=last.message if last else result.message)


def _metric_phase(metric: Metric, result: MetricResult, *, ending: bool) -> Phase:  # noqa: PLR0911 - a table of rules
    """Return the phase of a metric by its measurements and limits; the first rule that fits counts."""
    last = result.last
    if result.phase.completed:
        return result.phase
    if last is None:
        return Phase.SUCCESSFUL if ending else Phase.PENDING
    if not last.phase.completed:
        return Phase.RUNNING
    limit, _ = _exceeded(metric, result)
    if limit is not None:
        return limit
    wanted = metric.consecutive_success_limit
    if wanted and result.consecutive_success >= wanted:
        return Phase.SUCCESSFUL
    if metric.count is not None and result.counts.count >= metric.count:
        if not wanted:
            return Phase.SUCCESSFUL
        return Phase.INCONCLUSIVE if metric.failure_limit >= 0 else Phase.FAILED
    return Phase.SUCCESSFUL if ending else Phase.RUNNING


def _exceeded(metric: Metric, result: MetricResult) -> tuple[Phase | None, str]:
    """Return what a limit that is exceeded makes of a metric, and the reason; of several the last one counts."""
    counts, errors = result.counts, result.consecutive_error
    phase, reason = None, ""
    if 0 <= metric.failure_limit < counts.failed:
        phase, reason = Phase.FAILED, f"failed ({counts.failed}) > failureLimit ({metric.failure_limit})"
    if counts.inconclusive > metric.inconclusive_limit:
        phase = Phase.INCONCLUSIVE
        reason = f"inconclusive ({counts.inconclusive}) > inconclusiveLimit ({metric.inconclusive_limit})"
    if errors > metric.consecutive_error_limit:
        phase = Phase.ERROR
        reason = f"consecutiveErrors ({errors}) > consecutiveErrorLimit ({metric.consecutive_error_limit})"
    return phase, reason


def _message(metric: Metric, result: MetricResult, reason: str) -> str:
    """Write which metric has ended a run, with the value and the conditions that decided it."""
    text = f'Metric "{metric.name}" assessed {result.phase.value} due to {reason}'
    if result.message:
        return f'{text}: "Error Message: {result.message}"'
    decisive = [each for each in result.measurements if each.phase is result.phase]
    conditions = [
        f"{key} `{condition.source}`"
        for key, condition in (("successCondition", metric.success), ("failureCondition", metric.failure))
        if condition
    ]
    if not decisive or not conditions:
        return text
    return f"{text}: the value was {decisive[-1].value}, with {' and '.join(conditions)}"


def _open(metrics: Sequence[Metric], status: RunStatus) -> Iterator[tuple[Metric, MetricResult]]:
    """Yield the metrics that have not ended, with what was measured."""
    for metric in metrics:
        result = status.results.get(metric.name) or MetricResult(metric.name)
        if not result.phase.completed:
            yield metric, result


def _due(metrics: Sequence[Metric], status: RunStatus, now: datetime, *, ending: bool) -> Iterator[Due]:
    for metric, result in _open(metrics, status):
        last = result.last
        if last is not None and last.finished_at is None:
            if ending or last.resume_at is None or last.resume_at <= now:
                yield Due(metric, last, ending)
            continue
        moment = None if ending else _moment(metric, result, status)
        if moment is not None and moment <= now:
            yield Due(metric)


def _moment(metric: Metric, result: MetricResult, status: RunStatus) -> datetime | None:
    """Return when a metric without a measurement under way is measured next; None: never."""
    last = result.last
    if last is None:
        assert status.started_at is not None, "a run that is assessed has begun"
        return status.started_at + (metric.initial_delay or timedelta())
    if metric.count is not None and result.counts.count >= metric.count:
        return None
    assert last.finished_at is not None, "the caller has looked at it"
    failed = last.phase is Phase.ERROR or metric.interval is None
    return last.finished_at + (ERROR_RETRY if failed else metric.interval or ERROR_RETRY)


def _next_looks(
    metrics: Sequence[Metric], status: RunStatus, now: datetime, *, ending: bool
) -> Iterator[datetime]:
    for metric, result in _open(metrics, status):
        last = result.last
        if last is not None and last.finished_at is None:
            moment = last.resume_at
        else:
            moment = None if ending else _moment(metric, result, status)
        if moment is not None and moment > now:
            yield moment
