"""The traffic of Rollouts through `TrafficRouter`: what is shown, how a wish is written, and the evidence for it.

The evidence is asked in threads of its own, so that no worker waits for a data plane; the answer brings the Rollout back to
the queue. It belongs to the objects as they were read: whoever writes them makes it void.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rollway.controller.world import TrafficState
from rollway.routers.data_planes import data_plane_probes, status_probes
from rollway.routers.errors import InvalidInputError, NotFoundError, RefusedError, RollwayError
from rollway.routers.guards import Limits
from rollway.routers.model import Context, ReleaseHashes
from rollway.routers.objects import Access, dig
from rollway.routers.observation import observe
from rollway.routers.ownership import owned_by
from rollway.routers.planning import needs_of, simulate
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import Evidence, Outcome, SubsetHashes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollway.controller.decision import SetTraffic
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef
    from rollway.routers.probes import Probe
    from rollway.routers.stores import Store
    from rollway.routers.traffic import Traffic

EVIDENCE_ANNOTATION = "rollway.dev/evidence"
_ASK_AGAIN_S = 0.25
_PROBES_S = timedelta(minutes=5)
"""How long the ways to a data plane are kept before they are looked for again."""

_ALLOWED = frozenset({"controller-in-charge"})
"""The controller is the one that is in charge."""

_logger = logging.getLogger(__name__)


class _Probes(NamedTuple):
    level: Evidence
    probes: tuple[Probe, ...]
    until: datetime


_ObjectVersions: TypeAlias = frozenset[tuple[str, str]]
"""The name and the version of each object that carries the traffic of a Rollout."""


@dataclass
class _Known:
    """What is remembered about one Rollout; all of it may be lost."""

    wish: Traffic | None = None
    versions: _ObjectVersions = frozenset()
    whole: _ObjectVersions | None = None
    """The objects that lacked nothing of what a write sets."""
    proven_at: datetime | None = None
    asked: Traffic | None = None
    """What is being asked for; it is `wish` once there was an answer."""
    asking: bool = False
    problem: str = ""
    probes: _Probes | None = None
    refs: frozenset[ObjectRef] = frozenset()
    """The objects that carry its traffic, whose changes concern it."""
    roles: tuple[str, str] | None = None
    """The hashes of stable and canary that were written last."""

    def is_ahead_of(self, hashes: ReleaseHashes) -> bool:
        """Return whether traffic was written for a release that the status does not name yet."""
        return self.roles is not None and self.roles[0] == hashes.stable and self.roles[1] != hashes.canary


_Parsed: TypeAlias = "tuple[tuple[Any, ...], dict[tuple[str, str, SubsetHashes | None], Rollout]]"
"""A Rollout as the routers see it, by its stable and its newest hash and those of subsets; and what of the manifest that rests on."""


class RoutedTraffic:
    """Read, write and prove the traffic of Rollouts; safe to use from many threads for different Rollouts.

    `level` is the highest evidence to ask for, where a data plane can be asked; `drain` how long requests may take where
    the weight was. `changed` is called with the namespace and name of a Rollout whose evidence has changed.
    """

    def __init__(
        self,
        store: Store,
        changed: Callable[[str, str], None],
        *,
        level: Evidence = Evidence.LOADED,
        drain: timedelta = timedelta(seconds=1),
        namespaces: Sequence[str] = (),
        threads: int = 8,
    ) -> None:
        self._store = store
        self._changed = changed
        self._level = level
        self._drain = drain
        self._namespaces = tuple(namespaces)
        self._known: dict[tuple[str, str], _Known] = {}
        self._rollouts: dict[tuple[str, str], _Parsed] = {}
        self._concerned: dict[ObjectRef, dict[tuple[str, str], None]] = {}
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="rollway-evidence")
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ask nothing any more."""
        self._stopped.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def forget(self, namespace: str, name: str) -> None:
        """Forget a Rollout that is gone, and ask nothing more about it."""
        known = self._known.pop((namespace, name), None)
        if known is None:
            return
        self._rollouts.pop((namespace, name), None)
        with self._lock:
            for ref in known.refs:
                self._concerned.get(ref, {}).pop((namespace, name), None)

    def concerned(self, ref: ObjectRef) -> list[tuple[str, str]]:
        """Return the namespace and name of each Rollout whose traffic an object carries."""
        with self._lock:
            return list(self._concerned.get(ref, ()))

    def state(self, manifest: Manifest) -> tuple[TrafficState | None, tuple[str, ...]]:
        """Return what the objects show and what is proven; or None, with the faults for which they cannot be read.

        There is no traffic to speak of in a canary without a router.
        """
        strategy, status = dig(manifest, "spec", "strategy") or {}, manifest.get("status") or {}
        if not (dig(strategy, "canary", "trafficRouting") or strategy.get("blueGreen")):
            return None, ()
        try:
            rollout = self._rollout(manifest, status.get("stableRS", ""), status.get("currentPodHash", ""))
            known = self._of(rollout)
            self._watch(rollout, known)
            live = self._store.read(needs_of(rollout))
            observed = observe(rollout, live)
            shown = observed.traffic
        except RollwayError as error:
            return None, (error.message,)
        versions = _versions(rollout, live)
        if known.versions != versions:
            known.proven_at = None
        incomplete = False
        if shown and rollout.hashes:
            # After a promotion the Service remembers a switch that is over, until the split is written once more.
            over = rollout.hashes.stable == rollout.hashes.canary and not known.is_ahead_of(rollout.hashes)
            incomplete = over and _lacks(rollout, shown, live)
        elif shown and known.whole != versions:
            incomplete = _lacks(rollout, shown, live)
            known.whole = known.whole if incomplete else versions
        probes = self._probes(rollout, manifest, known)
        return (
            TrafficState(
                shown,
                known.wish,
                known.proven_at,
                drain=self._drain,
                level=probes.level,
                problem=known.problem,
                subsets=observed.subsets,
                incomplete=incomplete,
            ),
            (),
        )

    def set(self, manifest: Manifest, wish: SetTraffic) -> None:
        """Write a wish.

        Raises:
            RefusedError: it is not safe, or not possible; the next state shows why as its problem.
            RollwayError: it could not be written.
        """
        rollout = self._rollout(manifest, wish.stable, wish.canary, wish.subsets)
        known = self._of(rollout)
        known.wish = known.asked = wish.wish
        known.proven_at = None
        try:
            adopt = self._owns(rollout)
            result = self._router(rollout).set_traffic(
                wish.wish, verify=Evidence.WRITTEN, timeout=0, adopt=adopt
            )
        except RefusedError as error:
            known.problem = error.message
            raise
        except (InvalidInputError, NotFoundError) as error:
            known.problem = error.message
            raise RefusedError(error.message, hint=error.hint) from error
        known.problem = ""
        # What is lacking after a write of our own is none of ours: written again and again, it would never come to rest.
        versions = _versions(rollout, result.live)
        known.whole, known.roles = versions, (wish.stable, wish.canary)
        if self._probes(rollout, manifest, known).level is Evidence.WRITTEN:
            # The store's answer to the write is this evidence, so there is nothing to ask.
            known.versions, known.proven_at = versions, datetime.now(UTC)

    def _owns(self, rollout: Rollout) -> bool:
        """Return whether the objects that rollway makes are there, and all of them are this Rollout's.

        What anybody else has set in them is then written over: Argo's controller that had them before, or a person.
        Server-side apply would take that for fields of another owner.
        """
        needs = [need for need in needs_of(rollout) if need.access is Access.MANAGED and need.name]
        found = [item.manifest for item in self._store.read(needs).values()] if needs else []
        return bool(found) and all(owned_by(manifest, rollout) for manifest in found)

    def ask(self, manifest: Manifest, wish: SetTraffic) -> None:
        """Ask for the evidence of a wish, without waiting for it."""
        rollout = self._rollout(manifest, wish.stable, wish.canary, wish.subsets)
        known = self._of(rollout)
        if known.asking or self._stopped.is_set():
            return
        known.asking, known.asked = True, wish.wish
        self._threads.submit(self._ask, rollout, manifest, wish.wish, known)

    def _ask(self, rollout: Rollout, manifest: Manifest, wish: Traffic, known: _Known) -> None:
        """Ask until the wish is proven, another one is there, or the objects show something else."""
        problem = ""
        try:
            while not self._stopped.is_set() and known.asked == wish:
                live = self._store.read(needs_of(rollout))
                forgotten = self._known.get((rollout.namespace, rollout.name)) is not known
                if forgotten or observe(rollout, live).traffic != wish:
                    break
                probes = self._probes(rollout, manifest, known)
                verdict = self._router(rollout, probes.probes).verify(wish, probes.level)
                if known.wish != wish:
                    known.wish, known.proven_at = wish, None
                if verdict.outcome is Outcome.MATCHES:
                    known.versions, known.proven_at = _versions(rollout, live), datetime.now(UTC)
                    break
                reason = f"weight {wish.split} is not {probes.level.name.lower()} yet: {verdict.reason}"
                if reason != known.problem:
                    known.problem = reason
                    self._changed(rollout.namespace, rollout.name)
                self._stopped.wait(_ASK_AGAIN_S)
        except RollwayError as error:
            problem = error.message
        except Exception:
            _logger.exception("the evidence for %s could not be asked", rollout.ref)
            problem = "the evidence could not be asked; the log has the reason"
        finally:
            known.asking, known.problem = False, problem
            self._changed(rollout.namespace, rollout.name)

    def _watch(self, rollout: Rollout, known: _Known) -> None:
        """Remember which objects concern a Rollout."""
        key = (rollout.namespace, rollout.name)
        refs = frozenset(
            need.ref for need in needs_of(rollout) if need.name and need.access is not Access.READ
        )
        if refs == known.refs:
            return
        with self._lock:
            for ref in known.refs - refs:
                self._concerned.get(ref, {}).pop(key, None)
            for ref in refs:
                self._concerned.setdefault(ref, {})[key] = None
        known.refs = refs

    def _rollout(
        self, manifest: Manifest, stable: str, canary: str, subsets: SubsetHashes | None = None
    ) -> Rollout:
        """Return a Rollout as the routers see it; the same value as long as nothing of it changes."""
        metadata = manifest["metadata"]
        ping_pong = dig(manifest, "status", "canary", "stablePingPong")
        of = (metadata["uid"], metadata.get("generation"), ping_pong)
        kept = self._rollouts.get((metadata["namespace"], metadata["name"]))
        if kept is None or kept[0] != of:
            kept = (of, {})
            self._rollouts[metadata["namespace"], metadata["name"]] = kept
        hashes = stable, canary, subsets
        if hashes not in kept[1]:
            kept[1][hashes] = rollout_of(manifest, *hashes)
        return kept[1][hashes]

    def _of(self, rollout: Rollout) -> _Known:
        return self._known.setdefault((rollout.namespace, rollout.name), _Known())

    def _router(self, rollout: Rollout, probes: Sequence[Probe] = ()) -> TrafficRouter:
        return TrafficRouter(rollout, self._store, Limits(allow=_ALLOWED), tuple(probes))

    def _probes(self, rollout: Rollout, manifest: Manifest, known: _Known) -> _Probes:
        """Return what shows the evidence here: the highest that can be asked, up to the one that is wanted."""
        now = datetime.now(UTC)
        if known.probes is None or known.probes.until < now:
            known.probes = _Probes(*self._found(rollout, manifest), now + _PROBES_S)
        return known.probes

    def _found(self, rollout: Rollout, manifest: Manifest) -> tuple[Evidence, tuple[Probe, ...]]:
        text = (manifest["metadata"].get("annotations") or {}).get(EVIDENCE_ANNOTATION, "")
        level = Evidence.__members__.get(text.upper(), self._level)
        if level >= Evidence.LOADED:
            found = data_plane_probes(rollout, self._store, {}, self._namespaces)
            if found.probes and not found.obstacles:
                return Evidence.LOADED, found.probes
            for backend, obstacle in found.obstacles.items():
                _logger.info("%s: %s cannot be asked: %s", rollout.ref, backend, obstacle)
        if level >= Evidence.ACCEPTED:
            probes = status_probes(rollout, self._store)
            if len(probes) == len(rollout.backends):
                return Evidence.ACCEPTED, probes
        return Evidence.WRITTEN, ()


