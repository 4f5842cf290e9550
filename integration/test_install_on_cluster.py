"""What `rollway install` prints on a real API server: every object is taken, and the pod may run where little is allowed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from harness import shop
from harness.strict import apply, lost, send
from harness.waiting import until
from rollway.controller.install import Installation, controller_objects, shared_objects
from rollway.routers.backends import builtin_packages
from rollway.routers.errors import AdmissionError
from rollway.routers.kube.access import is_allowed
from rollway.routers.kube.lease import Lease
from rollway.routers.lookup import read_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.watching import WatchingStore
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from harness.namespace import Namespace
    from rollway.routers.objects import Manifest

PACKAGES = builtin_packages()
ARGO = "argoproj.io"
OPTIONS: dict[str, dict[str, Any]] = {
    "cluster": {},
    "namespaced": {"namespaced": True},
    "instance": {"instance_id": "blue"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_object_is_accepted(name: str, namespace: Namespace) -> None:
    """A dry run that refuses unknown fields takes each object, creating them works, and a second time nothing changes."""
    installation = Installation(
        PACKAGES, namespace=namespace.name, data_planes=(namespace.name,), **OPTIONS[name]
    )
    objects = controller_objects(installation) + ([] if name == "namespaced" else shared_objects(PACKAGES))
    try:
        for manifest in objects:
            assert not lost(manifest, apply(namespace.api, manifest, dryRun="All")), manifest["kind"]
        first = [apply(namespace.api, manifest) for manifest in objects]
        second = [apply(namespace.api, manifest) for manifest in objects]
        assert versions(first) == versions(second)
    finally:
        for manifest in objects:
            if manifest["kind"] in ("ClusterRole", "ClusterRoleBinding"):
                namespace.api.delete(manifest)


def versions(objects: list[Manifest]) -> list[object]:
    """Return what changes when an object is changed; where there is a generation, controllers may write the status."""
    metadata = [item["metadata"] for item in objects]
    return [each.get("generation", each["resourceVersion"]) for each in metadata]


def test_the_pod_is_admitted_where_pods_are_restricted(namespace: Namespace) -> None:
    """In a namespace that enforces the strictest of the Pod Security Standards the controller's pod can be created."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name}}
    namespace.api.merge(place, {"metadata": {"labels": labels}})
    objects = controller_objects(Installation(PACKAGES, namespace=namespace.name, namespaced=True))
    (deployment,) = (item for item in objects if item["kind"] == "Deployment")
    pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(deployment["spec"]["template"])}
    pod["metadata"] |= {"name": "controller", "namespace": namespace.name}
    namespace.api.put(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "rollway", "namespace": namespace.name},
        }
    )
    loose = copy.deepcopy(pod)
    del loose["spec"]["securityContext"]
    # The server knows the label of the namespace a moment after it is written.
    until(lambda: "PodSecurity" in refusal(namespace, loose), "the namespace is restricted")
    assert refusal(namespace, pod) == ""


def refusal(namespace: Namespace, pod: Manifest) -> str:
    """Return why a pod cannot be created."""
    try:
        send(namespace.api, "POST", pod, dryRun="All")
    except AdmissionError as error:
        return error.message
    return ""


@pytest.mark.parametrize("name", shop.ROUTINGS)
def test_the_rights_are_enough_for_every_router(name: str, namespace: Namespace) -> None:
    """With the printed Role alone a watching store moves traffic through each router and takes it back, and elects a leader."""
    shop.put(namespace, shop.ROUTINGS[name])
    objects = controller_objects(Installation(PACKAGES, namespace=namespace.name, namespaced=True))
    for manifest in objects:
        if manifest["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
            apply(namespace.api, manifest)
    token = namespace.api.token(namespace.name, "rollway")
    cluster = namespace.store(kubeconfig=namespace.kubeconfig_with("rollway", token=token))
    until(
        lambda: is_allowed(cluster.connection, "patch", "rollouts", ARGO, namespace=namespace.name),
        "the Role counts",
    )
    store = WatchingStore(cluster, namespace.name)
    try:
        router = TrafficRouter(read_rollout(store, "shop", namespace.name), store)
        assert router.set_weight(20).changed
        assert router.observe().traffic == Traffic(Split(20))
        assert router.reset()
        until(lambda: store.synced, "everything is watched")
    finally:
        store.close()
    assert Lease(cluster.client, namespace.name, "leader", "a").acquire()
