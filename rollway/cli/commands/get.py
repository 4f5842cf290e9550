"""`rollway get`: one Rollout with its pods, and its live traffic."""

from __future__ import annotations

from typing import Any

import click

from rollway.cli.group import Command
from rollway.cli.options import StoreOptions, names_argument, output_option
from rollway.cli.parameters import Options, contains, options
from rollway.cli.probes import DataPlaneOptions
from rollway.cli.showing import TreeLook, follow, show
from rollway.cli.stores import open_store
from rollway.cli.values import DURATION
from rollway.releases.acting import needs_controller
from rollway.routers.lookup import find_rollout


class _Options(Options):
    """One Rollout of a cluster."""

    names: tuple[str, ...] = names_argument()
    store: StoreOptions = contains(StoreOptions)


@click.command(
    cls=Command,
    examples="""
    rollway get shop
    rollway get shop -w                               # again whenever something changes
    rollway get shop -w --timeout 10m | tee release.log
    rollway get shop -o json
    """,
)
@options(target=_Options, planes=DataPlaneOptions)
@click.option("-w", "--watch", is_flag=True, help="Show it again whenever it changes, until Ctrl-C.")
@click.option(
    "--timeout",
    "--timeout-seconds",
    type=DURATION,
    metavar="TIME",
    help="With --watch: stop after this time.",
)
@output_option("wide", "name")
def get(
    target: _Options, planes: DataPlaneOptions, *, watch: bool, timeout: float | None, output: str
) -> None:
    """Show a Rollout with its step, weights, images and pods, and beside them the live traffic and its evidence."""
    if len(target.names) != 1:
        raise click.UsageError("give the NAME of one Rollout")
    if timeout is not None and not watch:
        raise click.UsageError("--timeout is for --watch")
    (name,) = target.names
    store, namespace = open_store(target.store)
    needs_controller(store, "get")
    namespace = find_rollout(store, name, namespace).ref.namespace
    look = TreeLook(name, namespace, planes)
    if not watch:
        show(look(store), output)
        return
    from rollway.cli.watching import looks  # noqa: PLC0415 - a single look does not need it

    cluster: Any = store
    follow(looks(cluster, namespace, look, timeout), output)
