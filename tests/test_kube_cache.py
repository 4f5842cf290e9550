"""Objects in memory: what is found, and what each change is reported as."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollway.routers.kube.cache import Cache, ObjectChange, is_older

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
