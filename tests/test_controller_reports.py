"""What the controller reports about Rollouts: Events and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from api_server import Fault
from controlled import objects, rollout, until

from rollway.controller.decision import ReleaseEvent
from rollway.controller.events import EventRecorder
from rollway.controller.metrics import Metrics

if TYPE_CHECKING:
    from api_server import ApiServer

    from rollway.routers.stores.cluster import ClusterStore

pytestmark = pytest.mark.enable_socket


def normal(reason: str, message: str = "it was") -> ReleaseEvent:
    """Return an Event that is no warning."""
    return ReleaseEvent("Normal", reason, message)


def recorded(server: ApiServer) -> dict[str, tuple[str, int]]:
    """Return message and count of the Events by their reason."""
    return {item["reason"]: (item["message"], item["count"]) for item in objects(server, "events")}


def test_what_happens_together_is_one_event(server: ApiServer, store: ClusterStore) -> None:
    """Its message has each with its reason; the one that says most stands for all, and each kind of warning is apart."""
    recorder = EventRecorder(store.client, gather=60)
    recorder.record(rollout(), normal("RolloutUpdated", "Rollout updated to revision 2"))
    for weight in (20, 40):
        recorder.record(rollout(), normal("TrafficWeightUpdated", f"to {weight}"))
        recorder.record(rollout(), normal("RolloutPaused", "Rollout is paused"))
    recorder.record(rollout(), ReleaseEvent("Warning", "RolloutAborted", "Rollout aborted"))
    recorder.close()
    message = (
        "RolloutUpdated: Rollout updated to revision 2; TrafficWeightUpdated: to 20; "
        "RolloutPaused: Rollout is paused (2 times); TrafficWeightUpdated: to 40"
    )
    assert recorded(server) == {"RolloutPaused": (message, 1), "RolloutAborted": ("Rollout aborted", 1)}


def test_a_long_story_is_several_events(server: ApiServer, store: ClusterStore) -> None:
    """No message is longer than the 1024 characters that clients of Events reckon with, and nothing is left out."""
    recorder = EventRecorder(store.client, gather=60)
    for number in range(30):
        recorder.record(rollout(), normal("RolloutStepCompleted", f"step {number} " + "x" * 60))
    recorder.close()
    messages = [item["message"] for item in objects(server, "events")]
    assert len(messages) == 3
    assert max(map(len, messages)) <= 1024
    assert all(any(f"step {number} x" in message for message in messages) for number in range(30))


def test_the_same_event_again_is_a_count(server: ApiServer, store: ClusterStore) -> None:
    """One Event stands for the same words again and again; when the API server has dropped it, a new one is made."""
    recorder = EventRecorder(store.client, gather=0)
    event = normal("RolloutPaused", "Rollout is paused")
    for count in (1, 2):
        recorder.record(rollout(), event)
        until(lambda: recorded(server) == {"RolloutPaused": ("Rollout is paused", count)})  # noqa: B023 - called in its turn
    server.delete(objects(server, "events")[0], "events")
    recorder.record(rollout(), event)
    until(lambda: recorded(server) == {"RolloutPaused": ("Rollout is paused", 1)})
    recorder.close()


def test_an_event_that_cannot_be_written_is_dropped(server: ApiServer, store: ClusterStore) -> None:
    """A refused Event ends nothing."""
    server.faults = [Fault("status", 403, "no", 1, ("POST",), "events")]
    recorder = EventRecorder(store.client, gather=60)
    recorder.record(rollout(), ReleaseEvent("Warning", "First", "refused"))
    recorder.record(rollout(), ReleaseEvent("Warning", "Second", "written"))
    recorder.close()
    assert set(recorded(server)) == {"Second"}


def test_metrics_show_the_state_of_each_rollout() -> None:
    """The phase, the pods and the weight of a Rollout are metrics; those of a forgotten one are gone."""
    metrics = Metrics()
    weights = {"canary": {"weight": 20}, "stable": {"weight": 80}, "verified": True}
    routed = {"canary": {"trafficRouting": {"nginx": {}, "maxTrafficWeight": 100}}}
    given = rollout(strategy=routed)
    given["status"] = {"phase": "Paused", "availableReplicas": 0, "canary": {"weights": weights}}
    metrics.watch(lambda: [given])
    with metrics.reconciling("default", "web"):
        metrics.failed("default", "web")
    text = metrics.text().decode()
    for line in (
        'rollout_info{name="web",namespace="default",phase="Paused",strategy="canary",traffic_router="nginx"} 1.0',
        'rollout_info_replicas_unavailable{name="web",namespace="default"} 1.0',
        'rollway_rollout_weight{name="web",namespace="default"} 20.0',
        'rollway_rollout_weight_verified{name="web",namespace="default"} 1.0',
        'rollout_reconcile_error_total{name="web",namespace="default"} 1.0',
    ):
        assert line in text
    metrics.forget("default", "web")
    metrics.forget("default", "web")
    assert "rollout_reconcile_error_total{" not in metrics.text().decode()
