"""Kubernetes Events about weight changes and refusals, in the words that the command prints."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rollway.cli import output as out
from rollway.routers.errors import ForbiddenError, NotVerifiedError, RefusedError, RollwayError, StoreError
from rollway.routers.model import Evidence, Need, dig
from rollway.routers.ownership import ROLLOUT_ANNOTATION
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.engine import Result
    from rollway.routers.model import Manifest, Rollout
    from rollway.routers.router import TrafficRouter
    from rollway.routers.stores import Store
    from rollway.routers.stores.cluster import ClusterStore

UPDATED = "TrafficWeightUpdated"
REFUSED = "TrafficWeightRefused"
UNVERIFIED = "TrafficWeightNotVerified"
REMOVED = "TrafficRoutingRemoved"
STARTED = "TrafficRampStarted"
_LONGEST = 1024
"""An Event's message is refused beyond this many characters (Kubernetes, `validation.go` of core/v1)."""


_WISH = "rollway.dev/wish"
"""The annotation of an Event that holds a `Wish` as JSON."""


class Wish(NamedTuple):
    """What a writing verb asked for: the canary's split, the evidence that it reached, and when."""

    split: Split
    evidence: Evidence
    time: datetime


def last_wish(store: Store, rollout: Rollout) -> Wish | None:
    """Return what was asked for last, as far as the Events on the Rollout still tell (an API server keeps them an hour)."""
    cluster = _recording(store) if rollout.uid else None
    if cluster is None:
        return None
    selector = f"{ROLLOUT_ANNOTATION}={rollout.name}"
    need = Need("", "Event", namespace=rollout.namespace, required=False, selector=selector, runtime=True)
    try:
        events = cluster.read([need]).of("", "Event")
    except RollwayError as error:
        click.echo(f"note: what was asked last cannot be told: {error.message}", err=True)
        return None
    ours = [item.manifest for item in events if dig(item.manifest, "involvedObject", "uid") == rollout.uid]
    return max(filter(None, map(_wish_of, ours)), key=lambda wish: wish.time, default=None)


def _wish_of(event: Manifest) -> Wish | None:
    try:
        found = json.loads(dig(event, "metadata", "annotations", _WISH) or "")
        split, evidence = Split(found["canary"], found["total"]), Evidence[found["evidence"].upper()]
        return Wish(split, evidence, datetime.fromisoformat(found["time"]))
    except (ValueError, KeyError, TypeError, AttributeError, RollwayError):
        return None  # an Event of another kind, or somebody else's


class Recorder:
    """Write Events on one Rollout; none for a Rollout that is not in the cluster, or for a directory."""

    def __init__(self, router: TrafficRouter, *, enabled: bool) -> None:
        self._rollout = router.rollout
        self._store = _recording(router.store) if enabled and router.rollout.uid else None

    def __call__(
        self,
        reason: str,
        message: str,
        kind: str = "Normal",
        *,
        asked: Split | None = None,
        evidence: Evidence = Evidence.WRITTEN,
    ) -> None:
        """Write one Event, with what was asked if that was written; a server that does not take it is told on stderr.

        Raises:
            ForbiddenError: the role lacks the verb, which no later call would mend.
        """
        if self._store is None:
            return
        try:
            wish = Wish(asked, evidence, datetime.now(UTC)) if asked else None
            self._store.record(_event(self._rollout, reason, message, kind, wish))
        except ForbiddenError as error:
            raise ForbiddenError(
                f"the Event about it was not written: {error.message}",
                hint="give the role that rule, or use --no-events",
            ) from error
        except (StoreError, RefusedError) as error:
            click.echo(f"note: the Event about it was not written: {error.message}", err=True)

    def written(self, result: Result, wanted: Split) -> None:
        """Write an Event about a change, if there was one."""
        if result.changed:
            evidence = result.verdict.evidence if result.verdict else Evidence.WRITTEN
            self(UPDATED, out.words(result, wanted), asked=wanted, evidence=evidence)

    @contextlib.contextmanager
    def failures(self, wanted: Split) -> Iterator[None]:
        """Write an Event about a refusal, or a weight that was not proven; it goes on whether or not that works."""
        try:
            yield
        except (RefusedError, NotVerifiedError) as failure:
            try:
                if isinstance(failure, NotVerifiedError):
                    self(UNVERIFIED, str(failure), "Warning", asked=wanted)
                else:
                    self(REFUSED, str(failure), "Warning")
            except ForbiddenError as error:
                click.echo(f"note: {error.message}", err=True)
            raise


def _recording(store: Store) -> ClusterStore | None:
    from rollway.routers.stores.cluster import ClusterStore  # noqa: PLC0415 - a directory does not need it

    return store if isinstance(store, ClusterStore) else None


def _marks(rollout: Rollout, wish: Wish) -> dict[str, Any]:
    found = {
        "canary": wish.split.canary,
        "total": wish.split.total,
        "evidence": wish.evidence.name.lower(),
        "time": wish.time.isoformat(),
    }
    # A label holds 63 characters; the Events of a longer name are not found again.
    labels = {ROLLOUT_ANNOTATION: rollout.name} if len(rollout.name) <= 63 else {}
    return {"labels": labels, "annotations": {_WISH: json.dumps(found)}}


def _event(rollout: Rollout, reason: str, message: str, kind: str, wish: Wish | None) -> Manifest:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST - 3]}..."
    return {
        "apiVersion": "v1",
        "kind": "Event",
        # As client-go names them: the object, and the time as a hexadecimal number.
        "metadata": {
            "name": f"{rollout.name[:230]}.{time.time_ns():x}",
            "namespace": rollout.namespace,
            **(_marks(rollout, wish) if wish else {}),
        },
        "involvedObject": {
            "apiVersion": rollout.api_version,
            "kind": "Rollout",
            "namespace": rollout.namespace,
            "name": rollout.name,
            "uid": rollout.uid,
        },
        "reason": reason,
        "message": message,
        "type": kind,
        "source": {"component": "rollway"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
