"""What a user wants a Deployment to become. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.errors import InvalidInputError
from rollway.routers.model import INSTANCE_ID

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

STEPS = "10,25:5m,50:5m"
"""A first look that a person ends, then two that time ends."""
ON_SUCCESS = "onsuccess"
NO_ROUTER = "none"
_STEP = re.compile(r"(\d{1,3})(?::(\d+[smh]?))?")


class AdoptionWish(NamedTuple):
    """What the Rollout is to be; empty names are found out or derived.

    `scale_down_delay` is for how many seconds pods are kept that no Service leads to any more (None: the default of
    Rollouts). `routers` are the names of backends (empty: all whose routes lead to the Service; `none`: no router). `template` has the
    Rollout take the pod template over instead of referring to the Deployment.
    """

    blue_green: bool = False
    service: str = ""
    canary_service: str = ""
    routers: tuple[str, ...] = ()
    steps: str = STEPS
    scale_down: str = ON_SUCCESS
    scale_down_delay: int | None = None
    template: bool = False
    instance_id: str = INSTANCE_ID


def read_steps(text: str) -> list[Manifest]:
    """Read steps like `10,25:5m,50`: a weight, and how long it stays; without a time until somebody promotes.

    Raises:
        InvalidInputError: it is no list of weights from 1 to 100 that rise.
    """
    steps: list[Manifest] = []
    last = 0
    for word in filter(None, map(str.strip, text.split(","))):
        found = _STEP.fullmatch(word)
        weight = int(found[1]) if found else 0
        if not found or not last < weight <= 100:
            raise InvalidInputError(
                f"{word!r} in {text!r} is no step: weights rise from 1 to 100",
                hint="write them like 10,25:5m,50 (without a time a step waits for `rollway promote`)",
            )
        pause = {"duration": found[2]} if found[2] else {}
        steps += [{"setWeight": weight}, {"pause": pause}]
        last = weight
    return steps
