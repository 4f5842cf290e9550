"""Calls at the same time: whatever the order of their reads and writes, the objects agree, or a call reports that they do not."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import manifests as m
from rollway.routers.errors import (
    ApplyError,
    ForbiddenError,
    NotVerifiedError,
    RollwayError,
    StoreError,
)
from rollway.routers.objects import ObjectRef
from rollway.routers.plan import Action
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.directory import DirectoryStore
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import Evidence, Outcome, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, LiveObject, Need
    from rollway.routers.plan import Change

ROUTING = {
    "nginx": {"stableIngress": "web"},
    "istio": {"virtualServices": [{"name": "web"}, {"name": "more"}]},
    "smi": {},
}
OBJECTS = [
    m.ingress(),
    m.virtual_service(),
    m.virtual_service("more"),
    m.service("shop-stable"),
    m.service("shop-canary"),
]
VIRTUAL_SERVICE = ObjectRef("networking.istio.io", "VirtualService", "default", "web")


class Turns:
    """Let threads go on one step at a time, in a given order, and after its end by turns."""

    def __init__(self, order: Sequence[int], threads: int) -> None:
        self._order: Iterator[int] = itertools.chain(order, itertools.cycle(range(threads)))
        self._changed = threading.Condition()
        self._running = set(range(threads))
        self._me = threading.local()
        self._turn = next(self._order)

    def run(self, number: int, call: Callable[[], object]) -> RollwayError | None:
        """Make one of the calls; return the error that it ends with."""
        self._me.number = number
        try:
            call()
        except RollwayError as error:
            return error
        finally:
            with self._changed:
                self._running.discard(number)
                self._pass_on()
        return None

    def wait(self) -> None:
        """Wait for the turn of this thread, and give the next one to whose it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._turn == self._me.number)
            self._pass_on()

    def _pass_on(self) -> None:
        self._turn = (
            next((turn for turn in self._order if turn in self._running), -1) if self._running else -1
        )
        self._changed.notify_all()


class InTurns(MemoryStore):
    """A store whose every read and write waits for its turn; without its lock it is as a cluster is."""

    def __init__(self, turns: Turns, *, locked: bool) -> None:
        super().__init__(OBJECTS)
        self._turns = turns
        self._locked = locked
        self._held = threading.Lock()

    @contextlib.contextmanager
    def lock(self, rollout: Rollout) -> Iterator[bool]:  # noqa: ARG002 - there is one
        """Wait by turns as well."""
        if not self._locked:
            yield False
            return
        while not self._held.acquire(blocking=False):
            self._turns.wait()
        try:
            yield True
        finally:
            self._held.release()

    def read(self, needs: Sequence[Need]) -> Live:
        """Read when it is this thread's turn."""
        self._turns.wait()
        return super().read(needs)

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Write when it is this thread's turn."""
        self._turns.wait()
        return super().write(change, dry_run=dry_run)


