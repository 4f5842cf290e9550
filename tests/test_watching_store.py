"""The watching store: which needs are answered from memory, and what its caller gets to know."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import pytest
from api_server import ApiServer, Fault, api_server

import manifests as m
from rollway.routers.kube.connection import Connection
from rollway.routers.objects import Need, ObjectRef
from rollway.routers.stores.cluster import ClusterStore
from rollway.routers.stores.watching import WatchingStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.enable_socket
INGRESSES = Need("networking.k8s.io", "Ingress", required=False)
NGINX = Need("networking.k8s.io", "IngressClass", "nginx")
WATCH_S = 20


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """A server with an Ingress in each of two namespaces, and one class."""
    with api_server() as found:
        found.put(m.ingress(), "ingresses")
        found.put(m.placed(m.ingress(), "other"), "ingresses")
        nginx = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"}}
        found.put(nginx, "ingressclasses")
        yield found


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path) -> Iterator[ClusterStore]:
    """A cluster store on it."""
    found = ClusterStore(Connection(server.kubeconfig(tmp_path), timeout=2.0), cache=False)
    yield found
    found.close()


def test_what_changed_while_a_watch_was_broken_is_reported(server: ApiServer, cluster: ClusterStore) -> None:
    """A controller that reconciles what `changed` names misses nothing."""
    reported: queue.SimpleQueue[ObjectRef] = queue.SimpleQueue()
    store = WatchingStore(cluster, "default", reported.put)
    store.read([INGRESSES])
    ref = ObjectRef("networking.k8s.io", "Ingress", "default", "web")
    assert reported.get(timeout=WATCH_S) == ref
    server.faults = [Fault("status", 503, methods=("GET",), path="watch=true", times=2)]
    server.break_watches()
    server.put(m.ingress(host="changed.example.com"), "ingresses")
    assert reported.get(timeout=WATCH_S) == ref
    store.close()


def test_a_listener_that_raises_does_not_end_the_watch(server: ApiServer, cluster: ClusterStore) -> None:
    """The next change is reported as usual, and reads stay in memory."""
    reported: queue.SimpleQueue[ObjectRef] = queue.SimpleQueue()

    def changed(ref: ObjectRef) -> None:
        reported.put(ref)
        raise RuntimeError("not today")

    store = WatchingStore(cluster, "default", changed)
    store.read([INGRESSES])
    reported.get(timeout=WATCH_S)
    server.put(m.ingress(host="changed.example.com"), "ingresses")
    reported.get(timeout=WATCH_S)
    assert store.synced
    store.close()


def test_one_namespace_is_a_note(server: ApiServer, cluster: ClusterStore) -> None:
    """A need for all of a kind, narrowed to the watched namespace, is answered with the note that this is not all."""
    store = WatchingStore(cluster, "default")
    live = store.read([INGRESSES])
    assert [ref.namespace for ref in live] == ["default"]
    (note,) = live.notes
    assert note.code == "namespace-only"
    assert "only those of namespace default were checked" in note.message
    assert not store.read([Need("networking.k8s.io", "Ingress", namespace="default")]).notes
    everywhere = WatchingStore(cluster)
    live = everywhere.read([INGRESSES])
    assert (len(live), live.notes) == (2, ())
    everywhere.close()
    store.close()
    del server


def test_another_namespace_is_asked_for(server: ApiServer, cluster: ClusterStore) -> None:
    """All of a kind in a namespace that is not watched comes from the API server, and is not empty."""
    store = WatchingStore(cluster, "default")
    live = store.read([Need("networking.k8s.io", "Ingress", namespace="other", required=False)])
    assert [ref.namespace for ref in live] == ["other"]
    store.close()
    del server


def test_metadata_first_and_whole_objects_later(server: ApiServer, cluster: ClusterStore) -> None:
    """The first need that is content with metadata does not decide for the kind: a later one gets the spec."""
    store = WatchingStore(cluster, "default")
    bare = Need("networking.k8s.io", "Ingress", namespace="default", required=False, metadata_only=True)
    (item,) = store.read([bare]).of("networking.k8s.io", "Ingress")
    assert "spec" not in item.manifest
    (item,) = store.read([INGRESSES]).of("networking.k8s.io", "Ingress")
    assert "spec" in item.manifest
    before = server.count()
    (item,) = store.read([bare]).of("networking.k8s.io", "Ingress")
    assert "spec" in item.manifest
    assert server.count() == before
    store.close()


def test_closing_closes_the_cluster_store(cluster: ClusterStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who closes the store that was opened last is done."""
    closed: list[bool] = []
    monkeypatch.setattr(cluster, "close", lambda: closed.append(True))
    WatchingStore(cluster).close()
    assert closed == [True]


@pytest.mark.parametrize("watching", [False, True, "default"])
def test_a_cluster_scoped_object_is_asked_for_by_name(
    watching: Any, server: ApiServer, cluster: ClusterStore
) -> None:
    """It is no reason to list its kind; a store that watches one namespace asks for it each time."""
    store = WatchingStore(cluster, watching if watching == "default" else "") if watching else cluster
    live = store.read([NGINX])
    assert [ref.name for ref in live] == ["nginx"]
    path = "/apis/networking.k8s.io/v1/ingressclasses"
    asked = [
        found.partition("?")[0] for _, found in server.requests if "watch" not in found and path in found
    ]
    assert asked == ([path] if watching is True else [f"{path}/nginx"])
    store.close()


def test_all_objects_of_a_kind_are_one_snapshot_until_one_changes(
    server: ApiServer, cluster: ClusterStore
) -> None:
    """What was found out from all Ingresses stays while none changes, and is brought along when one does."""
    reported: queue.SimpleQueue[ObjectRef] = queue.SimpleQueue()
    store = WatchingStore(cluster, changed=reported.put)
    web = INGRESSES._replace(name="web", namespace="default")
    first, again = (store.read([INGRESSES, web]).all_of("networking.k8s.io", "Ingress") for _ in range(2))
    assert first is again
    assert len(first) == 2
    for _ in first:
        reported.get(timeout=WATCH_S)
    server.put(m.ingress("late"), "ingresses")
    late = reported.get(timeout=WATCH_S)
    live = store.read([INGRESSES, web])
    assert set(live.all_of("networking.k8s.io", "Ingress")) == {*first, late}
    assert late not in first
    store.close()
