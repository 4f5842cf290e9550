"""The steps of a ramp: even ones, or those that the Rollout's own manifest lists. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import durationpy

from rollway.routers.errors import Fault, ManifestError, RefusedError, UnsupportedError
from rollway.routers.objects import dig
from rollway.routers.rollout import dotted
from rollway.routers.route_steps import ROUTE_STEPS, RemoveRoute, RouteReader, SetRoute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.objects import Manifest, Pointer
    from rollway.routers.traffic import HeaderRoute, MirrorRoute


# No named tuples: a weight of 60 and a pause of 60 seconds would be equal.
@dataclass(frozen=True)
class SetWeight:
    """Give the canary this weight out of the Rollout's total."""

    weight: int


@dataclass(frozen=True)
class Pause:
    """Stay for so many seconds; None: until somebody continues it."""

    seconds: float | None


Step: TypeAlias = SetWeight | Pause | SetRoute | RemoveRoute

_STEPS: Pointer = ("spec", "strategy", "canary", "steps")


class ListedSteps(NamedTuple):
    """The steps of a manifest, each with its pointer: those that rollway does, faults in them, the others by their keys."""

    steps: list[tuple[Pointer, Step]]
    faults: list[tuple[Pointer, str]]
    others: list[tuple[Pointer, str]]


def even_steps(coming: Sequence[int], every: float) -> list[Step]:
    """Return the steps of a ramp that stays `every` seconds at each weight but the last."""
    steps: list[Step] = []
    for weight in coming:
        steps += [SetWeight(weight), Pause(every)]
    return steps[:-1]


def read_steps(manifest: Manifest, total: int | None = None) -> ListedSteps:
    """Read what `spec.strategy.canary.steps` of a Rollout lists, with each fault at its place.

    `total` is what weights count out of (None: the manifest's own, or 100).
    """
    listed = dig(manifest, *_STEPS)
    routing = dig(manifest, "spec", "strategy", "canary", "trafficRouting")
    if total is None:
        given = dig(routing, "maxTrafficWeight")
        total = given if type(given) is int else 100
    managed = dig(routing, "managedRoutes")
    names = [dig(route, "name") for route in managed] if isinstance(managed, list) else []
    reader = RouteReader([name for name in names if isinstance(name, str)])
    steps: list[tuple[Pointer, Step]] = []
    others: list[tuple[Pointer, str]] = []
    for index, entry in enumerate(listed if isinstance(listed, list) else ()):
        kinds = list(entry) if isinstance(entry, dict) else [str(entry)]
        place = (*_STEPS, index)
        try:
            if kinds == ["setWeight"]:
                steps.append((place, SetWeight(_weight(entry["setWeight"], total))))
            elif kinds == ["pause"]:
                steps.append((place, Pause(_seconds(entry["pause"]))))
            elif len(kinds) == 1 and kinds[0] in ROUTE_STEPS:
                step = reader.step(ROUTE_STEPS[kinds[0]], entry[kinds[0]], (*place, kinds[0]))
                steps += [(place, step)] if step else []
            else:
                others.append((place, ", ".join(map(str, kinds)) or "an empty step"))
        except ValueError as error:
            reader.faults.append((place, str(error)))
    return ListedSteps(steps, reader.faults, others)


def steps_of(manifest: Manifest, total: int) -> list[Step]:
    """Return the steps that a Rollout lists: `setWeight`, `pause`, `setHeaderRoute` and `setMirrorRoute`.

    Raises:
        UnsupportedError: there are other steps; each is named.
        ManifestError: there are none, or some have faults; all of them are listed.
    """
    name = f"Rollout {dig(manifest, 'metadata', 'name')}"
    steps, faults, others = read_steps(manifest, total)
    if others:
        raise UnsupportedError(
            f"{name} has steps that rollway does not do:",
            reasons=[Fault(f"{dotted(path)}: {kinds}") for path, kinds in others],
            hint="rollway does setWeight, pause, setHeaderRoute and setMirrorRoute; give the weights by hand: "
            "rollway ramp NAME FROM..TO",
        )
    if faults:
        raise ManifestError(name, [f"{dotted(path)}: {message}" for path, message in faults])
    if not steps:
        raise ManifestError(name, [f"{dotted(_STEPS)}: there are no steps to follow"])
    return [step for _, step in steps]


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


def remaining(
    steps: Sequence[Step],
    live: int,
    total: int,
    *,
    routes: Sequence[HeaderRoute | MirrorRoute] = (),
    resume: bool = False,
) -> list[Step]:
    """Return the steps that are still to come when the canary has `live` of `total`, beginning with the one that set it.

    With `resume`, the pause at which it stands is over: the first one behind that weight at which the steps have set
    just the `routes` that are live. The route steps before it are done.

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
    if not resume:
        return list(steps[begin:])
    head = 1 if steps[begin] == SetWeight(live) else 0
    following = _standing(steps, begin + head, routes)
    while following < len(steps) and isinstance(steps[following], Pause):
        following += 1
    return [*steps[begin : begin + head], *steps[following:]]


def _standing(steps: Sequence[Step], begin: int, routes: Sequence[HeaderRoute | MirrorRoute]) -> int:
    """Return the index of the pause at which a ramp stands; `begin`, if no pause there fits the routes that are live."""
    named = {_route_name(step) for step in steps if isinstance(step, SetRoute | RemoveRoute)}
    live = {route.name: route for route in routes if route.name in named}
    done: dict[str, HeaderRoute | MirrorRoute] = {}
    for index, step in enumerate(steps):
        if index >= begin and isinstance(step, SetWeight):
            break
        if isinstance(step, SetRoute):
            done[step.route.name] = step.route
        elif isinstance(step, RemoveRoute):
            done.pop(step.name, None)
        elif isinstance(step, Pause) and index >= begin and done == live:
            return index
    return begin


def _route_name(step: SetRoute | RemoveRoute) -> str:
    return step.route.name if isinstance(step, SetRoute) else step.name
