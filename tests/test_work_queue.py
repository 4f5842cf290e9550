"""The queue of Rollouts that wait for a worker, on a clock of the test's own."""

from __future__ import annotations

import threading

import pytest

from rollway.controller.work_queue import WorkQueue


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def take_all(queue: WorkQueue[str]) -> list[str]:
    """Take and give back every key that is ready."""
    taken: list[str] = []
    queue.add("begin")  # what is due becomes ready when a worker asks
    while (key := queue.take()) != "end":
        assert key is not None
        taken.append(key)
        queue.done(key)
        if key == "begin":
            queue.add("end")
    queue.done("end")
    return [key for key in taken if key != "begin"]


def test_a_key_waits_once() -> None:
    """A key that is added again while it waits is taken once, and keys keep their order."""
    queue = WorkQueue[str](Clock())
    for key in ("a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert take_all(queue) == ["a", "b"]


def test_urgent_keys_come_first_and_let_others_through() -> None:
    """A key that becomes urgent overtakes those that wait, and one of four is not urgent all the same."""
    queue = WorkQueue[str](Clock())
    for number in range(1, 6):
        queue.add(f"urgent {number}")
    for key in ("new 1", "new 2"):
        queue.add(key)
    for number in range(1, 6):
        queue.add(f"urgent {number}", urgent=True)
    assert len(queue) == 7
    taken = [queue.take() for _ in range(7)]
    assert taken == ["urgent 1", "urgent 2", "urgent 3", "new 1", "urgent 4", "urgent 5", "new 2"]


def test_a_key_that_became_urgent_at_work_is_urgent_afterwards() -> None:
    """What was added while a worker had it keeps its place before the others."""
    queue = WorkQueue[str](Clock())
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a", urgent=True)
    queue.add("a")
    queue.add("b")
    queue.done("a")
    assert queue.take() == "a"


def test_a_key_that_is_worked_on_comes_again_afterwards() -> None:
    """No two workers have one key; what was added meanwhile is taken after the first is done."""
    queue = WorkQueue[str](Clock())
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert take_all(queue) == ["a"]


def test_of_several_times_the_first_counts() -> None:
    """A key that is added for two times comes at the first one, and only then."""
    clock = Clock()
    queue = WorkQueue[str](clock)
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    assert take_all(queue) == []
    clock.now = 5
    assert take_all(queue) == ["a"]
    clock.now = 15
    assert take_all(queue) == []


def test_each_failure_waits_longer() -> None:
    """The pause after a failure doubles up to ten seconds, and a success ends that."""
    clock = Clock()
    queue = WorkQueue[str](clock)
    pauses = []
    for _ in range(13):
        queue.fail("a")
        begun = clock.now
        while not take_all(queue):
            clock.now += 0.005
        pauses.append(clock.now - begun)
    assert pauses[:4] == pytest.approx([0.01, 0.02, 0.04, 0.08], abs=0.006)
    assert pauses[-1] == pytest.approx(10, abs=0.006)
    queue.succeed("a")
    queue.fail("a")
    clock.now += 0.011
    assert take_all(queue) == ["a"]


def test_a_closed_queue_lets_workers_end() -> None:
    """A worker that waits gets nothing once the queue is closed."""
    queue = WorkQueue[str]()
    got: list[str | None] = []
    worker = threading.Thread(target=lambda: got.append(queue.take()))
    worker.start()
    queue.close()
    worker.join(10)
    assert got == [None]
