"""Kubernetes Events about weight changes and refusals, in the words that the command prints."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from routers.errors import ForbiddenError, RefusedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routers.model import Manifest, Route
    from routers.router import TrafficRouter
    from routers.stores import Store
    from routers.stores.cluster import ClusterStore

UPDATED = "TrafficWeightUpdated"
REFUSED = "TrafficWeightRefused"
REMOVED = "TrafficRoutingRemoved"
STARTED = "TrafficRampStarted"
_LONGEST = 1024
"""An Event's message is refused beyond this many characters (Kubernetes, `validation.go` of core/v1)."""


class Recorder:
    """Write Events on one Rollout; none for a Rollout that is not in the cluster, or for a directory."""

    def __init__(self, router: TrafficRouter, *, enabled: bool) -> None:
        self._route = router.route
        self._store = _recording(router.store) if enabled and router.route.uid else None

    def __call__(self, reason: str, message: str, kind: str = "Normal") -> None:
        """Write one Event; a server that does not take it is told on stderr.

        Raises:
            ForbiddenError: the role lacks the verb, which no later call would mend.
        """
        if self._store is None:
            return
        try:
            self._store.record(_event(self._route, reason, message, kind))
        except ForbiddenError as error:
            raise ForbiddenError(
                f"the Event about it was not written: {error.message}",
                hint="give the role that rule, or use --no-events",
            ) from error
        except (StoreError, RefusedError) as error:
            click.echo(f"note: the Event about it was not written: {error.message}", err=True)

    @contextlib.contextmanager
    def refusals(self) -> Iterator[None]:
        """Write an Event about a refusal that passes through; the refusal goes on whether or not that works."""
        try:
            yield
        except RefusedError as refusal:
            try:
                self(REFUSED, str(refusal), "Warning")
            except ForbiddenError as error:
                click.echo(f"note: {error.message}", err=True)
            raise


def _recording(store: Store) -> ClusterStore | None:
    from routers.stores.cluster import ClusterStore  # noqa: PLC0415 - a directory does not need it

    return store if isinstance(store, ClusterStore) else None


def _event(route: Route, reason: str, message: str, kind: str) -> Manifest:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST - 3]}..."
    return {
        "apiVersion": "v1",
        "kind": "Event",
        # As client-go names them: the object, and the time as a hexadecimal number.
        "metadata": {"name": f"{route.name[:230]}.{time.time_ns():x}", "namespace": route.namespace},
        "involvedObject": {
            "apiVersion": route.api_version,
            "kind": "Rollout",
            "namespace": route.namespace,
            "name": route.name,
            "uid": route.uid,
        },
        "reason": reason,
        "message": message,
        "type": kind,
        "source": {"component": "rollway"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
