"""The cluster as the controller sees it: what it watches, writes, and remembers of its own writes."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from api_server import Fault
from controlled import rollout, until

import manifests as m
from rollway.controller.decision import Delete, Evict, Patch
from rollway.controller.events import EventRecorder
from rollway.controller.watched_cluster import WatchedCluster
from rollway.routers.errors import ConflictError, NotFoundError
from rollway.routers.model import HASH_LABEL, INSTANCE_ID
from rollway.routers.objects import Need, ObjectRef
from rollway.routers.stores.watching import WatchingStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api_server import ApiServer

    from rollway.routers.objects import Manifest
    from rollway.routers.stores.cluster import ClusterStore

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def recorder(store: ClusterStore) -> Iterator[EventRecorder]:
    """What writes Events there."""
    found = EventRecorder(store.client)
    yield found
    found.close()


@pytest.fixture
def changed() -> list[tuple[str, str]]:
    """The Rollouts that something was reported about."""
    return []


@pytest.fixture
def watched(
    store: ClusterStore, recorder: EventRecorder, changed: list[tuple[str, str]]
) -> Iterator[WatchedCluster]:
    """The watched cluster, not started yet."""
    found = WatchedCluster(store.client, recorder, lambda *key: changed.append(key), instance_id=INSTANCE_ID)
    yield found
    found.stop()


def replica_set(name: str = "web-a", *, owned: bool = True) -> Manifest:
    """Return a ReplicaSet with a hash."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "uid-web"}
    labels = {"app": "web", HASH_LABEL: name.partition("-")[2]}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": labels,
            "ownerReferences": [{**owner, "controller": True}] if owned else [],
        },
        "spec": {"replicas": 1, "template": {"metadata": {"labels": labels}}},
    }


def test_everything_about_a_rollout_is_observed(
    server: ApiServer, watched: WatchedCluster, changed: list[tuple[str, str]]
) -> None:
    """Its ReplicaSets, orphans that it selects, pods, Services and ready endpoints; and each change of them concerns it."""
    strategy = {"blueGreen": {"activeService": "active"}}
    server.put(rollout(strategy=strategy), "rollouts")
    server.put(replica_set(), "replicasets")
    server.put(replica_set("web-b", owned=False), "replicasets")
    server.put(m.service("active"), "services")
    server.put(m.pod("one", app="web", **{HASH_LABEL: "a"}), "pods")
    watched.start()
    assert watched.synced
    world = watched.observe("default", "web")
    assert world is not None
    assert {each.name for each in world.replica_sets} == {"web-a", "web-b"}
    assert [pod.name for pod in world.pods] == ["one"]
    assert set(world.services) == {"active"}
    assert watched.observe("default", "other") is None
    for manifest, plural in (
        (m.endpoint_slice("active", ready=1), "endpointslices"),
        (m.service("active", port=81), "services"),
        (m.pod("two", app="web", **{HASH_LABEL: "a"}), "pods"),
        (replica_set("web-c"), "replicasets"),
    ):
        until(lambda: ("default", "web") in changed)
        changed.clear()
        server.put(manifest, plural)
        until(lambda: ("default", "web") in changed)
    until(lambda: _endpoints(watched) == {"active-0"})


def test_what_happens_to_its_pods_is_reported_apart(
    server: ApiServer, store: ClusterStore, recorder: EventRecorder
) -> None:
    """A ReplicaSet with other counts, a pod and an endpoint let a release go on; a Service does not."""
    begun: list[str] = []
    under_way: list[str] = []
    watched = WatchedCluster(
        store.client,
        recorder,
        lambda *key: begun.append(key[1]),
        instance_id=INSTANCE_ID,
        pods_changed=lambda *key: under_way.append(key[1]),
    )
    server.put(rollout(strategy={"blueGreen": {"activeService": "active"}}), "rollouts")
    server.put(replica_set(), "replicasets")
    watched.start()
    for manifest, plural, reported in (
        ({**replica_set(), "status": {"availableReplicas": 1}}, "replicasets", under_way),
        (m.pod("one", app="web", **{HASH_LABEL: "a"}), "pods", under_way),
        (m.endpoint_slice("active", ready=1), "endpointslices", under_way),
        (m.service("active"), "services", begun),
    ):
        until(lambda: "web" in begun)
        under_way.clear()
        if reported is begun:
            begun.clear()
        server.put(manifest, plural)
        until(lambda: "web" in reported)  # noqa: B023 - it is called at once
    watched.stop()


def _endpoints(watched: WatchedCluster) -> frozenset[str]:
    world = watched.observe("default", "web")
    return world.endpoints["active"] if world else frozenset()


def test_own_writes_are_seen_at_once(server: ApiServer, watched: WatchedCluster) -> None:
    """What was just written is in the next look, whether the watch has shown it or not; a conflict is read anew."""
    server.put(rollout(), "rollouts")
    server.put(replica_set(), "replicasets")
    watched.start()
    ref = ObjectRef("apps", "ReplicaSet", "default", "web-a")
    watched.write(Patch(ref, ({"op": "replace", "path": "/spec/replicas", "value": 3},)))
    world = watched.observe("default", "web")
    assert world is not None
    assert world.replica_sets[0].desired == 3
    with pytest.raises(ConflictError):
        watched.write(Patch(ref, ({"op": "test", "path": "/spec/replicas", "value": 1},)))
    with pytest.raises(ConflictError):
        watched.write(Delete(ref, "", "1"))
    watched.write(Delete(ref, "", ""))
    after = watched.observe("default", "web")
    assert after is not None
    assert not after.replica_sets
    with pytest.raises(NotFoundError):
        watched.write(Patch(ref, ({"op": "replace", "path": "/spec/replicas", "value": 3},)))