def rollout_of(manifest: Manifest, stable: str, canary: str, subsets: SubsetHashes | None = None) -> Rollout:
    """Return a Rollout as the routers see it, with its roles as the controller knows them.

    `subsets` are the hashes that subsets are to select; None leaves them as they are.

    Raises:
        ManifestError, UnsupportedError: its routing has faults.
    """
    rollout = replace(parse_rollout(manifest), subsets=subsets or SubsetHashes())
    if rollout.hashes is not None:
        hashes = ReleaseHashes(stable, canary, reported_stable=stable, reported_newest=canary)
        return replace(rollout, hashes=hashes)
    if rollout.ping_pong is not None and not rollout.roles_known:
        return rollout.with_stable("pong")
    return rollout


def _lacks(rollout: Rollout, shown: Traffic, live: Live) -> bool:
    """Return whether the objects lack something that a write of what they show would set, as those of Argo's controller do."""
    try:
        return bool(simulate(Context(rollout, shown, live), adopt=True).changes)
    except RollwayError:
        return False  # as when the status does not know yet where a Service was switched to


def _versions(rollout: Rollout, live: Live) -> _ObjectVersions:
    """Return the versions of the objects that carry the traffic."""
    routed = [need for need in needs_of(rollout) if need.access is not Access.READ]
    return frozenset(
        (str(item.ref), item.version)
        for item in live.values()
        if any(need.matches(item.ref) for need in routed)
    )
