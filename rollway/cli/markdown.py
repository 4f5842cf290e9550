"""A plan as Markdown, for the comment that a pipeline writes below a pull request (GitHub, GitLab)."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from rollway.cli.answers import diff_lines, weights
from rollway.routers.guards import lift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.plan import Change, Plan
    from rollway.routers.weights import Split


def plan_text(rollout: Rollout, wanted: Split, plan: Plan | None, allow: frozenset[str]) -> str:
    """Write the weights before and after, the diff of each object, the findings and the fingerprint."""
    title = f"### {_plain(str(rollout.ref))}: canary {wanted}"
    if plan is None:
        return f"{title}\n\nNothing to change."
    before = {(reading.ref, reading.part): reading for reading in plan.before}
    rows = [
        (str(reading.ref), reading.part, weights(before.get((reading.ref, reading.part))), weights(reading))
        for reading in plan.after
    ]
    findings = [
        f"- **{finding.severity.value}** {_plain(str(finding))}" for finding in lift(plan.findings, allow)
    ]
    parts = [
        title,
        *(
            ["\n".join(f"- with {_plain(str(route))}" for route in plan.want.routes)]
            if plan.want.routes
            else []
        ),
        _table(("Object", "Part", "Before", "After"), rows),
        *(_details(change) for change in plan.changes),
        *(["\n".join(findings)] if findings else []),
        f"Fingerprint `{plan.fingerprint}`",
    ]
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """Keep Markdown and HTML from reading a text as anything but itself."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(text, quote=False)).replace("\n", " ")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _details(change: Change) -> str:
    """Write one change as a diff that is unfolded by a click."""
    text = "\n".join(diff_lines(change))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    summary = html.escape(f"{change.action.value} {change.ref}")
    return f"<details><summary>{summary}</summary>\n\n{fence}diff\n{text}\n{fence}\n\n</details>"
