"""Whether a ReplicaSet was made from a pod template, although its own has more: defaults and what a controller put in. Pure.

Source: `FindNewReplicaSet` in `utils/replicaset/replicaset.go` of Argo Rollouts, the third rule.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rollway.controller import go_json
from rollway.controller.hashes import Flavour
from rollway.controller.world import EPHEMERAL_METADATA
from rollway.routers.errors import ManifestError
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import dig, duplicate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.routers.objects import Manifest

_TERMS = {
    "requiredDuringSchedulingIgnoredDuringExecution": ("labelSelector",),
    "preferredDuringSchedulingIgnoredDuringExecution": ("podAffinityTerm", "labelSelector"),
}
"""The lists of terms of an anti-affinity, and where in a term its label selector stands."""


def same_template(replica_set: Manifest, template: Manifest) -> bool:
    """Return whether a live ReplicaSet was made from a pod template that the API server has given its defaults.

    What was put into the live one is left out: the hash label, recorded ephemeral metadata, and the anti-affinity to another
    ReplicaSet's pods. So is `serviceAccount`, the old name of `serviceAccountName`.

    Raises:
        ManifestError: one of the templates has values that Kubernetes cannot hold.
    """
    live = without_ephemeral_metadata(replica_set)
    wanted = duplicate(template)
    if _drop_injected_anti_affinity(live, wanted):
        for each in (live, wanted):
            _drop_empty_affinity(each)
    for each in (live, wanted):
        _drop(each, "metadata", "labels", HASH_LABEL)
        _drop(each, "spec", "serviceAccount")
    return equal(live, wanted)


def other_images(replica_set: Manifest, template: Manifest) -> bool:
    """Return whether a pod template, with defaults or without, has a container whose image is not that of a live ReplicaSet.

    Such a ReplicaSet was not made from it: Kubernetes has no default for an image, and changes none that is given.
    """
    live = _images(dig(replica_set, "spec", "template"))
    return any(live.get(name) != image for name, image in _images(template).items())


def _images(template: Manifest | None) -> dict[str, str]:
    spec = dig(template, "spec") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return {each["name"]: each["image"] for each in containers if each.get("name") and each.get("image")}


def equal(left: Manifest, right: Manifest) -> bool:
    """Return whether two pod templates mean the same to Kubernetes.

    A list or map that is absent equals an empty one, and `1000m` equals `1`. Fields that Go's types do not have are
    ignored, as by a hash.

    Raises:
        ManifestError: a template has values that Kubernetes cannot hold.
    """
    return bool(_read(left) == _read(right))


def without_ephemeral_metadata(replica_set: Manifest) -> Manifest:
    """Return a copy of a ReplicaSet's pod template without the labels and annotations that its record names.

    A record that cannot be read names none, as for Argo Rollouts.
    """
    template: Manifest = duplicate(dig(replica_set, "spec", "template") or {})
    for field, keys in recorded_metadata(
        dig(replica_set, "metadata", "annotations", EPHEMERAL_METADATA)
    ).items():
        for key in keys:
            _drop(template, "metadata", field, key)
    return template


def recorded_metadata(record: str | None) -> dict[str, Mapping[str, str]]:
    """Read which labels and annotations were put into a pod template; a record that cannot be read names none."""
    try:
        read = json.loads(record or "{}")
    except ValueError:
        return {}
    recorded = {field: dig(read, field) or {} for field in ("labels", "annotations")}
    for values in recorded.values():
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            return {}
    return recorded


def _read(template: Manifest) -> go_json.Tree:
    reading = go_json.Reading(go_json.types("template", Flavour.CURRENT.value), semantic=True)
    tree = reading.read("PodTemplateSpec", template)
    if reading.faults:
        raise ManifestError("the pod template", reading.faults)
    return tree


def _drop(value: Manifest, *path: str) -> None:
    parent = dig(value, *path[:-1])
    if isinstance(parent, dict):
        parent.pop(path[-1], None)


def _drop_injected_anti_affinity(live: Manifest, wanted: Manifest) -> bool:
    """Drop the terms about a hash that only the live template has, and return whether there were any."""
    dropped = False
    for name, selector in _TERMS.items():
        own = dig(wanted, "spec", "affinity", "podAntiAffinity", name) or []
        terms = dig(live, "spec", "affinity", "podAntiAffinity", name) or []
        kept = [term for term in terms if term in own or not _selects_a_hash(dig(term, *selector))]
        if len(kept) != len(terms):
            live["spec"]["affinity"]["podAntiAffinity"][name] = kept
            dropped = True
    return dropped


def _selects_a_hash(selector: object) -> bool:
    expressions = dig(selector, "matchExpressions") or []
    return (
        len(expressions) == 1
        and dig(expressions, 0, "key") == HASH_LABEL
        and dig(expressions, 0, "operator") == "In"
    )


def _drop_empty_affinity(template: Manifest) -> None:
    affinity = dig(template, "spec", "affinity")
    if affinity and not any((affinity.get("podAntiAffinity") or {}).values()):
        affinity.pop("podAntiAffinity", None)
    if affinity is not None and not any(value is not None for value in affinity.values()):
        del template["spec"]["affinity"]
