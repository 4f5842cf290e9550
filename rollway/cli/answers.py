"""What the writing verbs and `plan` print for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.cli import output as out
from rollway.routers.events import summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rollway.routers.applying import Result
    from rollway.routers.observation import Observation
    from rollway.routers.plan import Change, Plan
    from rollway.routers.traffic import Reading, RequestSample

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def weights(reading: Reading | None) -> str:
    """Write the weights of a reading: `shop-canary 20, shop-stable 80`; an absent object is a dash."""
    if reading is None or not reading.weights:
        return "-"
    return ", ".join(f"{name} {weight}" for name, weight in reading.weights)


def canary(reading: Reading | None) -> str:
    """Write what the canary gets by a reading."""
    if reading is not None and reading.outcome:
        return "unknown" if reading.weights else "unknown (no such object)"
    if reading is None or reading.traffic is None:
        return "0 (no such object)" if reading is None or not reading.weights else "0 (no traffic)"
    return str(reading.traffic.split) if reading.exact else f"about {reading.traffic.split}"


def routes(observation: Observation) -> None:
    """Print the header and mirror routes that the objects of a Rollout have, one on a line."""
    for route in observation.nearest_traffic.routes:
        out.echo(f"{observation.rollout.ref}: {route}")


def disagreement(observation: Observation) -> str:
    """Return why the objects of a Rollout show no one traffic."""
    doubts = [f"{reading.ref}: {reading.reason}" for reading in observation.readings if reading.outcome]
    return "; ".join(doubts) or "its objects do not agree"


def plan(value: Plan) -> None:
    """Print a plan: the weights before and after, the diff, and the fingerprint."""
    out.echo(f"Plan for {value.rollout.ref}: canary {value.want.split}")
    for route in value.want.routes:
        out.echo(f"  with {route}")
    before = {(reading.ref, reading.part): reading for reading in value.before}
    out.table(
        ("OBJECT", "PART", "BEFORE", "AFTER"),
        [
            (
                str(reading.ref),
                reading.part,
                weights(before.get((reading.ref, reading.part))),
                weights(reading),
            )
            for reading in value.after
        ],
    )
    out.echo()
    diff(value.changes)
    out.echo(f"fingerprint {value.fingerprint}")


def diff(changes: Iterable[Change]) -> None:
    """Print what changes in each object, as a unified diff of its YAML."""
    for change in changes:
        out.echo(f"{change.action.value} {change.ref}")
        for line in diff_lines(change):
            out.echo(line, fg=_COLOURS.get(line[:1]))
    out.echo()


def diff_lines(change: Change) -> Iterator[str]:
    """Write one change as a unified diff."""
    import difflib  # noqa: PLC0415 - half a millisecond that only a plan costs

    old, new = (out.yaml_text(side).splitlines() if side else [] for side in (change.before, change.after))
    source, target = (str(change.ref) if side else "/dev/null" for side in (change.before, change.after))
    return difflib.unified_diff(old, new, source, target, lineterm="", n=2)


def result(value: Result) -> None:
    """Print what a writing verb did, or would do, and the evidence that it reached."""
    if value.plan and value.dry_run:
        plan(value.plan)
    else:
        out.echo(summary(value))
    if value.dry_run:
        checked = ", and the cluster would take it" if value.dry_run == "server" and value.plan else ""
        out.echo(f"dry run: nothing was written{checked}")


def sample_text(sample: RequestSample) -> str:
    """Write how many requests each version answered, and how many failed."""
    parts = [f"{sample.canary} of canary, {sample.stable} of stable"]
    failed = (
        (sample.canary_failed, "of canary"),
        (sample.stable_failed, "of stable"),
        (sample.failed, "of nobody known"),
    )
    parts += [f"{count} {whose} failed" for count, whose in failed if count]
    return ", ".join(parts)
