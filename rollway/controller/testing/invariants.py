"""What must be true at every moment of a release, whatever goes wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from rollway.controller.decision import Patch
from rollway.controller.services import selected_hash
from rollway.controller.spec import (
    ABORT_SCALE_DOWN_DELAY_S,
    MAX_UNAVAILABLE,
    SCALE_DOWN_DELAY_S,
    scaled_value,
)
from rollway.controller.testing.api import Key
from rollway.controller.testing.data_plane import is_routed, roles_of
from rollway.controller.testing.kubernetes import hash_of, is_ready
from rollway.controller.world import ReplicaSet
from rollway.releases.phase import unobserved
from rollway.routers.held_weight import held_weight_of
from rollway.routers.model import HASH_LABEL
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from datetime import datetime

    from rollway.controller.decision import Adopt, Create, Delete, Evict, SetTraffic
    from rollway.controller.testing.simulation import Simulation
    from rollway.routers.objects import Manifest
    from rollway.routers.traffic import SubsetHashes


class InvariantError(AssertionError):
    """Something happened that must never happen; the message is the story until then."""


class Invariants:
    """Check each write of the controller against the world as its memory has it, and its claims against what is so."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._reached: dict[str, datetime] = {}
        """When traffic last led to the pods of a hash."""
        self._serving: set[str] = set()
        self.observed: Manifest = {}
        """The Rollout as the controller last observed it, which is what it decides by."""

    def fail(self, text: str) -> NoReturn:
        """Raise with the story."""
        told = self._simulation.story
        story = "\n".join([*told[:1], "...", *told[-80:]] if len(told) > 81 else told)
        raise InvariantError(f"{text}\n{story}")

    @property
    def _strategy(self) -> dict[str, Any]:
        return dict(next(iter(self.observed["spec"]["strategy"].values())))

    @property
    def _asked(self) -> int:
        """How many pods the Rollout asks for, as the controller knows it."""
        return int(self.observed["spec"]["replicas"])

    def _known_sets(self) -> list[ReplicaSet]:
        """Return the ReplicaSets as the controller knows them."""
        return [ReplicaSet(each) for key, each in self._simulation.cache.items() if key.kind == "ReplicaSet"]

    def set_traffic(self, wish: SetTraffic) -> None:
        """Weight goes up only to a Service with ready pods of the new release."""
        simulation, written = self._simulation, self._simulation.data_plane.written
        roles = roles_of(self.observed)
        if wish.subsets:
            self._subsets_move(wish.subsets)
        before = written.seen_by(roles).split.canary if written else 0
        self._goes_to_held(before, wish)
        if wish.wish.split.canary <= before or not is_routed(self.observed):
            return
        if wish.subsets:
            self._subset_gets_more(wish)
            return
        known = simulation.cache.get(Key("Endpoints", roles.canary), {}).get("pods", [])
        if not any(f"-{wish.canary}-" in name for name in known):
            self.fail(
                f"weight {wish.wish.split} to Service {roles.canary}, which has no ready pods of {wish.canary}: {known}"
            )

    def _goes_to_held(self, before: int, wish: SetTraffic) -> None:
        """Check that a weight which is held is never left, unless no pod can serve it."""
        held, status = held_weight_of(self.observed), self.observed.get("status") or {}
        if held is None or wish.canary != held.pod_hash or unobserved(self.observed):
            return
        if status.get("abort") or status.get("promoteFull"):
            return
        if (held.pod_hash, held.step) != (status.get("currentPodHash"), status.get("currentStepIndex")):
            return
        service = roles_of(self.observed).canary
        if service and self._selected(service) != held.pod_hash:
            return  # what a superseded release has goes back to stable first
        after = wish.wish.split.canary
        if not after and not (self._is_served(held.pod_hash) and self._has_ready_pods(held.pod_hash)):
            return
        if not min(before, held.weight) <= after <= max(before, held.weight):
            self.fail(f"weight {held.weight} is held, and the canary goes from {before} to {after}")

    def _subsets_move(self, wanted: SubsetHashes) -> None:
        """Check that a subset moves only to available pods, and not while anything leads to it."""
        plane = self._simulation.data_plane
        before = plane.subsets
        if before is None or not self._asked:
            return
        split = plane.written.traffic.split if plane.written else Split(0, 100)
        if before.stable != wanted.stable:
            self._is_there("the stable subset", wanted.stable)
            if split.canary != split.total and (not before.stable or self._is_served(before.stable)):
                self._is_whole(wanted.stable)
        if before.canary != wanted.canary:
            self._is_there("the canary subset", wanted.canary)
            if before.canary and split.canary and self._is_served(before.stable):
                self.fail(f"the canary subset moves under {split}, from {before.canary} to {wanted.canary}")

    def _is_served(self, pod_hash: str) -> bool:
        """Return whether a release of this Rollout has an available pod, as the controller knows it."""
        uid = self.observed["metadata"]["uid"]
        return any(
            each.available
            and any(owner["uid"] == uid for owner in each.manifest["metadata"]["ownerReferences"])
            for each in self._known_sets()
            if each.pod_hash == pod_hash
        )

    def _is_whole(self, pod_hash: str) -> None:
        """Check that all pods of a release are there before a subset that led to every pod is narrowed to them."""
        for each in self._known_sets():
            if each.pod_hash == pod_hash and each.available < min(each.desired, self._asked):
                self.fail(f"{each.available} of {each.desired} pods of {pod_hash} would get everything")

    def _subset_gets_more(self, wish: SetTraffic) -> None:
        """Check that a subset gets weight only when the data plane has it, with a pod that is ready."""
        simulation = self._simulation
        loaded = simulation.data_plane.loaded_subsets
        if wish.subsets is None or wish.subsets.canary != wish.canary or loaded != wish.subsets:
            self.fail(f"weight {wish.wish.split} to {wish.subsets}, and the data plane has {loaded}")
        if not self._has_ready_pods(wish.canary):
            self.fail(f"weight {wish.wish.split} to a subset without ready pods of {wish.canary}")

    def _has_ready_pods(self, pod_hash: str) -> bool:
        """Return whether a release has a pod that is ready, as the controller knows it."""
        pods = [each for key, each in self._simulation.cache.items() if key.kind == "Pod"]
        return any(is_ready(pod) and hash_of(pod) == pod_hash for pod in pods)

    def write(self, write: Create | Adopt | Patch | Delete | Evict) -> None:
        """A Service moves only to ready pods, and no ReplicaSet shrinks whose pods are needed, or may get traffic."""
        if not isinstance(write, Patch):
            return
        for operation in write.operations:
            if operation["op"] == "test":
                continue
            if write.ref.kind == "Service" and operation["path"].endswith(HASH_LABEL):
                self.selected(write.ref.name, operation["value"])
            if write.ref.kind == "Deployment" and operation["path"] == "/spec/replicas":
                self._taken_over(operation["value"])
            if write.ref.kind == "ReplicaSet" and operation["path"] == "/spec/replicas":
                self._scaled(write.ref.name, operation["value"])

    def _taken_over(self, pods: int) -> None:
        """Check that the pods of the Rollout carry what a Deployment gives up, and that no Service leads to its last ones."""
        sets = self._known_sets()
        carrying, service = sum(each.available for each in sets), roles_of(self.observed).stable
        if not self._asked:
            return
        if service:
            known = self._simulation.cache.get(Key("Endpoints", service), {}).get("pods", [])
            own = [name for name in known if any(name.startswith(f"{each.name}-") for each in sets)]
            carrying = min(carrying, len(own))
            if not pods and (len(own) < len(known) or not self._selected(service)):
                self.fail(f"the Deployment gets no pods, and Service {service} leads to {known}")
        if pods + carrying < self._asked:
            self.fail(f"the Deployment keeps {pods} pods, and {carrying} of {self._asked} carry the users")

    def selected(self, service: str, pod_hash: str) -> None:
        """Check that a Service moves to pods that are there, and is narrowed only when all of those are in it."""
        self._is_there(f"Service {service}", pod_hash)
        target = next((each for each in self._known_sets() if each.pod_hash == pod_hash), None)
        if self._selected(service) or target is None or not self._asked:
            return
        known = self._simulation.cache.get(Key("Endpoints", service), {}).get("pods", [])
        kept = [name for name in known if name.startswith(f"{target.name}-")]
        if len(kept) < target.available:
            self.fail(
                f"Service {service} is narrowed to {pod_hash}, of whose {target.available} pods {kept} are in it"
            )

    def _is_there(self, what: str, pod_hash: str) -> None:
        """Check that what would select a release selects available pods, if there are any."""
        available = {each.pod_hash for each in self._known_sets() if each.available}
        if self._asked and available and pod_hash not in available:
            self.fail(f"{what} would select {pod_hash}, which has no available pods")

    def _scaled(self, name: str, pods: int) -> None:
        """Check that a ReplicaSet that gets fewer pods is not needed."""
        known = next((each for each in self._known_sets() if each.name == name), None)
        if known is None or pods >= known.desired or not self._asked:
            return
        self._is_available_enough(known, pods)
        if not pods:
            self._gets_no_traffic(known)
            self._has_waited(known)

    def _is_available_enough(self, shrinking: ReplicaSet, pods: int) -> None:
        """Check that the pods that stay, as the controller knows them, are enough for the strategy."""
        lost = shrinking.available - pods
        if lost <= 0:
            return
        if "canary" in self.observed["spec"]["strategy"] and not is_routed(self.observed):
            given = self._strategy.get("maxUnavailable", MAX_UNAVAILABLE)
            missing = scaled_value(given, self._asked, round_up=False)
            if not missing and not scaled_value(
                self._strategy.get("maxSurge", "25%"), self._asked, round_up=True
            ):
                missing = 1
            left = sum(each.available for each in self._known_sets()) - lost
            if left < self._asked - missing:
                self.fail(
                    f"ReplicaSet {shrinking.name} gets {pods} pods, and only {left} of {self._asked} stay available"
                )
        elif shrinking.pod_hash == (self.observed.get("status") or {}).get("stableRS"):
            needed = self._asked
            written = self._simulation.data_plane.written
            if self._strategy.get("dynamicStableScale") and written:
                split = written.seen_by(roles_of(self.observed)).split
                needed = -(-self._asked * (split.total - split.canary) // split.total)
            if pods < needed:
                self.fail(
                    f"the stable ReplicaSet {shrinking.name} gets {pods} pods, and {needed} carry its share"
                )

    def _gets_no_traffic(self, shrinking: ReplicaSet) -> None:
        """Check that no traffic goes there, as the data plane really has it."""
        share = self._shares().get(shrinking.pod_hash)
        if share:
            self.fail(f"ReplicaSet {shrinking.name} gets no pods, and {share} of the traffic goes to it")
        plane = self._simulation.data_plane
        loaded = plane.loaded
        if loaded is None or not loaded.traffic.routes:
            return
        subsets = plane.loaded_subsets
        canary = subsets.canary if subsets else self._selected(loaded.roles.canary)
        if canary == shrinking.pod_hash:
            self.fail(
                f"ReplicaSet {shrinking.name} gets no pods, and routes lead to it: {loaded.traffic.routes}"
            )

    def _has_waited(self, shrinking: ReplicaSet) -> None:
        """Check that a release that traffic has left keeps its pods for its delay."""
        status, strategy = self.observed.get("status") or {}, self._strategy
        reached = self._reached.get(shrinking.pod_hash)
        alone = "canary" in self.observed["spec"]["strategy"] and not is_routed(self.observed)
        if (
            reached is None
            or alone
            or strategy.get("dynamicStableScale")
            or "scaleDownDelayRevisionLimit" in strategy
        ):
            return
        if shrinking.pod_hash == status.get("currentPodHash"):
            if not status.get("abort"):
                return
            delay = strategy.get("abortScaleDownDelaySeconds", ABORT_SCALE_DOWN_DELAY_S)
        else:
            # What was aborted before it was superseded has its delay from then.
            delay = min(
                strategy.get("scaleDownDelaySeconds", SCALE_DOWN_DELAY_S),
                strategy.get("abortScaleDownDelaySeconds") or ABORT_SCALE_DOWN_DELAY_S,
            )
        waited = self._simulation.clock.now - reached
        if waited < timedelta(seconds=delay):
            self.fail(
                f"ReplicaSet {shrinking.name} gets no pods {waited} after its traffic, not after {delay} s"
            )

    def _shares(self) -> dict[str, int]:
        """Return the weight of each pod-template hash that users reach, as it really is."""
        rollout = self._simulation.store.objects.get(self._simulation.key)
        if rollout is None:
            return {}
        if is_routed(rollout):
            return self._simulation.data_plane.shares_by_hash(self._selected)
        blue_green = "blueGreen" in rollout["spec"]["strategy"]
        return {self._selected(roles_of(rollout).stable): 100} if blue_green else {}

    def _selected(self, service: str) -> str:
        """Return the hash that a Service selects; empty where it selects none, or is gone."""
        return selected_hash(self._simulation.store.objects.get(Key("Service", service)))

    def note_reached(self) -> None:
        """Note to which pods traffic leads now, and led until now."""
        serving = {pod_hash for pod_hash, share in self._shares().items() if share}
        for pod_hash in serving | self._serving:
            self._reached[pod_hash] = self._simulation.clock.now
        self._serving = serving

    def status(self) -> None:
        """The status claims no evidence that is not there, and no health before the users are where they stay."""
        simulation = self._simulation
        plane, status = simulation.data_plane, simulation.status
        loaded, weights = plane.loaded, (status.get("canary") or {}).get("weights")
        if weights and weights.get("verified"):
            service, shown = weights["canary"].get("serviceName", ""), weights["canary"]["weight"]
            has = loaded.traffic.split.canary if loaded and not service else loaded and loaded.shares[service]
            routes = [each.traffic.routes for each in (loaded, plane.written) if each]
            if has != shown or routes[:1] != routes[1:] or plane.loaded_subsets != plane.subsets:
                self.fail(f"the status says that weight {shown} is verified, and the data plane has {loaded}")
        if status.get("phase") == "Healthy" and simulation.rollout["spec"]["replicas"]:
            elsewhere = {each: share for each, share in self._shares().items() if share}
            elsewhere.pop(status["stableRS"], None)
            if elsewhere.keys() - {""}:
                self.fail(f"the status says Healthy, and users are at {elsewhere}, not {status['stableRS']}")
