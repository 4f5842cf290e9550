"""The cluster store against answers that a real server gives too seldom, and what it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from api_server import ApiServer, Fault

import manifests as m
from rollway.routers.errors import ForbiddenError, NotServedError, UncertainError
from rollway.routers.objects import Need, ObjectRef
from rollway.routers.plan import Action, Change
from rollway.routers.stores.cluster import ClusterStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.kube.connection import Connection

pytestmark = pytest.mark.enable_socket


def event(name: str) -> dict[str, Any]:
    """Return a Kubernetes Event."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"x": 1},
    }


@pytest.fixture
def store(server: ApiServer, connection: Connection) -> Iterator[ClusterStore]:
    """A cluster store on that server."""
    del server
    found = ClusterStore(connection, cache=False)
    yield found
    found.close()


@pytest.mark.parametrize("kind", ["reset", "lost"])
def test_an_event_whose_answer_got_lost_is_there_once(
    kind: str, server: ApiServer, store: ClusterStore
) -> None:
    """Its name is its own, so that it may be sent again: what is there already is the first one."""
    server.faults = [Fault(kind)]
    store.record(event("one"))
    assert [path for path in server.objects if "events" in path] == ["/api/v1/namespaces/default/events/one"]


def test_an_event_that_the_role_may_not_write(server: ApiServer, store: ClusterStore) -> None:
    """It is a ForbiddenError and no other, so that a caller can make it a note."""
    server.faults = [Fault("status", 403, 'User "ci" cannot create resource "events" in API group ""')]
    with pytest.raises(ForbiddenError, match="lacks the verb create on events in namespace default"):
        store.record(event("one"))


def test_a_write_of_several_requests_that_fails_half_way_is_uncertain(
    server: ApiServer, store: ClusterStore
) -> None:
    """When the second request of one write is refused, the first was stored, and that is not hidden."""
    annotations = {"rollway.dev/applied-keys": '{"spec":["rules"]}', "example.com/note": "somebody else's"}
    after = m.ingress(metadata={"namespace": "default", "annotations": annotations})
    change = Change(Action.CREATE, ObjectRef("networking.k8s.io", "Ingress", "default", "web"), None, after)
    refusal = 'User "ci" cannot patch resource "ingresses" in API group "networking.k8s.io"'
    server.faults = [Fault("status", 403, refusal, path="rollway-restored")]
    with pytest.raises(UncertainError, match="was written in part, and then: the role lacks the verb patch"):
        store.write(change)


def test_endpoints_come_from_the_cache_and_routing_objects_do_not(
    server: ApiServer, store: ClusterStore
) -> None:
    """What is as old as endpoints always are need not wait; what is written must be as new as the read."""
    server.put(m.ingress(), "ingresses")
    server.put(m.endpoint_slice("shop-stable"), "endpointslices")
    slices = Need("discovery.k8s.io", "EndpointSlice", namespace="default", required=False, runtime=True)
    assert len(store.read([slices, Need("networking.k8s.io", "Ingress", required=False)])) == 2
    queries = {
        path.partition("?")[0].rpartition("/")[2]: path.partition("?")[2] for _, path in server.requests
    }
    assert queries == {"apis": "", "endpointslices": "resourceVersion=0", "ingresses": "limit=500"}


@pytest.mark.parametrize(
    ("group", "kind", "hint"),
    [
        ("split.smi-spec.io", "TrafficSplit", "install a mesh with SMI"),
        ("argoproj.io", "Rollout", "-f FILE"),
        ("example.com", "Nothing", "install the CustomResourceDefinition"),
    ],
)
def test_a_kind_that_is_not_served_comes_with_what_to_install(
    group: str, kind: str, hint: str, store: ClusterStore
) -> None:
    """The backend whose API it is knows that; for the API of nobody the definition itself is named."""
    with pytest.raises(NotServedError) as caught:
        store.read([Need(group, kind, "x", "default")])
    assert hint in caught.value.hint