def play(
    order: Sequence[int], weights: Sequence[int | None], *, locked: bool
) -> tuple[MemoryStore, list[Any]]:
    """Set weights (None: reset) in threads of their own, in that order of steps; return the errors as well."""
    turns = Turns(order, len(weights))
    store = InTurns(turns, locked=locked)
    found = TrafficRouter(parse_rollout(m.rollout(ROUTING)), store)
    errors: list[Any] = [None] * len(weights)

    def work(number: int, weight: int | None) -> None:
        call = found.reset if weight is None else lambda: found.set_weight(weight)
        errors[number] = turns.run(number, call)

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(weights)]
    with mock.patch("tenacity.nap.time"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    still = MemoryStore(store.manifests.values())
    return still, errors


def observed(store: Any) -> Traffic | None:
    """Return the traffic that all objects agree on."""
    return TrafficRouter(parse_rollout(m.rollout(ROUTING)), store).observe().traffic


ORDERS = st.lists(st.integers(0, 1), max_size=40)
PAIRS = st.sampled_from([(60, 30), (60, None), (None, 60), (60, 60), (None, None)])


@pytest.mark.uncovered
@given(order=ORDERS, weights=PAIRS)
@settings(deadline=None, max_examples=150)
def test_with_a_lock_calls_come_one_after_the_other(order: list[int], weights: Sequence[int | None]) -> None:
    """Whatever the order of steps, both calls succeed, and the objects agree on what one of them asked for."""
    store, errors = play(order, weights, locked=True)
    assert errors == [None, None]
    assert observed(store) in [Traffic(Split(weight or 0)) for weight in weights]


@pytest.mark.uncovered
@given(order=ORDERS, weights=PAIRS)
@settings(deadline=None, max_examples=150)
@example(order=[0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1], weights=(60, 30))
@example(order=[0, 1] * 20, weights=(60, None))
@example(order=[0, 0, 0, 1, 1, 1, 0, 0, 1, 1], weights=(None, 60))
def test_without_a_lock_the_objects_agree_or_a_call_reports_it(
    order: list[int], weights: Sequence[int | None]
) -> None:
    """As on a cluster: at the end the objects agree on a weight that was asked for, or a call has failed."""
    store, errors = play(order, weights, locked=False)
    if not any(errors):
        assert observed(store) in [Traffic(Split(weight or 0)) for weight in weights]
    if weights[0] == weights[1]:
        assert observed(store) == Traffic(Split(weights[0] or 0))


def cluster() -> tuple[MemoryStore, TrafficRouter]:
    """Return a store that holds no lock, and a router over it."""
    store = InTurns(mock.MagicMock(), locked=False)
    return store, TrafficRouter(parse_rollout(m.rollout(ROUTING)), store)


def test_a_call_that_was_overtaken_reports_it() -> None:
    """When all objects have another call's weight at the end, that is left alone and reported."""
    store, found = cluster()
    other = TrafficRouter(found.rollout, MemoryStore())

    def answer(change: Change) -> None:
        if change.ref.kind == "TrafficSplit":
            store.answer = lambda _change: None
            TrafficRouter(other.rollout, store).set_weight(30)

    store.answer = answer
    with pytest.raises(NotVerifiedError, match="another call has given the canary 30 of 100 meanwhile"):
        found.set_weight(60)
    assert observed(store) == Traffic(Split(30))


def test_objects_that_came_apart_are_brought_together_again() -> None:
    """When one object was overwritten between our writes, it is written again, and the result counts it."""
    store, found = cluster()
    found.set_weight(10)

    def answer(change: Change) -> None:
        if change.ref.kind == "TrafficSplit":
            store.answer = lambda _change: None
            store.put(m.virtual_service())

    store.answer = answer
    with mock.patch("tenacity.nap.time"):
        result = found.set_weight(60)
    assert len(result.written) == 4
    assert observed(store) == Traffic(Split(60))


def test_a_reviewed_plan_is_not_made_again() -> None:
    """With a fingerprint, objects that came apart are reported, and nothing more is written."""
    store, found = cluster()
    plan = found.plan(60)
    assert plan is not None

    def answer(change: Change) -> None:
        if change.ref.kind == "TrafficSplit":
            store.put(m.virtual_service())

    store.answer = answer
    with pytest.raises(
        NotVerifiedError, match="VirtualService default/web http route primary gives the canary 0"
    ) as caught:
        found.apply(plan, expect=plan.fingerprint)
    assert caught.value.retryable
    assert len(store.log) == 4


def test_objects_that_never_agree_are_reported() -> None:
    """When somebody overwrites an object each time, the call gives up after a bounded number of tries."""
    store, found = cluster()

    def answer(change: Change) -> None:
        if change.ref == VIRTUAL_SERVICE:
            store.put(m.virtual_service())

    store.answer = answer
    with mock.patch("tenacity.nap.time"), pytest.raises(NotVerifiedError, match="do not agree"):
        found.set_weight(60)


def failing_beside(store: MemoryStore, *, reads: bool = True) -> None:
    """Let the second write fail for good, after another call has set 60 beside the first one."""
    pair = [m.destination("shop-stable", 40), m.destination("shop-canary", 60)]

    def interfere(change: Change) -> None:
        if len(store.log) == 2:
            store.put(m.virtual_service("more", http=[{"name": "primary", "route": pair}]))
            if not reads:
                store.read = mock.Mock(side_effect=StoreError("down"))  # type: ignore[method-assign]
            raise ForbiddenError(f"may not write {change.ref}")

    store.interfere = interfere


def test_a_call_that_puts_back_reports_that_the_objects_do_not_agree() -> None:
    """Another call that relied on its first write has returned already, so the error names what each object shows."""
    store, found = cluster()
    found.set_weight(10)
    store.log.clear()
    failing_beside(store)
    with pytest.raises(ApplyError, match="its objects do not agree") as caught:
        found.set_weight(60)
    assert "put back: Ingress" in caught.value.message
    assert "VirtualService default/more http route primary gives the canary 60 of 100" in caught.value.message
    assert caught.value.hint == "set the weight again, or reset"


def test_a_call_that_puts_back_and_cannot_read_reports_that() -> None:
    """Where the store cannot be read after the failure, the error says that nobody knows whether the objects agree."""
    store, found = cluster()
    found.set_weight(10)
    store.log.clear()
    failing_beside(store, reads=False)
    with pytest.raises(ApplyError, match="NOT known whether the objects agree: down"):
        found.set_weight(60)


def test_reset_deletes_nothing_while_another_call_gives_the_canary_traffic() -> None:
    """A weight that comes back each time ends the reset, and no object is deleted."""
    store, found = cluster()
    found.set_weight(10)
    pair = [m.destination("shop-stable", 40), m.destination("shop-canary", 60)]
    theirs = m.virtual_service(http=[{"name": "primary", "route": pair}])

    def answer(_change: Change) -> None:
        store.put(theirs)

    store.answer = answer
    with mock.patch("tenacity.nap.time"), pytest.raises(NotVerifiedError, match="nothing was deleted"):
        found.reset()
    assert {"Ingress", "TrafficSplit"} <= {change.ref.kind for change in store.log}
    assert not any(change.action is Action.DELETE for change in store.log)


def test_disagreement_is_a_finding_and_differs() -> None:
    """Objects with different weights are named one by one, and `verify` without a weight says that they differ."""
    store = MemoryStore(OBJECTS)
    found = TrafficRouter(parse_rollout(m.rollout(ROUTING)), store)
    assert found.observe().disagreement is None
    found.set_weight(60)
    store.put(m.virtual_service())
    finding = found.observe().disagreement
    assert finding is not None
    assert finding.code == "objects-disagree"
    assert "VirtualService default/web http route primary gives the canary 0" in finding.message
    verdict = found.verify()
    assert (verdict.outcome, verdict.evidence) == (Outcome.DIFFERS, Evidence.WRITTEN)
    assert verdict.reason == finding.message


# -- processes on one directory


def in_process(path: str, weight: int | None, failures: Any) -> None:
    """Set a weight, or reset, in a process of its own."""
    found = TrafficRouter(parse_rollout(m.rollout(ROUTING)), DirectoryStore(path))
    try:
        if weight is None:
            found.reset()
        else:
            found.set_weight(weight)
    except RollwayError as error:
        failures.put(str(error))


@pytest.mark.uncovered
@pytest.mark.parametrize("weights", [(10, 20, 30, 40, 50, 60, 70, 80), (60, None), (None, 60, None, 30)])
def test_processes_on_one_directory_agree(tmp_path: Path, weights: Sequence[int | None]) -> None:
    """Processes that set weights of one Rollout at once, or reset it, all succeed, and its four objects agree."""
    for name, manifest in zip("abcde", OBJECTS, strict=True):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(manifest))
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        failures = context.SimpleQueue()
        processes = [
            context.Process(target=in_process, args=(str(tmp_path), weight, failures)) for weight in weights
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=60)
        assert [process.exitcode for process in processes] == [0] * len(weights)
        assert failures.empty()
        assert observed(DirectoryStore(tmp_path)) in [Traffic(Split(weight or 0)) for weight in weights]
