"""`rollway backends`: what each backend can do."""

from __future__ import annotations

import click

from rollway.cli import output as out
from rollway.cli import report
from rollway.cli.group import Command
from rollway.cli.options import output_option


@click.command(cls=Command)
@output_option()
def backends(*, output: str) -> None:
    """Show what each backend can do."""
    header, rows = report.capabilities()
    if output == "text":
        out.table(header, rows)
    else:
        out.document([dict(zip(header, row, strict=True)) for row in rows], output)
