"""The course of a run: what is due when, which phases follow, and how the status is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollway.analysis.conditions import Condition
from rollway.analysis.measuring import phase_of
from rollway.analysis.run import Assessment, Measured, assess
from rollway.analysis.spec import Metric
from rollway.analysis.status import Counts, Measurement, MetricResult, Phase, RunStatus, read_status

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOOD, BAD, ERROR, UNSURE = Phase.SUCCESSFUL, Phase.FAILED, Phase.ERROR, Phase.INCONCLUSIVE


def seconds(number: float) -> timedelta:
    """Return so many seconds."""
    return timedelta(seconds=number)


def metric(name: str = "rate", **fields: Any) -> Metric:
    """Return a metric with a condition."""
    return Metric(name, "web", {}, success=Condition("result >= 0.95"), **fields)


class Clockwork:
    """Play a run: whenever a measurement is due, it has the next phase of its metric, and takes no time."""

    def __init__(self, *metrics: Metric, **phases: list[Phase]) -> None:
        self.metrics = metrics
        self.phases = phases
        self.now = START
        self.taken: list[tuple[str, float]] = []
        self.assessment = assess(metrics, RunStatus(), START)

    def play(self, *, terminate_at: float = float("inf"), limit: int = 1000) -> RunStatus:
        """Go on until the run ends, or for so many steps."""
        for _ in range(limit):
            if self.assessment.status.completed:
                break
            measured = {due.metric.name: self._take(due.metric.name) for due in self.assessment.due}
            if not measured:
                assert self.assessment.again is not None, "a run that goes on has something to wait for"
                self.now = self.assessment.again
            ended = (self.now - START).total_seconds() >= terminate_at
            self.assessment = assess(
                self.metrics, self.assessment.status, self.now, measured, terminate=ended
            )
        return self.assessment.status

    def _take(self, name: str) -> Measured:
        listed = self.phases[name]
        phase = listed.pop(0) if len(listed) > 1 else listed[0]
        self.taken.append((name, (self.now - START).total_seconds()))
        message = "no answer" if phase is ERROR else ""
        return Measured(Measurement(phase, self.now, self.now, "0.9", message))


def ended(*phases: Phase, **fields: Any) -> tuple[str, int]:
    """Return the phase of a run of one metric that is measured every minute, and after how many measurements it ended."""
    run = Clockwork(metric(interval=seconds(60), **fields), rate=list(phases))
    status = run.play()
    assert status.phase is not None
    return status.phase.value, len(run.taken)


@pytest.mark.parametrize(
    ("phases", "fields", "wanted"),
    [
        ([GOOD], {"count": 3}, ("Successful", 3)),
        ([BAD], {"count": 3}, ("Failed", 1)),
        ([BAD, BAD, GOOD], {"count": 5, "failure_limit": 2}, ("Successful", 5)),
        ([BAD, BAD, BAD], {"count": 5, "failure_limit": 2}, ("Failed", 3)),
        ([UNSURE], {"count": 3}, ("Inconclusive", 1)),
        ([UNSURE, GOOD], {"count": 3, "inconclusive_limit": 1}, ("Successful", 3)),
        ([ERROR], {"count": 3}, ("Error", 5)),
        ([ERROR, ERROR, GOOD, ERROR, GOOD], {"count": 2}, ("Successful", 5)),
        ([ERROR, GOOD], {"count": 1, "consecutive_error_limit": 0}, ("Error", 1)),
        (
            [BAD, GOOD, GOOD],
            {"count": None, "failure_limit": -1, "consecutive_success_limit": 2},
            ("Successful", 3),
        ),
        ([GOOD, BAD], {"count": 4, "failure_limit": -1, "consecutive_success_limit": 2}, ("Failed", 4)),
        (
            [GOOD, BAD, GOOD, UNSURE],
            {"count": 4, "failure_limit": 1, "inconclusive_limit": 1, "consecutive_success_limit": 2},
            ("Inconclusive", 4),
        ),
    ],
)
def test_limits_end_a_metric(phases: list[Phase], fields: dict[str, Any], wanted: tuple[str, int]) -> None:
    """Counts and limits decide as the documentation of Argo Rollouts says, with the number of measurements."""
    assert ended(*phases, **fields) == wanted


def test_measurements_come_at_their_times() -> None:
    """A metric waits for its delay, then for its interval, and ten seconds after an error."""
    run = Clockwork(
        metric("slow", interval=seconds(60), count=3, initial_delay=seconds(30)),
        metric("once"),
        metric("flaky", interval=seconds(60), count=2),
        slow=[GOOD],
        once=[ERROR, GOOD],
        flaky=[ERROR, GOOD],
    )
    assert run.play().phase is GOOD
    taken = {name: [at for each, at in run.taken if each == name] for name, _ in run.taken}
    assert taken == {"slow": [30, 90, 150], "once": [0, 10], "flaky": [0, 10, 70]}


def test_a_metric_that_fails_ends_the_others() -> None:
    """What has begun counts as successful, what has not begun is not measured, and the message has value and condition."""
    run = Clockwork(
        metric("bad"),
        metric("endless", interval=seconds(5), count=None),
        metric("late", initial_delay=seconds(600)),
        bad=[BAD],
        endless=[GOOD],
        late=[GOOD],
    )
    status = run.play()
    assert status.phase is BAD
    assert status.message == (
        'Metric "bad" assessed Failed due to failed (1) > failureLimit (0): '
        "the value was 0.9, with successCondition `result >= 0.95`"
    )
    assert {name: result.phase for name, result in status.results.items()} == {"bad": BAD, "endless": GOOD}
    assert (status.summary, status.completed_at) == (Counts(count=3, successful=1, failed=1), START)


def test_the_worst_metric_decides() -> None:
    """Failed is worse than Error, and that worse than Inconclusive; an error's message is in that of the run."""
    run = Clockwork(
        metric("a", inconclusive_limit=0), metric("b", consecutive_error_limit=0), a=[UNSURE], b=[ERROR]
    )
    status = run.play()
    assert status.phase is ERROR
    assert status.message == (
        'Metric "b" assessed Error due to consecutiveErrors (1) > consecutiveErrorLimit (0): '
        '"Error Message: no answer"'
    )


