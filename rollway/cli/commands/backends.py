"""`rollway backends`: what each backend can do."""

from __future__ import annotations

import click

from rollway.cli import output as out
from rollway.cli import report
from rollway.cli.group import Command
from rollway.cli.options import headers_option, output_option


@click.command(
    cls=Command,
    examples="""
    rollway backends -o json
    """,
)
@output_option("name")
@headers_option
def backends(*, output: str, header_line: bool) -> None:
    """Show what each backend can do."""
    header, rows = report.capabilities()
    if output == "text":
        out.table(header, rows, headers=header_line)
    elif output == "name":
        for row in rows:
            out.echo(row[0])
    else:
        out.document([dict(zip(header, row, strict=True)) for row in rows], output)
