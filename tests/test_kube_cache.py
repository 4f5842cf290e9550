"""Objects in memory: what is found, and what each change is reported as."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollway.routers.kube.cache import Cache, ObjectChange, is_older
from rollway.routers.kube.informer import labels_only, metadata_only

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ["a", "b", "c"]


def pod(name: str, version: int, label: str = "x", owner: str = "", namespace: str = "one") -> dict[str, Any]:
    """Return an object with a label and an owner."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {"app": label}}
    owners = [{"uid": owner}] if owner else []
    return {"metadata": {**metadata, "resourceVersion": str(version), "ownerReferences": owners}}


def name_of(manifest: dict[str, Any]) -> str:
    """Keep the name and the version."""
    return f"{manifest['metadata']['name']}{manifest['metadata']['resourceVersion']}"


def test_each_change_is_old_and_new() -> None:
    """Adding, updating and deleting are distinguished by which of the two is there."""
    cache = Cache(name_of)
    assert cache.put(pod("a", 1)) == ObjectChange("one", "a", None, "a1")
    assert cache.put(pod("a", 2)) == ObjectChange("one", "a", "a1", "a2")
    assert cache.put(pod("a", 2)) is None
    assert cache.put(pod("a", 1)) is None
    assert cache.remove("one", "a") == ObjectChange("one", "a", "a2", None)
    assert cache.remove("one", "a") is None


def test_a_deletion_that_is_older_than_the_object_is_of_the_one_before() -> None:
    """An object that was deleted and made again is not forgotten when the watch brings the deletion late."""
    cache = Cache(name_of)
    cache.put(pod("a", 7))
    assert cache.remove("one", "a", "6") is None
    assert cache.get("one", "a") == "a7"


def test_what_we_deleted_does_not_come_back_with_late_events() -> None:
    """The watch brings what was written before our deletion after it; only a newer object of that name counts again."""
    cache = Cache(name_of)
    cache.put(pod("a", 5))
    cache.remove("one", "a")
    assert cache.put(pod("a", 4)) is None
    assert cache.put(pod("a", 5)) is None
    assert cache.replace([pod("a", 5)], "5") == []
    assert cache.replace([], "4") == []
    assert cache.remove("one", "a", "3") is None
    assert cache.put(pod("a", 5)) is None
    assert cache.put(pod("a", 8)) == ObjectChange("one", "a", None, "a8")


@pytest.mark.parametrize("arrives", ["deletion", "list"])
def test_a_deletion_of_ours_is_remembered_until_the_watch_has_brought_it(arrives: str) -> None:
    """After that there is nothing left to remember of it, so the memory does not grow with each name."""
    cache = Cache(name_of)
    cache.put(pod("a", 5))
    cache.remove("one", "a")
    if arrives == "list":
        cache.replace([], "6")
    else:
        cache.remove("one", "a", "6")
    assert not cache._deleted


def test_a_new_list_is_reported_as_what_it_changed() -> None:
    """What came, changed and went is reported; what was written after the list was made stays."""
    cache = Cache(name_of)
    for manifest in (pod("same", 1), pod("old", 2), pod("gone", 3), pod("ours", 20)):
        cache.put(manifest)
    changes = cache.replace([pod("same", 1), pod("old", 8), pod("new", 9)], "10")
    assert {(change.name, change.old, change.new) for change in changes} == {
        ("old", "old2", "old8"),
        ("new", None, "new9"),
        ("gone", "gone3", None),
    }
    assert cache.get("one", "ours") == "ours20"


