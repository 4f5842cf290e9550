"""The step `setCanaryScale`: how many pods the canary has, apart from its weight. Pure.

Source: Argo Rollouts, `SetCanaryScale` in `pkg/apis/rollouts/v1alpha1/types.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class SetCanaryScale(NamedTuple):
    """Give the canary so many pods, or the share of a weight (percent of the replicas); both None: those of its weight."""

    replicas: int | None = None
    weight: int | None = None


def read_canary_scale(given: Any, fault: Callable[[str], None]) -> SetCanaryScale | None:
    """Read the body of the step; None when it has faults, which `fault` gets."""
    keys = [
        key
        for key in ("replicas", "weight", "matchTrafficWeight")
        if isinstance(given, dict) and given.get(key)
    ]
    if isinstance(given, dict) and not keys:
        keys = [key for key in ("replicas", "weight") if given.get(key) == 0]
    if len(keys) != 1:
        fault("give one of replicas, weight and matchTrafficWeight: true")
        return None
    value = given[keys[0]]
    if keys == ["matchTrafficWeight"]:
        return SetCanaryScale()
    top = 100 if keys == ["weight"] else None
    if type(value) is not int or value < 0 or (top is not None and value > top):
        fault(f"{keys[0]} {value!r} is not a whole number from 0" + (" to 100" if top else ""))
        return None
    return SetCanaryScale(**{keys[0]: value})
