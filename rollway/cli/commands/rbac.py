"""`rollway rbac`: the rights that the verbs need."""

from __future__ import annotations

import click

from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import RolloutOptions, output_option
from rollway.cli.parameters import options
from rollway.cli.stores import open_router, read_manifest
from rollway.releases.rights import release_rules
from rollway.routers.rbac import manifests


@click.command(
    cls=Command,
    examples="""
    rollway rbac shop --serviceaccount ci | kubectl apply -f -
    rollway rbac shop --data-plane ingress-nginx
    rollway rbac shop --release                       # for the verbs that look at releases and run them as well
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
@click.option("--release", is_flag=True, help="Allow looking at releases and running them as well.")
@output_option()
def rbac(
    target: RolloutOptions,
    *,
    serviceaccount: str,
    data_planes: tuple[str, ...],
    release: bool,
    output: str,
) -> None:
    """Print the least Role with which every verb that moves traffic works for one Rollout.

    With --release, those that look at releases and run them work too.
    """
    router = open_router(target)
    more = release_rules(read_manifest(target, router)) if release else ()
    out.manifests(manifests(router.rollout, serviceaccount, data_planes, more), output)
