"""`rollway status`: what the routing objects say, and with a name what was asked and what is loaded."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import click

from rollway.cli import documents
from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import ScopeOptions, output_option
from rollway.cli.parameters import options
from rollway.cli.probes import DataPlaneOptions, data_plane_probes
from rollway.cli.stores import open_store
from rollway.routers.errors import StoreError
from rollway.routers.events import last_wish
from rollway.routers.observing import observe_all
from rollway.routers.router import TrafficRouter, read_rollout

if TYPE_CHECKING:
    from rollway.routers.events import Wish
    from rollway.routers.model import Rollout
    from rollway.routers.planning import Observation
    from rollway.routers.probes import Probe
    from rollway.routers.stores import Store

WATCH_INTERVAL_S = 2.0


class _Look(NamedTuple):
    """What was seen at once: the Rollouts, what was asked for a single one, and whether any could not be observed."""

    entries: list[Observation]
    wish: Wish | None = None
    failed: bool = False


@click.command(cls=Command)
@options(scope=ScopeOptions, planes=DataPlaneOptions)
@click.option("-w", "--watch", is_flag=True, help="Show it again whenever it changes, until Ctrl-C.")
@output_option()
def status(scope: ScopeOptions, planes: DataPlaneOptions, *, output: str, watch: bool) -> None:
    """Show what the routing objects say, of all Rollouts, or of one beside what was asked and what is loaded."""
    if not scope.name and planes.given:
        raise click.UsageError("the options about data planes need the NAME of a Rollout")
    store, namespace = open_store(scope.store)
    namespace = "" if scope.all_namespaces else namespace
    # Where the data planes are is found out once; which pods they are then, each time.
    probes = _probes(store, namespace, scope.name, planes) if scope.name else ()
    look = _look(store, namespace, scope.name, probes)
    _show(look, scope.name, output)
    if watch:
        _watch(look, store, namespace, scope.name, probes, output)
    if look.failed:
        raise click.exceptions.Exit(1)


def _probes(store: Store, namespace: str, name: str, planes: DataPlaneOptions) -> tuple[Probe, ...]:
    router = TrafficRouter(read_rollout(store, name, namespace), store)
    return data_plane_probes(router, planes, None)


def _look(store: Store, namespace: str, name: str | None, probes: tuple[Probe, ...]) -> _Look:
    if not name:
        entries, errors = observe_all(store, namespace)
        for ref, error in errors:
            click.echo(f"error: {ref}: {error}", err=True)
        return _Look(entries, failed=bool(errors))
    router = TrafficRouter(read_rollout(store, name, namespace), store, probes=probes)
    return _Look([router.observe(check=True)], _last_wish(store, router.rollout))


def _last_wish(store: Store, rollout: Rollout) -> Wish | None:
    try:
        return last_wish(store, rollout)
    except StoreError as error:
        out.note(f"what was asked last is not known: {error.message}")
        return None


def _show(look: _Look, name: str | None, output: str) -> None:
    if output != "text":
        out.document(documents.status_document(look.entries, look.wish), output)
        return
    if name:
        out.status_of_one(look.entries[0], look.wish)
    else:
        out.status(look.entries)
    out.findings(dict.fromkeys(finding for entry in look.entries for finding in entry.findings))


def _watch(
    last: _Look, store: Store, namespace: str, name: str | None, probes: tuple[Probe, ...], output: str
) -> None:
    """Show the status again whenever it changes, until Ctrl-C. Reads as `status` does, so it needs no right to watch."""
    while True:
        time.sleep(WATCH_INTERVAL_S)
        look = _look(store, namespace, name, probes)
        if look == last:
            continue
        if output == "text" and sys.stdout.isatty():
            click.clear()
        elif output == "text":
            click.echo()
        _show(look, name, output)
        last = look
