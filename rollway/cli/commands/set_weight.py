"""`rollway set-weight` and `rollway switch`: plan, guard, write and verify one weight."""

from __future__ import annotations

import click

from rollway.cli.group import Command, Option
from rollway.cli.options import output_option
from rollway.cli.parameters import options
from rollway.cli.requests import MATCH, header_condition
from rollway.cli.stores import open_router
from rollway.cli.writing import WritingOptions, open_to_write, with_evidence, write
from rollway.routers.traffic import HeaderRoute, RequestMatch

CONTROLLER = "Controller"


@click.command(
    "set-weight",
    cls=Command,
    examples="""
    rollway set-weight shop 20                        # 20 of 100
    rollway set-weight shop 0.5% --dry-run
    rollway set-weight shop 20 --dir k8s/             # in a folder of manifests
    rollway set-weight shop 20 --expect FINGERPRINT   # only the plan that was reviewed
    rollway set-weight shop --release                 # let the weight go that the controller holds
    """,
)
@options(writing=WritingOptions)
@click.argument("weight", required=False)
@click.option(
    "--hold",
    cls=Option,
    heading=CONTROLLER,
    is_flag=True,
    help="Let rollway's controller hold the weight, also where the Rollout's label names another instance id than rollway.",
)
@click.option(
    "--release",
    cls=Option,
    heading=CONTROLLER,
    is_flag=True,
    help="Let the weight go that the controller holds, so that the release goes on.",
)
@output_option()
def set_weight(
    writing: WritingOptions, *, weight: str | None, hold: bool, release: bool, output: str
) -> None:
    """Give the canary a WEIGHT: plan, guard, write and verify. Header and mirror routes stay as they are.

    In a cluster, rollway's controller moves the weight of a Rollout that it runs, and holds it in place of its steps until a
    promote, an abort, another update or --release.
    """
    if release and weight is not None:
        raise click.UsageError("give a WEIGHT, or --release")
    if release:
        from rollway.cli.holding import let_go  # noqa: PLC0415 - a weight in files does not need it

        let_go(writing, output)
        return
    if weight is None:
        raise click.MissingParameter("Give it, or --release.", param_hint="'WEIGHT'", param_type="argument")
    router = open_router(writing.target, writing.guards)
    if hold or router.rollout.instance_id:
        from rollway.cli.holding import hold_weight, is_for_controller  # noqa: PLC0415

        if is_for_controller(router, writing.guards, hold=hold):
            hold_weight(router, writing, output, weight)
            return
    router = with_evidence(router, writing)
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
