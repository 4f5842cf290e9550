"""The steps of a ramp: even ones, or those that the Rollout's own manifest lists. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import durationpy

from rollway.routers.errors import Fault, ManifestError, RefusedError, UnsupportedError
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.objects import Manifest


# No named tuples: a weight of 60 and a pause of 60 seconds would be equal.
@dataclass(frozen=True)
class SetWeight:
    """Give the canary this weight out of the Rollout's total."""

    weight: int


@dataclass(frozen=True)
class Pause:
    """Stay for so many seconds; None: until somebody continues it."""

    seconds: float | None


Step: TypeAlias = SetWeight | Pause


def even_steps(coming: Sequence[int], every: float) -> list[Step]:
    """Return the steps of a ramp that stays `every` seconds at each weight but the last."""
    steps: list[Step] = []
    for weight in coming:
        steps += [SetWeight(weight), Pause(every)]
    return steps[:-1]


def steps_of(manifest: Manifest, total: int) -> list[Step]:
    """Read `spec.strategy.canary.steps` of a Rollout: `setWeight` and `pause`, in the words of Argo Rollouts.

    Raises:
        UnsupportedError: there are other steps; each is named.
        ManifestError: there are none, or a weight or a duration is wrong.
    """
    name = f"Rollout {dig(manifest, 'metadata', 'name')}"
    listed = dig(manifest, "spec", "strategy", "canary", "steps")
    if not isinstance(listed, list) or not listed:
        raise ManifestError(name, ["spec.strategy.canary.steps: there are no steps to follow"])
    steps: list[Step] = []
    faults: list[str] = []
    others: list[Fault] = []
    for index, entry in enumerate(listed):
        kinds = list(entry) if isinstance(entry, dict) else [str(entry)]
        place = f"spec.strategy.canary.steps[{index}]"
        try:
            if kinds == ["setWeight"]:
                steps.append(SetWeight(_weight(entry["setWeight"], total)))
            elif kinds == ["pause"]:
                steps.append(Pause(_seconds(entry["pause"])))
            else:
                others.append(Fault(f"{place}: {', '.join(map(str, kinds)) or 'an empty step'}"))
        except ValueError as error:
            faults.append(f"{place}: {error}")
    if others:
        raise UnsupportedError(
            f"{name} has steps that rollway does not do:",
            reasons=others,
            hint="rollway does setWeight and pause; give the weights by hand: rollway ramp NAME FROM..TO",
        )
    if faults:
        raise ManifestError(name, faults)
    return steps


def _weight(value: object, total: int) -> int:
    if type(value) is not int or not 0 <= value <= total:
        raise ValueError(f"setWeight {value!r} is not a whole number from 0 to {total}")
    return value


def _seconds(value: object) -> float | None:
    """Read a pause: `{}` has no end; a duration is a number of seconds, or like `10m` (Argo Rollouts, `RolloutPause`)."""
    duration = value.get("duration") if isinstance(value, dict) else None
    if duration is None:
        return None
    word = str(duration)
    try:
        seconds = float(word) if word.isdigit() else durationpy.from_str(word).total_seconds()
    except (durationpy.DurationError, ValueError):
        raise ValueError(f"duration {duration!r} is not a time like 30, 30s, 5m or 1h30m") from None
    if seconds < 0 or isinstance(duration, bool):
        raise ValueError(f"duration {duration!r} is no time to wait")
    return float(seconds)


def remaining(steps: Sequence[Step], live: int, total: int, *, resume: bool = False) -> list[Step]:
    """Return the steps that are still to come when the canary has `live` of `total`, beginning with the one that set it.

    With `resume`, the pause at which it stands is over.

    Raises:
        RefusedError: no step sets that weight.
    """
    begin = next((index for index, step in enumerate(steps) if step == SetWeight(live)), None) if live else 0
    if begin is None:
        listed = ", ".join(str(step.weight) for step in steps if isinstance(step, SetWeight))
        raise RefusedError(
            f"the canary has {live} of {total}, which none of the steps sets ({listed})",
            hint="set the weight of the step to go on from, or 0 to begin again",
        )
    coming = list(steps[begin:])
    if resume:
        head = 1 if coming[0] == SetWeight(live) else 0
        while len(coming) > head and isinstance(coming[head], Pause):
            del coming[head]
    return coming