def test_versions_that_are_no_numbers_are_never_older() -> None:
    """Only numbers are compared; Kubernetes has no others, and a stranger's are taken as they come."""
    assert is_older("9", "10")
    assert not is_older("10", "9")
    assert not is_older("a", "b")
    assert not is_older("", "1")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "remove"]),
            st.sampled_from(NAMES),
            st.sampled_from(["x", "y"]),
            st.sampled_from(["", "u1", "u2"]),
            st.sampled_from(["one", "two"]),
        )
    ),
    st.integers(0, 5),
)
def test_the_indexes_agree_with_a_look_at_every_object(
    steps: list[tuple[str, str, str, str, str]], asked_at: int
) -> None:
    """Whatever comes and goes, and whenever an index is made, label and owner find what a search would."""
    cache = Cache(lambda manifest: manifest)
    objects: dict[tuple[str, str], dict[str, Any]] = {}
    for version, (step, name, label, owner, namespace) in enumerate(steps, 1):
        if version == asked_at:
            cache.labelled("app", ["x"])
        if step == "put":
            objects[namespace, name] = pod(name, version, label, owner, namespace)
            cache.put(objects[namespace, name])
        else:
            objects.pop((namespace, name), None)
            cache.remove(namespace, name)
    everything = list(objects.values())
    for space in ("", "one", "two", "three"):
        here = [item for item in everything if space in ("", item["metadata"]["namespace"])]
        assert by_version(cache.items(space)) == by_version(here)
        labelled = [item for item in here if item["metadata"]["labels"]["app"] == "y"]
        assert by_version(cache.labelled("app", ["y", "z"], space)) == by_version(labelled)
    owned = [item for item in everything if item["metadata"]["ownerReferences"] == [{"uid": "u1"}]]
    assert by_version(cache.owned("u1")) == by_version(owned)


def by_version(items: list[dict[str, Any]]) -> list[str]:
    """Return the versions, which distinguish every object, in order."""
    return sorted(item["metadata"]["resourceVersion"] for item in items)


def test_what_is_kept_of_a_pod_is_what_it_costs() -> None:
    """Of a Pod of 3 KB, its metadata alone take less than a third of the memory, and its labels less than a tenth."""
    texts = [json.dumps(a_usual_pod(number)) for number in range(200)]
    assert 2500 < len(texts[0]) < 3500
    whole = kept(texts, lambda manifest: manifest)
    for _name, project, most in (("metadata", metadata_only, 3), ("labels", labels_only, 10)):
        size = kept(texts, project)
        assert size < whole / most


def kept(texts: list[str], project: Callable[[dict[str, Any]], Any]) -> float:
    """Return the memory that a cache of some objects takes, in KiB for each."""
    gc.collect()
    tracemalloc.start()
    try:
        cache = Cache(project)
        for text in texts:
            cache.put(json.loads(text))
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / len(texts) / 1024
    finally:
        tracemalloc.stop()


def test_orphans_are_those_without_a_controller() -> None:
    """Before and after the first question they are followed; an owner that is not the controller does not count."""
    cache = Cache(name_of)
    controlled = pod("b", 1, owner="u")
    controlled["metadata"]["ownerReferences"][0]["controller"] = True
    for manifest in (pod("a", 1, owner="u"), controlled, pod("c", 1, namespace="two")):
        cache.put(manifest)
    assert cache.orphans("one") == ["a1"]
    assert cache.orphans("none") == []
    cache.put(pod("b", 2))
    cache.put({**controlled, "metadata": {**controlled["metadata"], "name": "a", "resourceVersion": "2"}})
    assert cache.orphans("one") == ["b2"]
    cache.remove("one", "b")
    assert cache.orphans("one") == []


def a_usual_pod(number: int) -> dict[str, Any]:
    """Return a Pod with one container, as a Deployment makes it and a kubelet reports it."""
    probe = {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10}
    token = {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    container = {
        "name": "app",
        "image": f"registry.example.com/shop/app:v{number}",
        "env": [{"name": f"VARIABLE_{index}", "value": f"value-{number}-{index}"} for index in range(16)],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}},
        "readinessProbe": probe,
        "volumeMounts": [token],
    }
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": "2026-11-25T12:00:00Z"}
        for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    state = {"name": "app", "ready": True, "restartCount": 0, "imageID": "a" * 80, "containerID": "b" * 80}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"shop-7d9c5b-{number:05d}",
            "namespace": "shop",
            "uid": f"8f0c{number:08d}",
            "resourceVersion": str(1000 + number),
            "labels": {"app": "shop", "rollouts-pod-template-hash": "7d9c5b"},
            "annotations": {"example.com/config": "x" * 200},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop", "uid": "5a3e"}
            ],
        },
        "spec": {"containers": [container], "nodeName": "node-1", "serviceAccountName": "default"},
        "status": {"phase": "Running", "conditions": conditions, "containerStatuses": [state]},
    }
