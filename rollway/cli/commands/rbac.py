"""`rollway rbac`: the rights that the verbs need."""

from __future__ import annotations

import click

from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import RolloutOptions, output_option
from rollway.cli.parameters import options
from rollway.cli.stores import open_router
from rollway.routers.rbac import manifests


@click.command(
    cls=Command,
    examples="""
    rollway rbac shop --serviceaccount ci | kubectl apply -f -
    rollway rbac shop --data-plane ingress-nginx
    """,
)
@options(target=RolloutOptions)
@click.option(
    "--serviceaccount",
    default="",
    metavar="[NAMESPACE:]NAME",
    help="Bind the Role to this ServiceAccount as well.",
)
@click.option(
    "--data-plane",
    "data_planes",
    metavar="NAMESPACE",
    multiple=True,
    help="Allow asking the data plane's pods in this namespace what they have loaded (repeatable).",
)
@output_option()
def rbac(target: RolloutOptions, *, serviceaccount: str, data_planes: tuple[str, ...], output: str) -> None:
    """Print the least Role with which every verb works for one Rollout."""
    out.manifests(manifests(open_router(target).rollout, serviceaccount, data_planes), output)
