"""`rollway restart`: replace all pods of a Rollout."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from rollway.cli.group import Command
from rollway.cli.options import output_option
from rollway.cli.parameters import options
from rollway.cli.releasing import ReleaseOptions, run
from rollway.cli.values import DURATION
from rollway.releases import verbs
from rollway.releases.acting import on_rollout


@click.command(
    cls=Command,
    examples="""
    rollway restart shop
    rollway restart shop --in 10m
    """,
)
@options(release=ReleaseOptions)
@click.option("-i", "--in", "delay", type=DURATION, default=0, metavar="TIME", help="Begin so much later.")
@output_option()
def restart(release: ReleaseOptions, *, delay: float, output: str) -> None:
    """Replace all pods of a Rollout one after the other, as far as its maxUnavailable allows, without a new release."""
    moment = datetime.now(UTC) + timedelta(seconds=delay)
    text = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    run((release.name,), release.writing, output, "restart", on_rollout(lambda _rollout: verbs.restart(text)))
