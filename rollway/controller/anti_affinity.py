"""Keep the pods of a new release away from the nodes of the stable one, so that its end lets no node stand empty. Pure.

Source: Argo Rollouts, `utils/replicaset/replicaset.go` (`GenerateReplicaSetAffinity`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import duplicate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.routers.objects import Manifest

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def kept_apart(template: Manifest, rules: Mapping[str, Any], stable: str, namespace: str) -> Manifest:
    """Return the pod template with a term that keeps its pods off nodes with pods of the stable hash."""
    changed: Manifest = duplicate(template)
    term = {
        "labelSelector": {
            "matchExpressions": [{"key": HASH_LABEL, "operator": "In", "values": [stable]}],
        },
        "namespaces": [namespace],
        "topologyKey": "kubernetes.io/hostname",
    }
    affinity = changed.setdefault("spec", {}).setdefault("affinity", {}).setdefault("podAntiAffinity", {})
    if rules.get(_REQUIRED) is not None:
        affinity.setdefault(_REQUIRED, []).append(term)
    else:
        weight = rules[_PREFERRED]["weight"]
        affinity.setdefault(_PREFERRED, []).append({"weight": weight, "podAffinityTerm": term})
    return changed
