"""What a GitOps tool must leave alone: the fields of the user's objects that carry weights. Pure.

Sources: Argo CD, "Diff Customization" and "Sync Options" (RespectIgnoreDifferences); fluxcd/kustomize-controller,
`api/v1` (`spec.ignore`), and fluxcd/helm-controller, `api/v2` (`spec.driftDetection.ignore`).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from jsonpointer import JsonPointer

from rollway.routers.backends import backends_of
from rollway.routers.differences import differences
from rollway.routers.model import Context
from rollway.routers.objects import Access, dig
from rollway.routers.observation import observe
from rollway.routers.plan import Action, pointer
from rollway.routers.planning import needs_of, wanted_changes
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef, Pointer

Tool: TypeAlias = Literal["argocd", "flux"]

_KEY = re.compile("[A-Za-z_][A-Za-z0-9_]*")
"""A key that jq takes without quotes."""


def weight_paths(rollout: Rollout, live: Live) -> dict[ObjectRef, list[Pointer]]:
    """Return the fields that any weight of this Rollout changes, for each object of the user.

    They are read off what is rendered for weights that all differ, so they are what is patched, and no more. Where a
    backend names every field exactly, those are the fields.

    Raises what planning raises.
    """
    total = rollout.total
    shared = [need for need in needs_of(rollout) if need.access is Access.SHARED]
    if shared and not any("*" in field for need in shared for field in need.fields):
        return {
            need.ref: [tuple(JsonPointer(field).parts) for field in sorted(need.fields)] for need in shared
        }
    seen = observe(rollout, live).nearest_traffic
    paths: dict[ObjectRef, dict[Pointer, None]] = {}
    for weight in dict.fromkeys((0, 1, total // 2, total - 1, total)):
        want = replace(seen, split=Split(weight, total))
        if any(backend.capabilities.missing(want) for backend in backends_of(rollout)):
            want = Traffic(want.split)  # the weights come after the routes are removed
        context = Context(rollout, want, live)
        for change in wanted_changes(context, Access.SHARED):
            assert change.action is Action.PATCH, "a shared object is patched"
            for path, _, _ in differences(change.before, change.after):
                paths.setdefault(change.ref, {})[path] = None
    return {ref: sorted(fields, key=pointer) for ref, fields in paths.items()}


def stanzas(
    tool: Tool, paths: Mapping[ObjectRef, Sequence[Pointer]], live: Live
) -> list[tuple[str, Manifest]]:
    """Return (what it belongs to, the stanza) for a tool.

    Argo CD finds list items by their names, so that a route keeps its exception when others are put before it; Flux
    knows JSON pointers only.
    """
    if tool == "argocd":
        ignored = [_ignored_by_argo_cd(ref, fields, live[ref].manifest) for ref, fields in paths.items()]
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
            "paths": [pointer(path) for path in fields],
            # The selector's name and namespace are regular expressions, anchored by Flux.
            "target": {"group": ref.group, "kind": ref.kind, "name": ref.name, "namespace": ref.namespace},
        }
        for ref, fields in paths.items()
    ]
    return [
        ("Kustomization (kustomize.toolkit.fluxcd.io/v1)", {"spec": {"ignore": rules}}),
        (
            "HelmRelease (helm.toolkit.fluxcd.io/v2)",
            {"spec": {"driftDetection": {"mode": "enabled", "ignore": rules}}},
        ),
    ]


def _ignored_by_argo_cd(ref: ObjectRef, fields: Sequence[Pointer], manifest: Manifest) -> Manifest:
    expressions = {path: jq_path(path, manifest) for path in fields}
    by_name = [expression for expression in expressions.values() if expression]
    pointers = [pointer(path) for path, expression in expressions.items() if not expression]
    return {
        "group": ref.group,
        "kind": ref.kind,
        "name": ref.name,
        "namespace": ref.namespace,
        **({"jsonPointers": pointers} if pointers else {}),
        **({"jqPathExpressions": by_name} if by_name else {}),
    }


def jq_path(path: Pointer, manifest: Manifest) -> str:
    """Write a path as jq does, with list items by their names; empty where none of them has one of its own."""
    text, by_name = "", False
    value: Any = manifest
    for step in path:
        item = dig(value, step)
        name = dig(item, "name")
        if isinstance(step, str):
            text += f".{step}" if _KEY.fullmatch(step) else f"[{json.dumps(step)}]"
        elif isinstance(name, str) and [dig(other, "name") for other in value].count(name) == 1:
            text += f"[] | select(.name == {json.dumps(name)}) | "
            by_name = True
        else:
            text += f"[{step}]"
        value = item
    return text.replace("| [", "| .[") if by_name else ""
