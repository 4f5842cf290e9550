"""The part of the contract about header and mirror routes; a backend that lacks them is tested to refuse them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import pytest

from rollway.routers.backends import backends_of
from rollway.routers.errors import ApplyError, RefusedError, StoreError, UnsupportedError
from rollway.routers.guards import Limits
from rollway.routers.router import TrafficRouter
from rollway.routers.testing.contract.subject import Subject
from rollway.routers.traffic import HeaderRoute, MirrorRoute, Outcome, RequestMatch, StringMatch, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.routers.applying import Result
    from rollway.routers.model import Rollout
    from rollway.routers.plan import Change
    from rollway.routers.testing.contract.subject import ContractStore

Kind: TypeAlias = Literal["header", "mirror"]
KINDS: tuple[Kind, ...] = ("header", "mirror")
MANAGED_ROUTES = ("contract-a", "contract-b", "contract-c")


class RouteContract(Subject):
    """What holds for routes of the Rollout's own beside its weights."""

    header_routes_at_once = 2
    """How many header routes the backend can have at one time; 1 or more than that."""
    allowed: frozenset[str] = frozenset()
    """The codes of refusals that a caller has to allow before the backend writes a header route."""

    def header_route(self, name: str, value: str = "1") -> HeaderRoute:
        """Return a header route that the backend can express."""
        return HeaderRoute(name, (RequestMatch((("X-Contract", StringMatch("exact", value)),)),))

    def mirror_route(self, name: str, percentage: int = 100) -> MirrorRoute:
        """Return a mirror route that the backend can express."""
        return MirrorRoute(name, percentage=percentage)

    # -- what the tests share

    def routed(self) -> Rollout:
        """Return the Rollout with names for routes of its own."""
        rollout = self.rollout()
        return replace(rollout, managed_routes=(*MANAGED_ROUTES, *rollout.managed_routes))

    def route_router(self, store: ContractStore) -> TrafficRouter:
        """Return a router that knows the names of routes."""
        return TrafficRouter(self.routed(), store, Limits(allow=self.allowed))

    def can(self, kind: Kind) -> bool:
        """Return whether every backend of the case has such routes."""
        flags = [part.capabilities for part in backends_of(self.rollout())]
        return all(able.header_routes if kind == "header" else able.mirror_routes for able in flags)

    def beside(self, kind: Kind, weight: int) -> int:
        """Return a weight if the canary can have it beside such a route, or else 0."""
        flags = [part.capabilities for part in backends_of(self.rollout())]
        possible = kind == "mirror" or all(able.weights_beside_header_routes for able in flags)
        return weight if possible else 0

    def put_route(self, store: ContractStore, kind: Kind, name: str = "contract-b") -> Result:
        """Set a route of a kind."""
        router = self.route_router(store)
        if kind == "header":
            return router.set_header_route(self.header_route(name))
        return router.set_mirror_route(self.mirror_route(name))

    def wanted(self, kind: Kind, weight: int, name: str = "contract-b") -> Traffic:
        """Return a weight with one such route."""
        route = self.header_route(name) if kind == "header" else self.mirror_route(name)
        return Traffic(Split(weight)).with_route(route)

    # -- the tests

    @pytest.mark.parametrize("kind", KINDS)
    def test_missing_capability_is_refused(self, kind: Kind) -> None:
        """A route that a backend of the Rollout does not have is refused by name before anything is written."""
        store = self.store()
        if self.can(kind):
            want = self.wanted(kind, self.beside(kind, 5))
            self.route_router(store).set_traffic(want)
            assert self.route_router(store).observe().traffic == want
            return
        with pytest.raises(UnsupportedError, match=f"{kind} routes"):
            self.route_router(store).set_traffic(self.wanted(kind, 5))
        with pytest.raises(UnsupportedError, match=f"{kind} routes"):
            self.put_route(store, kind)
        assert not store.log

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_route_whose_name_is_not_managed_is_refused(self, kind: Kind) -> None:
        """A name that `managedRoutes` does not have is refused with the remedy, also for a removal."""
        store = self.store()
        if self.can(kind):
            with pytest.raises(RefusedError, match="managedRoutes") as caught:
                self.put_route(store, kind, "contract-x")
            assert "add `- name: contract-x` to" in str(caught.value)
        with pytest.raises(RefusedError, match="contract-x"):
            self.route_router(store).remove_header_route("contract-x")
        with pytest.raises(RefusedError, match="contract-x"):
            self.route_router(store).remove_mirror_route("contract-x")
        assert not store.log

    @pytest.mark.parametrize("kind", KINDS)
    def test_weights_keep_routes(self, kind: Kind) -> None:
        """A route stays as it is under every weight, the same twice writes nothing, and verify sees a missing one."""
        if not self.can(kind):
            return
        store = self.store()
        router = self.route_router(store)
        router.set_weight(0)
        assert self.put_route(store, kind).changed
        assert not self.put_route(store, kind).changed
        for weight in [self.beside(kind, weight) for weight in (0, 1, 50, 100, 30)]:
            router.set_weight(weight)
            assert router.observe().traffic == self.wanted(kind, weight)
            assert router.verify(weight).outcome is Outcome.MATCHES
            assert router.verify().outcome is Outcome.MATCHES
            assert router.plan(weight) is None
        assert router.verify(Traffic(Split(self.beside(kind, 30)))).outcome is Outcome.DIFFERS

    def test_a_weight_that_cannot_be_beside_a_header_route_is_refused(self) -> None:
        """Where a weight has no room beside a header route, both orders are refused with the way out, and nothing is written."""
        if not self.can("header") or self.beside("header", 10):
            return
        store = self.store()
        router = self.route_router(store)
        self.put_route(store, "header")
        before = copy.deepcopy(store.manifests)
        with pytest.raises(UnsupportedError, match="beside header routes") as caught:
            router.set_weight(10)
        assert "remove --all" in str(caught.value)
        assert store.manifests == before
        router.remove_managed_routes()
        router.set_weight(10)
        before = copy.deepcopy(store.manifests)
        with pytest.raises(UnsupportedError, match="beside header routes") as caught:
            self.put_route(store, "header")
        assert "set the weight to 0" in str(caught.value)
        assert store.manifests == before

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_route_is_replaced_and_removed_by_its_name(self, kind: Kind) -> None:
        """A second route of a name takes the place of the first; without it the objects are as before."""
        if not self.can(kind):
            return
        store = self.store()
        router = self.route_router(store)
        weight = self.beside(kind, 20)
        router.set_weight(weight)
        before = copy.deepcopy(store.manifests)
        self.put_route(store, kind)
        if kind == "header":
            other = self.header_route("contract-b", "2")
            router.set_header_route(other)
            assert router.observe().traffic == Traffic(Split(weight), (other,))
            router.remove_mirror_route("contract-b")
            assert router.observe().traffic == Traffic(Split(weight), (other,))
            router.remove_header_route("contract-b")
        else:
            copied = self.mirror_route("contract-b", 10)
            router.set_mirror_route(copied)
            assert router.observe().traffic == Traffic(Split(weight), (), (copied,))
            router.remove_header_route("contract-b")
            assert router.observe().traffic == Traffic(Split(weight), (), (copied,))
            router.remove_mirror_route("contract-b")
        assert store.manifests == before
        assert not router.remove_managed_routes().changed

    def test_routes_stand_in_the_order_of_managed_routes(self) -> None:
        """The order in which routes are set does not count; what the backend cannot hold is refused by the route's name."""
        if not self.can("header"):
            return
        store = self.store()
        router = self.route_router(store)
        weight = self.beside("header", 20)
        router.set_weight(weight)
        before = copy.deepcopy(store.manifests)
        self.put_route(store, "header", "contract-c")
        if self.header_routes_at_once < 2:
            with pytest.raises(UnsupportedError, match="contract-"):
                self.put_route(store, "header", "contract-a")
            router.remove_managed_routes()
        else:
            self.put_route(store, "header", "contract-a")
            names = ("contract-a", "contract-c")
            assert router.observe().traffic == Traffic(Split(weight), tuple(map(self.header_route, names)))
            router.remove_managed_routes()
        assert store.manifests == before

    @pytest.mark.parametrize("kind", KINDS)
    def test_switch_and_reset_remove_routes(self, kind: Kind) -> None:
        """Where all traffic goes to one version, and after a reset, no route of the Rollout is left."""
        if not self.can(kind):
            return
        store = self.store()
        router = self.route_router(store)
        router.set_weight(0)
        start = {ref: item for ref, item in store.manifests.items() if ref not in self.managed}
        for to, weight in (("canary", 100), ("stable", 0)):
            router.set_weight(self.beside(kind, 100 - weight))
            self.put_route(store, kind)
            router.switch(to)
            assert router.observe().traffic == Traffic(Split(weight))
        self.put_route(store, kind)
        router.reset()
        assert store.manifests == start

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_route_that_fails_is_put_back(self, kind: Kind) -> None:
        """When a write fails for good, the objects are as before, and the next call sets the route."""
        if not self.can(kind):
            return
        store = self.store()
        weight = self.beside(kind, 10)
        self.route_router(store).set_weight(weight)
        before = copy.deepcopy(store.manifests)
        planned = self.route_router(store).plan(self.wanted(kind, weight))
        assert planned is not None
        for position in range(len(planned.changes)):
            store.fail(at=position)
            with pytest.raises((ApplyError, StoreError)):
                self.put_route(store, kind)
            assert store.manifests == before
        store.interfere = lambda _change: None
        self.put_route(store, kind)
        assert self.route_router(store).observe().traffic == self.wanted(kind, weight)

    @pytest.mark.parametrize("kind", KINDS)
    def test_killed_while_a_route_is_set_converges(self, kind: Kind) -> None:
        """A process that dies after the k-th write leaves what verify reports, and the next weight makes whole."""
        if not self.can(kind):
            return
        store = self.store()
        router = self.route_router(store)
        few, more = self.beside(kind, 10), self.beside(kind, 60)
        router.set_weight(few)
        plan = router.plan(self.wanted(kind, few))
        assert plan is not None
        for position, change in enumerate(plan.changes):
            store.write(change)
            whole = position + 1 == len(plan.changes)
            assert (router.verify().outcome is Outcome.MATCHES) is whole
        for change in plan.changes[:-1]:
            undo = change.inverse(self.live(store).get(change.ref))
            assert undo is not None
            store.write(undo)
        shown = router.observe().nearest_traffic
        # Where a route needs two objects, the last one alone shows none.
        assert shown.routes or not self.beside(kind, 1)
        router.set_weight(more)
        assert router.verify(replace(shown, split=Split(more))).outcome is Outcome.MATCHES

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_route_that_comes_meanwhile_is_kept(self, kind: Kind) -> None:
        """A route that another call sets between plan and write is there afterwards, and so is the weight, if it can be."""
        if not self.can(kind):
            return
        store = self.store()
        router = self.route_router(store)
        router.set_weight(self.beside(kind, 10))

        def interfere(_change: Change) -> None:
            store.interfere = lambda _change: None
            self.put_route(store, kind)

        store.interfere = interfere
        if not self.beside(kind, 40):
            with pytest.raises(UnsupportedError, match="beside header routes"):
                router.set_weight(40)
            assert router.verify(self.wanted(kind, 0)).outcome is Outcome.MATCHES
            return
        router.set_weight(40)
        assert router.verify(self.wanted(kind, 40)).outcome is Outcome.MATCHES
