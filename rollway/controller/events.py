"""Kubernetes Events about Rollouts, written behind the work, the same one again as a count."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from rollway.routers.errors import NotFoundError, RollwayError
from rollway.routers.kube.client import MERGE_PATCH, Target

if TYPE_CHECKING:
    from rollway.controller.decision import ReleaseEvent
    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest

SOURCE = "rollouts-controller"
_LONGEST = 1024
_WAITING = 10_000
"""How many Events may wait; more than that are dropped, because no release waits for them."""
_REMEMBERED = 4096

_logger = logging.getLogger(__name__)


class _Seen(NamedTuple):
    name: str
    times: int


class EventRecorder:
    """Write Events in a thread of its own; safe to use from many threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: queue.Queue[tuple[Manifest, ReleaseEvent] | None] = queue.Queue(_WAITING)
        self._seen: OrderedDict[tuple[str, ...], _Seen] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="rollway-events", daemon=True)
        self._thread.start()

    def record(self, rollout: Manifest, event: ReleaseEvent) -> None:
        """Write an Event later; it is dropped where too many wait."""
        try:
            self._waiting.put_nowait((rollout, event))
        except queue.Full:
            _logger.warning("an Event is dropped, because too many wait: %s", event.message)

    def close(self, timeout: float = 2) -> None:
        """Write what waits, for `timeout` seconds at most."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=timeout)
        self._thread.join(timeout)

    def _run(self) -> None:
        while item := self._waiting.get():
            try:
                self._write(*item)
            except RollwayError as error:
                _logger.warning("an Event is not written: %s", error.message)

    def _write(self, rollout: Manifest, event: ReleaseEvent) -> None:
        metadata = rollout["metadata"]
        key = (metadata["uid"], event.type, event.reason, event.message)
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
