"""Stable and canary share what they have in a route, whatever other destinations take part."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rollway.routers.backends.destinations import Destinations, check_share, positions_of, share_codes
from rollway.routers.errors import AmbiguousError, RefusedError
from rollway.routers.findings import Severity
from rollway.routers.model import CANARY, STABLE
from rollway.routers.objects import ObjectRef
from rollway.routers.weights import Split

REF = ObjectRef("example.com", "Road", "default", "web")


def destinations(*weights: int, stable: int = 0, canary: int = 1) -> Destinations:
    """Return a route with these weights."""
    labels = tuple(f"to-{position}" for position in range(len(weights)))
    return Destinations(REF, "route main", stable, canary, weights, labels)


@st.composite
def routes(draw: st.DrawFn) -> Destinations:
    """Return a route with two to six destinations, of which any two are stable and canary."""
    weights = draw(st.lists(st.integers(0, 2000), min_size=2, max_size=6))
    stable, canary = draw(st.permutations(range(len(weights))))[:2]
    return destinations(*weights, stable=stable, canary=canary)


splits = st.integers(1, 2000).flatmap(lambda total: st.builds(Split, st.integers(0, total), st.just(total)))


def written(before: Destinations, split: Split) -> Destinations:
    """Return the route with the weights that the split needs."""
    weights = list(before.weights)
    for role, weight in before.shares(split).items():
        weights[getattr(before, role)] = weight
    return destinations(*weights, stable=before.stable, canary=before.canary)


@given(routes(), splits)
def test_the_sum_of_the_route_stays_beside_others(before: Destinations, split: Split) -> None:
    """Beside other destinations the pair keeps what it had, so nobody else's share changes."""
    assume(before.foreign and before.pair)
    after = written(before, split)
    assert (after.pair, after.foreign) == (before.pair, before.foreign)
    assert abs(after.weights[after.canary] * split.total - split.canary * before.pair) * 2 <= split.total


@given(routes(), splits)
def test_what_is_written_is_read_back(before: Destinations, split: Split) -> None:
    """The reading of a route is the split that was written, exactly, unless the pair is smaller than the total."""
    assume(not before.foreign or before.pair >= split.total)
    reading = written(before, split).reading(split.total)
    assert reading.traffic is not None
    assert (reading.traffic.split, reading.exact) == (split, True)
    assert [label for label, _ in reading.weights] == list(before.labels)


@given(routes(), splits)
def test_the_same_share_twice_writes_the_same(before: Destinations, split: Split) -> None:
    """A share that is written already needs no other weights."""
    assume(before.pair or not before.foreign)
    after = written(before, split)
    assert written(after, split) == after


@given(routes(), splits)
def test_a_share_is_lost_only_where_it_is_refused(before: Destinations, split: Split) -> None:
    """A version that was given a share and gets no weight is a refusal; nothing else is."""
    assume(before.pair)
    after = written(before, split)
    refusals = [item for item in check_share("istio", split, after) if item.severity is Severity.REFUSAL]
    empty = 0 in (after.weights[after.stable], after.weights[after.canary])
    assert bool(refusals) == (empty and 0 < split.canary < split.total)


def test_a_route_without_others_is_written_out_of_the_total() -> None:
    """10 and 0 cannot hold 25 %, so the two become 75 and 25; 40 of 100 can be said out of 10."""
    assert destinations(10, 0).shares(Split(25)) == {STABLE: 75, CANARY: 25}
    assert destinations(10, 0).shares(Split(40)) == {STABLE: 6, CANARY: 4}
    assert destinations(0, 0).shares(Split(40)) == {STABLE: 60, CANARY: 40}


def test_a_pair_without_traffic_is_refused() -> None:
    """Where only others have weights there is nothing to share; that the canary gets nothing of it is true already."""
    with pytest.raises(RefusedError, match="route main: stable and canary get no traffic"):
        destinations(0, 0, 100).shares(Split(1))
    assert destinations(0, 0, 100).shares(Split(0)) == {STABLE: 0, CANARY: 0}
    assert destinations(0, 0, 100).reading(100).traffic is None
    (note,) = check_share("istio", Split(0), destinations(0, 0, 100))
    assert "other destinations keep 100 of 100; of the rollout's own 0 the canary gets 0" in note.message


def test_findings_have_the_codes_of_the_backend() -> None:
    """Each backend describes the two findings under its own name."""
    findings = list(check_share("istio", Split(10), destinations(1, 0, 9)))
    assert [item.code for item in findings] == [code.code for code in share_codes("istio")]
    assert "10 of 100, 10 % of 1 comes out as 0" in findings[1].message


def test_positions_need_both_roles_once() -> None:
    """A route is ours when it has stable and canary; one of them twice is ambiguous."""
    assert positions_of([None, CANARY, STABLE], REF, "route") == (2, 1)
    assert positions_of([STABLE, STABLE, None], REF, "route") is None
    assert positions_of([], REF, "route") is None
    with pytest.raises(AmbiguousError, match="route: 2 destinations are the canary one"):
        positions_of([CANARY, STABLE, CANARY], REF, "route")
