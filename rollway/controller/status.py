"""The status of a Rollout for what was observed and decided, and the smallest merge patch to it. Pure.

Fields: Argo Rollouts, `RolloutStatus` in `pkg/apis/rollouts/v1alpha1/types.go`. A zero is left out, as there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.controller.conditions import conditions_of
from rollway.controller.duration import duration_of
from rollway.controller.held_weights import held_message
from rollway.controller.progress import progress_fields
from rollway.controller.services import role_services, selected_hash
from rollway.controller.spec import BlueGreen, Canary
from rollway.controller.world import WORKLOAD_GENERATION
from rollway.releases.phase import HEALTHY, PROGRESSING, calculated_phase
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import dig, duplicate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollway.controller.release import Plan, Release
    from rollway.controller.world import ReplicaSet, TrafficState
    from rollway.routers.objects import Manifest

_OWN = [
    "observedGeneration",
    "workloadObservedGeneration",
    "currentPodHash",
    "currentStepHash",
    "stableRS",
    "currentStepIndex",
    "pauseConditions",
    "controllerPause",
    "abort",
    "abortedAt",
    "promoteFull",
    "replicas",
    "readyReplicas",
    "updatedReplicas",
    "availableReplicas",
    "HPAReplicas",
    "selector",
    "canary",
    "blueGreen",
    "restartedAt",
    "conditions",
    "phase",
    "message",
    "duration",
]
"""The fields that are written here; others stay as they are."""

_COUNTS = frozenset(
    {"replicas", "readyReplicas", "updatedReplicas", "availableReplicas", "HPAReplicas", "message"}
)


def status_patch(release: Release, plan: Plan) -> dict[str, Any]:
    """Return the merge patch from the status that was observed to the one that is to be; empty where they are the same."""
    fields = status_fields(release, plan)
    old = release.status
    return merge_patch({key: old[key] for key in _OWN if key in old}, fields)


def status_fields(release: Release, plan: Plan) -> dict[str, Any]:
    """Return the fields of the status as they are to be."""
    spec, rollout = release.spec, release.world.rollout
    sets = [each for each in release.all_sets if each.name != release.new.name or release.new_exists]
    fields: dict[str, Any] = progress_fields(plan.progress)
    fields["observedGeneration"] = str(spec.generation)
    if spec.workload_ref:
        annotations = rollout["metadata"].get("annotations") or {}
        fields["workloadObservedGeneration"] = annotations.get(WORKLOAD_GENERATION, "")
    active = _active(release) if isinstance(spec.strategy, BlueGreen) else None
    counted = [active] if active else sets
    fields |= {
        "replicas": sum(each.replicas for each in sets),
        "updatedReplicas": release.new.replicas,
        "readyReplicas": sum(each.ready for each in counted),
        "availableReplicas": sum(each.available for each in counted),
        "HPAReplicas": sum(each.replicas for each in counted),
        "selector": _selector_text(spec.selector, active),
    }
    if isinstance(spec.strategy, Canary):
        fields["canary"] = _canary(release, plan)
    else:
        fields["blueGreen"] = _blue_green(release, plan)
    fields = {
        key: value
        for key, value in fields.items()
        if value not in ("", 0, None, []) or key == "currentStepIndex"
    }
    arrived = _has_arrived(release, plan)
    fields["conditions"] = conditions_of(release, plan, fields, arrived=arrived)
    fields["phase"], message = calculated_phase({**rollout, "status": fields})
    if fields["phase"] == HEALTHY and not arrived:
        fields["phase"], message = PROGRESSING, "traffic is moving to the stable release"
    if fields["phase"] == "Progressing" and plan.waiting:
        message = f"{message}: {plan.waiting[0]}"
    if release.held:
        message = held_message(release, plan, release.held)
    if message:
        fields["message"] = message
    fields["duration"] = duration_of(release, plan, fields)
    return fields


def _has_arrived(release: Release, plan: Plan) -> bool:
    """Return whether all users of a promoted release are where they stay: its Service has moved, and so has the weight.

    A release that was healthy once stays that while its objects are right: a data plane that cannot be asked is no loss.
    """
    strategy, traffic = release.spec.strategy, release.world.traffic
    service = release.world.services.get(role_services(strategy, plan.progress)[0])
    if service and selected_hash(service) != plan.progress.stable:
        return False
    if traffic is None or plan.wish is None:
        return True
    if plan.wish.wish.split.canary or not traffic.shows(plan.wish.wish, plan.wish.subsets):
        return False
    return traffic.is_proven or (not release.restarted and release.status.get("phase") == HEALTHY)


def _active(release: Release) -> ReplicaSet | None:
    """Return the ReplicaSet that the users of a blue-green Rollout have."""
    service = release.world.services.get(release.spec.strategy.stable_service)
    selected = selected_hash(service)
    return next((each for each in release.all_sets if selected and each.pod_hash == selected), None)


def _canary(release: Release, plan: Plan) -> dict[str, Any]:
    """Return what the routing objects show, and whether the evidence for it is there."""
    fields: dict[str, Any] = {}
    traffic, strategy = release.world.traffic, release.spec.strategy
    if plan.progress.stable_ping_pong:
        fields["stablePingPong"] = plan.progress.stable_ping_pong
    if traffic and traffic.shown:
        split = traffic.shown.split
        weights = [split.canary, split.total - split.canary]
        if plan.progress.stable_ping_pong != release.progress.stable_ping_pong:
            weights.reverse()  # the Services have just swapped their roles
        stable_service, canary_service = role_services(strategy, plan.progress)
        stable = release.new if plan.progress.fully_promoted else release.stable or release.new
        fields["weights"] = {
            "canary": _weight(weights[0], canary_service, release.new.pod_hash),
            "stable": _weight(weights[1], stable_service, stable.pod_hash),
            "verified": _is_verified(release, traffic),
        }
    return fields


def _is_verified(release: Release, traffic: TrafficState) -> bool:
    """Return whether the shown weight is proven.

    After a restart the status counts until the data plane has answered, where nothing but the weight, which the status
    shows, can have been written since: the controller may have been killed between that and the status.
    """
    assert traffic.shown, "there is a weight to verify"
    before = dig(release.status, "canary", "weights") or {}
    same = dig(before, "canary", "weight") == traffic.shown.split.canary
    settled = release.progress.fully_promoted and release.status.get("phase") == HEALTHY
    alone = traffic.subsets is None and not release.canary.has_routes
    if traffic.wish is None and same and (settled or alone):
        return bool(before.get("verified"))
    return traffic.is_proven


def _weight(weight: int, service: str, pod_hash: str) -> dict[str, Any]:
    named = {"serviceName": service} if service else {}
    return {"weight": weight, **named, "podTemplateHash": pod_hash}


def _blue_green(release: Release, plan: Plan) -> dict[str, Any]:
    services, strategy = release.world.services, release.spec.strategy
    fields = {
        "activeSelector": selected_hash(services.get(strategy.stable_service)),
        "previewSelector": selected_hash(services.get(strategy.canary_service)),
        "scaleUpPreviewCheckPoint": plan.progress.preview_checked,
    }
    return {key: value for key, value in fields.items() if value}


def _selector_text(selector: Manifest, active: ReplicaSet | None) -> str:
    """Write a label selector as the scale subresource has it."""
    labels = dict(selector.get("matchLabels") or {})
    if active:
        labels[HASH_LABEL] = active.pod_hash
    words = [f"{key}={value}" for key, value in sorted(labels.items())]
    for entry in selector.get("matchExpressions") or ():
        key, values = entry["key"], ",".join(entry.get("values") or ())
        operator = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "DoesNotExist": f"!{key}",
        }
        words.append(operator.get(entry["operator"], key))
    return ",".join(words)


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that makes `old` into `new`."""
    patch: dict[str, Any] = {key: None for key in old if key not in new and old[key] is not None}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


def merged(value: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value with a JSON merge patch (RFC 7386) applied."""
    result = dict(value)
    for key, item in patch.items():
        if item is None:
            result.pop(key, None)
        elif isinstance(item, dict):
            inner = result.get(key)
            result[key] = merged(inner if isinstance(inner, dict) else {}, item)
        else:
            result[key] = duplicate(item)
    return result


def only_counts(status: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    """Return whether a merge patch of a status changes counts of pods, and what is waited for, and nothing else."""
    rest = patch.keys() - _COUNTS
    if rest == {"conditions"}:
        return _meanings(status.get("conditions")) == _meanings(patch["conditions"])
    return not rest


def _meanings(conditions: Sequence[Mapping[str, Any]] | None) -> set[tuple[Any, ...]]:
    return {
        tuple(entry.get(key) for key in ("type", "status", "reason", "message")) for entry in conditions or ()
    }
