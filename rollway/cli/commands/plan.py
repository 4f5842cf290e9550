"""`rollway plan`: what a weight would change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from rollway.cli import answers, documents, markdown
from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import GuardOptions, RolloutOptions, adopt_option, output_option
from rollway.cli.parameters import Options, options
from rollway.cli.stores import open_router
from rollway.routers.guards import enforce, lift

if TYPE_CHECKING:
    from rollway.routers.plan import Plan
    from rollway.routers.router import TrafficRouter
    from rollway.routers.traffic import Traffic
    from rollway.routers.weights import Split


class PlanOptions(Options):
    """What is planned."""

    adopt: bool = adopt_option()


@click.command(
    cls=Command,
    examples="""
    rollway plan shop 20
    rollway plan shop 20 --dir k8s/ -o json | jq -r .fingerprint
    rollway plan shop 20 --dir k8s/ -o markdown > comment.md   # for a pull request
    """,
)
@options(target=RolloutOptions, guards=GuardOptions, planning=PlanOptions)
@click.argument("weight")
@output_option("markdown")
def plan(
    target: RolloutOptions, guards: GuardOptions, planning: PlanOptions, *, weight: str, output: str
) -> None:
    """Show what a weight would change, and write nothing. Exit code 3: changes are pending."""
    router = open_router(target, guards)
    if router.rollout.instance_id:
        from rollway.cli.holding import is_for_controller  # noqa: PLC0415 - as in set-weight
        from rollway.releases.held_traffic import reviewable  # noqa: PLC0415

        router = reviewable(router) if is_for_controller(router, guards) else router
    split = router.rollout.split(weight)
    value = router.plan(weight, adopt=planning.adopt)
    if output == "markdown":
        out.echo(markdown.plan_text(router.rollout, split, value, router.limits.allow))
    elif output != "text":
        out.document(documents.plan_document(router.rollout, _wanted(router, split, value), value), output)
    elif value is None:
        out.echo(f"{router.rollout.ref}: canary {split}; nothing to change")
    else:
        answers.plan(value)
        out.findings(lift(value.findings, router.limits.allow))
    if value is not None:
        enforce(value, router.limits)
        raise click.exceptions.Exit(3)


def _wanted(router: TrafficRouter, split: Split, value: Plan | None) -> Traffic:
    """Return what was planned; where nothing has to change, what is there with the split that was asked for."""
    return value.want if value else replace(router.observe().nearest_traffic, split=split)
