"""Where a Rollout stands in the steps of its canary. Pure.

Source: Argo Rollouts v1.10, `utils/replicaset/canary.go` (`GetCurrentCanaryStep`, `GetCurrentSetWeight`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollway.routers.objects import dig

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest


@dataclass(frozen=True)
class Position:
    """The step that is under way, counted from 0, out of `count`; `index` is `count` when all of them are done."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def following(self) -> int:
        """The index behind this one, which is never more than the count."""
        return min(self.index + 1, self.count)


def strategy_of(rollout: Manifest) -> str:
    """Return `Canary` or `BlueGreen`, as Argo Rollouts' command line writes them; empty for neither."""
    for key, name in (("canary", "Canary"), ("blueGreen", "BlueGreen")):
        if dig(rollout, "spec", "strategy", key) is not None:
            return name
    return ""


def steps_of(rollout: Manifest) -> list[dict[str, Any]]:
    """Return the steps of the canary."""
    return dig(rollout, "spec", "strategy", "canary", "steps") or []


def position_of(rollout: Manifest) -> Position | None:
    """Return where the canary stands; None without steps."""
    steps = steps_of(rollout)
    return Position(dig(rollout, "status", "currentStepIndex") or 0, len(steps)) if steps else None


def total_of(rollout: Manifest) -> int:
    """Return the weight that stands for all traffic."""
    return dig(rollout, "spec", "strategy", "canary", "trafficRouting", "maxTrafficWeight") or 100


def set_weight_of(rollout: Manifest) -> int:
    """Return the weight that the steps ask for now."""
    position = position_of(rollout)
    if dig(rollout, "status", "abort"):
        return 0
    if position is None or position.index >= position.count:
        return total_of(rollout)
    weights = [step.get("setWeight") for step in steps_of(rollout)[: position.index + 1]]
    return next((int(weight) for weight in reversed(weights) if weight is not None), 0)


def step_text(step: dict[str, Any]) -> str:
    """Write a step in short, with the words of Argo Rollouts' Events: `setWeight: 20`, `pause: 10m`."""
    kind, value = next(iter(step.items()), ("no step", None))
    if kind == "setWeight":
        return f"setWeight: {value}"
    if kind == "pause":
        duration = dig(value, "duration")
        return "pause" if duration is None else f"pause: {duration}"
    if kind == "setCanaryScale" and value:
        key, wanted = next(iter(value.items()))
        return f"setCanaryScale{{{key}: {str(wanted).lower()}}}"
    if kind in ("plugin", "setHeaderRoute", "setMirrorRoute"):
        return f"{kind}: {dig(value, 'name')}"
    return kind