def test_a_dry_run_does_not_count() -> None:
    """A metric of a dry run fails without an end of the run, and shows only in its own result and summary."""
    run = Clockwork(
        metric("trial", dry_run=True), metric("real", interval=seconds(5), count=2), trial=[BAD], real=[GOOD]
    )
    status = run.play()
    assert status.phase is GOOD
    assert status.results["trial"].message == "Metric assessed Failed due to failed (1) > failureLimit (0)"
    assert status.dry_run_summary == Counts(count=1, failed=1)
    assert status.summary == Counts(count=1, successful=1)


def test_termination_ends_a_run_well() -> None:
    """A run that is terminated is successful unless something failed before, and nothing is measured any more."""
    run = Clockwork(metric(interval=seconds(60), count=None), rate=[GOOD])
    status = run.play(terminate_at=120)
    assert (status.phase, status.message) == (GOOD, "Run Terminated")
    assert assess([metric()], RunStatus(), START, terminate=True).status.phase is GOOD


def test_a_measurement_under_way_is_gone_on_with() -> None:
    """One that is not finished is due when it says so, is ended when the run ends, and stays one measurement."""
    asked = Measured(Measurement(Phase.RUNNING, START, resume_at=START + seconds(15)))
    first = assess([metric()], RunStatus(), START, {"rate": asked})
    assert (first.due, first.again) == ((), START + seconds(15))
    later = assess([metric()], first.status, START + seconds(15))
    assert [(due.unfinished, due.terminate) for due in later.due] == [(asked.measurement, False)]
    ending = assess([metric()], first.status, START + seconds(1), terminate=True)
    assert ending.status.phase is Phase.RUNNING
    assert [due.terminate for due in ending.due] == [True]
    done = Measured(replace(asked.measurement, phase=GOOD, finished_at=START + seconds(16)))
    end = assess([metric()], later.status, START + seconds(16), {"rate": done})
    assert (end.status.phase, len(end.status.results["rate"].measurements)) == (GOOD, 1)


def test_old_measurements_go() -> None:
    """Ten measurements stay of a metric, or as many as measurementRetention says; the counts are those of all."""
    run = Clockwork(
        metric("ten", interval=seconds(1), count=15),
        metric("two", interval=seconds(1), count=15, retention=2),
        ten=[GOOD],
        two=[GOOD],
    )
    results = run.play().results
    assert [len(results[name].measurements) for name in ("ten", "two")] == [10, 2]
    assert results["two"].counts == Counts(count=15, successful=15)


