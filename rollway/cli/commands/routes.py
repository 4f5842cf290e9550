"""`rollway header-route` and `rollway mirror-route`: routes of the Rollout's own beside its weights."""

from __future__ import annotations

import click

from rollway.cli.group import Command, Option
from rollway.cli.options import output_option
from rollway.cli.parameters import options
from rollway.cli.requests import MATCH, MatchOptions
from rollway.cli.writing import RouteWritingOptions, open_to_write, write
from rollway.routers.traffic import HeaderRoute, MirrorRoute, RequestMatch

_ACTION = click.argument("action", type=click.Choice(["set", "remove"]))
_ROUTE = click.argument("route", required=False)
_ALL = click.option("--all", "every", is_flag=True, help="With remove: all such routes of the Rollout.")


@click.command(
    "header-route",
    cls=Command,
    examples="""
    rollway header-route shop set beta --header 'X-Beta: 1'
    rollway header-route shop set beta --header-regex 'X-User: ann.*' --path-prefix /cart
    rollway header-route shop remove beta
    rollway header-route shop remove --all
    """,
)
@options(writing=RouteWritingOptions, requests=MatchOptions)
@_ACTION
@_ROUTE
@_ALL
@output_option()
def header_route(
    writing: RouteWritingOptions,
    requests: MatchOptions,
    *,
    action: str,
    route: str | None,
    every: bool,
    output: str,
) -> None:
    """Send requests with certain headers to the canary, whatever the weight is, or remove such a route.

    The weights stay as they are, and later weights keep the route. ROUTE is a name in the Rollout's managedRoutes, whose
    order is that of the routes; a route of that name is replaced. The plain switch and reset remove it.
    """
    match = requests.match()
    _check(action, route, match, every=every)
    if action == "set" and not match.headers:
        raise click.UsageError("set needs --header, --header-prefix or --header-regex")
    router = open_to_write(writing)
    if action == "set":
        wanted = HeaderRoute(route or "", (match,))
        write(router, writing, output, lambda how: router.set_header_route(wanted, **how))
    else:
        write(router, writing, output, lambda how: router.remove_header_route(route, **how))


@click.command(
    "mirror-route",
    cls=Command,
    examples="""
    rollway mirror-route shop set copy --percentage 10
    rollway mirror-route shop set copy --path-prefix /search --method GET
    rollway mirror-route shop remove copy
    """,
)
@options(writing=RouteWritingOptions, requests=MatchOptions)
@click.option(
    "--percentage",
    cls=Option,
    heading=MATCH,
    type=click.IntRange(0, 100),
    help="How many of the requests are copied, in percent (default: 100).",
)
@_ACTION
@_ROUTE
@_ALL
@output_option()
def mirror_route(
    writing: RouteWritingOptions,
    requests: MatchOptions,
    *,
    action: str,
    route: str | None,
    percentage: int | None,
    every: bool,
    output: str,
) -> None:
    """Copy requests to the canary, whose answers nobody gets, or remove such a route.

    Without conditions all requests are copied. The weights stay as they are, and later weights keep the route. ROUTE is a
    name in the Rollout's managedRoutes; a route of that name is replaced. The plain switch and reset remove it.
    """
    match = requests.match()
    _check(action, route, match, every=every)
    if action == "remove" and percentage is not None:
        raise click.UsageError("--percentage is for set")
    router = open_to_write(writing)
    if action == "set":
        wanted = MirrorRoute(route or "", (match,), 100 if percentage is None else percentage)
        write(router, writing, output, lambda how: router.set_mirror_route(wanted, **how))
    else:
        write(router, writing, output, lambda how: router.remove_mirror_route(route, **how))


def _check(action: str, route: str | None, match: RequestMatch, *, every: bool) -> None:
    """Refuse words that do not go together, before anything is read."""
    if action == "set" and (every or not route):
        raise click.UsageError("set needs the name of one ROUTE")
    if action == "remove" and every == bool(route):
        raise click.UsageError("remove needs the name of one ROUTE, or --all")
    if action == "remove" and match != RequestMatch():
        raise click.UsageError("the conditions of a request are for set")
