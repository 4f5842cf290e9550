"""Decide which of two ping-pong Services is stable, where the Rollout's status does not name it.

Argo Rollouts takes pong for stable then. Here the objects that carry the traffic decide, and only where all of them
send all of it to one of the two; otherwise nobody guesses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends import backends_of
from rollway.routers.errors import AmbiguousError, NotFoundError
from rollway.routers.planning import needs_of
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live
    from rollway.routers.stores import Store
    from rollway.routers.traffic import Reading


def known_roles(rollout: Rollout, store: Store, stable: str = "", canary: str = "") -> Rollout:
    """Return the Rollout with its stable Service known: `stable` names it (`ping` or `pong`), else the live objects do.

    Without ping-pong, or where the status names it, the store is not read. Where the roles are pod-template hashes,
    `stable` and `canary` name those, and without them the backend reads them from the live objects.

    Raises:
        AmbiguousError: traffic goes to both Services, or to neither, and nobody names the stable one.
        InvalidInputError, RefusedError: a name does not fit the Rollout or its status.
    """
    if canary:
        rollout = rollout.with_canary(canary)
    if stable:
        return rollout.with_stable(stable)
    if rollout.roles_known:
        return rollout
    return decide_roles(rollout, store.read(needs_of(rollout)))


def decide_roles(rollout: Rollout, live: Live) -> Rollout:
    """Return the Rollout with the Service as stable that gets all traffic by the live objects.

    Raises what `known_roles` raises.
    """
    if rollout.roles_known:
        return rollout
    candidates = [rollout.with_stable(name) for name in ("ping", "pong")]
    fitting = [candidate for candidate in candidates if _gets_everything(candidate, live)]
    if len(fitting) != 1:
        raise AmbiguousError(
            f"{rollout.ref} uses pingPong, its status does not show which Service is stable, and its objects do not send "
            "all traffic to one of them",
            hint="name the one that is stable now: --stable ping or --stable pong",
        )
    return fitting[0]


def _gets_everything(candidate: Rollout, live: Live) -> bool:
    """Return whether the objects can carry a split with this Service as stable, and give the other one nothing."""
    nothing = Traffic(Split(0, candidate.total))
    readings: list[Reading] = []
    try:
        for backend in backends_of(candidate):
            backend.render(candidate, nothing, live)
            readings += backend.observe(candidate, live)
    except NotFoundError:
        return False
    return all(reading.traffic is None or not reading.traffic.split.canary for reading in readings)
