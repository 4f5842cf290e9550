"""What the contract suite asks of a fixture class and of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rollway.routers.backends import backends_of
from rollway.routers.objects import Access
from rollway.routers.planning import needs_of
from rollway.routers.router import TrafficRouter
from rollway.routers.stores import Store
from rollway.routers.stores.manifests import ref_of
from rollway.routers.testing.memory import MemoryStore
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, Need, ObjectRef
    from rollway.routers.plan import Change
    from rollway.routers.traffic import Reading


class ContractStore(Store, Protocol):
    """What the suite asks of a store beside reading and writing: to see, to interfere, and to fail.

    `log` lists each write that was asked for. `interfere` is called with each change just before it is made.
    """

    log: list[Change]
    interfere: Callable[[Change], None]

    @property
    def manifests(self) -> Mapping[ObjectRef, Manifest]:
        """Every object of the test, without what only a server writes."""
        ...

    def put(self, manifest: Manifest) -> object:
        """Store an object, as a foreign writer would."""
        ...

    def edit(self, ref: ObjectRef, change: Callable[[Manifest], None]) -> None:
        """Change an object, as a foreign writer would."""
        ...

    def remove(self, ref: ObjectRef) -> None:
        """Delete an object, as a foreign writer would."""
        ...

    def fail(self, *, at: int, error: BaseException | None = None, times: int = 1) -> None:
        """Let the write with that number (from 0, counted from now) fail, and `times` of them in all."""
        ...

    def lose(self, *, at: int, error: BaseException | None = None, times: int = 1) -> None:
        """Let the answer to the write with that number get lost after it was made, and to as many after it."""
        ...


class Subject:
    """A typical Rollout of one backend with its objects, and what the tests share."""

    keeps_unknown_fields = True
    """Whether the store keeps fields that the schema of a kind does not have; an API server drops them."""

    def rollout(self) -> Rollout:
        """Return a typical route that uses this backend alone, with total 100."""
        raise NotImplementedError

    def objects(self) -> list[Manifest]:
        """Return the user's objects that the route needs, before rollway has done anything."""
        raise NotImplementedError

    def garbage(self) -> list[Manifest]:
        """Return routing objects that no data plane could read, one for each way to be broken."""
        raise NotImplementedError

    def store(self) -> ContractStore:
        """Return a fresh store with the user's objects."""
        return MemoryStore(self.objects())

    def router(self, store: ContractStore | None = None) -> TrafficRouter:
        """Return a router on a fresh store, or on the one given."""
        return TrafficRouter(self.rollout(), store or self.store())

    def written(self, access: Access) -> list[Need]:
        """Return the needs of the route with that access, of the objects that carry weights."""
        return [
            need for need in needs_of(self.rollout()) if need.access is access and need.ref in self.targets
        ]

    @property
    def targets(self) -> list[ObjectRef]:
        """The objects that carry weights, those that this backend selects by label among them."""
        namespace = self.rollout().namespace
        placed = (
            {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
            for manifest in self.objects()
        )
        here = MemoryStore(placed, namespace)
        return [
            ref_of(manifest, namespace) for manifest in self.render(here, Traffic(Split(self.possible(50))))
        ]

    def live(self, store: ContractStore) -> Live:
        """Read what the route needs."""
        return store.read(needs_of(self.rollout()))

    def render(self, store: ContractStore, want: Traffic) -> list[Manifest]:
        """Render with every backend of the route."""
        return [
            manifest
            for backend in backends_of(self.rollout())
            for manifest in backend.render(self.rollout(), want, self.live(store))
        ]

    def splits(self, store: ContractStore) -> set[Split | None]:
        """Return the splits that the objects show."""
        readings: tuple[Reading, ...] = self.router(store).observe().readings
        return {reading.traffic.split if reading.traffic else None for reading in readings}

    @property
    def partial_weights(self) -> bool:
        """Whether stable and canary can share the traffic by every backend of the route."""
        return all(backend.capabilities.partial_weights for backend in backends_of(self.rollout()))

    def possible(self, weight: int) -> int:
        """Return a weight out of 100, or where the traffic cannot be shared, 0 or 100, whichever is nearer."""
        return weight if self.partial_weights else 100 * (weight >= 50)

    @property
    def few(self) -> int:
        """A small weight of the canary."""
        return self.possible(10)

    @property
    def more(self) -> int:
        """A larger weight of the canary."""
        return self.possible(60)

    @property
    def managed(self) -> set[ObjectRef]:
        """The objects that are made for this backend alone."""
        return {need.ref for need in needs_of(self.rollout()) if need.access is Access.MANAGED}
