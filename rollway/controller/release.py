"""One look at a release: the roles of its ReplicaSets and how far it has come, and what is to be done now. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rollway.controller.anti_affinity import kept_apart
from rollway.controller.decision import ReleaseEvent
from rollway.controller.hashes import Flavour, steps_hash
from rollway.controller.progress import Progress, read_progress
from rollway.controller.replica_sets import identify, new_replica_set, next_revision
from rollway.controller.spec import BlueGreen, Canary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rollway.controller.decision import SetTraffic
    from rollway.controller.replica_sets import Identity
    from rollway.controller.spec import PodMetadata, RolloutSpec
    from rollway.controller.world import ReplicaSet, World
    from rollway.routers.held_weight import HeldWeight
    from rollway.routers.objects import Manifest


@dataclass(frozen=True)
class Release:
    """What a decision about one Rollout rests on. `new` is the ReplicaSet of the current template, made yet or not."""

    spec: RolloutSpec
    world: World
    now: datetime
    progress: Progress
    """How far it has come, with what is true since this look: a new template, an abort, a retry."""
    new: ReplicaSet
    new_exists: bool
    stable: ReplicaSet | None
    """The stable ReplicaSet; the same as `new` when the current template is promoted; None when it is gone."""
    others: tuple[ReplicaSet, ...]
    """All that are neither, those with the highest revision first."""
    revision: int
    """The revision of the current template."""
    began: tuple[ReleaseEvent, ...] = ()
    """The Events of what this look has found to have begun."""
    restarted: bool = False
    """Whether a new template or other steps have just ended the release before this one."""
    held: HeldWeight | None = None
    """The weight that somebody holds by hand in place of that of the steps."""

    @property
    def status(self) -> Manifest:
        """The status as it was observed."""
        return self.world.rollout.get("status") or {}

    @property
    def canary(self) -> Canary:
        """The strategy, of a canary."""
        assert isinstance(self.spec.strategy, Canary), "only a canary asks for it"
        return self.spec.strategy

    @property
    def blue_green(self) -> BlueGreen:
        """The strategy, of a blue-green release."""
        assert isinstance(self.spec.strategy, BlueGreen), "only a blue-green release asks for it"
        return self.spec.strategy

    @property
    def all_sets(self) -> tuple[ReplicaSet, ...]:
        """Every ReplicaSet of the Rollout, with the one that is to be made."""
        roles = [self.new]
        if self.stable and self.stable.name != self.new.name:
            roles.append(self.stable)
        return (*roles, *self.others)

    @property
    def available(self) -> int:
        """The available pods of all ReplicaSets."""
        return sum(each.available for each in self.all_sets)

    @property
    def stable_available(self) -> int:
        """The available pods of the stable ReplicaSet."""
        return self.stable.available if self.stable else 0

    @property
    def is_empty(self) -> bool:
        """Whether the Rollout is to have no pods, and neither the new nor the stable release has one that serves."""
        return not self.spec.replicas and not self.new.available and not self.stable_available

    def serves(self, service: str, replica_set: ReplicaSet | None) -> bool:
        """Return whether a Service leads to ready pods of a ReplicaSet, and to none of another.

        An endpoint whose pod is not known counts for neither: pods and endpoints are observed at different moments.
        """
        if replica_set is None:
            return False
        endpoints = self.world.endpoints.get(service, frozenset())
        hashes = {pod.pod_hash for pod in self.world.pods if pod.name in endpoints}
        return hashes == {replica_set.pod_hash}


@dataclass
class Plan:
    """What is to be done now, while it is collected. Pods by the name of their ReplicaSet."""

    progress: Progress
    pods: dict[str, int] = field(default_factory=dict)
    deadlines: dict[str, datetime | None] = field(default_factory=dict)
    """New deadlines for scaling down; None removes one."""
    selectors: dict[str, str] = field(default_factory=dict)
    """The hash that each Service is to select."""
    wish: SetTraffic | None = None
    events: list[ReleaseEvent] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """What is waited for, for people."""
    times: list[datetime] = field(default_factory=list)
    """When something comes due."""
    metadata: Mapping[str, PodMetadata] = field(default_factory=dict)
    """The labels and annotations that the pods of a ReplicaSet have only for now."""
    workload: tuple[Mapping[str, Any], ...] = ()
    """The JSON Patch of the workload whose pods the Rollout takes over from."""
    deadline_applies: bool = True
    """Whether the progress deadline counts: it does not while the release waits for people or for time."""

    def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Add an Event."""
        self.events.append(ReleaseEvent("Warning" if warning else "Normal", reason, message))


def look(spec: RolloutSpec, world: World, now: datetime) -> Release | None:
    """Find the roles and how far the release has come; None where the template with defaults is needed for it."""
    identity = identify(spec, world)
    if identity is None:
        return None
    before = read_progress(world.rollout.get("status") or {})
    step_hash = ""
    if isinstance(spec.strategy, Canary):
        step_hash = _step_hash(spec.strategy, before)
    old = [each for each in world.replica_sets if identity.new is None or each.name != identity.new.name]
    revision = next_revision(old)
    if identity.new and identity.new.revision >= revision:
        revision = identity.new.revision
    new = identity.new or new_replica_set(
        spec,
        world.rollout,
        identity.pod_hash,
        revision=revision,
        metadata=_first_metadata(spec, before),
        template=_placed(spec, before, identity),
    )
    stable = new if before.stable in ("", new.pod_hash) else _by_hash(old, before.stable)
    others = [each for each in old if stable is None or each.name != stable.name]
    release = Release(
        spec=spec,
        world=world,
        now=now,
        progress=before,
        new=new,
        new_exists=identity.new is not None,
        stable=stable,
        others=tuple(sorted(others, key=lambda each: (-each.revision, each.created, each.name))),
        revision=revision,
    )
    return _begun(release, step_hash)


