"""A weight that somebody holds by hand on a Rollout of rollway's controller: the annotation, read and written. Pure.

It belongs to one update at one step, so that whoever promotes, aborts or supersedes that update ends it, also with
`kubectl argo rollouts`, which knows nothing of it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.objects import dig
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rollway.routers.objects import Manifest, Pointer

HELD_WEIGHT = "rollway.dev/held-weight"
"""The annotation of a Rollout."""
LONGEST_WORD = 256
"""The most characters of the hash, and of the name of whoever holds it."""


class HeldWeight(NamedTuple):
    """A weight, the update that it is for, and who holds it since when.

    `step` is the index of the step at which the update stands while it is held; None for a Rollout without steps.
    """

    weight: int
    pod_hash: str
    step: int | None
    by: str
    since: datetime

    @property
    def since_text(self) -> str:
        """When it was asked for, as Kubernetes writes times."""
        return self.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def annotation(self) -> str:
        """Write it as the value of the annotation."""
        fields = {
            "weight": self.weight,
            "hash": self.pod_hash,
            "step": self.step,
            "by": self.by,
            "since": self.since_text,
        }
        return json.dumps(fields, ensure_ascii=False)

    def text(self, total: int) -> str:
        """Write it for people, as the status of the Rollout shows it."""
        return f"weight {Split(self.weight, total)} is held by hand since {self.since_text} by {self.by}"


def read_held_weight(rollout: Manifest) -> HeldWeight | None:
    """Read the annotation of a Rollout; None where there is none.

    Raises:
        ValueError: its value is none of a held weight; the message says why.
    """
    value = dig(rollout, "metadata", "annotations", HELD_WEIGHT)
    if value is None:
        return None
    try:
        fields = json.loads(value)
    except (ValueError, TypeError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ValueError("is no JSON object as `rollway set-weight` writes it")  # noqa: TRY004 - a wrong value
    weight, step = fields.get("weight"), fields.get("step")
    if type(weight) is not int or weight < 0:
        raise ValueError(f"weight {weight!r} is not a whole number from 0")
    if step is not None and (type(step) is not int or step < 0):
        raise ValueError(f"step {step!r} is not a whole number from 0")
    return HeldWeight(weight, _word(fields, "hash"), step, _word(fields, "by"), _time(fields))


def held_weight_faults(rollout: Manifest) -> list[tuple[Pointer, str]]:
    """Return where the annotation has a fault, and which; nothing where it has none."""
    try:
        read_held_weight(rollout)
    except ValueError as error:
        return [(("metadata", "annotations", HELD_WEIGHT), str(error))]
    return []


def held_weight_of(rollout: Manifest) -> HeldWeight | None:
    """Return the weight that the annotation of a Rollout holds; None where it holds none, or has faults."""
    try:
        return read_held_weight(rollout)
    except ValueError:
        return None


def _word(fields: Mapping[str, Any], key: str) -> str:
    text = fields.get(key)
    if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= LONGEST_WORD:
        raise ValueError(f"{key} is not a text of one line")
    return text


def _time(fields: Mapping[str, Any]) -> datetime:
    try:
        moment = datetime.fromisoformat(str(fields.get("since")))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("since is not a time as Kubernetes writes it")
    return moment
