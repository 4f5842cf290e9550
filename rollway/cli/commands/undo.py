"""`rollway undo`: go back to an earlier revision."""

from __future__ import annotations

import click

from rollway.cli.group import Command
from rollway.cli.options import output_option
from rollway.cli.parameters import options
from rollway.cli.releasing import ReleaseOptions, run
from rollway.releases.acting import undoer


@click.command(
    cls=Command,
    examples="""
    rollway undo shop                                 # to the revision before the latest
    rollway undo shop --to-revision 3                 # `rollway history shop` lists them
    """,
)
@options(release=ReleaseOptions)
@click.option(
    "--to-revision", type=click.IntRange(min=0), default=0, metavar="N", help="The revision to go back to."
)
@output_option()
def undo(release: ReleaseOptions, *, to_revision: int, output: str) -> None:
    """Give a Rollout, or the workload that it refers to, the pod template of an earlier revision.

    What the controller had added to that template (hash, ephemeral metadata, anti-affinity) is left out, so that the old
    ReplicaSet is used again.
    """
    run((release.name,), release.writing, output, "undo", undoer(to_revision))
