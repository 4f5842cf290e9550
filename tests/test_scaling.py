"""How many pods a canary without a router has, beside what Argo Rollouts' own code computes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from rollway.controller.scaling import Bounds, Count, Counts, nearest_counts, next_counts, reduced, share
from rollway.controller.spec import scaled_value


def walk(
    replicas: int, weight: int, surge: int, unavailable: int, start: tuple[int, int] | None = None
) -> str:
    """Return the pods of (stable, canary), look by look, while every pod is available at once and stable goes first."""
    bounds = Bounds(replicas, surge, unavailable)
    stable, canary = start or (replicas, 0)
    looks = [f"{stable},{canary}"]
    while True:
        goal = nearest_counts(replicas, weight, 100, surge)
        counts = next_counts(bounds, goal, Count(canary, canary), Count(stable, stable), 0)
        if counts == (canary, stable):
            return " ".join(looks)
        stable, canary = (counts.stable, canary) if counts.stable != stable else (stable, counts.canary)
        looks.append(f"{stable},{canary}")


@pytest.mark.parametrize(
    ("replicas", "weight", "surge", "unavailable", "looks"),
    [
        (4, 25, 1, 1, "4,0 3,0 3,1"),
        (4, 50, 1, 1, "4,0 3,0 3,2 2,2"),
        (4, 20, 1, 1, "4,0 4,1"),
        (1, 10, 1, 0, "1,0 1,1"),
        (1, 10, 0, 1, "1,0"),
        (1, 60, 0, 1, "1,0 0,0 0,1"),
        (2, 10, 1, 0, "2,0 2,1"),
        (5, 33, 2, 1, "5,0 4,0 4,2"),
        (3, 50, 1, 0, "3,0 3,1 2,1 2,2"),
        (3, 50, 0, 1, "3,0 2,0 2,1 1,1 1,2"),
        (10, 5, 3, 2, "10,0 10,1"),
        (10, 10, 3, 2, "10,0 9,0 9,1"),
        (10, 25, 3, 2, "10,0 8,0 8,3"),
        (10, 30, 3, 0, "10,0 10,3 7,3"),
        (10, 30, 0, 5, "10,0 7,0 7,3"),
        (10, 100, 3, 2, "10,0 8,0 8,5 3,5 3,10 0,10"),
        (4, 100, 2, 0, "4,0 4,2 2,2 2,4 0,4"),
    ],
)
def test_a_canary_without_a_router_grows_as_in_argo_rollouts(
    replicas: int, weight: int, surge: int, unavailable: int, looks: str
) -> None:
    """The pods are those that Argo Rollouts' `utils/replicaset/canary.go` gives, look by look."""
    assert walk(replicas, weight, surge, unavailable) == looks


def test_a_canary_without_a_router_goes_back_as_in_argo_rollouts() -> None:
    """From 3 canary pods to none with a surge of 2, stable grows first and at least 3 stay available."""
    assert walk(3, 0, 2, 0, (0, 3)) == "0,3 2,3 2,1 3,1 3,0"


@given(
    replicas=some.integers(0, 30),
    weight=some.integers(0, 100),
    surge=some.integers(0, 10),
    unavailable=some.integers(0, 10),
    new=some.tuples(some.integers(0, 35), some.integers(0, 35)),
    stable=some.tuples(some.integers(0, 35), some.integers(0, 35)),
)
def test_pods_never_leave_the_bounds(
    replicas: int, weight: int, surge: int, unavailable: int, new: tuple[int, int], stable: tuple[int, int]
) -> None:
    """No look adds pods beyond the surge, and none takes away available pods below the fewest that there may be."""
    if not surge and not unavailable:
        unavailable = 1
    bounds = Bounds(replicas, surge, unavailable)
    one, other = Count(max(new), min(new)), Count(max(stable), min(stable))
    counts = next_counts(bounds, nearest_counts(replicas, weight, 100, surge), one, other, 0)
    if counts.canary + counts.stable > one.desired + other.desired:
        assert counts.canary + counts.stable <= bounds.most
    left = min(counts.canary, one.available) + min(counts.stable, other.available)
    if left < one.available + other.available:
        assert left >= min(bounds.fewest, one.available + other.available)


@given(replicas=some.integers(1, 40), weight=some.integers(0, 100), surge=some.integers(0, 5))
def test_the_share_of_pods_is_near_the_weight(replicas: int, weight: int, surge: int) -> None:
    """The pods of the canary are no further from the weight than one pod is worth."""
    counts = nearest_counts(replicas, weight, 100, surge)
    pods = counts.canary + counts.stable
    assert abs(counts.canary * 100 - weight * pods) <= 100


def test_old_pods_that_are_not_available_go_first() -> None:
    """An old ReplicaSet loses its pods that serve nobody, and serving ones only within the bounds."""
    assert reduced(Bounds(4, 1, 1), [Count(3, 1)], available=4) == [0]
    assert reduced(Bounds(4, 1, 1), [Count(3, 2)], available=4) == [1]
    assert reduced(Bounds(4, 1, 0), [Count(3, 2)], available=4) == [2]


@pytest.mark.parametrize(
    ("value", "up", "down"),
    [(3, 3, 3), ("25%", 3, 2), ("25", 3, 2), ("x", 0, 0), (True, 0, 0), ("0%", 0, 0)],
)
def test_numbers_of_pods_are_read_as_argo_rollouts_reads_them(value: object, up: int, down: int) -> None:
    """Of 10: a number as it is, a percentage with or without its sign, rounded up or down, and 0 where unreadable."""
    assert (scaled_value(value, 10, round_up=True), scaled_value(value, 10, round_up=False)) == (up, down)


def test_a_share_of_pods_is_rounded_up() -> None:
    """One percent of three pods is one pod."""
    assert [share(3, weight, 100) for weight in (0, 1, 34, 100)] == [0, 1, 2, 3]
    assert Counts(1, 2) == (1, 2)
