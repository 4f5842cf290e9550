"""Observe one Rollout, decide, and carry the Decision out in order; what is known only by memory may be lost at any moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from rollway.controller.conditions import not_created
from rollway.controller.decide import collided, decide, follow, refused_creation
from rollway.controller.decision import Create, Evict, ReleaseEvent, SetTraffic
from rollway.controller.status import only_counts
from rollway.routers.errors import AdmissionError, ConflictError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from rollway.controller.decision import Adopt, Decision, Delete, Patch, Write
    from rollway.controller.world import TrafficState, World
    from rollway.routers.objects import Manifest

_LOOKS = 8
"""How often one reconcile looks again after writes of its own; what is left then waits for the next one."""


_RETRY = timedelta(seconds=5)
"""When traffic that was refused is tried again, if nothing changes before that."""

_COUNTS_WAIT = timedelta(seconds=0.5)
"""How long new counts of pods wait for more of them, so that one patch of the status shows all that come together."""


class Cluster(Protocol):
    """What is observed of a cluster, and how it is written. Own writes are seen by the next look."""

    def observe(self, namespace: str, name: str) -> World | None:
        """Return everything that is known about a Rollout but its traffic; None where there is none."""
        ...

    def learn_default_template(self, world: World) -> None:
        """Find out the Rollout's pod template with the API server's defaults, for the next look."""
        ...

    def write(self, write: Create | Adopt | Patch | Delete | Evict) -> None:
        """Carry out one write.

        Raises:
            RollwayError: it was not, or nobody knows whether it was.
        """
        ...

    def replica_set(self, namespace: str, name: str) -> Manifest | None:
        """Return a ReplicaSet as it is now, whoever owns it, for the next look as well; None where there is none."""
        ...

    def write_status(self, rollout: Manifest, patch: Mapping[str, Any]) -> None:
        """Patch the status of a Rollout, if it is still the one that was observed.

        Raises:
            RollwayError: it was not, or nobody knows whether it was.
        """
        ...

    def record(self, rollout: Manifest, event: ReleaseEvent) -> None:
        """Record an Event about a Rollout; never raises."""
        ...


class Routing(Protocol):
    """How traffic is written, and how the evidence for it is asked."""

    def state(self, rollout: Manifest) -> tuple[TrafficState | None, tuple[str, ...]]:
        """Return what the routing objects show and what is proven; or None, with the faults for which they cannot be read."""
        ...

    def set(self, rollout: Manifest, wish: SetTraffic) -> None:
        """Write a wish.

        Raises:
            RefusedError: it is not safe, or not possible; the next state shows why as its problem.
            RollwayError: it was not written, or nobody knows whether it was.
        """
        ...

    def forget(self, namespace: str, name: str) -> None:
        """Forget a Rollout that is gone."""
        ...

    def ask(self, rollout: Manifest, wish: SetTraffic) -> None:
        """Ask for the evidence of a wish, without waiting for it."""
        ...


class Reconciler:
    """Bring Rollouts on their way; safe to use from many threads for different Rollouts."""

    def __init__(self, cluster: Cluster, routing: Routing) -> None:
        self._cluster = cluster
        self._routing = routing
        self._counts_due: dict[tuple[str, str], datetime] = {}
        self._unrecorded: dict[tuple[str, str], dict[ReleaseEvent, None]] = {}

    def reconcile(self, namespace: str, name: str, now: datetime) -> datetime | None:
        """Take one Rollout as far as it goes now; return when to look again even if nothing changes.

        Raises:
            RollwayError: a write failed. Everything before it was done, and the next call goes on from there.
        """
        # What was written before a failure is reported all the same, by the next call.
        events = self._unrecorded.setdefault((namespace, name), {})
        evicted: list[Evict] = []
        refused = False
        for _ in range(_LOOKS):
            world = self.observe(namespace, name)
            if world is None:
                self._routing.forget(namespace, name)
                self._unrecorded.pop((namespace, name), None)
                self._counts_due.pop((namespace, name), None)
                return None
            decision = decide(world, now)
            if decision.needs_default_template:
                self._learn_default_template(world, now)
                continue
            # An eviction is asked for once: a PodDisruptionBudget may refuse it for long.
            writes = [write for write in decision.writes if write not in evicted]
            if refused or not writes:
                break
            evicted += [write for write in writes if isinstance(write, Evict)]
            refused = not self._carry_out(world, writes, now)
            events.update(dict.fromkeys(decision.events))
        else:
            return now
        decision = self._gathered(world, follow(world, decision, now), now)
        if decision.status:
            self._cluster.write_status(world.rollout, decision.status)
        del self._unrecorded[namespace, name]
        for event in events | dict.fromkeys(decision.events):
            self._cluster.record(world.rollout, event)
        # There is nothing to ask about a refused wish, and the answer would only bring the same refusal at once.
        wish = decision.wish
        if wish and world.traffic and not refused and not world.traffic.proves(wish.wish, wish.subsets):
            self._routing.ask(world.rollout, wish)
        if refused:
            return min(decision.look_again or now + _RETRY, now + _RETRY)
        return decision.look_again

    def observe(self, namespace: str, name: str) -> World | None:
        """Return everything that is known about a Rollout now; None where there is none."""
        world = self._cluster.observe(namespace, name)
        if world is None:
            return None
        traffic, faults = self._routing.state(world.rollout)
        return replace(world, traffic=traffic, faults=(*world.faults, *faults))

    def _gathered(self, world: World, decision: Decision, now: datetime) -> Decision:
        """Return a decision without its status where that shows new counts of pods alone, and more of them may come."""
        key = (world.rollout["metadata"]["namespace"], world.rollout["metadata"]["name"])
        if not decision.status or not only_counts(world.rollout.get("status") or {}, decision.status):
            self._counts_due.pop(key, None)
            return decision
        due = self._counts_due.setdefault(key, now + _COUNTS_WAIT)
        if now >= due:
            del self._counts_due[key]
            return decision
        return decision._replace(status={}, look_again=min(decision.look_again or due, due))

    def _learn_default_template(self, world: World, now: datetime) -> None:
        try:
            self._cluster.learn_default_template(world)
        except AdmissionError as error:
            self._report(world, world.rollout["metadata"]["name"], error, now)
            raise

    def _carry_out(self, world: World, writes: Sequence[Write], now: datetime) -> bool:
        """Carry out the writes in order; return False where traffic is refused, which ends them."""
        for write in writes:
            try:
                if isinstance(write, SetTraffic):
                    self._routing.set(world.rollout, write)
                else:
                    self._cluster.write(write)
            except RefusedError as error:
                if isinstance(write, SetTraffic):
                    if world.traffic and world.traffic.problem != error.message:
                        event = ReleaseEvent("Warning", "TrafficRoutingError", error.message)
                        self._cluster.record(world.rollout, event)
                    return False
                if isinstance(write, Create) and isinstance(error, AdmissionError):
                    self._report(world, write.manifest["metadata"]["name"], error, now)
                raise
            except ConflictError:
                if isinstance(write, Create):
                    self._resolve_collision(world, write)
                raise
        return True

    def _resolve_collision(self, world: World, write: Create) -> None:
        """Ask for another name, where that of a new ReplicaSet is taken by one that is not the Rollout's."""
        metadata = write.manifest["metadata"]
        present = self._cluster.replica_set(metadata["namespace"], metadata["name"])
        patch = collided(world, write.manifest, present) if present else {}
        if patch:
            self._cluster.write_status(world.rollout, patch)

    def _report(self, world: World, name: str, error: AdmissionError, now: datetime) -> None:
        """Show in the status that a ReplicaSet of this name is refused."""
        patch = refused_creation(world, name, error.message, now)
        if patch:
            self._cluster.write_status(world.rollout, patch)
            message = not_created(name, error.message).message
            event = ReleaseEvent("Warning", "ReplicaSetCreateError", message)
            self._cluster.record(world.rollout, event)
