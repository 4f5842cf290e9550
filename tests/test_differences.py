"""Lists whose items have names: edits, patches with tests, and undo beside the edits of others."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

import manifests as m
from rollway.routers.differences import Relocation, aligned, differences
from rollway.routers.errors import ConflictError, RollwayError
from rollway.routers.objects import Access, LiveObject, Need, ObjectRef, item_field
from rollway.routers.plan import Action, Change, change_for
from rollway.routers.rollout import parse_rollout
from rollway.routers.stores.patches import patched

ROLLOUT = parse_rollout(m.rollout({"smi": {}}))
REF = ObjectRef("example.com", "Thing", "default", "a")
NEED = Need(
    *("example.com", "Thing", "a", "default", Access.SHARED),
    fields=("/spec/routes/*/weight", item_field("/spec/routes", "beta"), item_field("/spec/routes", "a/b~c")),
)
BETA = {"name": "beta", "match": "x-beta"}
ITEM = st.one_of(
    st.builds(
        lambda name, weight: {"name": name, "weight": weight}, st.sampled_from("abcd"), st.integers(0, 2)
    ),
    st.builds(lambda weight: {"weight": weight}, st.integers(0, 2)),
)
ITEMS = st.lists(ITEM, max_size=6)
NAMED = st.lists(st.builds(lambda weight: {"weight": weight}, st.integers(0, 2)), min_size=1, max_size=5).map(
    lambda items: [{"name": f"r{index}", **item} for index, item in enumerate(items)]
)


def thing(*routes: Any) -> dict[str, Any]:
    """Return an object with these routes."""
    return {
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {"name": "a"},
        "spec": {"routes": list(routes)},
    }


def change(before: list[Any], after: list[Any]) -> Change:
    """Return the change from one list of routes to another."""
    made = change_for(NEED, LiveObject(REF, thing(*before), "7"), thing(*after), ROLLOUT, adopt=False)
    assert made is not None
    return made


@given(ITEMS, ITEMS)
def test_the_edits_make_one_list_of_another(before: list[Any], after: list[Any]) -> None:
    """Done one after the other, as a JSON Patch does them, whatever has come, gone, moved or changed."""
    undo = Change(Action.PATCH, REF, thing(*before), thing(*after)).inverse(
        LiveObject(REF, thing(*after), "8")
    )
    if undo is None:
        assert before == after
        return
    assert jsonpatch.apply_patch(thing(*after), list(undo.patch)) == thing(*before)


@given(ITEMS, ITEMS)
def test_items_are_paired_in_order_and_by_name(before: list[Any], after: list[Any]) -> None:
    """No item is paired twice, the order stays, and two items with different names are never the same one."""
    pairs = aligned(before, after)
    assert pairs == sorted(set(pairs))
    assert len({old for old, _ in pairs}) == len({new for _, new in pairs}) == len(pairs)
    assert all(before[old].get("name") == after[new].get("name") for old, new in pairs)


@given(NAMED, st.integers(0, 5), st.data())
def test_undo_takes_out_only_what_is_ours(base: list[Any], place: int, data: st.DataObject) -> None:
    """Others put items in, take some out and change weights meanwhile; after the undo only that is left."""
    change = Change(Action.PATCH, REF, thing(*base), thing(*base[:place], BETA, *base[place:]))
    kept = [item for item in base if data.draw(st.booleans())]
    edited = [{**item, "weight": data.draw(st.integers(0, 5))} for item in kept]
    theirs = list(edited)
    for name in data.draw(st.lists(st.sampled_from(["x", "y", "z"]), unique=True)):
        theirs.insert(data.draw(st.integers(0, len(theirs))), {"name": name})
    behind = [item["name"] for item in theirs].index(edited[-1]["name"]) if edited else 0
    now = [*theirs[:behind], BETA, *theirs[behind:]]
    undo = change.inverse(LiveObject(REF, thing(*now), "8"))
    assert undo is not None
    assert undo.after == thing(*theirs)
    assert jsonpatch.apply_patch(thing(*now), list(undo.patch)) == thing(*theirs)


@given(NAMED, st.data())
def test_undo_puts_back_what_was_taken_out(base: list[Any], data: st.DataObject) -> None:
    """An item that was taken out comes back between those beside which it stood, and items of others stay."""
    gone = data.draw(st.integers(0, len(base) - 1))
    left = [*base[:gone], *base[gone + 1 :]]
    change = Change(Action.PATCH, REF, thing(*base), thing(*left))
    assert undo_on(change, left) == base
    if left:
        assert undo_on(change, [{"name": "first"}, *left]) == [{"name": "first"}, *base]
    # Somebody else has put it back already.
    assert undo_on(change, [*left, {**base[gone], "new": True}]) == [*left, {**base[gone], "new": True}]


def undo_on(change: Change, now: list[Any]) -> list[Any]:
    """Return the routes after a change was taken out of some."""
    undo = change.inverse(LiveObject(REF, thing(*now), "8"))
    routes = now if undo is None or undo.after is None else undo.after["spec"]["routes"]
    return list(routes)


def test_undo_leaves_an_item_that_somebody_has_made_another_one() -> None:
    """What an admission webhook adds to our item goes with it; what somebody has changed in it is theirs."""
    base = [{"name": "primary", "weight": 1}]
    change = Change(Action.PATCH, REF, thing(*base), thing(BETA, *base))
    assert undo_on(change, [{**BETA, "added": 1}, *base]) == base
    assert undo_on(change, [{**BETA, "match": "x-other"}, *base]) == [{**BETA, "match": "x-other"}, *base]


def test_two_items_of_one_name_are_put_back() -> None:
    """A route may stand in several items of one name, as the clones of an Istio route do."""
    clones = [{**BETA, "to": "a"}, {**BETA, "to": "b"}]
    base = [{"name": "primary"}]
    change = Change(Action.PATCH, REF, thing(*clones, *base), thing(*base))
    assert undo_on(change, [{"name": "other"}, *base]) == [{"name": "other"}, *clones, *base]


def test_an_item_that_is_put_in_relies_on_its_neighbours() -> None:
    """The patch tests the names beside it, all of a neighbour that has none, and the whole of an empty list."""
    first, second, unnamed = {"name": "first", "weight": 1}, {"name": "second", "weight": 2}, {"weight": 3}
    assert change([first, second], [first, BETA, second]).patch == (
        {"op": "test", "path": "/spec/routes/0/name", "value": "first"},
        {"op": "test", "path": "/spec/routes/1/name", "value": "second"},
        {"op": "add", "path": "/spec/routes/1", "value": BETA},
    )
    assert change([unnamed], [BETA, {"weight": 4}]).patch == (
        {"op": "test", "path": "/spec/routes/0/weight", "value": 3},
        {"op": "test", "path": "/spec/routes/0", "value": unnamed},
        {"op": "replace", "path": "/spec/routes/0/weight", "value": 4},
        {"op": "add", "path": "/spec/routes/0", "value": BETA},
    )
    assert change([], [BETA]).patch == (
        {"op": "test", "path": "/spec/routes", "value": []},
        {"op": "add", "path": "/spec/routes/0", "value": BETA},
    )


def test_an_item_that_is_taken_out_relies_on_all_of_it() -> None:
    """What somebody has changed meanwhile is not deleted; and a change in place relies on the name of its item."""
    first, last = {"name": "first", "weight": 1}, {"name": "last", "weight": 1}
    removal = change([BETA, first, last], [first, {**last, "weight": 2}])
    assert removal.patch == (
        {"op": "test", "path": "/spec/routes/2/name", "value": "last"},
        {"op": "test", "path": "/spec/routes/2/weight", "value": 1},
        {"op": "test", "path": "/spec/routes/0", "value": BETA},
        {"op": "replace", "path": "/spec/routes/2/weight", "value": 2},
        {"op": "remove", "path": "/spec/routes/0"},
    )
    assert patched(removal, thing(BETA, first, last)) == thing(first, {**last, "weight": 2})
    for now in (
        [{**BETA, "match": "other"}, first, last],
        [{"name": "new"}, BETA, first, last],
        [BETA, last, first],
    ):
        with pytest.raises(ConflictError):
            patched(removal, thing(*now))


def test_only_items_of_the_declared_names_come_and_go() -> None:
    """A backend that puts in, takes out or changes a route of another name has a bug, and writes nothing."""
    other = {"name": "other", "weight": 1}
    named = {"name": "a/b~c", "weight": 1}
    assert change([other], [named, other]).action is Action.PATCH
    assert change([BETA, other], [{**BETA, "match": "y"}, other]).action is Action.PATCH
    for before, after in (
        ([BETA], [BETA, other]),
        ([BETA, other], [BETA]),
        ([other], [{**other, "match": "y"}]),
        ([{"weight": 1}], []),
    ):
        with pytest.raises(RollwayError, match="not its own"):
            change(before, after)


def test_equal_lengths_do_not_hide_a_moved_item() -> None:
    """One item gone and another one come is not a change of all that stands between them."""
    a, b, c = ({"name": name, "weight": 1} for name in "abc")
    assert [(path, new) for path, _, new in differences([a, b], [b, c]) if isinstance(new, dict)] == [
        ((1,), c)
    ]


@given(ITEMS, ITEMS, st.data())
def test_a_value_is_found_where_its_item_has_gone(
    before: list[Any], after: list[Any], data: st.DataObject
) -> None:
    """The way to a value of one list leads to the item that it is paired with in the other, or nowhere."""
    relocation = Relocation(thing(*before), thing(*after))
    pairs = dict(aligned(before, after))
    for index in range(len(before)):
        there = pairs.get(index)
        expected = None if there is None else ("spec", "routes", there, "weight")
        assert relocation.of(("spec", "routes", index, "weight")) == expected
    assert relocation.of(("spec", "none", 1)) is None
    assert relocation.of(("spec", "routes", "name")) is None


def test_differences_leave_their_arguments_alone() -> None:
    """Neither side is changed by being compared."""
    before, after = [BETA, {"weight": 1}], [{"weight": 2}]
    copies = copy.deepcopy((before, after))
    list(differences(before, after))
    assert (before, after) == copies
