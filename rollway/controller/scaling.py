"""How many pods each ReplicaSet is to have. Pure arithmetic on whole numbers.

Source of the rules without a router: Argo Rollouts, `utils/replicaset/canary.go`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


class Count(NamedTuple):
    """How many pods a ReplicaSet was asked for, and how many of those are available."""

    desired: int = 0
    available: int = 0


class Bounds(NamedTuple):
    """How many pods there may be beyond the replicas of the Rollout, and how many of those may be missing."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        """The most pods that there may be."""
        return self.replicas + self.surge

    @property
    def fewest(self) -> int:
        """The fewest available pods that there may be."""
        return max(self.replicas - self.unavailable, 0)


class Counts(NamedTuple):
    """The pods of the canary and of stable."""

    canary: int
    stable: int


def share(replicas: int, weight: int, total: int) -> int:
    """Return the pods that carry a weight: the share of the replicas, rounded up."""
    return -(-replicas * weight // total)


def nearest_counts(replicas: int, weight: int, total: int, surge: int) -> Counts:
    """Return the pods of both by which their share comes nearest to a weight; no router divides the traffic.

    One pod more than the replicas counts as a choice where surge allows it. Between equals, the first choice wins.
    """
    if not replicas:
        return Counts(0, 0)
    up, down = share(replicas, weight, total), replicas * weight // total
    zero_allowed = weight in (0, total) or (replicas == 1 and not surge)
    choices: list[tuple[int, int]] = []
    for pods in (replicas, replicas + 1) if surge else (replicas,):
        if pods > replicas or up < replicas or zero_allowed:
            choices.append((up, pods))
        halfway = 2 * (pods * weight % total) == total
        if not halfway and (down or zero_allowed):
            choices.append((down, pods))
    if not choices:
        return Counts(0, replicas)
    canary, pods = min(choices, key=lambda choice: abs(Fraction(choice[0] * total, choice[1]) - weight))
    return Counts(canary, pods - canary)


def next_counts(bounds: Bounds, goal: Counts, new: Count, stable: Count, others: int) -> Counts:
    """Return the pods that both are to have now, on their way to the goal within the bounds.

    `others` is what all other ReplicaSets were asked for; while they have pods, only those that are not available get fewer here.
    """
    canary, kept = _grown(bounds, goal, new, stable, others)
    if others:
        # What serves nobody may go: a release that never came up would else keep the room of the next one.
        if goal.stable < stable.desired:
            kept = max(goal.stable, min(kept, stable.available))
        if goal.canary < new.desired:
            canary = max(goal.canary, min(canary, new.available))
        return Counts(canary, kept)
    rising = goal.canary >= new.desired
    reducible = new.available + stable.desired if rising else new.desired + stable.available
    room = reducible - bounds.fewest
    if room <= 0:
        return Counts(canary, kept)
    if not rising:
        canary = max(goal.canary, canary - room) if goal.canary < new.desired else canary
        canary, kept = _within(bounds, Count(canary, new.available), Count(kept, stable.available))
    elif goal.stable < stable.desired:
        kept = max(goal.stable, kept - room)
        kept, canary = _within(bounds, Count(kept, stable.available), Count(canary, new.available))
    return Counts(canary, kept)


def _grown(bounds: Bounds, goal: Counts, new: Count, stable: Count, others: int) -> Counts:
    """Add pods while there may be more, first to stable."""
    spare = max(bounds.most - new.desired - stable.desired - others, 0)
    kept = stable.desired + min(max(goal.stable - stable.desired, 0), spare)
    spare -= kept - stable.desired
    return Counts(new.desired + min(max(goal.canary - new.desired, 0), spare), kept)


def _within(bounds: Bounds, shrinking: Count, other: Count) -> tuple[int, int]:
    """Return both numbers of pods so that there are never more than may be, and enough of them available."""
    fewer, rest = shrinking.desired, other.desired
    rest -= max(0, rest + fewer - bounds.most)
    missing = bounds.fewest - min(fewer, shrinking.available) - min(rest, other.available)
    rest += min(max(0, other.available - rest), max(0, missing))
    fewer -= max(0, rest + fewer - bounds.most)
    return fewer, rest


def reduced(bounds: Bounds, others: list[Count], available: int) -> list[int]:
    """Return the pods that ReplicaSets of neither role keep, in the order in which they are reduced.

    Pods that are not available serve nobody, and go first. `available` counts those of all ReplicaSets together.
    """
    room = available - bounds.fewest
    kept: list[int] = []
    for count in others:
        serving = min(count.desired, count.available)
        fewer = max(serving - max(room, 0), 0)
        room -= serving - fewer
        kept.append(fewer)
    return kept
