"""Read the spec of a Rollout, and all its faults at once. Pure.

Texts: Argo Rollouts, `pkg/apis/rollouts/validation/validation.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.controller.canary_scale import read_canary_scale
from rollway.controller.spec import (
    ALL_PODS,
    MAX_SURGE,
    MAX_UNAVAILABLE,
    PROGRESS_DEADLINE_S,
    REPLICAS,
    REVISION_HISTORY_LIMIT,
    BlueGreen,
    Canary,
    PodMetadata,
    ProgressThreshold,
    RolloutSpec,
    scaled_value,
    selects,
)
from rollway.releases.phase import time_of
from rollway.routers.objects import dig
from rollway.routers.rollout import dotted
from rollway.routers.steps import read_steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.controller.spec import CanaryStep
    from rollway.routers.objects import Manifest, Pointer

_STRATEGY: Pointer = ("spec", "strategy")
_LATER = "is not done by this controller yet; remove it, or leave the Rollout to Argo Rollouts"


class SpecReader:
    """Read a Rollout's spec; `faults` gets every fault, with the path of its field."""

    def __init__(self, rollout: Manifest, workload: Manifest | None = None) -> None:
        self.faults: list[str] = []
        self._rollout = rollout
        self._workload = workload

    def read(self) -> RolloutSpec | None:
        """Return the spec; None when there are faults."""
        spec, metadata = self._rollout.get("spec") or {}, self._rollout["metadata"]
        replicas = self._number(("spec", "replicas"), REPLICAS)
        template, selector = self._template(spec)
        strategy = self._strategy(spec, replicas)
        min_ready = self._number(("spec", "minReadySeconds"), 0)
        deadline = self._number(("spec", "progressDeadlineSeconds"), PROGRESS_DEADLINE_S)
        if deadline <= min_ready:
            self._fault(("spec", "progressDeadlineSeconds"), "must be greater than minReadySeconds")
        if spec.get("analysis"):
            self._fault(("spec", "analysis"), _LATER)
        if strategy is None or self.faults:
            return None
        return RolloutSpec(
            name=metadata["name"],
            namespace=metadata.get("namespace", ""),
            uid=metadata.get("uid", ""),
            generation=metadata.get("generation", 0),
            replicas=replicas,
            paused=bool(spec.get("paused")),
            selector=selector,
            template=template,
            strategy=strategy,
            min_ready_seconds=min_ready,
            history_limit=self._number(("spec", "revisionHistoryLimit"), REVISION_HISTORY_LIMIT),
            progress_deadline=deadline,
            progress_deadline_abort=bool(spec.get("progressDeadlineAbort")),
            restart_at=time_of(spec.get("restartAt")),
            rollback_window=self._number(("spec", "rollbackWindow", "revisions"), 0),
            workload_ref=spec.get("workloadRef"),
        )

    def _fault(self, path: Pointer, message: str) -> None:
        self.faults.append(f"{dotted(path)}: {message}")

    def _number(self, path: Pointer, default: int) -> int:
        value = dig(self._rollout, *path)
        if value is None:
            return default
        if type(value) is not int or value < 0:
            self._fault(path, f"{value!r} is not a whole number from 0")
            return default
        return value

    def _template(self, spec: Manifest) -> tuple[Manifest, Manifest]:
        """Return the pod template and the selector, of the workload where the Rollout refers to one."""
        template, selector = spec.get("template") or {}, spec.get("selector") or {}
        reference = spec.get("workloadRef")
        if reference:
            if template:
                self._fault(("spec", "template"), "must be empty for workload reference rollout")
            if self._workload is None:
                name = f"{reference.get('kind')} {reference.get('name')}"
                self._fault(
                    ("spec", "workloadRef"), f"{name} is not found; it is looked for again when it appears"
                )
                return {}, selector
            of_pods = self._workload["kind"] == "PodTemplate"
            template = dig(self._workload, *(() if of_pods else ("spec",)), "template") or {}
            selector = selector or dig(self._workload, "spec", "selector") or {}
        self._check_template(template, selector, reference is not None)
        return template, selector

    def _check_template(self, template: Manifest, selector: Manifest, referenced: bool) -> None:
        place: Pointer = ("spec", "workloadRef") if referenced else ("spec", "template")
        if not selector:
            self._fault(("spec", "selector"), "Rollout has missing field '.spec.selector'")
        elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
            self._fault(
                ("spec", "selector"), "This rollout is selecting all pods. A non-empty selector is required."
            )
        if not dig(template, "spec", "containers"):
            self._fault(place, "the pod template has no containers")
        labels = dig(template, "metadata", "labels") or {}
        if selector and not selects(selector, labels):
            self._fault((*place, "metadata", "labels"), "`selector` does not match template `labels`")

    def _strategy(self, spec: Manifest, replicas: int) -> Canary | BlueGreen | None:
        strategy = spec.get("strategy") or {}
        given = [name for name in ("canary", "blueGreen") if strategy.get(name) is not None]
        if len(given) != 1:
            text = "Multiple Strategies can not be listed" if given else "give canary or blueGreen"
            self._fault(_STRATEGY, text)
            return None
        path, body = (*_STRATEGY, given[0]), strategy[given[0]]
        anti_affinity = body.get("antiAffinity")
        if anti_affinity is not None:
            self._check_anti_affinity(anti_affinity, (*path, "antiAffinity"))
        return (
            self._canary(body, path, replicas)
            if given == ["canary"]
            else self._blue_green(body, path, replicas)
        )

    def _common(self, body: Manifest, path: Pointer, roles: tuple[str, str], replicas: int) -> dict[str, Any]:
        """Read what both strategies have; `roles` are the words for stable and canary in its field names."""
        stable, canary = roles
        routing = body.get("trafficRouting")

        def optional(key: str) -> int | None:
            return None if body.get(key) is None else self._number((*path, key), 0)

        services = body.get(f"{stable}Service") or "", body.get(f"{canary}Service") or ""
        if services[0] and services[0] == services[1]:
            text = "This rollout uses the same service for the stable and canary services, but two different services are required."
            self._fault((*path, f"{stable}Service"), text)
        total = dig(routing, "maxTrafficWeight")
        unavailable = body.get("maxUnavailable", MAX_UNAVAILABLE)
        return {
            "stable_service": services[0],
            "canary_service": services[1],
            "routed": routing is not None,
            "total": total if type(total) is int else 100,
            "scale_down_delay": optional("scaleDownDelaySeconds"),
            "scale_down_revision_limit": optional("scaleDownDelayRevisionLimit"),
            "abort_delay": optional("abortScaleDownDelaySeconds"),
            "anti_affinity": body.get("antiAffinity"),
            "stable_metadata": _pod_metadata(body.get(f"{stable}Metadata")),
            "canary_metadata": _pod_metadata(body.get(f"{canary}Metadata")),
            "max_unavailable": min(scaled_value(unavailable, replicas, round_up=False), replicas),
        }

    def _canary(self, body: Manifest, path: Pointer, replicas: int) -> Canary:
        if body.get("analysis"):
            self._fault((*path, "analysis"), _LATER)
        common = self._common(body, path, ("stable", "canary"), replicas)
        routed, dynamic = common["routed"], bool(body.get("dynamicStableScale"))
        surge = scaled_value(body.get("maxSurge", MAX_SURGE), replicas, round_up=True)
        if body.get("maxSurge") in (0, "0", "0%") and body.get("maxUnavailable") in (0, "0", "0%"):
            self._fault((*path, "maxSurge"), "MaxSurge and MaxUnavailable both can not be zero")
        if not surge and not common["max_unavailable"]:
            common["max_unavailable"] = 1
        for key in ("scaleDownDelaySeconds", "dynamicStableScale"):
            if body.get(key) and not routed:
                self._fault((*path, key), "needs trafficRouting")
        if dynamic and body.get("scaleDownDelaySeconds") is not None:
            self._fault((*path, "dynamicStableScale"), "cannot be used with scaleDownDelaySeconds")
        steps = body.get("steps")
        return Canary(
            **common,
            steps=self._steps(steps, (*path, "steps"), common["total"], routed=routed),
            step_manifests=None if steps is None else tuple(steps),
            max_surge=surge,
            dynamic_stable_scale=dynamic,
            min_pods=max(self._number((*path, "minPodsPerReplicaSet"), 1), 1),
            threshold=self._threshold(
                body.get("replicaProgressThreshold"), (*path, "replicaProgressThreshold")
            ),
            ping_pong=_ping_pong(body) if routed else None,
            managed_routes=_managed_routes(body),
        )

    def _threshold(self, given: Any, path: Pointer) -> ProgressThreshold:
        if given is None:
            return ALL_PODS
        kind, value = dig(given, "type"), dig(given, "value")
        if (
            kind not in ("Percent", "Pods")
            or type(value) is not int
            or not 0 <= value <= (100 if kind == "Percent" else value)
        ):
            self._fault(path, "give type Percent or Pods, and a value from 0 (to 100 percent)")
            return ALL_PODS
        return ProgressThreshold(percent=value) if kind == "Percent" else ProgressThreshold(pods=value)

    def _steps(self, steps: Any, path: Pointer, total: int, *, routed: bool) -> tuple[CanaryStep, ...]:
        """Read the steps, each at its index; a list with a fault is not used."""
        listed = read_steps(self._rollout, total)
        by_index: dict[int, CanaryStep] = {int(place[-1]): step for place, step in listed.steps}
        for place, message in listed.faults:
            self._fault(place, message)
        for place, kinds in listed.others:
            index = int(place[-1])
            if kinds == "setCanaryScale":
                step = read_canary_scale(steps[index]["setCanaryScale"], self._at((*path, index, kinds)))
                if not routed:
                    self._fault((*path, index), "SetCanaryScale requires TrafficRouting to be set")
                if step:
                    by_index[index] = step
            elif kinds in ("analysis", "experiment", "plugin"):
                self._fault((*path, index, kinds), _LATER)
            else:
                self._fault((*path, index), f"one step does one thing, and this has {kinds}")
        return tuple(by_index[index] for index in sorted(by_index))

    def _at(self, path: Pointer) -> Callable[[str], None]:
        return lambda message: self._fault(path, message)

    def _blue_green(self, body: Manifest, path: Pointer, replicas: int) -> BlueGreen:
        for key in ("prePromotionAnalysis", "postPromotionAnalysis"):
            if body.get(key):
                self._fault((*path, key), _LATER)
        if not body.get("activeService"):
            self._fault((*path, "activeService"), "is required")
        preview = body.get("previewReplicaCount")
        limit = body.get("scaleDownDelayRevisionLimit")
        history = dig(self._rollout, "spec", "revisionHistoryLimit")
        if isinstance(limit, int) and isinstance(history, int) and history < limit:
            text = (
                "This rollout's revision history limit can not be smaller than the rollout's scale down limit"
            )
            self._fault((*path, "scaleDownDelayRevisionLimit"), text)
        return BlueGreen(
            **self._common(body, path, ("active", "preview"), replicas),
            preview_replicas=None if preview is None else self._number((*path, "previewReplicaCount"), 0),
            auto_promotion=body.get("autoPromotionEnabled") is not False,
            auto_promotion_seconds=self._number((*path, "autoPromotionSeconds"), 0),
        )

    def _check_anti_affinity(self, given: Any, path: Pointer) -> None:
        kinds = (
            "preferredDuringSchedulingIgnoredDuringExecution",
            "requiredDuringSchedulingIgnoredDuringExecution",
        )
        if sum(dig(given, kind) is not None for kind in kinds) != 1:
            self._fault(path, "AntiAffinity must have exactly one strategy listed")
        weight = dig(given, kinds[0], "weight")
        if dig(given, kinds[0]) is not None and not (type(weight) is int and 1 <= weight <= 100):
            self._fault(path, "AntiAffinity weight must be between 1-100")


def _pod_metadata(given: Any) -> PodMetadata:
    return PodMetadata(dig(given, "labels") or {}, dig(given, "annotations") or {})


def _ping_pong(body: Manifest) -> tuple[str, str] | None:
    """Return the two Services; those of the roles outweigh them, as in Argo Rollouts."""
    services = body.get("pingPong")
    if not services or body.get("stableService") or body.get("canaryService"):
        return None
    return services.get("pingService", ""), services.get("pongService", "")


def _managed_routes(body: Manifest) -> tuple[str, ...]:
    given = dig(body, "trafficRouting", "managedRoutes")
    return tuple(str(dig(entry, "name")) for entry in given) if isinstance(given, list) else ()
