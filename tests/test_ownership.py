"""Ownership: what is stamped, what is refused, what survives a merge."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import manifests as m
from rollway.routers.errors import ForeignOwnerError, ManifestError
from rollway.routers.objects import ObjectRef, duplicate
from rollway.routers.ownership import (
    ADOPTED_ANNOTATION,
    MANAGED_BY_LABEL,
    RECORD_ANNOTATION,
    ROLLOUT_ANNOTATION,
    applied,
    given_back,
    merge,
    owned_by,
    refuse_foreign,
    stamp,
)
from rollway.routers.rollout import parse_rollout

ROUTE = parse_rollout(m.rollout({"smi": {}}))
REF = ObjectRef("", "Thing", "default", "a")


def thing(annotations: Any = None, labels: Any = None, owners: Any = None, **spec: Any) -> dict[str, Any]:
    """Return an object with the given metadata and spec."""
    metadata = {"name": "a", "annotations": annotations, "labels": labels, "ownerReferences": owners}
    return {
        "apiVersion": "v1",
        "kind": "Thing",
        "metadata": {key: value for key, value in metadata.items() if value is not None},
        "spec": spec,
    }


def owner(name: str = "shop", uid: str = "1", **words: Any) -> dict[str, Any]:
    """Return an ownerReference of a Rollout."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "name": name,
        "uid": uid,
        "controller": True,
        **words,
    }


def test_stamp_marks_what_is_ours() -> None:
    """A stamped object has our label, the Rollout's name, the record of our keys, and no owner without a uid."""
    wanted = thing({"b": "1"}, x=1)
    stamped = stamp(wanted, ROUTE)
    assert stamped["metadata"]["labels"] == {MANAGED_BY_LABEL: "rollway"}
    annotations = stamped["metadata"]["annotations"]
    assert annotations[ROLLOUT_ANNOTATION] == "shop"
    assert json.loads(annotations[RECORD_ANNOTATION]) == {
        "annotations": ["b", ROLLOUT_ANNOTATION],
        "labels": [MANAGED_BY_LABEL],
        "spec": ["x"],
    }
    assert "ownerReferences" not in stamped["metadata"]
    assert wanted == thing({"b": "1"}, x=1)
    assert owned_by(stamped, ROUTE)


def test_stamp_refers_to_a_rollout_that_exists() -> None:
    """With a uid, the Rollout becomes the controller, so that the object goes with it; that needs no right to its finalizers."""
    stamped = stamp(thing(), replace(ROUTE, uid="1"))
    assert stamped["metadata"]["ownerReferences"] == [owner()]


@pytest.mark.parametrize(
    ("found", "uid", "ours"),
    [
        (thing(), "", False),
        (thing({ROLLOUT_ANNOTATION: "shop"}), "1", True),
        (thing({ROLLOUT_ANNOTATION: "cart"}), "1", False),
        (thing(owners=[owner()]), "1", True),
        (thing(owners=[owner()]), "", True),
        (thing(owners=[owner(uid="2")]), "1", False),
        (thing(owners=[owner("cart")]), "1", False),
        (thing(owners=[owner(kind="Deployment")]), "1", False),
        (thing(owners=[owner(apiVersion="example.com/v1")]), "1", False),
        (thing(owners=[owner(controller=False)]), "1", False),
        (thing(owners="x"), "1", False),
        (thing(owners=["x"]), "1", False),
        (thing(["x"]), "1", False),
    ],
)
def test_ownership_is_by_stamp_or_controller(found: dict[str, Any], uid: str, ours: bool) -> None:
    """An object is ours by our annotation, or by a controller reference to the same Rollout."""
    assert owned_by(found, replace(ROUTE, uid=uid)) is ours


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (thing(), "has no owner that rollway knows"),
        (thing({ROLLOUT_ANNOTATION: "cart"}), "belongs to Rollout cart"),
        (thing(owners=[owner("cart")]), "is controlled by Rollout cart"),
    ],
)
def test_foreign_objects_are_refused_by_owner(found: dict[str, Any], words: str) -> None:
    """The refusal names the owner and the way out."""
    with pytest.raises(ForeignOwnerError, match=words) as caught:
        refuse_foreign(REF, found, ROUTE)
    assert "--adopt" in str(caught.value)


