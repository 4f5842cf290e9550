"""Events: what was asked is written with every store that keeps Events, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from rollway.routers.errors import ForbiddenError, RefusedError
from rollway.routers.events import UPDATED, Recorder, last_wish, summary
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.stores import EventStore
from rollway.routers.stores.cluster import ClusterStore
from rollway.routers.stores.directory import DirectoryStore
from rollway.routers.stores.watching import WatchingStore
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import Evidence
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from pathlib import Path

    from rollway.routers.objects import Manifest, ObjectRef


class EventsForbidden(MemoryStore):
    """A cluster whose role may not write Events."""

    def record(self, event: Manifest) -> None:
        raise ForbiddenError(f"the role lacks the verb create on events ({event['reason']})")


def router(store: Any, **metadata: str) -> TrafficRouter:
    """Return the router of a Rollout with a uid, as one that a cluster holds."""
    manifest = m.rollout({"istio": {"virtualService": {"name": "web"}}})
    manifest["metadata"].update(uid="1234", **metadata)
    return TrafficRouter(parse_rollout(manifest), store)


def events(store: MemoryStore) -> list[ObjectRef]:
    """Return the Events in a store."""
    return [ref for ref in store.manifests if ref.kind == "Event"]


def test_what_was_asked_is_read_back() -> None:
    """The last change that was written counts, with the evidence that it reached; refusals are no wish."""
    shop = router(MemoryStore([m.virtual_service()]))
    assert last_wish(shop.store, shop.rollout) is None
    record = Recorder(shop)
    for weight in (10, 20):
        record.written(shop.set_weight(weight))
    with pytest.raises(RefusedError), record.failures(Split(90)):
        raise RefusedError("not today")
    wish = last_wish(shop.store, shop.rollout)
    assert wish is not None
    assert (wish.split, wish.evidence) == (Split(20), Evidence.WRITTEN)
    record.written(shop.set_weight(20))
    assert len(events(shop.store)) == 3, "no change, no Event"  # type: ignore[arg-type]


def test_a_change_without_the_right_to_write_events_is_no_error() -> None:
    """The weight is written, the reason why there is no Event is a note, and a refusal keeps its own error."""
    shop = router(EventsForbidden([m.virtual_service()]))
    notes: list[str] = []
    record = Recorder(shop, note=notes.append)
    result = shop.set_weight(20)
    record.written(result)
    assert result.changed
    assert "lacks the verb create on events" in notes[0]
    with pytest.raises(RefusedError, match="not today"), record.failures(Split(90)):
        raise RefusedError("not today")
    assert len(notes) == 2


def test_stores_that_keep_events(tmp_path: Path) -> None:
    """Clusters, watched or not, and the memory keep Events; files do not, and nobody minds."""
    assert all(issubclass(kind, EventStore) for kind in (ClusterStore, WatchingStore, MemoryStore))
    store = DirectoryStore(tmp_path)
    shop = router(store)
    Recorder(shop, note=pytest.fail)(UPDATED, "nothing")
    assert last_wish(store, shop.rollout) is None


def test_no_events_for_a_rollout_that_is_only_a_manifest() -> None:
    """A Rollout from a file has no object that an Event could stand on; --no-events writes none either."""
    store = MemoryStore([m.virtual_service()])
    unknown = TrafficRouter(parse_rollout(m.rollout({"istio": {"virtualService": {"name": "web"}}})), store)
    Recorder(unknown)(UPDATED, "x")
    Recorder(router(store), enabled=False)(UPDATED, "x")
    assert events(store) == []
    assert last_wish(store, unknown.rollout) is None


def test_the_summary_names_each_object_and_the_evidence() -> None:
    """The words of an Event are those that the command prints: the wish, what was done to each object, the evidence."""
    shop = router(MemoryStore([m.virtual_service()]))
    assert summary(shop.set_weight(20)) == (
        "Rollout default/shop: canary 20 of 100, 20 %\n  patched VirtualService default/web\n  verified: written"
    )
