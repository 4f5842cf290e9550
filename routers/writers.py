"""Recognize who else owns or writes an object: by its labels, its annotations, its owners, and the managers of its fields.

Sources: Argo CD, "Resource Tracking"; Flux, "Kustomization" and "HelmRelease" (labels of applied objects); Flagger,
`pkg/router`; Argo Rollouts, `utils/istio` (the annotation of a DestinationRule). A manager is called after its program
unless that defines it otherwise (Kubernetes, "Server-Side Apply").
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.objects import Manifest


class Influence(enum.Enum):
    """What a writer does to the weights."""

    WEIGHTS = "weights"
    """It writes weights of its own."""
    SYNC = "sync"
    """It writes what stands in Git, which may be other weights."""


class Writer(NamedTuple):
    """Somebody beside rollway who owns or writes an object."""

    name: str
    influence: Influence
    detail: str
    remedy: str


class _Marks(NamedTuple):
    """What shows that a tool has to do with an object: keys of labels or annotations, kinds of owners, managers."""

    name: str
    influence: Influence
    keys: tuple[str, ...]
    managers: tuple[str, ...]
    owners: tuple[str, ...] = ()
    remedy: str = "let one of the two move the traffic"


_TOOLS = (
    _Marks(
        "Argo CD",
        Influence.SYNC,
        ("argocd.argoproj.io/instance", "argocd.argoproj.io/tracking-id"),
        ("argocd-controller", "argocd-application-controller"),
        remedy="`rollway gitops {name} --for argocd` prints what keeps it from writing the weights back",
    ),
    _Marks(
        "Flux",
        Influence.SYNC,
        ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"),
        ("kustomize-controller", "helm-controller"),
        remedy="`rollway gitops {name} --for flux` prints what keeps it from writing the weights back",
    ),
    _Marks(
        "Flagger",
        Influence.WEIGHTS,
        ("flagger.kubernetes.io/original-configuration",),
        ("flagger",),
        owners=("Canary",),
    ),
    _Marks(
        "Argo Rollouts",
        Influence.WEIGHTS,
        ("argo-rollouts.argoproj.io/managed-by-rollouts",),
        ("rollouts-controller", "argo-rollouts"),
    ),
)


def writers_of(manifest: Manifest, managers: Sequence[str] = ()) -> list[Writer]:
    """Return who is known to write an object beside rollway; `managers` are the names of its field managers."""
    metadata = manifest["metadata"]
    keys = {*(metadata.get("labels") or {}), *(metadata.get("annotations") or {})}
    owners = {dig(owner, "kind") for owner in metadata.get("ownerReferences") or ()}
    writers = []
    for tool in _TOOLS:
        signs = [
            *(f"{key} is set" for key in tool.keys if key in keys),
            *(f"it is owned by a {kind}" for kind in tool.owners if kind in owners),
            *(f"{manager} has written fields" for manager in tool.managers if manager in managers),
        ]
        if signs:
            does = {
                Influence.WEIGHTS: "writes weights of its own",
                Influence.SYNC: "may write weights from Git back",
            }[tool.influence]
            detail = f"{tool.name} {does} ({', '.join(signs)})"
            writers.append(Writer(tool.name, tool.influence, detail, tool.remedy))
    return writers