@pytest.mark.parametrize(
    ("success", "failure", "wanted"),
    [
        (None, None, [GOOD, GOOD, GOOD]),
        ("result > 5", None, [BAD, BAD, GOOD]),
        (None, "result < 3", [BAD, GOOD, GOOD]),
        ("result > 5", "result < 3", [BAD, UNSURE, GOOD]),
        ("result > 0", "result > 5", [GOOD, GOOD, BAD]),
    ],
)
def test_conditions_decide_a_measurement(
    success: str | None, failure: str | None, wanted: list[Phase]
) -> None:
    """One condition decides by itself; between two lies what is inconclusive; what fails has failed."""
    tested = Metric(
        "m", "web", {}, (success and Condition(success)) or None, (failure and Condition(failure)) or None
    )
    assert [phase_of(tested, value, START) for value in (1.0, 4.0, 6.0)] == wanted


STATUS = RunStatus(
    phase=BAD,
    message="m",
    results={
        "rate": MetricResult(
            "rate",
            BAD,
            (Measurement(BAD, START, START + seconds(1), "[0.9]", "", {"warnings": '"w"'}),),
            "",
            Counts(1, 0, 1),
            0,
            0,
            dry_run=True,
            metadata={"ResolvedPrometheusQuery": "up"},
        )
    },
    started_at=START,
    completed_at=START + seconds(1),
    summary=Counts(),
    dry_run_summary=Counts(count=1, failed=1),
)


def test_the_status_is_written_as_argo_rollouts_does() -> None:
    """Fields have Argo's names and order of nesting, and those without a value are left out; reading is the inverse."""
    assert STATUS.manifest() == {
        "phase": "Failed",
        "message": "m",
        "metricResults": [
            {
                "name": "rate",
                "phase": "Failed",
                "measurements": [
                    {
                        "phase": "Failed",
                        "startedAt": "2026-03-01T12:00:00Z",
                        "finishedAt": "2026-03-01T12:00:01Z",
                        "value": "[0.9]",
                        "metadata": {"warnings": '"w"'},
                    }
                ],
                "count": 1,
                "failed": 1,
                "dryRun": True,
                "metadata": {"ResolvedPrometheusQuery": "up"},
            }
        ],
        "startedAt": "2026-03-01T12:00:00Z",
        "completedAt": "2026-03-01T12:00:01Z",
        "runSummary": {},
        "dryRunSummary": {"count": 1, "failed": 1},
    }
    assert read_status({"status": STATUS.manifest()}) == STATUS


METRICS = st.builds(
    metric,
    st.sampled_from(["a", "b", "c"]),
    interval=st.sampled_from([None, seconds(5), seconds(60)]),
    initial_delay=st.sampled_from([None, seconds(7)]),
    count=st.integers(1, 6),
    failure_limit=st.integers(0, 3),
    inconclusive_limit=st.integers(0, 2),
    consecutive_error_limit=st.integers(0, 3),
    consecutive_success_limit=st.integers(0, 3),
    dry_run=st.booleans(),
)
PHASES = st.lists(st.sampled_from([GOOD, BAD, ERROR, UNSURE]), min_size=1, max_size=8)


@settings(deadline=None, max_examples=150)
@given(st.lists(METRICS, min_size=1, max_size=3, unique_by=lambda each: each.name), st.data())
def test_every_run_ends_and_its_numbers_agree(metrics: list[Metric], data: st.DataObject) -> None:
    """A run with counts ends; counts are sums, no limit is exceeded in silence, and a restart changes nothing."""
    phases = {each.name: [*data.draw(PHASES), GOOD] for each in metrics}
    run = Clockwork(*metrics, **phases)
    for _ in range(500):
        before = run.assessment
        if before.status.completed:
            break
        read = read_status({"status": before.status.manifest()})
        again = assess(metrics, read, run.now)
        assert (again.status, again.due, again.again) == (before.status, before.due, before.again)
        run.play(limit=1)
    status = run.play()
    assert status.completed
    assert assess(metrics, status, run.now) == Assessment(status)
    for each in metrics:
        result = status.results.get(each.name)
        if result is None:
            continue
        counts = result.counts
        assert counts.count == counts.successful + counts.failed + counts.inconclusive
        assert each.count is not None
        assert counts.count <= each.count
        if result.phase is GOOD:
            assert counts.failed <= each.failure_limit
            assert result.consecutive_error <= each.consecutive_error_limit
    deciding = [r.phase for name, r in status.results.items() if not r.dry_run]
    if status.phase is not GOOD:
        assert status.phase in deciding
    elif deciding:
        assert set(deciding) == {GOOD}
