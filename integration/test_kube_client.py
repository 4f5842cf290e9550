"""The Kubernetes client by itself on a real API server: subresources, Leases, cluster-scoped kinds, metadata alone."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

import pytest

import manifests as m
from rollway.routers.kube.client import MERGE_PATCH, Target
from rollway.routers.kube.informer import Informer, labels_only
from rollway.routers.kube.lease import Lease

if TYPE_CHECKING:
    from typing import Any

    from harness.namespace import Namespace
    from rollway.routers.kube.cache import ObjectChange

pytestmark = pytest.mark.kubelets


def test_a_lease_has_one_holder(namespace: Namespace) -> None:
    """The API server takes what is written, and of two rivals one holds it until it gives it up."""
    client = namespace.store().client
    first = Lease(client, namespace.name, "leader", "a")
    second = Lease(client, namespace.name, "leader", "b")
    assert [first.acquire(), second.acquire(), first.acquire()] == [True, False, True]
    first.release()
    assert [second.acquire(), first.acquire()] == [True, False]
    lease = namespace.get("coordination.k8s.io/v1", "Lease", "leader")
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("b", 1)


def test_status_and_scale_are_written_apart(namespace: Namespace) -> None:
    """A patch of the status leaves the spec, and the scale of a Deployment is its replicas."""
    client = namespace.store().client
    labels = {"app": "x"}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
    metadata = {"name": "x", "namespace": namespace.name}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pods}
    client.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    target = Target("apps", "Deployment", namespace.name, "x")
    status = {"status": {"observedGeneration": 7}, "spec": {"replicas": 5}}
    changed = client.patch(target._replace(subresource="status"), status, MERGE_PATCH).body
    assert (changed["spec"]["replicas"], changed["status"]["observedGeneration"]) == (0, 7)
    scale = client.get(target._replace(subresource="scale"))
    assert scale is not None
    assert (scale["kind"], scale["spec"].get("replicas", 0)) == ("Scale", 0)
    client.patch(target._replace(subresource="scale"), {"spec": {"replicas": 2}}, MERGE_PATCH)
    assert namespace.get("apps/v1", "Deployment", "x")["spec"]["replicas"] == 2


def test_an_informer_of_labels(namespace: Namespace) -> None:
    """Only metadata is sent and only labels are kept; changes of other fields are changes nevertheless."""
    client = namespace.store().client
    changes: queue.SimpleQueue[ObjectChange[dict[str, Any]]] = queue.SimpleQueue()
    target = Target("", "Service", namespace.name, metadata_only=True)
    informer = Informer(client, target, labels_only, changes.put)
    informer.start()
    service = m.service("one")
    service["metadata"]["labels"] = {"app": "shop"}
    namespace.put(service)
    assert changes.get(timeout=60)[1:] == ("one", None, {"app": "shop"})
    assert informer.labelled("app", ["shop"]) == [{"app": "shop"}]
    service["metadata"]["labels"] = {"app": "cart"}
    namespace.put(service)
    assert changes.get(timeout=60)[1:] == ("one", {"app": "shop"}, {"app": "cart"})
    namespace.api.delete(m.placed(service, namespace.name))
    assert changes.get(timeout=60)[1:] == ("one", {"app": "cart"}, None)
    informer.stop()
    informer.join()


def test_a_cluster_scoped_kind(namespace: Namespace) -> None:
    """One object is read by its name, and all of them are watched without a namespace."""
    client = namespace.store().client
    target = Target("", "Namespace")
    one = client.get(target._replace(name=namespace.name, metadata_only=True))
    assert one is not None
    assert (one["apiVersion"], one["kind"], "spec" in one) == ("v1", "Namespace", False)
    informer = Informer(client, target, lambda manifest: manifest["metadata"]["name"])
    informer.start()
    assert informer.get("", namespace.name) == namespace.name
    informer.stop()
    informer.join()
    assert namespace.name in {item["metadata"]["name"] for item in client.list(target, from_cache=True)[0]}
