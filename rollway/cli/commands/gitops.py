"""`rollway gitops`: what keeps a GitOps tool from writing the weights back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rollway.cli import documents
from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import RolloutOptions, output_option
from rollway.cli.parameters import options
from rollway.cli.stores import open_router
from rollway.routers.gitops import stanzas, weight_paths
from rollway.routers.planning import needs_of

if TYPE_CHECKING:
    from rollway.routers.gitops import Tool


@click.command(
    cls=Command,
    examples="""
    rollway gitops shop --for argocd
    rollway gitops shop --for flux -o json
    """,
)
@options(target=RolloutOptions)
@click.option(
    "--for",
    "tool",
    type=click.Choice(["argocd", "flux"]),
    required=True,
    help="The tool that syncs from Git.",
)
@output_option()
def gitops(target: RolloutOptions, *, tool: Tool, output: str) -> None:
    """Print what keeps a GitOps tool from writing the weights of your own objects back."""
    router = open_router(target)
    live = router.store.read(needs_of(router.rollout))
    paths = weight_paths(router.rollout, live)
    parts = stanzas(tool, paths, live) if paths else []
    if not parts:
        out.note(f"{router.rollout.ref} changes no object of yours, so there is nothing to leave alone")
    if output != "text":
        out.document(documents.gitops_document(router.rollout, tool, parts), output)
    elif parts:
        out.echo("\n---\n".join(f"# into your {owner}\n{out.yaml_text(stanza)}" for owner, stanza in parts))
