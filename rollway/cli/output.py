"""How the command line prints: answers to stdout, notes and errors to stderr, colour on a terminal or when asked for."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollway.routers.findings import Finding
    from rollway.routers.objects import Manifest


class OutputError(Exception):
    """The answer could not be written to stdout: a full disk, a closed pipe."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"the answer could not be written to standard output: {error.strerror or error}\n"
            "  what was done is done; `rollway status` shows it"
        )


def colour() -> bool | None:
    """Whether to print colours: NO_COLOR (no-color.org) and FORCE_COLOR (force-color.org); None: on a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def echo(text: str = "", **style: Any) -> None:
    """Print a line of the answer.

    Raises:
        OutputError: stdout does not take it.
    """
    try:
        click.echo(click.style(text, **style) if any(style.values()) else text)
    except OSError as error:
        discard()
        raise OutputError(error) from error


def finish() -> None:
    """Write what is still in the buffer, while an error of it can be reported.

    Raises:
        OutputError: stdout does not take it.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        discard()
        raise OutputError(error) from error


def discard() -> None:
    """Let the interpreter throw away at its end what stdout did not take, instead of failing again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def document(value: Any, form: str) -> None:
    """Print a JSON document, or the same as YAML."""
    echo(json.dumps(value, indent=2, ensure_ascii=False) if form == "json" else yaml_text(value))


def yaml_text(value: Any) -> str:
    """Write a value as YAML that every parser reads the same way."""
    from rollway.routers.stores.yaml_text import block  # noqa: PLC0415 - text answers do not need it

    return block(value, 0, literals=True) if value else json.dumps(value)


def manifests(objects: Sequence[Manifest], form: str) -> None:
    """Print objects as `kubectl apply -f -` takes them."""
    if form == "json":
        document({"apiVersion": "v1", "kind": "List", "items": list(objects)}, form)
    else:
        echo("\n---\n".join(yaml_text(manifest) for manifest in objects))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, headers: bool = True) -> None:
    """Print columns, as wide as their content; without `headers` only the rows, as kubectl does."""
    from tabulate import tabulate  # noqa: PLC0415 - plain answers do not need it

    lines = tabulate([header, *rows], tablefmt="plain", disable_numparse=True).splitlines()
    if headers:
        echo(lines[0].rstrip(), bold=True)
    for line in lines[1:]:
        echo(line.rstrip())


def findings(listed: Iterable[Finding]) -> None:
    """Print findings to stderr, refusals first."""
    for finding in sorted(listed, key=lambda finding: finding.severity.value != "refusal"):
        colour = "red" if finding.severity.value == "refusal" else "yellow"
        click.echo(f"{click.style(f'{finding.severity.value}:', fg=colour)} {finding}", err=True)


def note(text: str) -> None:
    """Print a note to stderr."""
    click.echo(f"{click.style('note:', fg='yellow')} {text}", err=True)


def error(text: str) -> None:
    """Print an error to stderr."""
    click.echo(f"{click.style('error:', fg='red')} {text}", err=True, color=colour())
