"""Decide what is to be done for one Rollout: everything that was observed, and the time, in; a Decision out. Pure.

The order of the writes makes every beginning of them safe: pods before Services, Services before weight, evidence before fewer
pods, and the status last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rollway.controller import pod_metadata, restart, workload
from rollway.controller.blue_green import plan_blue_green
from rollway.controller.canary import plan_canary
from rollway.controller.conditions import (
    find,
    invalid,
    is_timed_out,
    not_created,
    timed_out,
    with_condition,
    without,
)
from rollway.controller.decision import Create, Decision, Delete, Patch, ReleaseEvent
from rollway.controller.held_weights import held_weight_faults, held_weight_writes, with_held_weight
from rollway.controller.release import look, not_completed
from rollway.controller.replica_set_writes import adoptions, patch_of
from rollway.controller.replica_sets import superfluous
from rollway.controller.services import selected_hash
from rollway.controller.spec import Canary
from rollway.controller.spec_reader import SpecReader
from rollway.controller.status import merge_patch, merged, status_patch
from rollway.controller.world import ReplicaSet
from rollway.releases.revisions import REVISION
from rollway.routers.errors import ManifestError
from rollway.routers.model import HASH_LABEL, MANAGED_BY
from rollway.routers.objects import ObjectRef, dig, duplicate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from rollway.controller.conditions import Condition
    from rollway.controller.decision import Write
    from rollway.controller.release import Plan, Release
    from rollway.controller.spec import RolloutSpec
    from rollway.controller.world import World
    from rollway.routers.objects import Manifest

_FOLLOWED = 8
"""How many decisions that only change the status become one."""


def decide(world: World, now: datetime) -> Decision:
    """Return what is to be done now for what was observed."""
    if world.rollout["metadata"].get("deletionTimestamp"):
        return Decision()
    reader = SpecReader(world.rollout, world.workload)
    spec = reader.read()
    faults = (
        *reader.faults,
        *world.faults,
        *(_service_faults(spec, world) if spec else ()),
        *(held_weight_faults(world.rollout, spec) if spec else ()),
    )
    if spec is None or faults:
        return _refused(world, faults, now)
    try:
        release = look(spec, world, now)
    except ManifestError as error:
        return _refused(world, tuple(map(str, error.faults)), now)
    if release is None:
        return Decision(needs_default_template=True)
    release = with_held_weight(release)
    plan = plan_canary(release) if isinstance(spec.strategy, Canary) else plan_blue_green(release)
    restart.plan_restart(release, plan)
    pod_metadata.plan_metadata(release, plan)
    workload.plan_workload(release, plan)
    _abort_when_late(release, plan)
    return _decision(release, plan)


def follow(world: World, decision: Decision, now: datetime) -> Decision:
    """Return a decision with all that its status leads to at once, as long as nothing else is written: one patch for all."""
    before = world.rollout.get("status") or {}
    for _ in range(_FOLLOWED):
        if not decision.status:
            break
        status = merged(before, decision.status)
        following = decide(replace(world, rollout={**world.rollout, "status": status}), now)
        if not following.status or following.writes:
            break
        decision = following._replace(
            status=merge_patch(before, merged(status, following.status)),
            events=(*decision.events, *following.events),
        )
    return decision


def _service_faults(spec: RolloutSpec, world: World) -> Iterator[str]:
    """Yield what is wrong with the Services that the Rollout names."""
    strategy = spec.strategy
    if getattr(strategy, "ping_pong", None) and world.traffic and world.traffic.subsets is not None:
        yield "spec.strategy.canary.pingPong: swaps Services, and the router leads to subsets: give one of the two"
    pair = getattr(strategy, "ping_pong", None) or (strategy.stable_service, strategy.canary_service)
    for name in filter(None, pair):
        service = world.services.get(name)
        if service is None:
            yield f'services "{name}" not found'
            continue
        owner = (service["metadata"].get("annotations") or {}).get(MANAGED_BY, spec.name)
        if owner != spec.name:
            yield f'Service "{name}" is managed by another Rollout'
        labels = (spec.template.get("metadata") or {}).get("labels") or {}
        for key, value in ((service.get("spec") or {}).get("selector") or {}).items():
            if key != HASH_LABEL and labels.get(key) != value:
                yield f'Service "{name}" has unmatch label "{key}" in rollout'


def _refused(world: World, faults: tuple[str, ...], now: datetime) -> Decision:
    """Report every fault in the status, and touch nothing else."""
    return Decision(status=_degraded(world, invalid(world.rollout["metadata"]["name"], faults), now))


def refused_creation(world: World, name: str, error: str, now: datetime) -> dict[str, Any]:
    """Return the status patch for a ReplicaSet that the API server refuses to create; empty where it shows that already."""
    return _degraded(world, not_created(name, error), now)


def collided(world: World, created: Manifest, present: Manifest) -> dict[str, Any]:
    """Return the status patch that gives a new ReplicaSet another hash, where one of its name is somebody else's; else empty.

    Source: Argo Rollouts, `createDesiredReplicaSet` in `rollout/sync.go`.
    """
    uid = world.rollout["metadata"]["uid"]
    owners = present["metadata"].get("ownerReferences") or ()
    own = any(owner.get("controller") and owner.get("uid") == uid for owner in owners)
    if own and ReplicaSet(present).pod_hash == ReplicaSet(created).pod_hash:
        return {}  # made before, and not seen yet
    return {"collisionCount": (dig(world.rollout, "status", "collisionCount") or 0) + 1}


def _degraded(world: World, condition: Condition, now: datetime) -> dict[str, Any]:
    """Return the status patch that shows why a Rollout cannot go on."""
    status = world.rollout.get("status") or {}
    conditions = list(status.get("conditions") or ())
    before = find(conditions, condition.type) or {}
    if (before.get("reason"), before.get("message")) != (condition.reason, condition.message):
        conditions = with_condition(without(conditions, condition.type), condition, now)
    fields = {
        "observedGeneration": str(world.rollout["metadata"].get("generation", 0)),
        "conditions": conditions,
        "phase": "Degraded",
        "message": f"{condition.reason}: {condition.message}",
    }
    return merge_patch({key: status[key] for key in fields if key in status}, fields)


def _abort_when_late(release: Release, plan: Plan) -> None:
    """Abort a release that has made no progress for its deadline, where the Rollout asks for that."""
    if plan.progress.fully_promoted or plan.progress.aborted or not release.spec.progress_deadline_abort:
        return
    if is_timed_out(release, plan):
        message = timed_out(release.new.name).message
        plan.progress = replace(plan.progress.without_pauses(), aborted=True, abort_message=message)


def _decision(release: Release, plan: Plan) -> Decision:
    adopted = adoptions(release)
    if adopted:
        return Decision(writes=tuple(adopted))  # what follows rests on versions that are others then
    writes: list[Write] = []
    if release.spec.paused and not release.new_exists:
        plan.pods.pop(release.new.name, None)
    else:
        writes += _new_replica_set(release, plan)
        writes += _rollout_revision(release, plan)
    writes += held_weight_writes(release, plan)
    shrinking: list[Write] = []
    for each in release.all_sets:
        if each.name == release.new.name and not release.new_exists:
            continue
        patch = patch_of(release, plan, each)
        if patch:
            (shrinking if plan.pods.get(each.name, each.desired) < each.desired else writes).append(patch)
    writes += _service_writes(release, plan)
    writes += pod_metadata.pod_writes(release, plan)
    traffic = release.world.traffic
    if plan.wish and traffic and not traffic.shows(plan.wish.wish, plan.wish.subsets):
        writes.append(plan.wish)
    writes += shrinking
    writes += workload.workload_writes(release, plan)
    writes += restart.evictions(release, plan)
    writes += _deletions(release)
    status = status_patch(release, plan)
    _weight_event(release, plan, status)
    return Decision(
        writes=tuple(writes),
        status=status,
        events=tuple(plan.events),
        look_again=min(plan.times, default=None),
        wish=plan.wish,
    )


def _new_replica_set(release: Release, plan: Plan) -> list[Write]:
    """Create the ReplicaSet of the current template, with the pods that it is to have."""
    if release.new_exists:
        return []
    manifest = duplicate(release.new.manifest)
    pods = plan.pods.get(release.new.name, 0)
    manifest["spec"]["replicas"] = pods
    text = f"{release.new.name} (revision {release.revision})"
    created = [ReleaseEvent("Normal", "NewReplicaSetCreated", f"Created ReplicaSet {text}")]
    # As Argo's controller, which reports it of the first release of a canary as well, and not of the first of blue-green.
    if isinstance(release.spec.strategy, Canary) or not release.progress.fully_promoted:
        created.append(not_completed(release))
    if pods:
        created.append(
            ReleaseEvent("Normal", "ScalingReplicaSet", f"Scaled up ReplicaSet {text} from 0 to {pods}")
        )
    plan.events[:0] = created
    return [Create(manifest)]


def _rollout_revision(release: Release, plan: Plan) -> list[Write]:
    """Write the revision on the Rollout, for clients."""
    rollout = release.world.rollout
    annotations = rollout["metadata"].get("annotations")
    if (annotations or {}).get(REVISION) == str(release.revision):
        return []
    plan.events.insert(
        0, ReleaseEvent("Normal", "RolloutUpdated", f"Rollout updated to revision {release.revision}")
    )
    key = "/metadata/annotations/" + REVISION.replace("/", "~1")
    operations: list[dict[str, Any]] = [{"op": "add", "path": key, "value": str(release.revision)}]
    if annotations is None:
        operations = [
            {"op": "add", "path": "/metadata/annotations", "value": {REVISION: str(release.revision)}}
        ]
    ref = ObjectRef("argoproj.io", "Rollout", release.spec.namespace, release.spec.name)
    return [Patch(ref, tuple(operations))]


def _service_writes(release: Release, plan: Plan) -> list[Write]:
    """Let each Service select its hash, if it still selects what was observed."""
    writes: list[Write] = []
    for name, pod_hash in plan.selectors.items():
        service = release.world.services[name]
        selected = selected_hash(service)
        path = f"/spec/selector/{HASH_LABEL}"
        operations: list[dict[str, Any]] = (
            [{"op": "test", "path": path, "value": selected}] if selected else []
        )
        operations.append({"op": "add", "path": path, "value": pod_hash})
        operations += _owned(service, release.spec.name)
        writes.append(Patch(ObjectRef("", "Service", release.spec.namespace, name), tuple(operations)))
        plan.event(
            "SwitchService", f"Switched selector for service '{name}' from '{selected}' to '{pod_hash}'"
        )
    return writes


def _owned(service: dict[str, Any], name: str) -> list[dict[str, Any]]:
    annotations = service["metadata"].get("annotations")
    if annotations is None:
        return [{"op": "add", "path": "/metadata/annotations", "value": {MANAGED_BY: name}}]
    if annotations.get(MANAGED_BY) == name:
        return []
    return [{"op": "add", "path": "/metadata/annotations/" + MANAGED_BY.replace("/", "~1"), "value": name}]


def _deletions(release: Release) -> list[Write]:
    """Delete the old ReplicaSets beyond the history limit."""
    return [
        Delete(
            ObjectRef("apps", "ReplicaSet", release.spec.namespace, each.name),
            each.manifest["metadata"].get("uid", ""),
            each.manifest["metadata"].get("resourceVersion", ""),
        )
        for each in superfluous(release.others, release.spec.history_limit)
    ]


def _weight_event(release: Release, plan: Plan, status: dict[str, Any]) -> None:
    """Report a weight that the routing objects show now and did not at the last look."""
    weights = (status.get("canary") or {}).get("weights") or {}
    after = (weights.get("canary") or {}).get("weight")
    if after is None:
        return
    before = (((release.status.get("canary") or {}).get("weights") or {}).get("canary") or {}).get("weight")
    since = "" if before is None else f" from {before}"
    plan.event("TrafficWeightUpdated", f"Traffic weight updated{since} to {after}")
