"""The hashes by which a Rollout knows its pod template and its steps again, as Argo Rollouts computes them. Pure.

They hash what encoding/json writes of the Go structs, so they depend on the version of Kubernetes' libraries. Sources:
`utils/hash/hash.go` and `utils/conditions/conditions.go` of Argo Rollouts.
"""

from __future__ import annotations

import enum
import functools
import json
from typing import TYPE_CHECKING, Any

from rollway.controller import go_json
from rollway.routers.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.objects import Manifest

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes writes hashes with: no vowels and no digits that look like some, so no words."""


class Flavour(enum.Enum):
    """Whose Go types are hashed."""

    CURRENT = "current"
    """Argo Rollouts 1.9 and later, with the libraries of Kubernetes 1.34."""
    OLD = "old"
    """Argo Rollouts 1.7 and 1.8, with the libraries of Kubernetes 1.29."""


def pod_template_hash(
    template: Manifest, collision_count: int | None = None, *, flavour: Flavour = Flavour.CURRENT
) -> str:
    """Return the value of `rollouts-pod-template-hash` for a pod template without the API server's defaults.

    `collision_count` is `status.collisionCount`, None where the status has none: 0 gives another hash.

    Raises:
        ManifestError: the template has values that Go's types cannot hold; all of them are listed.
    """
    return _hashed("the pod template", "template", _key(template), collision_count, flavour)


def steps_hash(steps: Sequence[Any] | None, *, flavour: Flavour = Flavour.CURRENT) -> str:
    """Return `status.currentStepHash` for `spec.strategy.canary.steps`; None where the strategy has none.

    Raises:
        ManifestError: the steps have values that Go's types cannot hold; all of them are listed.
    """
    return _hashed("the steps", "steps", _key(steps), None, flavour)


def unknown_fields(template: Manifest) -> list[str]:
    """Return the fields of a pod template that no hash sees, so that to change them alone starts no update.

    Argo Rollouts ignores them as well: misspelled ones, and those that are newer than its libraries.
    """
    reading = go_json.Reading(go_json.types("template", Flavour.CURRENT.value))
    reading.read("PodTemplateSpec", template)
    return reading.unknown


_ROOTS = {"template": "PodTemplateSpec", "steps": "[]CanaryStep"}


def _key(value: object) -> str:
    return json.dumps(value)


# A controller asks again and again for the same few, and a hash of two kilobytes takes half a millisecond.
@functools.lru_cache(maxsize=1024)
def _hashed(subject: str, section: str, key: str, collision_count: int | None, flavour: Flavour) -> str:
    reading = go_json.Reading(go_json.types(section, flavour.value))
    tree = reading.read(_ROOTS[section], json.loads(key))
    if reading.faults:
        raise ManifestError(subject, reading.faults)
    data = go_json.text(tree).encode()
    if collision_count is not None:
        data += collision_count.to_bytes(4, "little") + bytes(4)
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(_fnv_1a(data)))


def _fnv_1a(data: bytes) -> int:
    """Return the FNV-1a hash of 32 bits."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value
