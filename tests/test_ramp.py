"""Ramps: which weights come, and how a step behaves when the store or somebody else is in the way."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import manifests as m
from rollway.routers.errors import (
    ApplyError,
    RefusedError,
    StalePlanError,
    UncertainError,
    UnreachableError,
    WeightError,
)
from rollway.routers.model import Traffic
from rollway.routers.ramp import Ramp, weights
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore
from rollway.routers.weights import Split
from running import rollway

if TYPE_CHECKING:
    from pathlib import Path

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
    monkeypatch.setattr("rollway.routers.ramp.time.sleep", lambda _seconds: None)
    found = store()
    told: list[str] = []
    found.fail(at=1, error=error, times=9)
    step = ramp(found, waiting=told.append)
    assert step.advance(20).changed or step.router.observe().traffic == Traffic(Split(20))
    assert step.router.observe().traffic == Traffic(Split(20))
    assert told


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that never answers ends the step with its own error once the patience is used up."""
    monkeypatch.setattr("rollway.routers.ramp.time.sleep", lambda _seconds: None)
    found = store()
    found.fail(at=0, error=UnreachableError("gone"), times=999)
    with pytest.raises((UnreachableError, ApplyError), match="gone"):
        ramp(found, patience=0).advance(20)


def test_a_refusal_is_not_waited_for() -> None:
    """What waiting does not mend ends the step at once."""
    found = MemoryStore(
        [m.virtual_service(), m.service("shop-stable"), m.service("shop-canary")], running=True
    )
    told: list[str] = []
    with pytest.raises(RefusedError):
        ramp(found, waiting=told.append).advance(20)
    assert not told


def test_somebody_else_ends_the_ramp_but_not_the_way_back() -> None:
    """A weight that somebody else set is not overruled by the next step; going back to stable is always done."""
    step = ramp(store())
    step.advance(20)
    TrafficRouter(step.router.rollout, step.router.store).set_weight(70)
    with pytest.raises(StalePlanError, match="has 70 of 100 now, and this ramp left it at 20"):
        step.advance(40)
    step.back()
    assert step.router.observe().traffic == Traffic(Split(0))


def test_a_ramp_in_a_directory(tmp_path: Path) -> None:
    """The command works on manifests as well, and prints each step."""
    import yaml

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
