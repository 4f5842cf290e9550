"""The informer and the client below it: what is kept, what is reported, and what ends a watch."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING, Any

import pytest
from api_server import ApiServer, Fault

import manifests as m
from rollway.routers.errors import ConflictError
from rollway.routers.kube.cache import ObjectChange
from rollway.routers.kube.client import APPLY_PATCH, MERGE_PATCH, Client, Target
from rollway.routers.kube.informer import Informer, labels_only, metadata_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.enable_socket
SERVICES = Target("", "Service", "default")
WATCH_S = 60


class Watched:
    """An informer of all Services, and the changes that it reports."""

    def __init__(self, client: Client, project: Callable[[Any], Any] = lambda manifest: manifest) -> None:
        self.changes: queue.SimpleQueue[ObjectChange[Any]] = queue.SimpleQueue()
        self.informer = Informer(client, SERVICES, project, self.changes.put)
        self.informer.start()

    def next(self) -> ObjectChange[Any]:
        """Return the next change that is reported."""
        return self.changes.get(timeout=WATCH_S)

    def close(self) -> None:
        """End it."""
        self.informer.stop()
        self.informer.join()


@pytest.fixture
def watched(client: Client, server: ApiServer) -> Iterator[Watched]:
    """An informer of a server that has one Service."""
    server.put(m.service("first"), "services")
    found = Watched(client, port_of)
    yield found
    found.close()


def port_of(manifest: dict[str, Any]) -> int:
    """Keep the port alone."""
    port: int = manifest["spec"]["ports"][0]["port"]
    return port


def test_first_list_and_watch_are_reported_old_and_new(watched: Watched, server: ApiServer) -> None:
    """What is there at first is added; then each change comes with what was kept before and after."""
    assert watched.next() == ObjectChange("default", "first", None, 80)
    server.put(m.service("first", port=81), "services")
    assert watched.next() == ObjectChange("default", "first", 80, 81)
    server.put(m.service("second"), "services")
    assert watched.next() == ObjectChange("default", "second", None, 80)
    server.delete(m.service("first"), "services")
    assert watched.next() == ObjectChange("default", "first", 81, None)
    assert watched.informer.items() == [80]


def test_what_changed_while_the_watch_was_broken_is_reported(watched: Watched, server: ApiServer) -> None:
    """The list after it is compared with the memory: added, updated and deleted objects are all reported."""
    watched.next()
    server.put(m.service("gone"), "services")
    assert watched.next().name == "gone"
    server.faults = [Fault("status", 503, methods=("GET",), path="watch=true", times=2)]
    server.break_watches()
    server.put(m.service("first", port=81), "services")
    server.put(m.service("new"), "services")
    server.delete(m.service("gone"), "services")
    changes = {watched.next() for _ in range(3)}
    assert changes == {
        ObjectChange("default", "first", 80, 81),
        ObjectChange("default", "new", None, 80),
        ObjectChange("default", "gone", 80, None),
    }


def test_a_watch_that_the_server_ends_goes_on(watched: Watched, server: ApiServer) -> None:
    """A watch that ends in order is opened again from its last version, without a new list."""
    watched.next()
    server.faults = [Fault("closed", methods=("GET",), path="watch=true")]
    server.break_watches()
    lists = server.count("GET")
    server.put(m.service("second"), "services")
    assert watched.next().name == "second"
    assert server.count("GET") - lists <= 1


def test_a_listener_that_fails_is_logged_and_told_again(
    client: Client, server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception of the listener ends neither the watch nor the reports."""
    reported: queue.SimpleQueue[str] = queue.SimpleQueue()

    def changed(change: ObjectChange[int]) -> None:
        reported.put(change.name)
        if change.name == "first":
            raise RuntimeError("not today")

    server.put(m.service("first"), "services")
    informer = Informer(client, SERVICES, port_of, changed)
    with caplog.at_level(logging.ERROR, "rollway.routers.kube.informer"):
        informer.start()
        assert reported.get(timeout=WATCH_S) == "first"
        server.put(m.service("second"), "services")
        assert reported.get(timeout=WATCH_S) == "second"
    assert "Service default/first" in caplog.text
    assert "not today" in caplog.text
    informer.stop()
    informer.join()


