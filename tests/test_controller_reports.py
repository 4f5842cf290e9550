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


def test_the_same_event_again_is_a_count(server: ApiServer, store: ClusterStore) -> None:
    """One Event stands for the same words again and again; when the API server has dropped it, a new one is made."""
    recorder = EventRecorder(store.client)
    event = ReleaseEvent("Normal", "RolloutPaused", "Rollout is paused")
    recorder.record(rollout(), event)
    recorder.record(rollout(), event)
    until(lambda: [item["count"] for item in objects(server, "events")] == [2])
    server.delete(objects(server, "events")[0], "events")
    recorder.record(rollout(), event)
    recorder.record(rollout(), ReleaseEvent("Normal", "Other", "other"))
    recorder.close()
    assert sorted(item["reason"] for item in objects(server, "events")) == ["Other", "RolloutPaused"]


def test_an_event_that_cannot_be_written_is_dropped(server: ApiServer, store: ClusterStore) -> None:
    """A refused Event ends nothing."""
    server.faults = [Fault("status", 403, "no", 1, ("POST",), "events")]
    recorder = EventRecorder(store.client)
    recorder.record(rollout(), ReleaseEvent("Normal", "First", "refused"))
    recorder.record(rollout(), ReleaseEvent("Normal", "Second", "written"))
    recorder.close()
    assert [item["reason"] for item in objects(server, "events")] == ["Second"]


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
