"""The loop behind everything that the library waits for, with a clock that only sleeping moves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rollway.routers import waiting


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that were slept; no real time passes."""
    pauses: list[float] = []
    time = SimpleNamespace(sleep=pauses.append, monotonic=lambda: sum(pauses))
    monkeypatch.setattr(waiting, "time", time)
    return pauses


def test_the_last_look_comes_when_no_time_is_left(clock: list[float]) -> None:
    """Looks come at once and after each pause, and the last one exactly at the end."""
    assert list(waiting.looks_within(2.5, 1)) == [2.5, 1.5, 0.5, 0.0]
    assert clock == [1, 1, 0.5]


def test_without_time_there_is_one_look(clock: list[float]) -> None:
    """A timeout of 0, or one that is over already, means one look and no pause."""
    assert list(waiting.looks_within(0, 1)) == list(waiting.looks_within(-3, 1)) == [0.0]
    assert clock == []


def test_pauses_grow_up_to_the_longest(clock: list[float]) -> None:
    """With a longest pause, each pause is twice the one before, up to that."""
    list(waiting.looks_within(10, 1, longest=3))
    assert clock == [1, 2, 3, 3, 1]