def test_an_object_that_the_projection_cannot_read_does_not_end_the_thread(
    watched: Watched, server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, the memory is not believed meanwhile, and all goes on when the object is gone."""
    watched.next()
    broken = m.service("broken")
    broken["spec"] = {}
    server.put(broken, "services")
    server.delete(broken, "services")
    server.put(m.service("second"), "services")
    assert watched.next().name == "second"
    assert "the watch of Service failed" in caplog.text


def test_own_writes_are_there_at_once_and_reported_once(watched: Watched, server: ApiServer) -> None:
    """What was put in is found at once; the watch that brings the same version later reports nothing more."""
    watched.next()
    watched.informer.put(server.put(m.service("first", port=90), "services"))
    assert watched.informer.get("default", "first") == 90
    server.put(m.service("second"), "services")
    assert [watched.next()[1:] for _ in range(2)] == [("first", 80, 90), ("second", None, 80)]
    server.delete(m.service("second"), "services")
    watched.informer.remove("default", "second")
    assert watched.informer.get("default", "second") is None
    assert watched.next()[1:] == ("second", 80, None)


def test_a_late_answer_does_not_bring_a_deleted_object_back(watched: Watched, server: ApiServer) -> None:
    """The answer to a write of our own counts no more when the watch has brought a deletion that came after it."""
    watched.next()
    answer = server.put(m.service("first", port=90), "services")
    server.delete(m.service("first"), "services")
    while watched.next().new is not None:
        pass
    watched.informer.put(answer)
    assert watched.informer.items() == []


def test_a_suspect_is_read_anew(client: Client, server: ApiServer) -> None:
    """After a conflict an object is asked for before it is returned, whatever the watch has brought by then."""
    server.put(m.service("first"), "services")
    server.faults = [Fault("reset", methods=("GET",), path="watch=true", times=99)]
    watched = Watched(client, port_of)
    server.put(m.service("first", port=91), "services")
    watched.informer.suspect("default", "first")
    watched.informer.suspect("default", "absent")
    assert watched.informer.get("default", "first") == 91
    assert watched.informer.items() == [91]
    watched.close()


def test_projections_and_indexes(client: Client, server: ApiServer) -> None:
    """Of each object only what the projection returns is kept; labels and owners are found nevertheless."""
    service = m.service("first")
    service["metadata"] |= {
        "labels": {"app": "shop"},
        "ownerReferences": [{"uid": "u1"}],
        "managedFields": [1],
    }
    server.put(service, "services")
    server.put(m.service("second"), "services")
    labels = Watched(client, labels_only)
    assert labels.informer.get("default", "first") == {"app": "shop"}
    assert labels.informer.labelled("app", ["shop"], "default") == [{"app": "shop"}]
    assert labels.informer.owned("u1") == [{"app": "shop"}]
    labels.close()
    metadata = Watched(client, metadata_only)
    (kept,) = metadata.informer.owned("u1")
    assert (kept["kind"], "spec" in kept, "managedFields" in kept["metadata"]) == ("Service", False, False)
    metadata.close()


def test_stopping_ends_a_watch_that_waits(watched: Watched) -> None:
    """An informer that is stopped while it waits for the next event ends, and is not believed any more."""
    watched.next()
    watched.close()
    assert not watched.informer.synced


# -- the client


def test_any_kind_and_any_subresource(client: Client, server: ApiServer) -> None:
    """Status and scale are read, patched and replaced on their own paths, of the kind as discovery names it."""
    shop = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "default"},
    }
    client.create({**shop, "spec": {"replicas": 1}})
    target = Target("apps", "Deployment", "default", "shop")
    client.patch(target._replace(subresource="status"), {"status": {"replicas": 1}}, MERGE_PATCH)
    client.patch(target._replace(subresource="scale"), {"spec": {"replicas": 3}}, MERGE_PATCH)
    manifest = client.get(target)
    assert manifest is not None
    assert (manifest["spec"], manifest["status"]) == ({"replicas": 3}, {"replicas": 1})
    client.update({**manifest, "status": {"replicas": 3}}, subresource="status")
    path = "/apis/apps/v1/namespaces/default/deployments"
    assert server.requests[1:] == [
        ("POST", path),
        ("PATCH", f"{path}/shop/status"),
        ("PATCH", f"{path}/shop/scale"),
        ("GET", f"{path}/shop"),
        ("PUT", f"{path}/shop/status"),
    ]


def test_a_cluster_scoped_object(client: Client, server: ApiServer) -> None:
    """A kind without namespaces has none in its path, whatever the target has."""
    nginx = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"}}
    target = Target("networking.k8s.io", "IngressClass", name="nginx")
    client.patch(target, nginx, APPLY_PATCH, {"fieldManager": "test"})
    assert client.get(target._replace(namespace="default")) is not None
    client.delete(target)
    assert client.get(target) is None
    assert {path.partition("?")[0] for _, path in server.requests} == {
        "/apis",
        "/apis/networking.k8s.io/v1/ingressclasses/nginx",
    }


def test_preconditions_of_a_deletion(client: Client, server: ApiServer) -> None:
    """An object that moved since it was read is not deleted."""
    version = server.put(m.service("first"), "services")["metadata"]["resourceVersion"]
    server.put(m.service("first", port=81), "services")
    target = Target("", "Service", "default", "first")
    with pytest.raises(ConflictError):
        client.delete(target, {"resourceVersion": version})


def test_an_update_of_an_old_version_is_a_conflict(client: Client, server: ApiServer) -> None:
    """Replacing an object needs the version that it has now."""
    old = server.put(m.service("first"), "services")
    server.put(m.service("first", port=81), "services")
    with pytest.raises(ConflictError):
        client.update(old)


def test_a_list_from_the_cache_asks_for_what_is_there(client: Client, server: ApiServer) -> None:
    """It has no pages, and names version 0, so that the API server need not wait for its watch cache."""
    server.put(m.service("first"), "services")
    items, version = client.list(SERVICES, from_cache=True)
    assert [item["kind"] for item in items] == ["Service"]
    assert int(version)
    assert server.requests[-1][1].endswith("/services?resourceVersion=0")
