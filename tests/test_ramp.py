"""Ramps: which weights come, and how a step behaves when the store or somebody else is in the way."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import manifests as m
from rollway.routers.errors import (
    ApplyError,
    NotVerifiedError,
    RefusedError,
    StalePlanError,
    UncertainError,
    UnreachableError,
    WeightError,
)
from rollway.routers.model import Context
from rollway.routers.objects import Live
from rollway.routers.ramp import ErrorLimit, ErrorWatch, Ramp, weights
from rollway.routers.rollout import parse_rollout
from rollway.routers.route_steps import RemoveRoute, SetRoute
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import (
    Evidence,
    HeaderRoute,
    MirrorRoute,
    Outcome,
    RequestMatch,
    RequestSample,
    StringMatch,
    Traffic,
    Verdict,
)
from rollway.routers.weights import Split
from running import rollway, schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from running import Ran

ROUTING: dict[str, Any] = {"istio": {"virtualService": {"name": "web"}}, "smi": {}}


def ramp(store: MemoryStore, **words: Any) -> Ramp:
    """Return a ramp over two objects, at 0."""
    return Ramp(TrafficRouter(parse_rollout(m.rollout(ROUTING)), store), 0, **words)


def store() -> MemoryStore:
    """Return a store with the user's objects."""
    return MemoryStore([m.virtual_service(), m.service("shop-stable"), m.service("shop-canary")])


@pytest.mark.parametrize(
    ("span", "live", "expected"),
    [
        (("0", "100", "25"), 0, [25, 50, 75, 100]),
        (("0", "100", "30"), 0, [30, 60, 90, 100]),
        (("10", "50", "20"), 0, [10, 30, 50]),
        (("0", "100", "25"), 30, [50, 75, 100]),
        (("0", "100", "25"), 100, [100]),
        (("100", "0", "50"), 100, [50, 0]),
        (("100", "0", "50"), 20, [0]),
        (("0", "1/2", "10%"), 0, [10, 20, 30, 40, 50]),
    ],
)
def test_the_weights_to_come(span: tuple[str, str, str], live: int, expected: list[int]) -> None:
    """The steps from FROM to TO, without those that are reached, and always with the last."""
    assert weights(*span, 100, live) == expected


@given(start=st.integers(0, 100), end=st.integers(0, 100), step=st.integers(1, 100), data=st.data())
def test_steps_are_bounded_and_end_at_the_end(start: int, end: int, step: int, data: st.DataObject) -> None:
    """From any live weight before the end, no step is larger than asked for, except to where the ramp begins, and the last is the end."""
    live = data.draw(st.integers(0, end) if end >= start else st.integers(end, 100))
    found = weights(start, end, step, 100, live)
    assert found[-1] == end
    inside = [weight for weight in [live, *found] if min(start, end) <= weight <= max(start, end)]
    assert all(abs(new - old) <= step for old, new in itertools.pairwise(inside))
    assert found == sorted(found, reverse=end < start)


def test_a_ramp_without_sense_is_refused() -> None:
    """A step of nothing never ends, and a live weight beyond the end is not taken back in one step."""
    with pytest.raises(WeightError, match="never ends"):
        weights(0, 100, 0, 100, 0)
    with pytest.raises(RefusedError, match="beyond 50"):
        weights(0, 50, 10, 100, 60)


