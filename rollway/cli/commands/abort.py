"""`rollway abort` and `rollway retry`: stop an update, and begin it again."""

from __future__ import annotations

import click

from rollway.cli.group import Command
from rollway.cli.options import output_option
from rollway.cli.parameters import options
from rollway.cli.releasing import ReleasesOptions, run
from rollway.releases import verbs
from rollway.releases.acting import on_status


@click.command(
    cls=Command,
    examples="""
    rollway abort shop
    rollway abort shop --dry-run
    """,
)
@options(releases=ReleasesOptions)
@output_option()
def abort(releases: ReleasesOptions, *, output: str) -> None:
    """Stop the update of a Rollout: all traffic and pods go back to stable.

    The pod template stays that of the new release: `rollway retry` begins the update again, `rollway undo` gives it up.
    """
    run(releases.names, releases.writing, output, "abort", on_status("abort", verbs.abort))


@click.command(
    cls=Command,
    examples="""
    rollway retry shop
    """,
)
@options(releases=ReleasesOptions)
@output_option()
def retry(releases: ReleasesOptions, *, output: str) -> None:
    """Begin the aborted update of a Rollout again, from its first step."""
    run(releases.names, releases.writing, output, "retry", on_status("retry", verbs.retry))
