"""The controller as a process: it leads or waits, works, survives faults, and ends in order."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from contextlib import closing
from socket import create_server
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from api_server import Fault
from controlled import LONG_S, objects, rollout, until

from rollway.controller.endpoints import serve
from rollway.controller.process import Controller, ControllerOptions
from rollway.controller.watched_cluster import WatchedCluster
from rollway.routers.model import INSTANCE_ID
from rollway.routers.stores.cluster import ClusterStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from api_server import ApiServer

    from rollway.routers.objects import Manifest

pytestmark = pytest.mark.enable_socket
Start: TypeAlias = "Callable[..., tuple[Controller, threading.Thread]]"


@pytest.fixture
def running(store: ClusterStore) -> Iterator[Start]:
    """Start a controller in a thread of its own; it ends with the test."""
    started: list[tuple[Controller, threading.Thread]] = []

    def start(own: ClusterStore = store, **options: Any) -> tuple[Controller, threading.Thread]:
        given = ControllerOptions("me", "default", instance_id=INSTANCE_ID, workers=2, **options)
        controller = Controller(own, given)
        controller.metrics.watch(controller.cluster.rollouts.items)
        thread = threading.Thread(target=controller.run)
        started.append((controller, thread))
        thread.start()
        return started[-1]

    yield start
    for controller, thread in started:
        controller.stop()
        thread.join(LONG_S)


def test_a_controller_makes_pods_reports_and_gives_its_lease_back(server: ApiServer, running: Start) -> None:
    """From the Rollout alone it makes a ReplicaSet, writes status and Events, forgets a deleted one, and ends in order."""
    server.put(rollout(), "rollouts")
    controller, thread = running()
    until(lambda: objects(server, "replicasets") and "status" in objects(server, "rollouts")[0])
    assert controller.leads
    assert controller.alive
    assert controller.ready
    assert b'rollout_info{name="web"' in controller.metrics.text()
    server.delete(rollout(), "rollouts")
    until(lambda: b'name="web"' not in controller.metrics.text())
    controller.stop()
    thread.join(LONG_S)
    assert not thread.is_alive()
    assert objects(server, "events")
    assert objects(server, "leases")[0]["spec"]["holderIdentity"] == ""


def test_a_failed_write_is_tried_again(server: ApiServer, running: Start) -> None:
    """After a refusal and server errors the ReplicaSet is made all the same; what was refused stood in the status."""
    denied = 'admission webhook "quota" denied the request: no'
    server.faults = [
        Fault("status", 403, denied, 1, ("POST",), "replicasets"),
        Fault("status", 500, "made up", 2, ("POST",), "replicasets"),
    ]
    server.put(rollout(), "rollouts")
    seen: list[str] = []
    controller, thread = running()

    def made() -> bool:
        seen.append(str((objects(server, "rollouts")[0].get("status") or {}).get("message")))
        return bool(objects(server, "replicasets"))

    until(made)
    assert any("ReplicaSetCreateError" in message and "denied the request" in message for message in seen)
    assert b'rollout_reconcile_error_total{name="web"' in controller.metrics.text()
    controller.stop()
    thread.join(LONG_S)


def test_a_controller_that_lost_the_lead_ends(server: ApiServer, running: Start) -> None:
    """When another one has the Lease it stops its work, is not alive any more, and leaves the Lease to that one."""
    controller, thread = running()
    until(lambda: controller.leads)
    (lease,) = objects(server, "leases")
    server.put({**lease, "spec": {**lease["spec"], "holderIdentity": "other"}}, "leases")
    thread.join(LONG_S)
    assert not controller.alive
    assert objects(server, "leases")[0]["spec"]["holderIdentity"] == "other"


def test_an_error_of_its_own_ends_no_worker(
    server: ApiServer, running: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect that shows with one Rollout is logged and counted, and the Rollout is tried again."""
    looks = iter([ZeroDivisionError("made up")])
    observe = WatchedCluster.observe

    def broken(self: WatchedCluster, namespace: str, name: str) -> Any:
        for error in looks:
            raise error
        return observe(self, namespace, name)

    monkeypatch.setattr(WatchedCluster, "observe", broken)
    server.put(rollout(), "rollouts")
    controller, _ = running()
    until(lambda: objects(server, "replicasets"))
    assert b'rollout_reconcile_error_total{name="web",namespace="default"} 1.0' in controller.metrics.text()


def test_what_was_done_before_a_conflict_is_reported(server: ApiServer, running: Start) -> None:
    """The status is refused once after the ReplicaSet was made; the Event about the ReplicaSet is written all the same."""
    server.faults = [Fault("status", 409, "made up", 1, ("PATCH",), "/status")]
    server.put(rollout(), "rollouts")
    controller, thread = running()
    until(lambda: objects(server, "rollouts")[0].get("status"))
    assert not server.faults[0].times
    controller.stop()
    thread.join(LONG_S)
    assert any("NewReplicaSetCreated: " in item["message"] for item in objects(server, "events"))


def test_a_rollout_of_another_shard_is_left_alone(
    server: ApiServer, store: ClusterStore, running: Start
) -> None:
    """Of two shards exactly one takes a Rollout, and each has a Lease of its own."""
    server.put(rollout(), "rollouts")
    taken = []
    for number in (1, 2):
        with closing(ClusterStore(store.client.connection, cache=False)) as own:
            controller, thread = running(own, shard=(number, 2))
            _wait_for_lead(controller)
            controller.stop()
            thread.join(LONG_S)
            taken.append(len(objects(server, "replicasets")))
    assert taken in ([0, 1], [1, 1])
    names = {item["metadata"]["name"] for item in objects(server, "leases")}
    assert names == {f"rollway-controller-{INSTANCE_ID}-{number}-of-2" for number in (1, 2)}


def _wait_for_lead(controller: Controller) -> None:
    until(lambda: controller.leads)
    until(lambda: not len(controller.queue))


def test_a_replica_without_the_lease_waits(server: ApiServer, running: Start) -> None:
    """While another one holds the Lease nothing is written, and it ends when it is asked to."""
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": f"rollway-controller-{INSTANCE_ID}", "namespace": "default"},
        "spec": {"holderIdentity": "other", "leaseDurationSeconds": 60},
    }
    server.put(lease, "leases")
    server.put(rollout(), "rollouts")
    controller, thread = running()
    until(lambda: controller.ready and ("GET", _path(lease)) in server.requests)
    assert not controller.leads
    controller.stop()
    thread.join(LONG_S)
    assert not objects(server, "replicasets")
    assert objects(server, "leases")[0]["spec"]["holderIdentity"] == "other"


def _path(lease: Manifest) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{lease['metadata']['name']}"


def test_the_endpoints_answer_for_a_controller(store: ClusterStore) -> None:
    """Before its memory is whole it is alive and not ready; other paths are not there."""
    controller = Controller(store, ControllerOptions("me", "default"))
    with closing(create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    close = serve(controller, port, port)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    codes = {}
    for path in ("healthz", "readyz", "metrics", "nothing"):
        try:
            with opener.open(f"http://127.0.0.1:{port}/{path}", timeout=LONG_S) as answer:
                codes[path] = answer.status
        except urllib.error.HTTPError as error:
            codes[path] = error.code
            error.close()
    close()
    controller._close()
    assert codes == {"healthz": 200, "readyz": 503, "metrics": 200, "nothing": 404}
