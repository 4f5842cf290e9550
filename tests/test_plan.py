"""Differences, patches and fingerprints."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

import manifests as m
from rollway.routers.differences import differences
from rollway.routers.errors import RollwayError
from rollway.routers.findings import Finding, Severity
from rollway.routers.objects import Access, LiveObject, Need, ObjectRef
from rollway.routers.plan import Action, Change, Plan, change_for, fingerprint, pointer
from rollway.routers.rollout import parse_rollout
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

ROUTE = parse_rollout(m.rollout({"smi": {}}))
REF = ObjectRef("example.com", "Thing", "default", "a")
SHARED = Need(
    "example.com",
    "Thing",
    "a",
    "default",
    Access.SHARED,
    fields=("/spec/routes/*/weight",),
    relies=("/spec/routes/*/name", "/spec/other"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["a", "a/b", "~", ""]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b/c", "~d", "e"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def thing(*weights: int, **spec: Any) -> dict[str, Any]:
    """Return an object with routes that have weights."""
    routes = [{"name": f"r{index}", "weight": weight} for index, weight in enumerate(weights)]
    return {
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {"name": "a"},
        "spec": {"routes": routes, **spec},
    }


@given(st.dictionaries(st.sampled_from(["x", "y"]), JSON), st.dictionaries(st.sampled_from(["x", "y"]), JSON))
def test_a_patch_makes_after_of_before(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The JSON Patch of two objects, applied by a library of its own, turns one into the other."""
    old, new = thing(x=before), thing(x=after)
    undo = Change(Action.PATCH, REF, old, new).inverse(LiveObject(REF, new, "8"))
    if undo is None:
        assert before == after
        return
    assert undo.before == new
    assert jsonpatch.apply_patch(copy.deepcopy(new), list(undo.patch)) == old


@given(JSON)
def test_equal_values_have_no_difference(value: Any) -> None:
    """Nothing differs from its own copy."""
    assert list(differences(value, copy.deepcopy(value))) == []


def test_true_is_not_one() -> None:
    """Values of different JSON types differ, whatever Python thinks."""
    assert [path for path, _, _ in differences({"a": 1}, {"a": True})] == [("a",)]


def test_pointers_are_escaped() -> None:
    """`~` and `/` are written as in RFC 6901."""
    assert pointer(("a/b", 0, "~c")) == "/a~1b/0/~0c"


def test_shared_patch_relies_on_what_is_declared() -> None:
    """A patch of a SHARED object tests the declared siblings of each edit, where they exist, before it edits."""
    change = change_for(SHARED, LiveObject(REF, thing(1, 2), "7"), thing(1, 3), ROUTE, adopt=False)
    assert change is not None
    assert change.action is Action.PATCH
    assert change.patch == (
        {"op": "test", "path": "/spec/routes/1/name", "value": "r1"},
        {"op": "replace", "path": "/spec/routes/1/weight", "value": 3},
    )
    other = change_for(SHARED, LiveObject(REF, thing(1, other=5), "7"), thing(2, other=5), ROUTE, adopt=False)
    assert other is not None
    assert other.patch[1] == {"op": "test", "path": "/spec/other", "value": 5}


def test_no_difference_is_no_change() -> None:
    """An object that is as wanted gives None."""
    assert change_for(SHARED, LiveObject(REF, thing(1), "7"), thing(1), ROUTE, adopt=False) is None


@pytest.mark.parametrize("wanted", [thing(1, extra=True), thing(1, 2), {**thing(1), "kind": "Other"}])
def test_a_backend_may_change_only_its_fields(wanted: dict[str, Any]) -> None:
    """A change outside the declared fields is an error of the backend, never a write."""
    with pytest.raises(RollwayError, match="not its own"):
        change_for(SHARED, LiveObject(REF, thing(1), "7"), wanted, ROUTE, adopt=False)


def test_read_objects_are_never_changed() -> None:
    """A change of an object that was only read is an error, whatever the fields."""
    need = SHARED._replace(access=Access.READ)
    with pytest.raises(RollwayError, match="not its own"):
        change_for(need, LiveObject(REF, thing(1), "7"), thing(2), ROUTE, adopt=False)


def test_relied_fields_that_part_from_the_edit_are_left_out() -> None:
    """A pattern whose `*` cannot be filled from the edit adds no test."""
    need = SHARED._replace(
        fields=("/spec",),
        relies=("/spec/routes/*/name", "/spec/routes/0/deep/*/x", "/metadata/*/name"),
    )
    change = change_for(need, LiveObject(REF, thing(1, a=1), "7"), thing(1, a=2), ROUTE, adopt=False)
    assert change is not None
    assert [step["op"] for step in change.patch] == ["replace"]