def test_a_status_of_another_version_is_a_conflict(server: ApiServer, watched: WatchedCluster) -> None:
    """The status is patched only as it was observed, and shows in the next look."""
    server.put(rollout(), "rollouts")
    watched.start()
    world = watched.observe("default", "web")
    assert world is not None
    watched.write_status(world.rollout, {"phase": "Healthy"})
    after = watched.observe("default", "web")
    assert after is not None
    assert after.rollout["status"]["phase"] == "Healthy"
    with pytest.raises(ConflictError):
        watched.write_status(world.rollout, {"phase": "Paused"})


def test_an_eviction_that_is_refused_waits(server: ApiServer, watched: WatchedCluster) -> None:
    """A PodDisruptionBudget answers 429, which ends nothing; the pod is asked for again later."""
    server.faults = [Fault("status", 429, "budget", 9, ("POST",), "eviction")]
    watched.write(Evict(ObjectRef("", "Pod", "default", "one")))
    assert any("eviction" in path for method, path in server.requests if method == "POST")


def test_defaults_are_learned_once_for_a_generation(server: ApiServer, watched: WatchedCluster) -> None:
    """A dry run shows the pod template with defaults; it is remembered until the Rollout changes or is gone."""
    server.put(rollout(), "rollouts")
    watched.start()
    world = watched.observe("default", "web")
    assert world is not None
    assert world.default_template is None
    watched.learn_default_template(world)
    learned = watched.observe("default", "web")
    assert learned is not None
    assert learned.default_template == world.rollout["spec"]["template"]
    changed = rollout(replicas=2)
    changed["metadata"]["generation"] = 2
    server.put(changed, "rollouts")
    until(lambda: _default_template(watched) is None)
    server.delete(rollout(), "rollouts")
    until(lambda: watched.observe("default", "web") is None)


def _default_template(watched: WatchedCluster) -> Any:
    world = watched.observe("default", "web")
    return world.default_template if world else None


def test_a_workload_is_watched_from_the_first_reference_on(
    server: ApiServer, watched: WatchedCluster, changed: list[tuple[str, str]]
) -> None:
    """The Deployment that a Rollout refers to is observed, and a change of it concerns the Rollout."""
    deployment: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "old", "namespace": "default", "generation": 4},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": rollout()["spec"]["template"]},
    }
    server.put(deployment, "deployments")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "old"}
    server.put(rollout(workloadRef=reference, template={}), "rollouts")
    watched.start()
    world = watched.observe("default", "web")
    assert world is not None
    assert world.workload is not None
    watched.learn_default_template(world)
    assert _default_template(watched) == deployment["spec"]["template"]
    changed.clear()
    server.put({**deployment, "spec": {**deployment["spec"], "replicas": 0}}, "deployments")
    until(lambda: ("default", "web") in changed)


def test_only_pods_of_rollouts_are_watched(server: ApiServer, store: ClusterStore) -> None:
    """Pods with the hash label come from one watch; a look for others is a request, and starts no watch of all pods."""
    with closing(WatchingStore(store, selectors={("", "Pod"): HASH_LABEL})) as watching:
        server.put(m.pod("one", **{HASH_LABEL: "a"}), "pods")
        for _ in range(2):
            watching.read([Need("", "Pod", required=False, selector=HASH_LABEL, runtime=True)])
        watching.read([Need("", "Pod", required=False, selector="app=nginx", runtime=True)])
    pods = [path for _, path in server.requests if "/pods" in path]
    listed = [path for path in pods if "watch=true" not in path]
    assert len(listed) == 2
    assert all(HASH_LABEL in path for path in pods if "watch=true" in path)


def test_the_pods_of_data_planes_are_read_once_for_all(server: ApiServer, store: ClusterStore) -> None:
    """Who asks for the same pods within the time gets the answer to the first; other pods are another request."""
    with closing(WatchingStore(store, selectors={("", "Pod"): HASH_LABEL}, shared=60)) as watching:
        server.put(m.pod("proxy", app="nginx"), "pods")
        for selector in ("app=nginx", "app=nginx", "app=other"):
            found = watching.read([Need("", "Pod", required=False, selector=selector, runtime=True)])
            assert [item.ref.name for item in found.values()] == ["proxy"]
    assert len([path for _, path in server.requests if "/pods?" in path and "watch=true" not in path]) == 2


def test_a_rollout_that_lost_its_label_is_not_ours_after_a_conflict(
    server: ApiServer, watched: WatchedCluster
) -> None:
    """A conflict lets the Rollout be read by its name; without the label it is none of ours all the same."""
    server.put(rollout(), "rollouts")
    watched.start()
    world = watched.observe("default", "web")
    assert world is not None
    given_back = rollout()
    del given_back["metadata"]["labels"]
    server.put(given_back, "rollouts")
    with pytest.raises(ConflictError):
        watched.write_status(world.rollout, {"phase": "Healthy"})
    assert watched.observe("default", "web") is None
    assert watched.rollouts.items() == []
