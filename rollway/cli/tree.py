"""The text of a Rollout's tree, in the form that users of `kubectl argo rollouts get rollout` know."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import click

from rollway.releases.ages import age, short_duration
from rollway.releases.tree import AnalysisNode, ExperimentNode, ReplicaSetNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rollway.cli.live import LiveTraffic
    from rollway.releases.tree import Tree

_Node: TypeAlias = ReplicaSetNode | ExperimentNode | AnalysisNode
_Item = TypeVar("_Item")

OK, BAD, WARNING, PROGRESS, WAIT, UNKNOWN, PAUSE, NEUTRAL = "✔", "✖", "⚠", "◌", "◷", "?", "॥", "•"
_COLOURS = {
    OK: "green",
    BAD: "red",
    WARNING: "red",
    PROGRESS: "bright_blue",
    WAIT: "yellow",
    UNKNOWN: "yellow",
}
_SIGNS = {
    "Healthy": OK,
    "Successful": OK,
    "Running": OK,
    "Completed": OK,
    "Degraded": BAD,
    "Failed": BAD,
    "ReplicaFailure": BAD,
    "InvalidImageName": BAD,
    "CrashLoopBackOff": BAD,
    "Error": WARNING,
    "InvalidSpec": WARNING,
    "ImagePullBackOff": WARNING,
    "RegistryUnavailable": WARNING,
    "Progressing": PROGRESS,
    "Pending": PROGRESS,
    "Terminating": PROGRESS,
    "ContainerCreating": PROGRESS,
    "Unknown": UNKNOWN,
    "Inconclusive": UNKNOWN,
    "Paused": PAUSE,
    "ScaledDown": NEUTRAL,
}
_RUN_SIGNS = {"Running": PROGRESS, "Pending": WAIT}
"""Those of AnalysisRuns, Experiments and Jobs, which are not yet what they are to be while they run."""
_ROLES = {
    "canary": "yellow",
    "stable": "green",
    "active": "green",
    "preview": "bright_blue",
    "ping": "bright_blue",
    "pong": "bright_blue",
}


class _Row(NamedTuple):
    """One line of the tree."""

    name: str
    kind: str = ""
    status: str = ""
    age: str = ""
    info: str = ""
    images: str = ""


def sign(status: str) -> str:
    """Return the sign for what a Rollout, a ReplicaSet or a pod is doing."""
    if status.startswith("Init:"):
        return PROGRESS
    if status.startswith(("Signal:", "ExitCode:")):
        return BAD
    failing = status.endswith("Error") or status.startswith("Err")
    return _SIGNS.get(status, WARNING if failing else " ")


def lines(tree: Tree, live: LiveTraffic | None, now: datetime, *, wide: bool = False) -> Iterator[str]:
    """Yield the lines: what the Rollout reports, what its routing objects show, and the tree of what belongs to it."""
    for name, value in _summary(tree, live):
        yield f"{name:<17}{value}".rstrip()
    yield ""
    header = _Row("NAME", "KIND", "STATUS", "AGE", "INFO", "IMAGES")
    rows = [header, *_rows(tree, now)]
    shown = [row if wide else row[:-1] for row in rows]
    widths = [max(len(click.unstyle(cell)) for cell in column) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (
            cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _summary(tree: Tree, live: LiveTraffic | None) -> Iterator[tuple[str, str]]:
    yield "Name:", tree.name
    yield "Namespace:", tree.namespace
    yield "Status:", _status(tree.phase.name)
    if tree.phase.message:
        yield "Message:", tree.phase.message
    yield "Strategy:", tree.strategy
    if tree.strategy == "Canary":
        yield "  Step:", str(tree.position or "")
        yield "  SetWeight:", str(tree.set_weight)
        yield "  ActualWeight:", str(tree.actual_weight)
    if tree.held:
        yield (
            "  HeldWeight:",
            f"{tree.held.weight} by {tree.held.by} since {tree.held.since_text}",
        )
    for index, line in enumerate(live.lines if live else ()):
        yield "" if index else "  LiveWeight:", line
    for index, (image, roles) in enumerate(tree.images):
        listed = ", ".join(map(_role, roles))
        yield "" if index else "Images:", f"{image} ({listed})" if roles else image
    yield "Replicas:", ""
    for name, count in tree.replicas._asdict().items():
        yield f"  {name.capitalize()}:", str(count)


def _rows(tree: Tree, now: datetime) -> Iterator[_Row]:
    yield _Row(f"⟳ {tree.name}", "Rollout", _status(tree.phase.name), age(tree.created, now))
    for revision, here, below in _branches(tree.revisions, ""):
        yield _Row(f"{here}# revision:{revision.number}")
        nodes: list[_Node] = [*revision.replica_sets, *revision.experiments, *revision.analysis_runs]
        for node, inner, deeper in _branches(nodes, below):
            yield from _node_rows(node, inner, deeper, now)


def _branches(items: Sequence[_Item], before: str) -> Iterator[tuple[_Item, str, str]]:
    """Yield each item with what stands before its own line, and before those below it."""
    for number, item in enumerate(items, 1):
        last = number == len(items)
        yield item, f"{before}{'└──' if last else '├──'}", f"{before}{'   ' if last else '│  '}"


def _node_rows(node: _Node, here: str, below: str, now: datetime) -> Iterator[_Row]:
    since = age(node.created, now)
    if isinstance(node, ExperimentNode):
        yield _Row(f"{here}Σ {node.name}", "Experiment", _run(node.status), since)
        children: list[_Node] = [*node.replica_sets, *node.analysis_runs]
        for child, inner, deeper in _branches(children, below):
            yield from _node_rows(child, inner, deeper, now)
    elif isinstance(node, AnalysisNode):
        counts = (
            (OK, node.successful),
            (BAD, node.failed),
            (UNKNOWN, node.inconclusive),
            (WARNING, node.errors),
        )
        info = [f"{_coloured(mark)} {count}" for mark, count in counts if count]
        yield _Row(
            f"{here}\N{GREEK SMALL LETTER ALPHA} {node.name}",
            "AnalysisRun",
            _run(node.status),
            since,
            ",".join(info),
        )
        for job, inner, _ in _branches(node.jobs, below):
            yield _Row(f"{inner}⊞ {job.name}", "Job", _run(job.status), age(job.started, now))
    else:
        yield _replica_set_row(node, here, now)
        for pod, inner, _ in _branches(node.pods, below):
            state = pod.state
            restarts = f",restarts:{state.restarts}" if state.restarts else ""
            info_text = f"ready:{state.ready}/{state.containers}{restarts}"
            yield _Row(f"{inner}□ {pod.name}", "Pod", _status(state.word), age(pod.created, now), info_text)


def _replica_set_row(node: ReplicaSetNode, here: str, now: datetime) -> _Row:
    info = [*map(_role, node.roles)]
    if node.deadline:
        left = (node.deadline - now).total_seconds()
        info.append(f"delay:{short_duration(left) if left >= 0 else 'passed'}")
    colour = _ROLES.get(node.roles[-1]) if node.roles else None
    return _Row(
        f"{here}⧉ {click.style(node.name, fg=colour)}",
        "ReplicaSet",
        _status(node.status),
        age(node.created, now),
        ",".join(info),
        ", ".join(node.images),
    )


def _role(role: str) -> str:
    return click.style(role, fg=_ROLES.get(role))


def _status(status: str) -> str:
    return f"{_coloured(sign(status))} {status}"


def _run(status: str) -> str:
    return f"{_coloured(_RUN_SIGNS.get(status) or sign(status))} {status}"


def _coloured(mark: str) -> str:
    return click.style(mark, fg=_COLOURS.get(mark))