def _step_hash(strategy: Canary, before: Progress) -> str:
    """Return the hash of the steps: the stored one where an older version of Argo Rollouts would have computed it."""
    hashes = [steps_hash(strategy.step_manifests, flavour=flavour) for flavour in Flavour]
    return before.step_hash if before.step_hash in hashes else hashes[0]


def _by_hash(replica_sets: list[ReplicaSet], pod_hash: str) -> ReplicaSet | None:
    return next((each for each in replica_sets if each.pod_hash == pod_hash), None)


def _first_metadata(spec: RolloutSpec, before: Progress) -> PodMetadata:
    """Return what the pods of a new ReplicaSet have from the beginning."""
    return spec.strategy.canary_metadata if before.stable else spec.strategy.stable_metadata


def _placed(spec: RolloutSpec, before: Progress, identity: Identity) -> Manifest:
    """Return the pod template, kept away from the nodes of stable pods where the Rollout asks for that."""
    rules = spec.strategy.anti_affinity
    if not rules or before.stable in ("", identity.computed):
        return spec.template
    return kept_apart(spec.template, rules, before.stable, spec.namespace)


def _begun(release: Release, step_hash: str) -> Release:
    """Return the release with what has begun since the last look: an update, a retry, an abort."""
    before = release.progress
    pod_hash = release.new.pod_hash
    if not before.stable or release.stable is None:
        # Somebody may have deleted the stable ReplicaSet: what is left is a first release, as in Argo Rollouts.
        first = Progress(pod_hash=pod_hash, step_hash=step_hash, index=_count(release.spec))
        release = replace(release, stable=release.new)
        if release.spec.paused and not release.new_exists:
            return replace(release, progress=first)  # nothing is made yet
        began = (completed(release, "Initial deploy"),)
        return replace(release, progress=replace(first, stable=pod_hash), began=began)
    if before.pod_hash and (before.pod_hash != pod_hash or (before.step_hash or step_hash) != step_hash):
        return _restarted(release, step_hash)
    progress = replace(before, pod_hash=pod_hash, step_hash=step_hash)
    if progress.fully_promoted:
        # Aborting what is promoted changes nothing, as in Argo Rollouts.
        progress = replace(
            progress, aborted=False, aborted_at=None, promote_full=False, index=_count(release.spec)
        )
    elif progress.aborted:
        just_now = progress.aborted_at is None
        progress = replace(
            progress.without_pauses(),
            aborted_at=progress.aborted_at or release.now,
            index=None if progress.index is None else 0,
            promote_full=False,
        )
        if just_now:
            message = f"Rollout aborted update to revision {release.revision}"
            return replace(
                release, progress=progress, began=(ReleaseEvent("Warning", "RolloutAborted", message),)
            )
    elif progress.aborted_at:
        progress = replace(progress.without_pauses(), aborted_at=None, index=_start(release.spec))
    elif progress.promote_full:
        progress = replace(progress.without_pauses(), index=_count(release.spec))
    elif isinstance(release.spec.strategy, Canary) and progress.index is None:
        progress = replace(progress, index=_start(release.spec))
    return replace(release, progress=progress)


def _restarted(release: Release, step_hash: str) -> Release:
    """Return the release at its beginning: the template or the steps are others."""
    before, new = release.progress, release.new
    if before.stable == new.pod_hash:
        index, why = _count(release.spec), "Rollback to stable ReplicaSets"
    elif _inside_window(release):
        index, why = _count(release.spec), "Rollback to active ReplicaSets within RollbackWindow"
    else:
        index, why = _start(release.spec), ""
    progress = Progress(
        pod_hash=new.pod_hash,
        step_hash=step_hash,
        stable=before.stable,
        index=index,
        stable_ping_pong=before.stable_ping_pong,
        restarted_at=_restart_text(release) or before.restarted_at,
    )
    events = [ReleaseEvent("Normal", "SkipSteps", why)] if why and index else []
    if release.new_exists and before.stable != new.pod_hash:
        events.append(not_completed(release))
    return replace(release, progress=progress, began=tuple(events), restarted=True)


def completed(release: Release, why: str) -> ReleaseEvent:
    """Return the Event of a release that has become the stable one."""
    message = f"Rollout completed update to revision {release.revision} ({release.new.pod_hash}): {why}"
    return ReleaseEvent("Normal", "RolloutCompleted", message)


def not_completed(release: Release) -> ReleaseEvent:
    """Return the Event of a release that has begun."""
    message = f"Rollout not completed, started update to revision {release.revision} ({release.new.pod_hash})"
    return ReleaseEvent("Normal", "RolloutNotCompleted", message)


def _restart_text(release: Release) -> str:
    return str((release.world.rollout.get("spec") or {}).get("restartAt") or "")


def _inside_window(release: Release) -> bool:
    """Return whether the new template is an older one that still has pods, and few came between it and stable."""
    window, new, stable = release.spec.rollback_window, release.new, release.stable
    if (
        not window
        or stable is None
        or not release.new_exists
        or not new.desired
        or new.created >= stable.created
    ):
        return False
    between = sum(new.created < each.created < stable.created for each in release.others)
    return between < window


def _count(spec: RolloutSpec) -> int | None:
    """Return the index behind the last step; None without steps."""
    return len(spec.strategy.steps) or None if isinstance(spec.strategy, Canary) else None


def _start(spec: RolloutSpec) -> int | None:
    return 0 if isinstance(spec.strategy, Canary) and spec.strategy.steps else None
