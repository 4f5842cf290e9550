"""What a GitOps tool must leave alone: the fields of the user's objects that carry weights. Pure.

Sources: Argo CD, "Diff Customization" and "Sync Options" (RespectIgnoreDifferences); fluxcd/kustomize-controller,
`api/v1` (`spec.ignore`), and fluxcd/helm-controller, `api/v2` (`spec.driftDetection.ignore`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from rollway.routers.model import Access, Context, Traffic
from rollway.routers.plan import Action, differences, pointer
from rollway.routers.planning import wanted_changes
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollway.routers.model import Live, Manifest, ObjectRef, Rollout

Tool: TypeAlias = Literal["argocd", "flux"]


def weight_pointers(rollout: Rollout, live: Live) -> dict[ObjectRef, list[str]]:
    """Return the JSON pointers that any weight of this Rollout changes, for each object of the user.

    They are read off what is rendered for weights that all differ, so they are what is patched, and no more.

    Raises what planning raises.
    """
    total = rollout.total
    found: dict[ObjectRef, dict[str, None]] = {}
    for weight in dict.fromkeys((0, 1, total // 2, total - 1, total)):
        context = Context(rollout, Traffic(Split(weight, total)), live)
        for change in wanted_changes(context, Access.SHARED):
            assert change.action is Action.PATCH, "a shared object is patched"
            for path, _, _ in differences(change.before, change.after):
                found.setdefault(change.ref, {})[pointer(path)] = None
    return {ref: sorted(pointers) for ref, pointers in found.items()}


def stanzas(tool: Tool, pointers: Mapping[ObjectRef, Sequence[str]]) -> list[tuple[str, Manifest]]:
    """Return (what it belongs to, the stanza) for a tool."""
    if tool == "argocd":
        ignored = [
            {
                "group": ref.group,
                "kind": ref.kind,
                "name": ref.name,
                "namespace": ref.namespace,
                "jsonPointers": list(paths),
            }
            for ref, paths in pointers.items()
        ]
        # Without the option a sync still writes the ignored fields back.
        options = {"syncOptions": ["RespectIgnoreDifferences=true"]}
        return [
            (
                "Application (argoproj.io/v1alpha1)",
                {"spec": {"ignoreDifferences": ignored, "syncPolicy": options}},
            )
        ]
    rules = [
        {
            "paths": list(paths),
            # The selector's name and namespace are regular expressions, anchored by Flux.
            "target": {"group": ref.group, "kind": ref.kind, "name": ref.name, "namespace": ref.namespace},
        }
        for ref, paths in pointers.items()
    ]
    return [
        ("Kustomization (kustomize.toolkit.fluxcd.io/v1)", {"spec": {"ignore": rules}}),
        (
            "HelmRelease (helm.toolkit.fluxcd.io/v2)",
            {"spec": {"driftDetection": {"mode": "enabled", "ignore": rules}}},
        ),
    ]
