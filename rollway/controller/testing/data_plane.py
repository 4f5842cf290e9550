"""The routing objects and the data plane of a simulated world, and the routing of the controller in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from rollway.controller.testing.api import Key
from rollway.controller.world import TrafficState
from rollway.routers.errors import RefusedError
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import dig
from rollway.routers.traffic import Evidence, SubsetHashes, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rollway.controller.decision import SetTraffic
    from rollway.controller.testing.simulation import Simulation
    from rollway.routers.objects import Manifest


class Roles(NamedTuple):
    """The Services of stable and of the canary; of the active and the preview release in blue-green. Empty: none."""

    stable: str
    canary: str


def roles_of(rollout: Manifest) -> Roles:
    """Return the roles of the Services, as a Rollout and its status have them."""
    strategy = rollout["spec"]["strategy"]
    if "blueGreen" in strategy:
        return Roles(strategy["blueGreen"]["activeService"], strategy["blueGreen"].get("previewService", ""))
    canary = strategy["canary"]
    if "pingPong" in canary:
        ping, pong = canary["pingPong"]["pingService"], canary["pingPong"]["pongService"]
        return (
            Roles(ping, pong)
            if dig(rollout, "status", "canary", "stablePingPong") == "ping"
            else Roles(pong, ping)
        )
    return Roles(canary.get("stableService", ""), canary.get("canaryService", ""))


class Routes(NamedTuple):
    """What routing objects have, by Service: roles may change while they stay."""

    traffic: Traffic
    roles: Roles

    @property
    def shares(self) -> dict[str, int]:
        """The weight of each Service."""
        split = self.traffic.split
        return {self.roles.canary: split.canary, self.roles.stable: split.total - split.canary}

    def seen_by(self, roles: Roles) -> Traffic:
        """Return the traffic as it is for Services that have other roles meanwhile."""
        if roles == self.roles:
            return self.traffic
        split = self.traffic.split
        return replace(self.traffic, split=Split(split.total - split.canary, split.total))


class DataPlane:
    """Routing objects, and a data plane that loads them some time later, or not for a while."""

    def __init__(self, simulation: Simulation, rollout: Manifest) -> None:
        self._simulation = simulation
        self.written: Routes | None = None
        self.loaded: Routes | None = None
        self.subsets = self.loaded_subsets = SubsetHashes() if has_subsets(rollout) else None
        """What the subsets select, as written and as loaded; None where the routes lead to Services."""
        self.version = 0
        self.incomplete = False
        """Whether another controller has written, which leaves something out that rollway sets."""
        self.slowest_s = 1.5
        self._held: list[Callable[[], None]] | None = None
        """What waits to be loaded; None where nothing has to wait."""

    def write(self, wish: Traffic, roles: Roles, subsets: SubsetHashes | None) -> None:
        """Store a wish, and load it later; one that is not the newest any more is not loaded."""
        if subsets != self.subsets:
            self._write_subsets(subsets)
        self.incomplete = False
        self.version += 1
        if self.written == Routes(wish, roles):
            return
        self.written = routes = Routes(wish, roles)

        def load() -> None:
            if self.written is routes:
                self.loaded = routes
                self._simulation.invariants.note_reached()
                self._simulation.tell(f"the data plane loads {wish.split}")

        self._later(load)

    def _write_subsets(self, subsets: SubsetHashes | None) -> None:
        """Store subsets, which are loaded apart from the weights: they are objects of another kind."""
        self.subsets = subsets

        def load() -> None:
            if self.subsets is subsets:
                self.loaded_subsets = subsets
                self._simulation.invariants.note_reached()
                self._simulation.tell(f"the data plane loads {subsets}")

        self._later(load)

    def _later(self, load: Callable[[], None]) -> None:
        if self._held is not None:
            self._held.append(load)
            return
        self._simulation.clock.after(self._simulation.random.uniform(0.05, self.slowest_s), load)

    def stall(self) -> None:
        """Load nothing any more."""
        self._held = self._held or []

    def go_on(self) -> None:
        """Load again, and what has waited as well."""
        held, self._held = self._held or [], None
        for load in held:
            self._later(load)

    def shares_by_hash(self, selected: Callable[[str], str]) -> dict[str, int]:
        """Return the weight of each hash as it is loaded; `selected` returns the hash that a Service selects."""
        if self.loaded is None:
            return {}
        split, roles, subsets = self.loaded.traffic.split, self.loaded.roles, self.loaded_subsets
        hashes = subsets or SubsetHashes(selected(roles.stable), selected(roles.canary))
        shares = {hashes.stable: split.total - split.canary}
        return {**shares, hashes.canary: shares.get(hashes.canary, 0) + split.canary}


class SimulatedRouting:
    """The routing of one controller: what it remembers is gone with it."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._asked: SetTraffic | None = None
        self._asking = False
        self._wish: Traffic | None = None
        self._proven_at: datetime | None = None
        self._version = 0
        """The version of the routing objects that the proof is about."""
        self._problem = ""

    def forget(self, namespace: str, name: str) -> None:
        """Forget nothing: the memory goes with the controller."""

    def state(self, rollout: Manifest) -> tuple[TrafficState | None, tuple[str, ...]]:
        """Return what the objects show, and what is proven."""
        if not is_routed(rollout) and "blueGreen" not in rollout["spec"]["strategy"]:
            return None, ()
        written = self._simulation.data_plane.written
        shown = written.seen_by(roles_of(rollout)) if written else None
        if not is_routed(rollout):
            shown = self._by_services(rollout)
        if self._version != self._simulation.data_plane.version:
            self._proven_at = None  # somebody has written since
        state = TrafficState(
            shown,
            self._wish,
            self._proven_at,
            level=Evidence.LOADED,
            problem=self._problem,
            subsets=self._simulation.data_plane.subsets,
            incomplete=self._simulation.data_plane.incomplete,
        )
        return state, ()

    def set(self, rollout: Manifest, wish: SetTraffic) -> None:
        """Write a wish."""
        simulation = self._simulation
        simulation.invariants.set_traffic(wish)
        self._asked, self._asking, self._wish = wish, False, wish.wish
        self._proven_at = None
        if simulation.random.random() < simulation.faults.refused:
            self._problem = "made up: an endpoint is not ready"
            raise RefusedError(self._problem)
        self._problem = ""
        after = simulation.trouble(f"traffic {wish.wish.split}")
        simulation.tell(f"traffic {wish.wish.split}{f' {wish.subsets}' if wish.subsets else ''}")
        if is_routed(rollout):
            simulation.data_plane.write(wish.wish, roles_of(rollout), wish.subsets)
        else:
            self._switch(rollout, wish)
        simulation.wake()
        after()

    def _switch(self, rollout: Manifest, wish: SetTraffic) -> None:
        """Let the Services select by hash, as the backend `service` does."""
        simulation, strategy = self._simulation, rollout["spec"]["strategy"]["blueGreen"]
        target = wish.canary if wish.wish.split.canary else wish.stable
        simulation.invariants.selected(strategy["activeService"], target)
        for name, pod_hash in (
            (strategy["activeService"], target),
            (strategy.get("previewService"), wish.canary),
        ):
            if name:
                key = Key("Service", name)
                path = f"/spec/selector/{HASH_LABEL}"
                simulation.store.patch(key, [{"op": "add", "path": path, "value": pod_hash}])
                simulation.data_plane.version += 1
                simulation.remember(key)

    def _by_services(self, rollout: Manifest) -> Traffic | None:
        """Return what the active Service shows, as the backend `service` reads it."""
        name = rollout["spec"]["strategy"]["blueGreen"]["activeService"]
        service = self._simulation.cache[Key("Service", name)]
        selected = service["spec"]["selector"].get(HASH_LABEL)
        if not selected:
            return None
        stable = (rollout.get("status") or {}).get("stableRS") or selected
        return Traffic(Split(0 if selected == stable else 100, 100))

    def ask(self, rollout: Manifest, wish: SetTraffic) -> None:
        """Ask whether a wish is loaded; the answer comes later."""
        if self._asking and self._asked == wish:
            return
        self._asked, self._asking = wish, True
        plane, simulation = self._simulation.data_plane, self._simulation

        def answer() -> None:
            alive = any(self is process.routing for process in simulation.processes)
            if self._asked != wish or not alive:
                return
            self._asking = False
            roles = roles_of(rollout)
            loaded = plane.loaded.seen_by(roles) if plane.loaded else None
            shown = plane.written.seen_by(roles) if plane.written else None
            if not is_routed(rollout):
                loaded = shown = self._by_services(rollout)
            if self._wish != wish.wish:
                self._wish, self._proven_at = wish.wish, None
            agreed = plane.loaded_subsets == plane.subsets == wish.subsets
            if loaded == shown == wish.wish and agreed and not plane.incomplete:
                if self._proven_at is None:
                    self._proven_at, self._version = simulation.clock.now, plane.version
                    simulation.wake()
            else:
                self._proven_at = None
                if shown == wish.wish and plane.subsets == wish.subsets:
                    self._asking = True
                    simulation.clock.after(0.2, answer)
                else:
                    simulation.wake()

        simulation.clock.after(simulation.random.uniform(0.02, 0.3), answer)


def is_routed(rollout: Manifest) -> bool:
    """Return whether a Rollout has a router."""
    strategy = rollout["spec"]["strategy"]
    return "trafficRouting" in (strategy.get("canary") or strategy.get("blueGreen") or {})


def has_subsets(rollout: Manifest) -> bool:
    """Return whether the router of a Rollout leads to subsets of one Service."""
    strategy = next(iter(rollout["spec"]["strategy"].values()))
    return bool(dig(strategy, "trafficRouting", "istio", "destinationRule"))
