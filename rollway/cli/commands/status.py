"""`rollway status`: what the routing objects show, and with a name what was asked and what is loaded."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import click
import durationpy

from rollway.cli import documents, failures
from rollway.cli import output as out
from rollway.cli.answers import canary, disagreement, routes, weights
from rollway.cli.group import Command
from rollway.cli.options import RoleOptions, ScopeOptions, headers_option, output_option
from rollway.cli.parameters import options
from rollway.cli.probes import DataPlaneOptions, data_plane_probes
from rollway.cli.stores import open_store, read_named
from rollway.routers.errors import StoreError
from rollway.routers.events import last_wish
from rollway.routers.observing import observe_all
from rollway.routers.roles import known_roles
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import Evidence, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.events import Wish
    from rollway.routers.model import Rollout
    from rollway.routers.objects import ObjectRef
    from rollway.routers.observation import Observation
    from rollway.routers.probes import Probe
    from rollway.routers.stores import Store
    from rollway.routers.traffic import Reading

WATCH_INTERVAL_S = 2.0
_LOADED = {Outcome.MATCHES: "yes", Outcome.DIFFERS: "not yet", Outcome.UNKNOWN: "unknown"}


class _Form(NamedTuple):
    """How the answer is printed."""

    output: str
    headers: bool


class _Look(NamedTuple):
    """What was seen at once: the Rollouts, what was asked for a single one, and whether any could not be observed."""

    entries: list[Observation]
    single: bool = False
    wish: Wish | None = None
    failed: bool = False


@click.command(
    cls=Command,
    examples="""
    rollway status -A                                 # all Rollouts of a cluster
    rollway status shop -o wide                       # one, with the weights of its objects
    rollway status --dir k8s/ -o json                 # all Rollouts of a folder of manifests
    rollway status shop --watch                       # again whenever it changes
    """,
)
@options(scope=ScopeOptions, roles=RoleOptions, planes=DataPlaneOptions)
@click.option("-w", "--watch", is_flag=True, help="Show it again whenever it changes, until Ctrl-C.")
@output_option("wide", "name")
@headers_option
def status(
    scope: ScopeOptions,
    roles: RoleOptions,
    planes: DataPlaneOptions,
    *,
    output: str,
    header_line: bool,
    watch: bool,
) -> None:
    """Show what the routing objects show, of all Rollouts, or of one beside what was asked and what is loaded."""
    store, namespace = open_store(scope.store, scope.filename)
    namespace = "" if scope.all_namespaces else namespace
    rollout = _read(scope, roles, store, namespace)
    if not rollout and (planes.given or roles.stable or roles.canary):
        raise click.UsageError(
            "--stable, --canary and the options about data planes need the NAME of a Rollout"
        )
    # Where the data planes are is looked up once; which pods they are then, each time.
    probes = data_plane_probes(TrafficRouter(rollout, store), planes, None) if rollout else ()
    form = _Form(output, header_line)
    look = _look(store, namespace, rollout, probes, form)
    _show(look, form)
    while watch:
        time.sleep(WATCH_INTERVAL_S)
        now = _look(store, namespace, _read(scope, roles, store, namespace), probes, form)
        if now != look:
            _between(form)
            _show(now, form)
            look = now
    if look.failed:
        raise click.exceptions.Exit(1)


def _read(scope: ScopeOptions, roles: RoleOptions, store: Store, namespace: str) -> Rollout | None:
    rollout = read_named(scope, store, namespace)
    return known_roles(rollout, store, roles.stable or "", roles.canary or "") if rollout else None


def _look(
    store: Store, namespace: str, rollout: Rollout | None, probes: tuple[Probe, ...], form: _Form
) -> _Look:
    if not rollout:
        entries, errors = observe_all(store, namespace)
        for ref, error in errors:
            failures.report(error, form.output, ref)
        return _Look(entries, failed=bool(errors))
    router = TrafficRouter(rollout, store, probes=probes)
    return _Look([router.observe(check=True)], True, _last_wish(store, rollout))


def _last_wish(store: Store, rollout: Rollout) -> Wish | None:
    try:
        return last_wish(store, rollout)
    except StoreError as error:
        out.note(f"what was asked last is not known: {error.message}")
        return None


def _between(form: _Form) -> None:
    """Part one look from the next."""
    if form.output in ("text", "wide") and sys.stdout.isatty():
        click.clear()
    elif form.output != "json":
        out.echo("---" if form.output == "yaml" else "")


def _show(look: _Look, form: _Form) -> None:
    if form.output in ("json", "yaml"):
        out.document(documents.status_document(look.entries, look.wish), form.output)
    elif form.output == "name":
        for entry in look.entries:
            out.echo(f"rollout.argoproj.io/{entry.rollout.name}")
    else:
        if look.single:
            _show_one(look.entries[0], look.wish, form)
        else:
            _show_all(look.entries, form)
        out.findings(dict.fromkeys(finding for entry in look.entries for finding in entry.findings))
    # Whoever watches through a pipe reads each look as it comes.
    sys.stdout.flush()


def _show_all(entries: Sequence[Observation], form: _Form) -> None:
    """Print what the objects of each Rollout show, one row for each object or route."""
    if not entries:
        out.echo("no Rollout with traffic routing")
        return
    wide = form.output == "wide"
    header = ("NAMESPACE", "NAME", "OBJECT", "PART", *(("WEIGHTS",) if wide else ()), "CANARY")
    rows = [
        (
            entry.rollout.namespace,
            entry.rollout.name,
            _object(reading.ref, entry.rollout),
            reading.part,
            *((weights(reading),) if wide else ()),
            canary(reading),
        )
        for entry in entries
        for reading in entry.readings
    ]
    out.table(header, rows, headers=form.headers)
    for entry in entries:
        routes(entry)
        _show_disagreement(entry)


def _show_disagreement(entry: Observation) -> None:
    if entry.traffic is None:
        out.echo(f"{entry.rollout.ref}: {disagreement(entry)}")


def _object(ref: ObjectRef, rollout: Rollout) -> str:
    """Name an object; its namespace goes without saying where it is that of the Rollout."""
    return f"{ref.kind} {ref.name}" if ref.namespace == rollout.namespace else str(ref)


def _show_one(seen: Observation, wish: Wish | None, form: _Form) -> None:
    """Print what was asked, what each object or route of one Rollout shows, and whether that is loaded."""
    wide = form.output == "wide"
    header = ["OBJECT", "PART", "ASKED", "WRITTEN", "LOADED", "EVIDENCE", "AGE"]
    rows = [_row(reading, seen, wish) for reading in seen.readings]
    if wide:
        header.insert(2, "WEIGHTS")
        for row, reading in zip(rows, seen.readings, strict=True):
            row.insert(2, weights(reading))
    if form.headers:
        out.echo(str(seen.rollout.ref))
    out.table(header, rows, headers=form.headers)
    routes(seen)
    _show_disagreement(seen)
    for judged in seen.loaded:
        if judged.outcome is not Outcome.MATCHES:
            out.echo(f"{judged.ref}: {judged.reason}")


def _row(reading: Reading, seen: Observation, wish: Wish | None) -> list[str]:
    """Write one line of the status of a Rollout.

    The evidence is what was just seen; where no data plane was asked, what the last writing verb reached for the same
    weight, with its age.
    """
    judged = next((verdict for verdict in seen.loaded if verdict.ref == reading.ref), None)
    as_asked = wish is not None and reading.traffic is not None and reading.traffic.split == wish.split
    evidence, age = seen.evidence, 0.0
    if judged and judged.outcome is Outcome.MATCHES:
        evidence = Evidence.LOADED
    elif not judged and wish and as_asked:
        evidence, age = wish.evidence, (datetime.now(UTC) - wish.time).total_seconds()
    return [
        _object(reading.ref, seen.rollout),
        reading.part,
        str(wish.split) if wish else "-",
        canary(reading),
        _LOADED[judged.outcome] if judged else "-",
        evidence.name.lower(),
        durationpy.to_str(timedelta(seconds=round(age))) if age >= 1 else "now",
    ]
