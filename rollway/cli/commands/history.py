"""`rollway history`: the revisions of a Rollout."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import StoreOptions, headers_option, name_argument, output_option
from rollway.cli.parameters import Options, contains, options
from rollway.cli.release_documents import history_document
from rollway.cli.stores import open_store
from rollway.releases.acting import needs_controller, read_replica_sets
from rollway.releases.ages import age
from rollway.releases.phase import time_of
from rollway.releases.revisions import revision_to_undo, revisions_of, template_of
from rollway.routers.lookup import find_rollout


class _Options(Options):
    """One Rollout of a cluster."""

    name: str = name_argument()
    store: StoreOptions = contains(StoreOptions)


@click.command(
    cls=Command,
    examples="""
    rollway history shop
    rollway history shop --revision 3                 # the pod template of one of them
    """,
)
@options(target=_Options)
@click.option(
    "--revision", type=click.IntRange(min=1), metavar="N", help="Show the pod template of this one."
)
@output_option("wide", "name")
@headers_option
def history(target: _Options, *, revision: int | None, output: str, header_line: bool) -> None:
    """List the revisions of a Rollout, to which `rollway undo` can go back, or show the pod template of one."""
    store, namespace = open_store(target.store)
    needs_controller(store, "history")
    rollout = find_rollout(store, target.name, namespace)
    revisions = revisions_of(rollout.manifest, read_replica_sets(store, rollout.ref.namespace))
    if revision:
        chosen = revision_to_undo(rollout.manifest, revisions, revision)
        out.document(template_of(chosen.replica_set), "json" if output == "json" else "yaml")
        return
    listed = [history_document(each) for each in revisions]
    if output in ("json", "yaml"):
        out.document(listed, output)
    elif output == "name":
        for each in listed:
            out.echo(f"replicaset.apps/{each['replicaSet']}")
    else:
        wide = output == "wide"
        out.table(
            (
                "REVISION",
                "REPLICASET",
                "ROLE",
                "AVAILABLE",
                "AGE",
                "IMAGES",
                *(("CHANGE-CAUSE",) if wide else ()),
            ),
            [
                (
                    ", ".join(map(str, (each["revision"], *each["earlier"]))),
                    each["replicaSet"],
                    ",".join(each["roles"]),
                    f"{each['available']}/{each['replicas']}",
                    age(time_of(each["created"]), datetime.now(UTC)),
                    ", ".join(each["images"]),
                    *((each["changeCause"],) if wide else ()),
                )
                for each in listed
            ],
            headers=header_line,
        )
