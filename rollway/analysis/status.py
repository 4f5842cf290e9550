"""The status of an AnalysisRun as a value, and as the manifest that Argo Rollouts writes. Pure.

Source: Argo Rollouts, `pkg/apis/rollouts/v1alpha1/analysis_types.go`; a field without a value is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from rollway.releases.phase import time_of, write_time
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rollway.routers.objects import Manifest


class Phase(Enum):
    """Where a measurement, a metric or a run is; the last four are the ends."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    ERROR = "Error"
    INCONCLUSIVE = "Inconclusive"

    @property
    def completed(self) -> bool:
        """Whether it is one of the ends."""
        return self not in (Phase.PENDING, Phase.RUNNING)


WORST_LAST = (
    Phase.SUCCESSFUL,
    Phase.RUNNING,
    Phase.PENDING,
    Phase.INCONCLUSIVE,
    Phase.ERROR,
    Phase.FAILED,
)
"""From the best to the worst phase."""


@dataclass(frozen=True)
class Measurement:
    """One measurement of a metric. One that is not finished is looked at again at `resume_at`, or at once."""

    phase: Phase
    started_at: datetime
    finished_at: datetime | None = None
    value: str = ""
    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    resume_at: datetime | None = None

    def manifest(self) -> Manifest:
        """Write it as Argo Rollouts does."""
        return _given(
            phase=self.phase.value,
            message=self.message,
            startedAt=_written(self.started_at),
            finishedAt=_written(self.finished_at),
            value=self.value,
            metadata=dict(self.metadata),
            resumeAt=_written(self.resume_at),
        )


@dataclass(frozen=True)
class Counts:
    """How many measurements had each end; `count` are those without an error."""

    count: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0

    def manifest(self) -> Manifest:
        """Write it as Argo Rollouts does."""
        return _given(**vars(self))

    def after(self, phase: Phase) -> Counts:
        """Return the counts with one more of a phase."""
        key = phase.value.lower()
        count = self.count + (phase is not Phase.ERROR)
        return replace(self, **{"count": count, key: getattr(self, key) + 1})


@dataclass(frozen=True)
class MetricResult:
    """What was measured of one metric: the last measurements, and the counts of all."""

    name: str
    phase: Phase = Phase.RUNNING
    measurements: tuple[Measurement, ...] = ()
    message: str = ""
    counts: Counts = field(default_factory=Counts)
    consecutive_error: int = 0
    consecutive_success: int = 0
    dry_run: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def last(self) -> Measurement | None:
        """The last measurement."""
        return self.measurements[-1] if self.measurements else None

    def after(self, measurement: Measurement) -> MetricResult:
        """Return the result with one more measurement, or with another state of the unfinished one."""
        earlier = self.measurements
        if self.last and not self.last.phase.completed:
            earlier = earlier[:-1]
        result = replace(self, measurements=(*earlier, measurement))
        if not measurement.phase.completed:
            return result
        failed, good = measurement.phase is Phase.ERROR, measurement.phase is Phase.SUCCESSFUL
        return replace(
            result,
            counts=self.counts.after(measurement.phase),
            consecutive_error=self.consecutive_error + 1 if failed else 0,
            consecutive_success=self.consecutive_success + 1 if good else 0,
        )

    def manifest(self) -> Manifest:
        """Write it as Argo Rollouts does."""
        return _given(
            name=self.name,
            phase=self.phase.value,
            measurements=[each.manifest() for each in self.measurements],
            message=self.message,
            **self.counts.manifest(),
            consecutiveError=self.consecutive_error,
            dryRun=self.dry_run,
            metadata=dict(self.metadata),
            consecutiveSuccess=self.consecutive_success,
        )


@dataclass(frozen=True)
class RunStatus:
    """The status of a run; without a phase it has not begun."""

    phase: Phase | None = None
    message: str = ""
    results: Mapping[str, MetricResult] = field(default_factory=dict)
    started_at: datetime | None = None
    completed_at: datetime | None = None
    summary: Counts = field(default_factory=Counts)
    dry_run_summary: Counts | None = None

    @property
    def completed(self) -> bool:
        """Whether the run has ended."""
        return self.phase is not None and self.phase.completed

    def manifest(self) -> Manifest:
        """Write it as Argo Rollouts does."""
        written = _given(
            message=self.message,
            metricResults=[result.manifest() for result in self.results.values()],
            startedAt=_written(self.started_at),
            completedAt=_written(self.completed_at),
        )
        written |= {"phase": self.phase.value if self.phase else "", "runSummary": self.summary.manifest()}
        if self.dry_run_summary is not None:
            written["dryRunSummary"] = self.dry_run_summary.manifest()
        return written


def read_status(manifest: Manifest) -> RunStatus:
    """Read the status of an AnalysisRun, as Argo Rollouts or rollway have written it."""
    status = manifest.get("status") or {}
    results = [_result(each) for each in status.get("metricResults") or ()]
    dry_run = status.get("dryRunSummary")
    return RunStatus(
        phase=_phase(status.get("phase")),
        message=str(status.get("message") or ""),
        results={result.name: result for result in results},
        started_at=time_of(status.get("startedAt")),
        completed_at=time_of(status.get("completedAt")),
        summary=_counts(status.get("runSummary") or {}),
        dry_run_summary=None if dry_run is None else _counts(dry_run),
    )


def _result(given: Manifest) -> MetricResult:
    measurements = (_measurement(each) for each in given.get("measurements") or ())
    return MetricResult(
        name=str(given.get("name")),
        phase=_phase(given.get("phase")) or Phase.RUNNING,
        measurements=tuple(each for each in measurements if each is not None),
        message=str(given.get("message") or ""),
        counts=_counts(given),
        consecutive_error=int(given.get("consecutiveError") or 0),
        consecutive_success=int(given.get("consecutiveSuccess") or 0),
        dry_run=bool(given.get("dryRun")),
        metadata=dict(given.get("metadata") or {}),
    )


def _measurement(given: Manifest) -> Measurement | None:
    started = time_of(given.get("startedAt"))
    if started is None:
        return None
    return Measurement(
        _phase(given.get("phase")) or Phase.RUNNING,
        started,
        time_of(given.get("finishedAt")),
        str(given.get("value") or ""),
        str(given.get("message") or ""),
        dict(given.get("metadata") or {}),
        time_of(given.get("resumeAt")),
    )


_COUNTS = tuple(each.name for each in fields(Counts))


def _counts(given: Manifest) -> Counts:
    return Counts(*(int(dig(given, key) or 0) for key in _COUNTS))


def _phase(given: Any) -> Phase | None:
    return Phase(given) if given in {phase.value for phase in Phase} else None


def _written(moment: datetime | None) -> str:
    return write_time(moment) if moment else ""


def _given(**values: Any) -> Manifest:
    """Return the fields that have a value."""
    return {key: value for key, value in values.items() if value}