def test_own_objects_are_not_refused() -> None:
    """Our own object passes."""
    refuse_foreign(REF, stamp(thing(), ROUTE), ROUTE)


def test_merge_removes_what_we_set_and_no_longer_want() -> None:
    """Keys on the record that are not wanted go; foreign keys of annotations, labels and spec stay."""
    live = stamp(thing({"ours": "1", "old": "1"}, {"old": "1"}, tls=1, rules=1), ROUTE)
    live["metadata"]["annotations"]["theirs"] = "1"
    live["metadata"]["labels"]["theirs"] = "1"
    live["spec"]["theirs"] = 1
    live["status"] = {"ready": True}
    merged = merge(live, stamp(thing({"ours": "2"}, rules=2), ROUTE))
    annotations = merged["metadata"]["annotations"]
    assert (annotations["ours"], annotations["theirs"], "old" in annotations) == ("2", "1", False)
    assert merged["metadata"]["labels"] == {MANAGED_BY_LABEL: "rollway", "theirs": "1"}
    assert merged["spec"] == {"rules": 2, "theirs": 1}
    assert merged["status"] == {"ready": True}


def test_merge_removes_own_keys_without_a_record() -> None:
    """A key that is ours by nature goes even when no record names it (an object that Argo made)."""
    merged = merge(thing({"total": "1000", "theirs": "1"}), stamp(thing(), ROUTE), own_keys=["total"])
    assert "total" not in merged["metadata"]["annotations"]
    assert merged["metadata"]["annotations"]["theirs"] == "1"


@pytest.mark.parametrize("record", ["{", "[]", "3", '{"annotations": 3}', 5, '{"annotations": [1, {}]}'])
def test_a_broken_record_removes_nothing(record: Any) -> None:
    """A record that cannot be read counts as none: rather a stale key than a foreign one lost."""
    merged = merge(thing({RECORD_ANNOTATION: record, "x": "1"}), stamp(thing(), ROUTE))
    assert merged["metadata"]["annotations"]["x"] == "1"


def test_merge_mends_metadata_of_the_wrong_shape() -> None:
    """Annotations that are no mapping become one."""
    merged = merge(thing(["list"]), stamp(thing({"a": "1"}), ROUTE))
    assert merged["metadata"]["annotations"]["a"] == "1"


def test_adopting_replaces_the_controller() -> None:
    """An object has one controller; owners that do not control stay."""
    other = owner("cart", "2", controller=False)
    live = thing(owners=[owner("cart", "3"), other, "odd"])
    merged = merge(live, stamp(thing(), replace(ROUTE, uid="1")))
    assert merged["metadata"]["ownerReferences"] == [other, owner()]
    again = merge(merged, stamp(thing(), replace(ROUTE, uid="1")))
    assert again == merged


def test_a_reference_to_the_rollout_stays_as_it_is() -> None:
    """One that blocks the owner's deletion, as other controllers write it, is no difference."""
    wanted = stamp(thing(), replace(ROUTE, uid="1"))
    live = thing(owners=[owner(blockOwnerDeletion=True)])
    merged = merge(live, wanted)
    assert merged["metadata"]["ownerReferences"] == [owner(blockOwnerDeletion=True)]


def test_what_is_applied_is_what_the_record_names() -> None:
    """Server-side apply is given our keys and our controller, and nothing that somebody else added or the server wrote."""
    rollout = replace(parse_rollout(m.rollout({"nginx": {"stableIngress": "web"}})), uid="1-2")
    ours = stamp(m.ingress("canary", metadata={"annotations": {"a": "1"}}), rollout)
    live = duplicate(ours)
    live["metadata"] |= {"resourceVersion": "7", "uid": "x", "creationTimestamp": "now", "finalizers": ["f"]}
    live["metadata"]["annotations"]["example.com/note"] = "theirs"
    live["metadata"]["ownerReferences"].append({"kind": "Other", "uid": "3", "name": "y"})
    live["spec"]["foreign"] = True
    live["status"] = {}
    assert applied(live) == ours
    assert applied(stamp(m.ingress("canary"), replace(rollout, uid="")))["spec"] == ours["spec"]


