"""The watching store: reads from memory that stay true through everything that ends a watch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import manifests as m
from harness import shop
from harness.fault_proxy import Fault, fault_proxy
from rollway.routers.errors import ForbiddenError, NotFoundError
from rollway.routers.lookup import read_rollout
from rollway.routers.objects import Need, ObjectRef
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.watching import WatchingStore
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.control_plane import ControlPlane
    from harness.namespace import Namespace

pytestmark = pytest.mark.kubelets


VIRTUAL_SERVICE = ("networking.istio.io", "VirtualService")


@pytest.fixture
def watched(namespace: Namespace) -> Iterator[WatchingStore]:
    """The shop behind three routers, and a store that watches it."""
    shop.put(namespace, shop.ALL)
    store = WatchingStore(namespace.store(), namespace.name)
    yield store
    store.close()


def router(store: WatchingStore, namespace: Namespace) -> TrafficRouter:
    """Return a router on the watching store."""
    return TrafficRouter(read_rollout(store, "shop", namespace.name), store)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def requests(store: WatchingStore) -> int:
    """Return how many requests the store has made, watches apart."""
    return store._cluster.connection.requests


def test_a_reconcile_without_change_asks_nothing(watched: WatchingStore, namespace: Namespace) -> None:
    """Once warm, a reconcile that changes nothing costs no request; a change costs a write and a last look for each object."""
    found = router(watched, namespace)
    found.set_weight(20)
    before = requests(watched)
    for _ in range(50):
        assert not found.set_weight(20).changed
        assert router(watched, namespace).observe().traffic == Traffic(Split(20))
    assert requests(watched) == before
    assert found.set_weight(30).changed
    assert requests(watched) == before + 6


def test_foreign_changes_arrive(namespace: Namespace) -> None:
    """What somebody else changes, creates and deletes is seen, and reported to the listener."""
    shop.put(namespace, shop.ISTIO)
    reported: list[ObjectRef] = []
    store = WatchingStore(namespace.store(), namespace.name, changed=reported.append)
    found = router(store, namespace)
    assert found.observe().traffic == Traffic(Split(0))
    namespace.router().set_weight(40)
    until(lambda: found.observe().traffic == Traffic(Split(40)))
    until(lambda: ObjectRef(*VIRTUAL_SERVICE, namespace.name, "web") in reported)
    namespace.api.delete(namespace.get("networking.istio.io/v1", "VirtualService", "web"))
    until(
        lambda: (
            not store.read([Need(*VIRTUAL_SERVICE, namespace=namespace.name, required=False)]).of(
                *VIRTUAL_SERVICE
            )
        )
    )
    with pytest.raises(NotFoundError, match="VirtualService"):
        found.set_weight(50)
    namespace.put(m.virtual_service())
    assert found.set_weight(50).changed
    store.close()


def test_a_stale_memory_costs_a_retry_and_no_wrong_write(
    watched: WatchingStore, namespace: Namespace
) -> None:
    """With a watch that gets no events, every write is a conflict first, is read again, and then succeeds."""
    found = router(watched, namespace)
    found.set_weight(20)
    for informer in watched._informers.values():
        # A watch that is connected and gets no events: no test can make a real one do this.
        informer._follow = lambda *_event: None  # type: ignore[method-assign]
    namespace.router().set_weight(70)
    assert found.observe().traffic == Traffic(Split(20))
    note = {
        "spec": {
            "http": [{"name": "other", "route": [m.destination("x")]}, *m.virtual_service()["spec"]["http"]]
        }
    }
    namespace.api.merge(namespace.get("networking.istio.io/v1", "VirtualService", "web"), note)
    assert found.set_weight(90).changed
    assert namespace.router().observe().traffic == Traffic(Split(90))
    routes = namespace.get("networking.istio.io/v1", "VirtualService", "web")["spec"]["http"]
    assert [route["name"] for route in routes] == ["other", "primary"]


@pytest.mark.parametrize("kind", ["reset", "gone", "status"])
def test_a_watch_that_ends_goes_on(kind: str, namespace: Namespace) -> None:
    """Watches that are reset, or answered with 410 or 500, are opened again; in between, reads go to the API server."""
    shop.put(namespace, shop.ALL)
    with fault_proxy(namespace.api.connection) as proxy:
        proxy.faults = [Fault(kind, 6, ("GET",), path="watch=true")]
        path = namespace.kubeconfig_with("proxied", server=proxy.address)
        store = WatchingStore(namespace.store(kubeconfig=path), namespace.name)
        found = router(store, namespace)
        for weight in (10, 20, 30):
            namespace.router().set_weight(weight)
            until(lambda weight=weight: found.observe().traffic == Traffic(Split(weight)))  # type: ignore[misc]
        until(lambda: store.synced)
        before = requests(store)
        until(lambda: not found.set_weight(30).changed)
        until(lambda: _silent(store, found))
        assert requests(store) >= before
        store.close()


def _silent(store: WatchingStore, found: TrafficRouter) -> bool:
    before = requests(store)
    found.set_weight(30)
    return requests(store) == before


@pytest.mark.local
def test_watches_survive_the_api_server(
    watched: WatchingStore, namespace: Namespace, control_plane: ControlPlane
) -> None:
    """With the API server killed and started again, the memory is complete again and follows changes."""
    found = router(watched, namespace)
    found.set_weight(20)
    control_plane.kill("kube-apiserver")
    until(lambda: not watched.synced)
    control_plane.ensure_running()
    until(lambda: watched.synced)
    namespace.router().set_weight(60)
    until(lambda: found.observe().traffic == Traffic(Split(60)))


def test_objects_outside_the_watched_namespace_are_read(watched: WatchingStore, namespace: Namespace) -> None:
    """A need of another namespace than the watched one is answered by the API server."""
    need = Need("", "Service", "kubernetes", "default")
    assert watched.read([need])[need.ref].ref.name == "kubernetes"


def test_a_broken_watch_is_not_believed(namespace: Namespace) -> None:
    """While a watch cannot be opened again, reads go to the API server and are up to date."""
    shop.put(namespace, shop.ALL)
    with fault_proxy(namespace.api.connection) as proxy:
        path = namespace.kubeconfig_with("proxied", server=proxy.address)
        store = WatchingStore(namespace.store(kubeconfig=path), namespace.name)
        found = router(store, namespace)
        assert found.observe().traffic == Traffic(Split(0))
        proxy.faults = [Fault("status", 9999, ("GET",), path="watch=true")]

        def broken() -> bool:
            # Again each time: a watch that passed before the fault began may reach the list of open ones only now.
            proxy.drop_watches()  # as when a load balancer closes idle connections
            return not any(informer.synced for informer in store._informers.values())

        until(broken)
        for weight in (30, 70):
            namespace.router().set_weight(weight)
            assert found.observe().traffic == Traffic(Split(weight))
        proxy.faults = []
        until(lambda: store.synced)
        assert found.observe().traffic == Traffic(Split(70))
        store.close()


def test_selectors_are_answered_from_memory(namespace: Namespace) -> None:
    """Slices of some Services are found without a request, and stay right while slices come, change and go."""
    shop.put(namespace, shop.ISTIO)
    store = WatchingStore(namespace.store(), namespace.name)
    kind = ("discovery.k8s.io", "EndpointSlice")
    need = Need(
        *kind,
        namespace=namespace.name,
        required=False,
        runtime=True,
        selector="kubernetes.io/service-name in (shop-canary,more)",
    )

    def names() -> set[str]:
        return {found.ref.name for found in store.read([need]).of(*kind)}

    assert names() == {"shop-canary-slice"}
    before = requests(store)
    assert names() == {"shop-canary-slice"}
    assert requests(store) == before
    more = m.endpoint_slice("more", namespace.name)
    namespace.api.put(more)
    until(lambda: names() == {"shop-canary-slice", "more-slice"})
    namespace.api.merge(more, {"metadata": {"labels": {"kubernetes.io/service-name": "other"}}})
    until(lambda: names() == {"shop-canary-slice"})
    namespace.api.merge(more, {"metadata": {"labels": {"kubernetes.io/service-name": "more"}}})
    until(lambda: names() == {"shop-canary-slice", "more-slice"})
    namespace.api.delete(more)
    until(lambda: names() == {"shop-canary-slice"})
    # For other forms of selectors the store may return more.
    others = Need(*kind, namespace=namespace.name, required=False, selector="a!=b")
    assert len(store.read([others])) == 2
    everywhere = WatchingStore(namespace.store())
    assert {found.ref.namespace for found in everywhere.read([Need(*kind, required=False)]).of(*kind)} >= {
        namespace.name
    }
    everywhere.close()
    store.close()


def test_a_deletion_of_ours_is_remembered(watched: WatchingStore, namespace: Namespace) -> None:
    """After a reset nothing of ours is left in memory, so a second one has nothing to do and asks nothing."""
    found = router(watched, namespace)
    found.set_weight(20)
    assert found.reset()
    before = requests(watched)
    assert found.reset() == []
    assert requests(watched) == before


def test_a_kind_that_cannot_be_listed_is_an_error(namespace: Namespace) -> None:
    """Without the right to list, the first read raises, instead of serving an empty memory."""
    shop.put(namespace, shop.ISTIO)
    store = WatchingStore(namespace.store(user="nobody"), namespace.name)
    with pytest.raises(ForbiddenError, match="lacks the verb list"):
        store.read([Need(*VIRTUAL_SERVICE, "web", namespace.name)])
    store.close()
