"""Constant load on one host behind a data plane: how many requests each version answered since when, and which failed."""

from __future__ import annotations

import collections
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from harness.waiting import until
from rollway.routers.probes.requests import Identity, Sample, judge, measure
from rollway.routers.traffic import Outcome
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType

IDENTITY = Identity.parse("header:X-Version")
_SAMPLE = 20
"""Requests in one sample, which is wholly before or after a moment, or left out."""


class Load:
    """Send so many requests a second to a host while the block runs; safe to ask from other threads."""

    def __init__(self, url: str, host: str, rate: float = 100) -> None:
        self.url = url
        self.host = host
        self.rate = rate
        self._samples: list[tuple[float, Sample]] = []
        """Each with the time when it began, in seconds of the monotonic clock."""
        self._over = threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self._done: Future[None] | None = None

    def __enter__(self) -> Self:
        self._done = self._thread.submit(self._send)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._done:
            self._done.result()
        self._thread.shutdown()

    def _send(self) -> None:
        while not self._over.is_set():
            begin = time.monotonic()
            sample = measure(
                self.url,
                IDENTITY,
                requests=_SAMPLE,
                rate=self.rate,
                headers={"Host": self.host},
                connections=2,
            )
            self._samples.append((begin, sample))

    def versions(self, since: float = 0, until: float = float("inf")) -> collections.Counter[str]:
        """Return how many requests each version answered; only samples that lie between the two moments count."""
        counts: collections.Counter[str] = collections.Counter()
        for begin, sample in list(self._samples):
            if since <= begin and begin + sample.seconds <= until:
                counts.update(dict(sample.versions))
        return counts

    def off(self, weight: int, version: str, since: float, until: float = float("inf")) -> str:
        """Return why the share of a version between two moments is not its weight of 100; empty where it is."""
        sample = Sample(tuple(self.versions(since, until).items()))
        verdict = judge(sample, IDENTITY._replace(value=version), Split(weight, 100))
        return "" if verdict.outcome is Outcome.MATCHES else f"at weight {weight}: {verdict.reason}"

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return sum(sample.answered + sample.failed for _, sample in list(self._samples))

    @property
    def failures(self) -> collections.Counter[str]:
        """What went wrong, and how often."""
        counts: collections.Counter[str] = collections.Counter()
        for _, sample in list(self._samples):
            counts.update(dict(sample.failures))
        return counts

    def __str__(self) -> str:
        failed = ", ".join(f"{count} {reason}" for reason, count in self.failures.items())
        return f"{self.sent} requests, failed: {failed or 'none'}"


def wait_until_served(url: str, host: str) -> None:
    """Wait until a host is answered, and until what is written next is posted to nginx apart from it (see `ingress_nginx.SYNC_RATE`)."""

    def is_served() -> bool:
        return not measure(url, IDENTITY, requests=1, rate=0, headers={"Host": host}).failed

    until(is_served, f"{host} is served")
    time.sleep(1.05 - time.time() % 1)