@pytest.mark.parametrize("error", [UnreachableError("gone"), UncertainError("lost")])
def test_a_step_waits_for_a_server_that_does_not_answer(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails for a while costs time and is reported, and then the step is done."""
    monkeypatch.setattr("rollway.routers.waiting.time.sleep", lambda _seconds: None)
    found = store()
    reported: list[str] = []
    found.fail(at=1, error=error, times=9)
    step = ramp(found, waiting=reported.append)
    assert step.advance(20).changed or step.router.observe().traffic == Traffic(Split(20))
    assert step.router.observe().traffic == Traffic(Split(20))
    assert reported


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that never answers ends the step with its own error once the patience is used up."""
    monkeypatch.setattr("rollway.routers.waiting.time.sleep", lambda _seconds: None)
    found = store()
    found.fail(at=0, error=UnreachableError("gone"), times=999)
    with pytest.raises((UnreachableError, ApplyError), match="gone"):
        ramp(found, patience=0).advance(20)


def test_a_refusal_is_not_waited_for() -> None:
    """What waiting does not mend ends the step at once."""
    found = MemoryStore(
        [m.virtual_service(), m.service("shop-stable"), m.service("shop-canary")], running=True
    )
    reported: list[str] = []
    with pytest.raises(RefusedError):
        ramp(found, waiting=reported.append).advance(20)
    assert not reported


def test_somebody_else_ends_the_ramp_but_not_the_way_back() -> None:
    """A weight that somebody else set is not overruled by the next step; going back to stable is always done."""
    step = ramp(store())
    step.advance(20)
    TrafficRouter(step.router.rollout, step.router.store).set_weight(70)
    with pytest.raises(StalePlanError, match="has 70 of 100 now, and this ramp left it at 20"):
        step.advance(40)
    step.back()
    assert step.router.observe().traffic == Traffic(Split(0))


BETA = HeaderRoute("beta", (RequestMatch((("X-Beta", StringMatch("exact", "1")),)),))
COPY = MirrorRoute("copy", percentage=10)


def routed(store: MemoryStore) -> Ramp:
    """Return a ramp over a VirtualService with managed routes, at 0."""
    routing = {
        "managedRoutes": [{"name": "beta"}, {"name": "copy"}],
        "istio": {"virtualService": {"name": "web"}},
    }
    return Ramp(TrafficRouter(parse_rollout(m.rollout(routing)), store), 0)


def test_route_steps_keep_the_weight_and_weights_keep_the_routes() -> None:
    """Header and mirror routes are set and removed one by one; going back to stable removes those that are left."""
    step = routed(store())
    for change in (SetRoute(BETA), SetRoute(COPY)):
        assert step.change_route(change).changed
        assert not step.change_route(change).changed
    step.advance(20)
    assert step.router.observe().traffic == Traffic(Split(20), (BETA,), (COPY,))
    step.change_route(RemoveRoute("beta", "header"))
    assert step.router.observe().traffic == Traffic(Split(20), (), (COPY,))
    step.change_route(RemoveRoute("copy", "mirror"), dry_run=True)
    step.back()
    assert step.router.observe().traffic == Traffic(Split(0))
    step.change_route(SetRoute(COPY))
    step.change_route(RemoveRoute("copy", "mirror"))
    assert step.router.observe().traffic == Traffic(Split(0))


def test_a_route_step_waits_and_does_not_overrule_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails for a while costs time only; a weight that somebody else set ends the ramp."""
    monkeypatch.setattr("rollway.routers.waiting.time.sleep", lambda _seconds: None)
    found = store()
    step = routed(found)
    found.fail(at=1, error=UnreachableError("gone"), times=3)
    step.change_route(SetRoute(BETA))
    assert step.router.observe().traffic == Traffic(Split(0), (BETA,))
    step = routed(store())
    step.router.set_weight(70)
    with pytest.raises(StalePlanError, match="has 70 of 100 now, and this ramp left it at 0"):
        step.change_route(RemoveRoute("beta", "header"))


def test_a_ramp_in_a_directory(tmp_path: Path) -> None:
    """The command works on manifests as well, and prints each step."""
    objects = [m.rollout(ROUTING), m.virtual_service(), m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    ran = rollway("ramp", "shop", "0..40", "--step", "20", "--every", "0s", "--dir", str(tmp_path))
    assert (ran.code, ran.stdout.count("patched VirtualService")) == (0, 2)
    ran = rollway(
        "ramp", "shop", "0..40", "--step", "20", "--every", "0s", "--dir", str(tmp_path), "-o", "yaml"
    )
    assert yaml.safe_load(ran.stdout)["changed"] is False
    assert rollway("ramp", "shop", "0-40", "--step", "20", "--every", "0s", "--dir", str(tmp_path)).code == 2
    assert rollway("ramp", "shop", "0..40", "--step", "20", "--every", "x", "--dir", str(tmp_path)).code == 2


# -- errors of the canary


class Counting:
    """A probe that counts what the test sets: a sample for each time that it is asked, the last one from then on."""

    evidence = Evidence.MEASURED
    backends: frozenset[str] = frozenset()

    def __init__(self, *samples: RequestSample) -> None:
        self.samples = list(samples)
        self.asked: list[int] = []

    def judge(self, context: Context) -> Verdict:
        """Return the next sample."""
        self.asked.append(context.want.split.canary)
        if not self.samples:
            return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason="nobody answers")
        sample = self.samples.pop(0) if self.samples[1:] else self.samples[0]
        # As evidence, one failure is too many; a limit on errors does not look at the outcome.
        return Verdict(Outcome.DIFFERS, Evidence.MEASURED, reason="failed", samples=(sample,), final=True)


GOOD = RequestSample(stable=80, canary=200)
BAD = RequestSample(stable=80, canary=190, canary_failed=10)


@pytest.mark.parametrize(
    ("text", "rate"), [("1%", Fraction(1, 100)), ("0.5%", Fraction(1, 200)), ("1/1000", Fraction(1, 1000))]
)
def test_a_limit_on_errors_is_a_share(text: str, rate: Fraction) -> None:
    """It is written as the share of a weight is."""
    assert ErrorLimit.parse(text).rate == rate


@pytest.mark.parametrize("text", ["1", "many", "-1%", "101%", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    """A plain number means nothing as a share."""
    with pytest.raises(WeightError):
        ErrorLimit.parse(text)


@given(
    failed=st.integers(0, 300),
    unknown=st.integers(0, 50),
    fine=st.integers(0, 3000),
    stable=st.integers(0, 1000),
    percentage=st.integers(0, 20),
)
def test_the_limit_is_the_plain_rate(
    failed: int, unknown: int, fine: int, stable: int, percentage: int
) -> None:
    """From enough requests on, more than the rate is too many; what nobody answered counts as the canary's."""
    limit = ErrorLimit(Fraction(percentage, 100), 100)
    outcome = limit.judge([RequestSample(stable, fine, 0, 7, failed, unknown)])
    total, lost = failed + unknown + fine, failed + unknown
    if total >= 100:
        assert outcome is (Outcome.DIFFERS if lost * 100 > percentage * total else Outcome.MATCHES)
    else:
        assert outcome is (Outcome.DIFFERS if lost > percentage else Outcome.UNKNOWN)


def test_samples_are_taken_until_they_say_something() -> None:
    """Few requests of the canary in one sample are added to those of the next; an error that is enough ends it."""
    router = ramp(store()).router
    context = Context(router.rollout, Traffic(Split(20)), Live(()))
    few = RequestSample(stable=90, canary=30)
    counting = Counting(few)
    assert ErrorWatch(ErrorLimit(Fraction(1, 100)), (counting,)).count(context) == (few,) * 4
    broken = RequestSample(stable=90, canary=2, canary_failed=8)
    assert len(ErrorWatch(ErrorLimit(Fraction(1, 100)), (Counting(broken),)).count(context)) == 1


def test_requests_that_cannot_be_counted_are_no_evidence() -> None:
    """A probe without an answer, and a canary that gets next to nothing, end the watch with an error."""
    router = ramp(store()).router
    context = Context(router.rollout, Traffic(Split(20)), Live(()))
    with pytest.raises(NotVerifiedError, match="cannot be counted: nobody answers"):
        ErrorWatch(ErrorLimit(Fraction(1, 100)), (Counting(),)).count(context)
    with pytest.raises(NotVerifiedError, match=r"50 requests of the canary failed .* too few to judge: 100"):
        ErrorWatch(ErrorLimit(Fraction(1, 100)), (Counting(RequestSample(99, 1)),)).count(context)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Return how to run a ramp whose requests are counted by a probe of the test."""
    objects = [m.rollout(ROUTING), m.virtual_service(), m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))

    def run(probe: Counting, *words: str) -> Ran:
        monkeypatch.setattr("rollway.cli.evidence.measuring_probe", lambda *_: [probe])
        url = ("--url", "http://shop.example.com", "--identify", "header:X-Version")
        common = ("--step", "20", "--every", "0s", "--max-error-rate", "1%", "--dir", str(tmp_path))
        return rollway("ramp", "shop", "0..40", *common, *url, *words)

    return run


def test_a_ramp_within_the_limit_goes_on(watched: Callable[..., Ran]) -> None:
    """Few failures are allowed; they are counted at each weight, and again before the next, and are in the answer."""
    probe = Counting(RequestSample(stable=80, canary=399, canary_failed=1))
    ran = watched(probe)
    assert (ran.code, ran.stdout.count("counted: 399 of canary, 80 of stable, 1 of canary failed")) == (
        0,
        3,
    ), ran
    assert probe.asked == [20, 20, 40]


def test_too_many_errors_send_the_traffic_back(watched: Callable[..., Ran], tmp_path: Path) -> None:
    """A canary that fails more often goes back to stable with exit code 5, and the answer has the samples."""
    ran = watched(Counting(GOOD, GOOD, BAD), "-o", "json")
    decoder, text, steps = json.JSONDecoder(), ran.stdout.strip(), []
    while text:
        document, end = decoder.raw_decode(text)
        schema("result", document)
        steps.append((document["wanted"]["canary"], [one["failed"]["canary"] for one in document["samples"]]))
        text = text[end:].strip()
    assert (ran.code, steps) == (5, [(20, [0]), (20, [0]), (40, [10]), (0, [])])
    error = json.loads(ran.stderr.splitlines()[-1])["error"]
    assert "10 of 200 requests of the canary failed (5 %), more than 1 %" in error["message"]
    assert "all traffic was sent back to stable" in error["message"]
    assert rollway("verify", "shop", "0", "--level", "written", "--dir", str(tmp_path)).code == 0


def test_errors_that_come_late_are_seen_before_the_next_weight(watched: Callable[..., Ran]) -> None:
    """What fails only after a while at a weight does not get more traffic."""
    probe = Counting(GOOD, BAD)
    assert watched(probe).code == 5
    assert probe.asked == [20, 20]


@pytest.mark.parametrize(("words", "weight"), [((), "20"), (("--on-failure", "back"), "0")])
def test_a_watch_that_sees_nothing_ends_the_ramp(
    words: tuple[str, ...], weight: str, watched: Callable[..., Ran], tmp_path: Path
) -> None:
    """Where requests cannot be counted, the ramp stops there, or goes back with --on-failure=back."""
    ran = watched(Counting(), *words)
    assert (ran.code, "cannot be counted" in ran.stderr) == (5, True)
    assert rollway("verify", "shop", weight, "--level", "written", "--dir", str(tmp_path)).code == 0
