"""`rollway set-weight` and `rollway switch`: plan, guard, write and verify one weight."""

from __future__ import annotations

import click

from rollway.cli.group import Command, Option
from rollway.cli.options import output_option
from rollway.cli.parameters import options
from rollway.cli.requests import MATCH, header_condition
from rollway.cli.writing import WritingOptions, open_to_write, write
from rollway.routers.traffic import HeaderRoute, RequestMatch


@click.command(
    "set-weight",
    cls=Command,
    examples="""
    rollway set-weight shop 20                        # 20 of 100
    rollway set-weight shop 0.5% --dry-run
    rollway set-weight shop 20 --dir k8s/             # in a folder of manifests
    rollway set-weight shop 20 --expect FINGERPRINT   # only the plan that was reviewed
    """,
)
@options(writing=WritingOptions)
@click.argument("weight")
@output_option()
def set_weight(writing: WritingOptions, *, weight: str, output: str) -> None:
    """Give the canary a WEIGHT: plan, guard, write and verify. Header and mirror routes stay as they are."""
    router = open_to_write(writing)
    wanted = router.rollout.split(weight)
    write(router, writing, output, lambda how: router.set_weight(weight, **how), wanted)


@click.command(
    cls=Command,
    examples="""
    rollway switch shop canary
    rollway switch shop canary --verify loaded --on-failure back
    rollway switch shop canary --preview-header 'X-Preview: yes'   # only testers see it, until the plain switch
    """,
)
@options(writing=WritingOptions)
@click.argument("to", type=click.Choice(["stable", "canary"]))
@click.option(
    "--preview-header",
    cls=Option,
    heading=MATCH,
    metavar="HEADER",
    help="Move no weight yet: send requests with this header ('X-Preview: yes') to the canary. The plain switch, either "
    "way, removes this route again.",
)
@click.option(
    "--preview-route",
    cls=Option,
    heading=MATCH,
    metavar="ROUTE",
    default="preview",
    show_default=True,
    help="With --preview-header: the name of the route, which is in managedRoutes.",
)
@output_option()
def switch(
    writing: WritingOptions, *, to: str, preview_header: str | None, preview_route: str, output: str
) -> None:
    """Send all traffic to stable or canary at once (blue-green: active or preview), and remove header and mirror routes."""
    if preview_header is None:
        router = open_to_write(writing)
        wanted = router.rollout.split(router.rollout.total if to == "canary" else 0)
        write(router, writing, output, lambda how: router.switch(to, **how), wanted)
        return
    if to == "stable":
        raise click.UsageError(
            "--preview-header shows the canary before the switch to it; stable is served already"
        )
    condition = header_condition(preview_header, "exact")
    router = open_to_write(writing)
    route = HeaderRoute(preview_route, (RequestMatch((condition,)),))
    write(router, writing, output, lambda how: router.set_header_route(route, **how))
