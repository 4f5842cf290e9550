"""Observe all Rollouts of a store with a single reading, whatever the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.errors import RollwayError
from rollway.routers.lookup import read_rollouts
from rollway.routers.objects import Live
from rollway.routers.observation import observe
from rollway.routers.planning import needs_of
from rollway.routers.roles import decide_roles
from rollway.routers.rollout.unused import asks_for_routing
from rollway.routers.stores import missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rollway.routers.model import Rollout
    from rollway.routers.objects import ObjectRef
    from rollway.routers.observation import Observation
    from rollway.routers.stores import Store


class Observations(NamedTuple):
    """What the objects of every Rollout show, and the Rollouts that could not be observed."""

    observed: list[Observation]
    errors: list[tuple[ObjectRef, RollwayError]]


def observe_all(store: Store, namespace: str = "") -> Observations:
    """Observe every Rollout with traffic routing in a namespace (empty: in all), in order of namespace and name.

    A Rollout with faults, or whose objects are missing, is among the errors; the others are observed all the same.

    Raises:
        StoreError: the store cannot be read.
    """
    rollouts: list[Rollout] = []
    result = Observations([], [])
    for item, rollout in read_rollouts(store, namespace):
        if isinstance(rollout, RollwayError):
            if asks_for_routing(item.manifest):
                result.errors.append((item.ref, rollout))
        else:
            rollouts.append(rollout)
    live = read_together(store, rollouts)
    for rollout in rollouts:
        try:
            require(store, rollout, live)
            result.observed.append(observe(decide_roles(rollout, live), live))
        except RollwayError as error:
            result.errors.append((rollout.ref, error))
    return result


def read_together(store: Store, rollouts: Iterable[Rollout]) -> Live:
    """Read what all Rollouts need at once, whether or not it is there and can be worked with."""
    needs = (
        need._replace(required=False, tolerant=True) for rollout in rollouts for need in needs_of(rollout)
    )
    # Of all that a thousand Rollouts need, each kind as a whole is asked for once.
    distinct = list(dict.fromkeys(needs))
    return store.read(distinct) if distinct else Live(())


def require(store: Store, rollout: Rollout, live: Live) -> None:
    """Raise the store's own error when something that a Rollout needs was not read, or cannot be worked with."""
    needs = needs_of(rollout)
    for need in needs:
        item = live.get(need.ref) if need.name else None
        if item and item.problem:
            raise item.problem
    absent = missing(needs, live)
    if absent:
        store.read(absent)
