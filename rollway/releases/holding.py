"""Hold a weight on a Rollout of rollway's controller, and let it go: what both write. Pure.

The controller moves the weight, with pods before it and evidence behind it; here stands only what it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.releases.phase import is_promoted, unobserved
from rollway.releases.position import position_of, step_text, steps_of, strategy_of, total_of
from rollway.releases.verbs import Effect
from rollway.routers.errors import ConflictError, RefusedError, UnsupportedError
from rollway.routers.held_weight import HELD_WEIGHT, HeldWeight, held_weight_of
from rollway.routers.model import ROLLOUT_GROUP, ROLLOUT_KIND
from rollway.routers.objects import ObjectRef, dig
from rollway.routers.plan import pointer

if TYPE_CHECKING:
    from datetime import datetime

    from rollway.routers.objects import Manifest, Pointer
    from rollway.routers.plan import Operation

_ANNOTATIONS: Pointer = ("metadata", "annotations")
_HELD: Pointer = (*_ANNOTATIONS, HELD_WEIGHT)
_BASIS: tuple[Pointer, ...] = (
    ("status", "currentPodHash"),
    ("status", "currentStepIndex"),
    ("status", "pauseConditions"),
)
"""What tells an update and its step: what has changed of it makes the write fail."""


def hold_weight(rollout: Manifest, weight: int, by: str, now: datetime) -> Effect:
    """Ask the controller to hold a weight, a whole number of the total, in the update that is under way.

    Raises:
        UnsupportedError: no weight can be held on a Rollout of this strategy.
        RefusedError: no update is under way, or none whose weight could be moved.
        ConflictError: the controller has not seen what was written last; it may be asked a moment later.
    """
    refuse_strategy(rollout)
    pending = unobserved(rollout)
    if not weight and rollout.get("status") and not pending and is_promoted(rollout):
        return Effect("no update is under way, so all traffic is with stable")
    _refuse(rollout, weight)
    if pending:
        raise ConflictError(f"{_ref(rollout)}: waiting for {pending}")
    status = rollout["status"]
    pod_hash, step = status["currentPodHash"], status.get("currentStepIndex")
    before = held_weight_of(rollout)
    if before and (before.weight, before.pod_hash, before.step) == (weight, pod_hash, step):
        return Effect(f"{before.text(total_of(rollout))} already")
    held = HeldWeight(weight, pod_hash, step, by, now)
    return Effect(
        held.text(total_of(rollout)), spec=tuple(_operations(rollout, held.annotation)), basis=(pod_hash,)
    )


def release_weight(rollout: Manifest) -> Effect:
    """Let the weight go that is held, so that the release goes on at the step at which it stands."""
    value = dig(rollout, *_HELD)
    if value is None:
        return Effect("no weight is held")
    path = pointer(_HELD)
    operations = ({"op": "test", "path": path, "value": value}, {"op": "remove", "path": path})
    return Effect(f"no weight is held any more{_onward(rollout)}", spec=operations)


def take_back(rollout: Manifest, held: HeldWeight, before: str | None) -> Effect:
    """Undo what `hold_weight` has written, where that is still there: the annotation is as it was before."""
    value = dig(rollout, *_HELD)
    if held_weight_of(rollout) != held or value == before:
        return Effect("another weight is held meanwhile, or none")
    path = pointer(_HELD)
    back = {"op": "remove", "path": path} if before is None else {"op": "add", "path": path, "value": before}
    return Effect("no weight is held", spec=({"op": "test", "path": path, "value": value}, back))


def is_taken_up(rollout: Manifest, held: HeldWeight) -> bool:
    """Return whether the controller reports that it holds a weight."""
    return held.text(total_of(rollout)) in str(dig(rollout, "status", "message") or "")


def refuse_strategy(rollout: Manifest) -> None:
    """Raise UnsupportedError for a Rollout whose strategy has no weight that could be held."""
    ref, name = _ref(rollout), rollout["metadata"]["name"]
    if strategy_of(rollout) != "Canary":
        raise UnsupportedError(
            f"{ref} is blue-green: its users go from one release to the other at once, and no weight can be held",
            hint=f"`rollway promote {name}` sends them to the new release, `rollway abort {name}` back to stable",
        )
    if not dig(rollout, "spec", "strategy", "canary", "trafficRouting"):
        raise UnsupportedError(
            f"{ref} has no trafficRouting: the share of its pods is its weight, and no other can be held",
            hint="add trafficRouting, or write a setWeight step",
        )


def _refuse(rollout: Manifest, weight: int) -> None:
    """Raise what keeps a weight from being held."""
    ref, name, status = _ref(rollout), rollout["metadata"]["name"], rollout.get("status") or {}
    if not status.get("stableRS"):
        raise RefusedError(f"{ref}: no controller has taken it up yet, so none can hold a weight")
    invalid = next(
        (item for item in status.get("conditions") or () if item.get("type") == "InvalidSpec"), None
    )
    if invalid:
        message = str(invalid.get("message", ""))
        raise RefusedError(f"{ref}: its controller does nothing before its faults are mended: {message}")
    _refuse_without_update(rollout, f"{ref}: {{}}, so no weight can be held")
    shown = dig(status, "canary", "weights", "canary", "weight") or 0
    if dig(rollout, "spec", "paused") and weight > shown:
        raise RefusedError(
            f"{ref} is paused by hand, so its weight does not rise over {shown}",
            hint=f"run `rollway resume {name}` first",
        )


def _refuse_without_update(rollout: Manifest, message: str) -> None:
    name = rollout["metadata"]["name"]
    if unobserved(rollout):
        return  # whether an update is under way is known a moment later
    if dig(rollout, "status", "abort"):
        hint = f"`rollway retry {name}` begins it again"
        raise RefusedError(message.format("its update is aborted"), hint=hint)
    if is_promoted(rollout):
        hint = "a new release begins one: all traffic is with stable until then"
        raise RefusedError(message.format("no update is under way"), hint=hint)
    if dig(rollout, "status", "promoteFull"):
        raise RefusedError(message.format("its full promotion is under way"))


def _operations(rollout: Manifest, value: str) -> list[Operation]:
    """Return the operations that write the annotation for the update and the step that were read."""
    operations: list[Operation] = [
        {"op": "test", "path": pointer(path), "value": found}
        for path in _BASIS
        if (found := dig(rollout, *path)) is not None
    ]
    annotations: dict[str, Any] | None = dig(rollout, *_ANNOTATIONS)
    if annotations is None:
        # Somebody may be about to write the first one.
        version = dig(rollout, "metadata", "resourceVersion")
        operations.append({"op": "test", "path": "/metadata/resourceVersion", "value": version})
        return [*operations, {"op": "add", "path": pointer(_ANNOTATIONS), "value": {HELD_WEIGHT: value}}]
    if HELD_WEIGHT in annotations:
        operations.append({"op": "test", "path": pointer(_HELD), "value": annotations[HELD_WEIGHT]})
    return [*operations, {"op": "add", "path": pointer(_HELD), "value": value}]


def _onward(rollout: Manifest) -> str:
    """Write where the release goes on."""
    position, steps = position_of(rollout), steps_of(rollout)
    if position is None or position.index >= position.count or is_promoted(rollout):
        return ""
    step = f"step {position.index + 1}/{position.count} ({step_text(steps[position.index])})"
    return f"; the release goes on at {step}"


def _ref(rollout: Manifest) -> ObjectRef:
    metadata = rollout["metadata"]
    return ObjectRef(ROLLOUT_GROUP, ROLLOUT_KIND, metadata.get("namespace", ""), metadata["name"])