def test_nothing_is_ours_without_a_record() -> None:
    """Of an object that we never wrote nothing is applied but its name."""
    assert applied(m.ingress("web")) == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web", "namespace": "default"},
    }


def test_an_equal_controller_keeps_its_place() -> None:
    """Owner references with the same content are left as they are, in whatever order the server wrote their keys."""
    rollout = replace(parse_rollout(m.rollout({"nginx": {"stableIngress": "web"}})), uid="1-2")
    ours = stamp(m.ingress("canary"), rollout)
    live = duplicate(ours)
    live["metadata"]["ownerReferences"] = [dict(sorted(live["metadata"]["ownerReferences"][0].items()))]
    merged = merge(live, ours)
    assert [*merged["metadata"]["ownerReferences"][0]] == [*live["metadata"]["ownerReferences"][0]]


# -- taking over, and giving back


def taken(live: dict[str, Any], *wanted: dict[str, Any], own_keys: Any = ()) -> dict[str, Any]:
    """Return an object that was taken over and then changed to each further wish."""
    rollout = replace(ROUTE, uid="1")
    merged = merge(live, stamp(wanted[0], rollout), own_keys, taken_over=True)
    for wish in wanted[1:]:
        merged = merge(merged, stamp(wish, rollout), own_keys)
    return merged


@pytest.mark.parametrize(
    "live",
    [
        thing(),
        thing({}, {}),
        thing({"a": "theirs", "keep": "1"}, {MANAGED_BY_LABEL: "helm"}, rules=[1], tls=None),
        thing({"total": "1000"}, owners=[owner("cart", "7"), owner(controller=False)], rules=[1]),
        stamp(thing({"a": "other"}, rules=[3], old=1), replace(ROUTE, name="other", uid="5")),
        {"apiVersion": "v0", "kind": "Thing", "metadata": {"name": "a", "annotations": None}},
    ],
)
def test_what_was_taken_over_is_given_back_exactly(live: dict[str, Any]) -> None:
    """After any number of wishes, with other keys each, the object is again as it was, and ours in nothing."""
    wishes = (
        thing({"a": "1"}, rules=[2]),
        thing({"b": "1"}, {"l": "1"}, rules=[3], tls=[1]),
        thing(rules=[]),
    )
    for count in (1, 2, 3):
        ours = taken(live, *wishes[:count], own_keys=["total"])
        assert owned_by(ours, ROUTE)
        assert "total" not in ours["metadata"]["annotations"]
        back = given_back(ours)
        if live["metadata"].get("annotations", 1) is None:
            # A map of the wrong shape is mended.
            live["metadata"].pop("annotations")
        assert back == live


def test_giving_back_keeps_what_others_did_since() -> None:
    """Keys, fields and owners that somebody else added while the object was ours stay."""
    live = thing({"a": "theirs"}, rules=[1])
    ours = taken(live, thing({"a": "1"}, rules=[2]))
    ours["metadata"]["annotations"]["since"] = "1"
    ours["metadata"]["ownerReferences"].append(owner("cart", "7", controller=False))
    ours["spec"]["since"] = 1
    wanted = thing(
        {"a": "theirs", "since": "1"}, owners=[owner("cart", "7", controller=False)], rules=[1], since=1
    )
    assert given_back(ours) == wanted


def test_the_memory_is_applied_with_what_is_ours() -> None:
    """Server-side apply is given the memory as well, and merging the same again changes nothing."""
    ours = taken(thing({"a": "theirs"}), thing({"a": "1"}))
    assert ADOPTED_ANNOTATION in applied(ours)["metadata"]["annotations"]
    assert merge(ours, stamp(thing({"a": "1"}), replace(ROUTE, uid="1"))) == ours


def test_what_was_not_taken_over_is_not_given_back() -> None:
    """An object of our own has no memory."""
    assert given_back(stamp(thing(), ROUTE)) is None


@pytest.mark.parametrize("memory", ["{", "[]", "3", '{"spec": 1}', 5])
def test_a_broken_memory_is_an_error(memory: Any) -> None:
    """A memory that cannot be read is never taken for none: the object would be deleted."""
    ours = taken(thing(), thing())
    ours["metadata"]["annotations"][ADOPTED_ANNOTATION] = memory
    with pytest.raises(ManifestError, match="cannot be put back"):
        given_back(ours)
