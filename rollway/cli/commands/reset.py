"""`rollway reset`: all traffic to stable, and then nothing of rollway's is left."""

from __future__ import annotations

import click

from rollway.cli import answers, documents
from rollway.cli import output as out
from rollway.cli.group import Command, Option
from rollway.cli.options import WRITING, ChangeOptions, GuardOptions, RolloutOptions, output_option
from rollway.cli.parameters import options
from rollway.cli.stores import open_router
from rollway.routers.events import REMOVED, Recorder, summary


@click.command(
    cls=Command,
    examples="""
    rollway reset shop --dry-run
    rollway reset shop
    """,
)
@options(target=RolloutOptions, guards=GuardOptions, change=ChangeOptions)
@click.option(
    "--delete-all",
    cls=Option,
    heading=WRITING,
    is_flag=True,
    help="Delete also a TrafficSplit without which the root Service may send requests to the canary.",
)
@output_option()
def reset(
    target: RolloutOptions, guards: GuardOptions, change: ChangeOptions, *, output: str, delete_all: bool
) -> None:
    """Send all traffic to stable, verify it, then delete the objects that rollway made."""
    router = open_router(target, guards)
    wanted = router.rollout.split(0)
    record = Recorder(router, enabled=change.events and not change.dry_run, note=out.note)
    with record.failures(wanted):
        results = router.reset(adopt=change.adopt, dry_run=change.dry_run, everything=delete_all)
    if any(result.changed for result in results):
        record(REMOVED, "\n".join(summary(result) for result in results), asked=wanted)
    if output != "text":
        out.document(documents.reset_document(router.rollout, results), output)
        return
    for result in results:
        answers.result(result)
    out.findings(dict.fromkeys(finding for result in results for finding in result.findings))
    if not results:
        observation = router.observe()
        known = "all traffic goes to stable" if observation.traffic else answers.disagreement(observation)
        out.echo(f"{router.rollout.ref}: {known}, and nothing is left to delete")