def test_relied_fields_that_are_not_there_are_left_out() -> None:
    """A declared sibling that the object lacks, or that stands in no collection, adds no test."""
    need = SHARED._replace(fields=("/spec",), relies=("/spec/routes/*/name/deep", "/spec/none"))
    change = change_for(need, LiveObject(REF, thing(1), "7"), thing(2), ROUTE, adopt=False)
    assert change is not None
    assert [step["path"] for step in change.patch] == ["/spec/routes/0/name", "/spec/routes/0/weight"]


def test_a_plan_sorts_its_findings() -> None:
    """Refusals and notes of a plan can be asked for apart."""
    refusal, note = (Finding("files-only", kind, None, "x") for kind in (Severity.REFUSAL, Severity.NOTE))
    plan = Plan(ROUTE, Traffic(Split(1)), (), (), (), (refusal, note), {})
    assert (plan.refusals, plan.notes) == ((refusal,), (note,))


def test_inverse_puts_back() -> None:
    """The inverse of a creation is a deletion, of a deletion a creation, of an update an update with the new version."""
    created = Change(Action.CREATE, REF, None, thing(1))
    deletion = created.inverse(LiveObject(REF, thing(1), "8"))
    assert deletion == Change(Action.DELETE, REF, thing(1), None, (), "8")
    assert deletion.inverse(None) == created
    updated = Change(Action.APPLY, REF, thing(1), thing(2), (), "7").inverse(LiveObject(REF, thing(2), "8"))
    assert updated is not None
    assert (updated.action, updated.after, updated.version) == (Action.APPLY, thing(1), "8")


def test_inverse_leaves_what_somebody_else_did() -> None:
    """A foreign change since stays, in fields of its own and in ours, and where nothing of ours is left there is no inverse."""
    change = Change(Action.APPLY, REF, thing(1, 1), thing(2, 2, ours={"a": 1}, added=1), (), "7")
    now = thing(2, 9, ours={"a": 1, "theirs": 1}, added=1, foreign=1)
    undo = change.inverse(LiveObject(REF, now, "9"))
    assert undo is not None
    assert undo.after == thing(1, 9, ours={"theirs": 1}, foreign=1)
    longer = thing(2, 2, 9, ours={"a": 1}, added=1)
    undo = change.inverse(LiveObject(REF, longer, "9"))
    assert undo is not None
    assert undo.after == thing(1, 1, 9)
    assert change.inverse(LiveObject(REF, thing(5, 5, foreign=1), "9")) is None
    assert change.inverse(None) is None
    assert Change(Action.CREATE, REF, None, thing(1)).inverse(LiveObject(REF, thing(2), "9")) is None
    assert Change(Action.DELETE, REF, thing(1), None).inverse(LiveObject(REF, thing(2), "9")) is None


@pytest.mark.parametrize(
    ("change", "present", "stored"),
    [
        (Change(Action.CREATE, REF, None, thing(1)), None, False),
        (Change(Action.CREATE, REF, None, thing(1)), thing(1, status=1), True),
        (Change(Action.CREATE, REF, None, thing(1)), thing(2), False),
        (Change(Action.PATCH, REF, thing(1), thing(2), (), "7"), thing(2, foreign=1), True),
        (Change(Action.PATCH, REF, thing(1), thing(2), (), "7"), thing(1, foreign=1), False),
        (Change(Action.PATCH, REF, thing(1), thing(2), (), "8"), thing(2), False),
        (Change(Action.DELETE, REF, thing(1), None, (), "7"), None, True),
        (Change(Action.DELETE, REF, thing(1), None, (), "7"), thing(1), False),
    ],
)
def test_a_lost_answer_is_found_out_by_reading(change: Change, present: Any, stored: bool) -> None:
    """A change was stored when the object is another version now and has something of it."""
    assert change.is_in(LiveObject(REF, present, "8") if present else None) is stored


def test_fingerprint_covers_wish_versions_changes_and_findings() -> None:
    """The fingerprint is the same for the same input and another when anything moves."""
    want = Traffic(Split(20))
    change = Change(Action.CREATE, REF, None, thing(1))
    base = fingerprint(ROUTE, want, {REF: "1"}, [change], [])
    assert base == fingerprint(ROUTE, want, {REF: "1"}, [change], [])
    assert len(base) == 16
    others = {
        fingerprint(ROUTE, Traffic(Split(21)), {REF: "1"}, [change], []),
        fingerprint(ROUTE, want, {REF: "2"}, [change], []),
        fingerprint(ROUTE, want, {REF: "1"}, [], []),
        fingerprint(replace(ROUTE, total=200), want, {REF: "1"}, [change], []),
    }
    assert len(others | {base}) == 5
