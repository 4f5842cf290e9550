"""`rollway list`: every Rollout, and where its release is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import ROLLOUT, StoreOptions, headers_option, output_option
from rollway.cli.parameters import Options, contains, option, options
from rollway.cli.release_documents import release_document
from rollway.cli.stores import open_store
from rollway.releases.acting import needs_controller
from rollway.routers.model import ROLLOUT_GROUP, ROLLOUT_KIND
from rollway.routers.objects import Need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.stores import Store


class _Options(Options):
    """The Rollouts of one namespace of a cluster, or of all."""

    all_namespaces: bool = option(
        "-A", "--all-namespaces", heading=ROLLOUT, is_flag=True, help="Look in every namespace."
    )
    store: StoreOptions = contains(StoreOptions)


@click.command(
    "list",
    cls=Command,
    examples="""
    rollway list
    rollway list -A -o wide                           # with what each waits for
    rollway list --watch                              # a line for each change
    """,
)
@options(target=_Options)
@click.argument(
    "kind", required=False, metavar="[rollouts]", type=click.Choice(["rollouts", "rollout", "ro"])
)
@click.option("-w", "--watch", is_flag=True, help="Print a Rollout again whenever it changes, until Ctrl-C.")
@output_option("wide", "name")
@headers_option
def list_(target: _Options, *, kind: str | None, watch: bool, output: str, header_line: bool) -> None:  # noqa: ARG001
    """List Rollouts with strategy, phase, step, weight and pods, as their controller reports them."""
    store, namespace = open_store(target.store)
    needs_controller(store, "list")
    namespace = "" if target.all_namespaces else namespace
    shown = _read(store, namespace)
    if output in ("json", "yaml") and not watch:
        out.document(shown, output)
        return
    form = (output, target.all_namespaces)
    _print(shown, form, headers=header_line)
    if watch:
        _watch(store, namespace, shown, form)


def _read(store: Store, namespace: str) -> list[dict[str, Any]]:
    need = Need(ROLLOUT_GROUP, ROLLOUT_KIND, namespace=namespace)
    items = store.read([need]).of(ROLLOUT_GROUP, ROLLOUT_KIND)
    ordered = sorted(items, key=lambda item: (item.ref.namespace, item.ref.name))
    return [release_document(item.manifest) for item in ordered]


def _watch(store: Any, namespace: str, shown: Sequence[dict[str, Any]], form: tuple[str, bool]) -> None:
    from rollway.cli.watching import looks  # noqa: PLC0415 - a single look does not need it

    known = {tuple(each["rollout"].values()): each for each in shown}
    for seen in looks(store, namespace, lambda watching: _read(watching, namespace)):
        now = {tuple(each["rollout"].values()): each for each in seen}
        _print([each for key, each in now.items() if known.get(key) != each], form, headers=False)
        out.finish()
        known = now


def _print(listed: Sequence[dict[str, Any]], form: tuple[str, bool], *, headers: bool) -> None:
    output, spaces = form
    if output == "name":
        for each in listed:
            out.echo(f"rollout.argoproj.io/{each['rollout']['name']}")
    elif output in ("json", "yaml"):
        for each in listed:
            if output == "yaml":
                out.echo("---")
            out.document(each, output)
    elif listed:
        names = (
            "NAME",
            "STRATEGY",
            "STATUS",
            "STEP",
            "SET-WEIGHT",
            "READY",
            "DESIRED",
            "UP-TO-DATE",
            "AVAILABLE",
        )
        wide = output == "wide"
        header = (*(("NAMESPACE",) if spaces else ()), *names, *(("STEP-IS", "MESSAGE") if wide else ()))
        out.table(header, [_row(each, spaces=spaces, wide=wide) for each in listed], headers=headers)
    elif headers:
        out.note("there is no Rollout")


def _row(each: dict[str, Any], *, spaces: bool, wide: bool) -> tuple[str, ...]:
    """Write one Rollout with the columns of `kubectl argo rollouts list rollouts`."""
    replicas, step, weight = each["replicas"], each["step"], each["setWeight"]
    return (
        *((each["rollout"]["namespace"],) if spaces else ()),
        each["rollout"]["name"],
        each["strategy"] or "unknown",
        each["phase"],
        f"{step['index']}/{step['count']}" if step else "-",
        "-" if weight is None else str(weight),
        f"{replicas['ready']}/{replicas['current']}",
        str(replicas["desired"]),
        str(replicas["updated"]),
        str(replicas["available"]),
        *((each["currentStep"] or "-", each["message"]) if wide else ()),
    )
