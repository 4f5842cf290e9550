"""Kubernetes Events about Rollouts, written behind the work: what happens within some seconds is one Event."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from rollway.routers.errors import NotFoundError, RollwayError
from rollway.routers.kube.client import MERGE_PATCH, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.controller.decision import ReleaseEvent
    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest

SOURCE = "rollouts-controller"
GATHER_S = 5.0
"""How long an Event waits for others about the same Rollout."""
_LONGEST = 1024
_WAITING = 10_000
"""About how many Rollouts Events may wait; more than that are dropped, because no release waits for them."""
_REMEMBERED = 4096
_DETAILS = frozenset(
    {
        "NewReplicaSetCreated",
        "RolloutNotCompleted",
        "RolloutStepCompleted",
        "ScalingReplicaSet",
        "SwitchService",
        "TrafficWeightUpdated",
    }
)
"""The reasons that stand for a gathered Event only when there is no other one in it."""

_logger = logging.getLogger(__name__)


class _Key(NamedTuple):
    """What is gathered: all normal Events about a Rollout, and its warnings by their reason, because alerts select them."""

    uid: str
    type: str
    reason: str


@dataclass
class _Gathered:
    rollout: Manifest
    due: float
    counts: dict[ReleaseEvent, int] = field(default_factory=dict)


class _Seen(NamedTuple):
    name: str
    times: int


class EventRecorder:
    """Write Events in a thread of its own; safe to use from many threads.

    Those about one Rollout wait for each other for `gather` seconds, and are written as one, whose message has each with its
    reason, and how often it came. A warning is gathered with those of the same reason only. The same Event once more is a count.
    """

    def __init__(self, client: Client, gather: float = GATHER_S) -> None:
        self._client = client
        self._gather = gather
        # In the order in which they are due.
        self._gathered: dict[_Key, _Gathered] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._seen: OrderedDict[tuple[str, ...], _Seen] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="rollway-events", daemon=True)
        self._thread.start()

    def record(self, rollout: Manifest, event: ReleaseEvent) -> None:
        """Write an Event later; it is dropped where too many wait."""
        warning = event.type != "Normal"
        key = _Key(rollout["metadata"]["uid"], event.type, event.reason if warning else "")
        with self._changed:
            gathered = self._gathered.get(key)
            if gathered is None:
                if len(self._gathered) >= _WAITING:
                    _logger.warning("an Event is dropped, because too many wait: %s", event.message)
                    return
                gathered = self._gathered[key] = _Gathered(rollout, time.monotonic() + self._gather)
                self._changed.notify()
            gathered.counts[event] = gathered.counts.get(event, 0) + 1

    def close(self, timeout: float = 2) -> None:
        """Write what waits, for `timeout` seconds at most."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while gathered := self._take():
            for event in _combined(gathered.counts):
                try:
                    self._write(gathered.rollout, event)
                except RollwayError as error:
                    _logger.warning("an Event is not written: %s", error.message)

    def _take(self) -> _Gathered | None:
        """Wait until something is due and take it; None when everything is written and nothing comes any more."""
        with self._changed:
            while True:
                key, first = next(iter(self._gathered.items()), (None, None))
                if key is None or first is None:
                    if self._closed:
                        return None
                    self._changed.wait()
                elif self._closed or first.due <= time.monotonic():
                    return self._gathered.pop(key)
                else:
                    self._changed.wait(first.due - time.monotonic())

    def _write(self, rollout: Manifest, event: ReleaseEvent) -> None:
        metadata = rollout["metadata"]
        key = (metadata["uid"], *event)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        seen = self._seen.pop(key, None)
        if seen:
            target = Target("", "Event", metadata["namespace"], seen.name)
            try:
                self._client.patch(target, {"count": seen.times + 1, "lastTimestamp": now}, MERGE_PATCH)
            except NotFoundError:
                seen = None  # the API server forgets Events after an hour
        if seen is None:
            seen = _Seen(f"{metadata['name']}.{uuid4().hex[:16]}", 0)
            self._client.create(_event(rollout, event, seen.name, now))
        self._seen[key] = _Seen(seen.name, seen.times + 1)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)


def _combined(counts: dict[ReleaseEvent, int]) -> Iterator[ReleaseEvent]:
    """Yield gathered Events as one, or as several where the message of one would be too long."""
    gathered: list[ReleaseEvent] = []
    texts: list[str] = []
    for event, count in counts.items():
        text = f"{event.reason}: {event.message}" + (f" ({count} times)" if count > 1 else "")
        if texts and len("; ".join((*texts, text))) > _LONGEST:
            yield _one(gathered, texts)
            gathered, texts = [], []
        gathered.append(event)
        texts.append(text)
    yield _one(gathered, texts)


def _one(gathered: list[ReleaseEvent], texts: list[str]) -> ReleaseEvent:
    if len(gathered) == 1:
        return gathered[0]._replace(message=texts[0].removeprefix(f"{gathered[0].reason}: "))
    telling = [event for event in gathered if event.reason not in _DETAILS] or gathered
    return telling[-1]._replace(message="; ".join(texts))


def _event(rollout: Manifest, event: ReleaseEvent, name: str, now: str) -> dict[str, Any]:
    metadata = rollout["metadata"]
    involved = {
        "apiVersion": rollout["apiVersion"],
        "kind": "Rollout",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "involvedObject": involved,
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:_LONGEST],
        "source": {"component": SOURCE},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
