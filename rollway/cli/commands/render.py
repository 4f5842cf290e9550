"""`rollway render`: the objects as a weight wants them."""

from __future__ import annotations

import click

from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import RolloutOptions, output_option
from rollway.cli.parameters import options
from rollway.cli.stores import open_router


@click.command(
    cls=Command,
    examples="""
    rollway render shop 20 | kubectl apply -f -
    """,
)
@options(target=RolloutOptions)
@click.argument("weight")
@output_option()
def render(target: RolloutOptions, *, weight: str, output: str) -> None:
    """Print the routing objects as WEIGHT wants them, ready for `kubectl apply -f -`."""
    out.manifests(open_router(target).render(weight), output)
