"""`rollway promote`: let a release go on."""

from __future__ import annotations

import click

from rollway.cli.group import Command
from rollway.cli.options import output_option
from rollway.cli.parameters import options
from rollway.cli.releasing import ReleaseOptions, run
from rollway.releases import verbs
from rollway.releases.acting import on_status


@click.command(
    cls=Command,
    examples="""
    rollway promote shop                              # past the pause, or past the step that is under way
    rollway promote shop --full                       # all traffic to the new release, without the other steps
    """,
)
@options(release=ReleaseOptions)
@click.option("--full", is_flag=True, help="Skip all that is left: steps, pauses and analyses.")
@click.option(
    "-c", "--skip-current-step", is_flag=True, help="Skip the step that is under way, paused or not."
)
@click.option("-a", "--skip-all-steps", is_flag=True, help="Skip all steps, but keep to analyses.")
@output_option()
def promote(
    release: ReleaseOptions, *, full: bool, skip_current_step: bool, skip_all_steps: bool, output: str
) -> None:
    """End the pause of a Rollout, or skip the step that is under way; with --full, complete the update at once."""
    if full + skip_current_step + skip_all_steps > 1:
        raise click.UsageError("give one of --full, --skip-current-step and --skip-all-steps")
    verb = verbs.promote_fully if full else verbs.promote
    if skip_current_step or skip_all_steps:
        verb = verbs.skip_all if skip_all_steps else verbs.skip
    run((release.name,), release.writing, output, "promote", on_status("promote", verb))
