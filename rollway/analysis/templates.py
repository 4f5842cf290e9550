"""Several templates, and the templates that they take in, as one analysis. Pure.

Source: Argo Rollouts, `utils/analysis/helpers.go` (`FlattenTemplates`) and `rollout/analysis.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.analysis.arguments import combined
from rollway.analysis.spec import Analysis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollway.analysis.spec import Reference


def gathered(
    references: Sequence[Reference], known: Mapping[Reference, Analysis]
) -> tuple[list[Reference], list[Reference]]:
    """Return the templates that some references lead to, each once, those of the namespace first, and the missing ones."""
    found: dict[Reference, None] = {}
    absent: dict[Reference, None] = {}
    waiting = list(references)
    while waiting:
        reference = waiting.pop(0)
        if reference in found or reference in absent:
            continue
        if reference not in known:
            absent[reference] = None
            continue
        found[reference] = None
        waiting = [*known[reference].references, *waiting]
    return sorted(found, key=lambda reference: reference.cluster), list(absent)


def flattened(analyses: Sequence[Analysis]) -> tuple[Analysis, list[str]]:
    """Return several analyses as one, and what contradicts in them."""
    arguments, faults = combined(each for analysis in analyses for each in analysis.arguments)
    metrics = tuple(metric for analysis in analyses for metric in analysis.metrics)
    dry_run = tuple(pattern for analysis in analyses for pattern in analysis.dry_run)
    retention = tuple(rule for analysis in analyses for rule in analysis.retention)
    for what, names in (
        ("metrics", [str(metric.get("name")) for metric in metrics]),
        ("dryRun rules", list(dry_run)),
        ("measurementRetention rules", [rule.pattern for rule in retention]),
    ):
        twice = dict.fromkeys(name for index, name in enumerate(names) if name in names[:index])
        faults += [f"two {what} have the name {name!r}" for name in twice]
    return Analysis(metrics, arguments, dry_run, retention), faults
