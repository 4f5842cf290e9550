"""`rollway completion`: the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from rollway.cli import output as out
from rollway.cli.group import Command


@click.command(
    cls=Command,
    examples="""
    eval "$(rollway completion bash)"
    rollway completion fish > ~/.config/fish/completions/rollway.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> None:
    """Print the completion script of a shell: eval "$(rollway completion bash)"."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three shells"
    out.echo(kind(ctx.find_root().command, {}, "rollway", "_ROLLWAY_COMPLETE").source())
