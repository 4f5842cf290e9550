"""`rollway pause` and `rollway resume`: stop a Rollout where it is, and let it go on."""

from __future__ import annotations

import click

from rollway.cli.group import Command
from rollway.cli.options import output_option
from rollway.cli.parameters import options
from rollway.cli.releasing import ReleasesOptions, run
from rollway.releases import verbs
from rollway.releases.acting import on_rollout


@click.command(
    cls=Command,
    examples="""
    rollway pause shop
    rollway pause shop --dir k8s/                     # in a folder of manifests
    """,
)
@options(releases=ReleasesOptions)
@output_option()
def pause(releases: ReleasesOptions, *, output: str) -> None:
    """Stop a Rollout where it is (spec.paused), until `rollway resume` or `rollway promote`."""
    run(releases.names, releases.writing, output, "pause", on_rollout(verbs.pause))


@click.command(
    cls=Command,
    examples="""
    rollway resume shop
    """,
)
@options(releases=ReleasesOptions)
@output_option()
def resume(releases: ReleasesOptions, *, output: str) -> None:
    """Undo `rollway pause`; a pause that the release itself makes goes on, until `rollway promote`."""
    run(releases.names, releases.writing, output, "resume", on_rollout(verbs.resume))
