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
from rollway.routers.errors import RollwayError
from rollway.routers.model import Access, Finding, LiveObject, Need, ObjectRef, Severity, Traffic
from rollway.routers.plan import Action, Change, Plan, change_for, differences, fingerprint, pointer
from rollway.routers.rollout import parse_rollout
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
    change = Change(Action.PATCH, REF, before, after).inverse("")
    assert change.before == after
    assert jsonpatch.apply_patch(copy.deepcopy(after), list(change.patch)) == before


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
    need = replace(SHARED, access=Access.READ)
    with pytest.raises(RollwayError, match="not its own"):
        change_for(need, LiveObject(REF, thing(1), "7"), thing(2), ROUTE, adopt=False)


def test_relied_fields_that_part_from_the_edit_are_left_out() -> None:
    """A pattern whose `*` cannot be filled from the edit adds no test."""
    need = replace(
        SHARED,
        fields=("/spec",),
        relies=("/spec/routes/*/name", "/spec/routes/0/deep/*/x", "/metadata/*/name"),
    )
    change = change_for(need, LiveObject(REF, thing(1, a=1), "7"), thing(1, a=2), ROUTE, adopt=False)
    assert change is not None
    assert [step["op"] for step in change.patch] == ["replace"]


def test_relied_fields_that_are_not_there_are_left_out() -> None:
    """A declared sibling that the object lacks, or that stands in no collection, adds no test."""
    need = replace(SHARED, fields=("/spec",), relies=("/spec/routes/*/name/deep", "/spec/none"))
    change = change_for(need, LiveObject(REF, thing(1), "7"), thing(2), ROUTE, adopt=False)
    assert change is not None
    assert [step["op"] for step in change.patch] == ["replace"]


def test_a_plan_sorts_its_findings() -> None:
    """Refusals and notes of a plan can be asked for apart."""
    refusal, note = (Finding(kind.value, kind, None, "x") for kind in (Severity.REFUSAL, Severity.NOTE))
    plan = Plan(ROUTE, Traffic(Split(1)), (), (), (), (refusal, note), "")
    assert (plan.refusals, plan.notes) == ((refusal,), (note,))


def test_inverse_puts_back() -> None:
    """The inverse of a creation is a deletion, of a deletion a creation, of an update an update with the new version."""
    created = Change(Action.CREATE, REF, None, thing(1))
    assert created.inverse("8") == Change(Action.DELETE, REF, thing(1), None, (), "8")
    assert created.inverse("8").inverse("9").action is Action.CREATE
    updated = Change(Action.APPLY, REF, thing(1), thing(2), (), "7").inverse("8")
    assert (updated.action, updated.after, updated.version) == (Action.APPLY, thing(1), "8")


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
