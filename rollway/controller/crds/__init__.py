"""The CustomResourceDefinitions of a Rollout and of what it uses, for `argoproj.io/v1alpha1`.

They take every object that those of Argo Rollouts have taken, and keep fields that they do not name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.controller.crds.rollout import rollout
from rollway.controller.crds.structural import PRESERVE
from rollway.routers.render import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollway.routers.backends import BackendPackage
    from rollway.routers.objects import Manifest

GROUP = "argoproj.io"

_OPEN = {"type": "object", PRESERVE: True}
_AGE = ("Age", "date", ".metadata.creationTimestamp", "Time since the object was created.")
_PHASE = ("Status", "string", ".status.phase", "The phase.")
_ROLLOUT_COLUMNS = (
    ("Desired", "integer", ".spec.replicas", "How many pods are wanted."),
    ("Current", "integer", ".status.replicas", "How many pods there are."),
    ("Up-to-date", "integer", ".status.updatedReplicas", "How many pods are of the newest version."),
    ("Available", "integer", ".status.availableReplicas", "How many pods are available."),
    _AGE,
)
_ROLLOUT_SUBRESOURCES = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.HPAReplicas",
        "labelSelectorPath": ".status.selector",
    },
}


class _Kind(NamedTuple):
    """One kind. Without subresources its status is written with the object, as Argo Rollouts writes all but Rollouts."""

    name: str
    short: str
    columns: Sequence[tuple[str, str, str, str]] = (_AGE,)
    scope: str = "Namespaced"
    has_status: bool = False
    subresources: Mapping[str, Any] = {}
    categories: Sequence[str] = ()


_ROLLOUT = _Kind("Rollout", "ro", _ROLLOUT_COLUMNS, subresources=_ROLLOUT_SUBRESOURCES, categories=("all",))
_OTHERS = (
    _Kind("AnalysisRun", "ar", (_PHASE, _AGE), has_status=True),
    _Kind("AnalysisTemplate", "at"),
    _Kind("ClusterAnalysisTemplate", "cat", scope="Cluster"),
    _Kind("Experiment", "exp", (_PHASE, _AGE), has_status=True),
)


def definitions(packages: Sequence[BackendPackage]) -> list[Manifest]:
    """Return the CRDs, that of Rollouts with the stanzas of these backends first."""
    others = [
        _definition(kind, {"spec": _OPEN, **({"status": _OPEN} if kind.has_status else {})})
        for kind in _OTHERS
    ]
    return [_definition(_ROLLOUT, rollout(packages)), *others]


def _definition(kind: _Kind, properties: Mapping[str, Any]) -> Manifest:
    columns = [
        {"name": name, "type": its_type, "jsonPath": path, "description": description}
        for name, its_type, path, description in kind.columns
    ]
    values = {**kind._asdict(), "plural": f"{kind.name.lower()}s", "columns": columns}
    return render("deploy/crd.yaml.j2", group=GROUP, properties=properties, **values)
