"""What the CLI prints: results to stdout, notes and errors to stderr, colour only on a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from rollway.routers.model import Evidence, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollway.routers.applying import Result
    from rollway.routers.events import Wish
    from rollway.routers.model import Finding, Manifest, Reading, Rollout, Verdict
    from rollway.routers.plan import Plan
    from rollway.routers.planning import Observation
    from rollway.routers.weights import Split


def document(value: Any, form: str) -> None:
    """Print a JSON document, or the same as YAML."""
    if form == "json":
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        click.echo(yaml_text(value))


def yaml_text(value: Any) -> str:
    """Write a value as YAML that every parser reads the same way."""
    from rollway.routers.stores.yaml_text import block  # noqa: PLC0415 - text results do not need it

    return block(value, 0) if value else json.dumps(value)


def manifests(found: Sequence[Manifest], form: str) -> None:
    """Print objects as `kubectl apply -f -` takes them."""
    if form == "json":
        document({"apiVersion": "v1", "kind": "List", "items": list(found)}, form)
    else:
        click.echo("\n---\n".join(yaml_text(manifest) for manifest in found))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns, as wide as their content."""
    from tabulate import tabulate  # noqa: PLC0415 - plain results do not need it

    lines = tabulate([header, *rows], tablefmt="plain", disable_numparse=True).splitlines()
    click.secho(lines[0].rstrip(), bold=True)
    click.echo("\n".join(line.rstrip() for line in lines[1:]))


def weights(reading: Reading | None) -> str:
    """Write the weights of a reading: `shop-canary 20, shop-stable 80`; an absent object is a dash."""
    if reading is None or not reading.weights:
        return "-"
    return ", ".join(f"{name} {weight}" for name, weight in reading.weights)


def canary(reading: Reading | None) -> str:
    """Write what the canary gets by a reading."""
    if reading is None or reading.traffic is None:
        return "0 (no such object)" if reading is None or not reading.weights else "0 (no traffic)"
    return str(reading.traffic.split) if reading.exact else f"about {reading.traffic.split}"


def findings(found: Iterable[Finding]) -> None:
    """Print findings to stderr, refusals first."""
    for finding in sorted(found, key=lambda finding: finding.severity.value != "refusal"):
        colour = "red" if finding.severity.value == "refusal" else "yellow"
        label = click.style(f"{finding.severity.value}:", fg=colour)
        click.echo(f"{label} {finding}", err=True)


def note(text: str) -> None:
    """Print a note to stderr."""
    click.echo(f"{click.style('note:', fg='yellow')} {text}", err=True)


def plan(value: Plan, wanted: Split) -> None:
    """Print a plan: the weights before and after, the diff, and the fingerprint."""
    click.echo(f"Plan for {value.rollout.ref}: canary {wanted}")
    before = {(reading.ref, reading.part): reading for reading in value.before}
    table(
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
    click.echo()
    diff(value)
    click.echo(f"fingerprint {value.fingerprint}")


def diff(value: Plan) -> None:
    """Print what changes in each object, as a unified diff of its YAML."""
    import difflib  # noqa: PLC0415 - only `plan` and dry runs show a diff

    colours = {"+": "green", "-": "red", "@": "cyan"}
    for change in value.changes:
        old, new = (yaml_text(side).splitlines() if side else [] for side in (change.before, change.after))
        source, target = (str(change.ref) if side else "/dev/null" for side in (change.before, change.after))
        click.echo(f"{change.action.value} {change.ref}")
        for line in difflib.unified_diff(old, new, source, target, lineterm="", n=2):
            click.secho(line, fg=colours.get(line[:1]))
    click.echo()


def result(value: Result, wanted: Split) -> None:
    """Print what a writing verb did, or would do, and the evidence that it reached."""
    from rollway.routers.events import summary  # noqa: PLC0415 - tables do not need it

    if value.plan and value.dry_run:
        plan(value.plan, wanted)
    else:
        click.echo(summary(value, wanted))
    if value.dry_run:
        checked = ", and the cluster would take it" if value.dry_run == "server" and value.plan else ""
        click.echo(f"dry run: nothing was written{checked}")


def verdict(rollout: Rollout, value: Verdict) -> None:
    """Print what each object says, and whether that is as asked."""
    table(
        ("OBJECT", "PART", "WEIGHTS", "CANARY"),
        [(str(seen.ref), seen.part, weights(seen), canary(seen)) for seen in value.readings],
    )
    click.echo(f"{rollout.ref}: {value.outcome.value} (evidence: {value.evidence.name.lower()})")
    if value.reason and value.outcome is Outcome.MATCHES:
        click.echo(f"  {value.reason}")


_LOADED = {Outcome.MATCHES: "yes", Outcome.DIFFERS: "not yet", Outcome.UNKNOWN: "unknown"}


def status_of_one(seen: Observation, wish: Wish | None) -> None:
    """Print what was asked, what each object or route of one Rollout says, and whether that is loaded.

    The evidence is what was just seen; where no data plane was asked, what the last writing verb reached for the same
    weight, with its age.
    """
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - only this prints ages

    import durationpy  # noqa: PLC0415

    loaded = {found.ref: found for found in seen.loaded}
    rows = []
    for reading in seen.readings:
        found = loaded.get(reading.ref)
        evidence, age = seen.evidence, 0.0
        if found and found.outcome is Outcome.MATCHES:
            evidence = Evidence.LOADED
        elif not found and wish and reading.traffic and reading.traffic.split == wish.split:
            evidence, age = wish.evidence, (datetime.now(UTC) - wish.time).total_seconds()
        rows.append(
            (
                str(reading.ref),
                reading.part,
                weights(reading),
                str(wish.split) if wish else "-",
                canary(reading),
                _LOADED[found.outcome] if found else "-",
                evidence.name.lower(),
                durationpy.to_str(timedelta(seconds=round(age))) if age >= 1 else "now",
            )
        )
    click.echo(str(seen.rollout.ref))
    table(("OBJECT", "PART", "WEIGHTS", "ASKED", "WRITTEN", "LOADED", "EVIDENCE", "AGE"), rows)
    if seen.traffic is None:
        click.echo(f"{seen.rollout.ref}: its objects do not agree")
    for found in seen.loaded:
        if found.outcome is not Outcome.MATCHES:
            click.echo(f"{found.ref}: {found.reason}")


def status(entries: Sequence[Observation]) -> None:
    """Print what the objects of each Rollout say, one row for each object or route."""
    if not entries:
        click.echo("no Rollout with traffic routing")
        return
    rows = [
        (
            str(seen.rollout.ref) if not index else "",
            str(reading.ref),
            reading.part,
            weights(reading),
            canary(reading),
            seen.evidence.name.lower(),
        )
        for seen in entries
        for index, reading in enumerate(seen.readings)
    ]
    table(("ROLLOUT", "OBJECT", "PART", "WEIGHTS", "CANARY", "EVIDENCE"), rows)
    for seen in entries:
        if seen.traffic is None:
            click.echo(f"{seen.rollout.ref}: its objects do not agree")
