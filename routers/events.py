"""Kubernetes Events about weight changes and refusals, in the words that the command prints.

Every store that keeps Events takes them (`rollway.routers.stores.EventStore`): a cluster, a cluster that is watched, and
the memory of the tests. Files keep none.
"""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.errors import NotVerifiedError, RefusedError, RollwayError, StoreError
from rollway.routers.objects import dig
from rollway.routers.ownership import ROLLOUT_ANNOTATION
from rollway.routers.stores import EventStore
from rollway.routers.traffic import Evidence
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rollway.routers.applying import Result
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest
    from rollway.routers.router import TrafficRouter
    from rollway.routers.stores import Store

UPDATED = "TrafficWeightUpdated"
REFUSED = "TrafficWeightRefused"
UNVERIFIED = "TrafficWeightNotVerified"
REMOVED = "TrafficRoutingRemoved"
STARTED = "TrafficRampStarted"
_DONE = {"create": "created", "patch": "patched", "apply": "updated", "delete": "deleted"}
_LONGEST = 1024
"""An Event's message is refused beyond this many characters (Kubernetes, `validation.go` of core/v1)."""

_WISH = "rollway.dev/wish"
"""The annotation of an Event that holds a `Wish` as JSON."""


class Wish(NamedTuple):
    """What a writing verb asked for: the canary's split, the evidence that it reached, and when."""

    split: Split
    evidence: Evidence
    time: datetime


def summary(result: Result) -> str:
    """Write what a call did, object by object, and the evidence that it reached."""
    split = result.want.split
    lines: list[str] = []
    if result.plan is None:
        lines.append(f"{result.rollout.ref}: canary {split}; nothing to change")
    else:
        done = "removing what rollway made" if result.plan.removal else f"canary {split}"
        lines.append(f"{result.rollout.ref}: {done}")
    lines += [f"  with {route}" for route in result.want.routes]
    if result.plan:
        actions = {change.ref: change.action.value for change in result.plan.changes}
        lines += [f"  {_DONE[actions.get(ref, 'apply')]} {ref}" for ref in result.written]
    if result.verdict:
        reason = f" ({result.verdict.reason})" if result.verdict.reason else ""
        lines.append(f"  verified: {result.verdict.evidence.name.lower()}{reason}")
    return "\n".join(lines)


def last_wish(store: Store, rollout: Rollout) -> Wish | None:
    """Return what was asked for last, as far as the Events on the Rollout show it (an API server keeps them an hour).

    None for a store without Events, and for a Rollout that is only a manifest.

    Raises:
        StoreError: the Events cannot be read.
    """
    if not rollout.uid or not isinstance(store, EventStore):
        return None
    events = store.recorded(rollout.namespace, f"{ROLLOUT_ANNOTATION}={rollout.name}")
    ours = [event for event in events if dig(event, "involvedObject", "uid") == rollout.uid]
    return max(filter(None, map(_wish_of, ours)), key=lambda wish: wish.time, default=None)


def _wish_of(event: Manifest) -> Wish | None:
    try:
        marks = json.loads(dig(event, "metadata", "annotations", _WISH) or "")
        split, evidence = Split(marks["canary"], marks["total"]), Evidence[marks["evidence"].upper()]
        return Wish(split, evidence, datetime.fromisoformat(marks["time"]))
    except (ValueError, KeyError, TypeError, AttributeError, RollwayError):
        return None  # an Event of another kind, or somebody else's


class Recorder:
    """Write Events on one Rollout; none for a Rollout that is only a manifest, or for a store without Events.

    What happened counts, and not whether there is an Event about it: `note` is called with the reason when one could
    not be written.
    """

    def __init__(
        self,
        router: TrafficRouter,
        *,
        enabled: bool = True,
        note: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._rollout = router.rollout
        self._note = note
        self._store: EventStore | None = None
        if enabled and router.rollout.uid and isinstance(router.store, EventStore):
            self._store = router.store

    def __call__(
        self,
        reason: str,
        message: str,
        kind: str = "Normal",
        *,
        asked: Split | None = None,
        evidence: Evidence = Evidence.WRITTEN,
    ) -> None:
        """Write one Event, with what was asked if that was written."""
        if self._store is None:
            return
        wish = Wish(asked, evidence, datetime.now(UTC)) if asked else None
        try:
            self._store.record(_event(self._rollout, reason, message, kind, wish))
        except (StoreError, RefusedError) as error:
            self._note(f"the Event about it was not written: {error.message} (--no-events leaves Events out)")

    def written(self, result: Result) -> None:
        """Write an Event about a change, if there was one."""
        if result.changed:
            evidence = result.verdict.evidence if result.verdict else Evidence.WRITTEN
            self(UPDATED, summary(result), asked=result.want.split, evidence=evidence)

    @contextlib.contextmanager
    def failures(self, wanted: Split | None) -> Iterator[None]:
        """Write an Event about a refusal, or about a weight that was not proven, and let the error through."""
        try:
            yield
        except NotVerifiedError as failure:
            self(UNVERIFIED, str(failure), "Warning", asked=wanted)
            raise
        except RefusedError as failure:
            self(REFUSED, str(failure), "Warning")
            raise


def _marks(rollout: Rollout, wish: Wish) -> dict[str, Any]:
    marks = {
        "canary": wish.split.canary,
        "total": wish.split.total,
        "evidence": wish.evidence.name.lower(),
        "time": wish.time.isoformat(),
    }
    # A label holds 63 characters; the Events of a longer name are not found again.
    labels = {ROLLOUT_ANNOTATION: rollout.name} if len(rollout.name) <= 63 else {}
    return {"labels": labels, "annotations": {_WISH: json.dumps(marks)}}


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
