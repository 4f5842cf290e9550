"""Which version answers, counted over calls or connections of any kind."""

from __future__ import annotations

import collections
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

from rollway.routers.probes.requests import within
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Ask: TypeAlias = "Callable[[], str]"
"""Asks once, and returns the version that answers, or what went wrong."""


def sample(ask: Ask, count: int) -> collections.Counter[str]:
    """Ask so many times, four at once, and count the answers."""
    with ThreadPoolExecutor(4) as workers:
        return collections.Counter(workers.map(lambda _: ask(), range(count)))


@contextlib.contextmanager
def load(ask: Ask) -> Iterator[collections.Counter[str]]:
    """Ask without a pause while the block runs; the counter has all answers when it is left."""
    answers: collections.Counter[str] = collections.Counter()
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            answers[ask()] += 1

    with ThreadPoolExecutor(1) as worker:
        done = worker.submit(send)
        try:
            yield answers
        finally:
            over.set()
            done.result()


def require_share(answers: collections.Counter[str], weight: int) -> None:
    """Require that every one was answered, and the canary's share is the weight in percent, as far as chance allows."""
    assert set(answers) <= {"stable", "canary"}, answers
    assert within(answers["canary"], answers.total(), Split(weight, 100)), f"{weight} %: {answers}"
