"""How an error ends a command: its text, or its document with `-o json` and `-o yaml`, on stderr, and its exit code.

As with kubectl, stdout has answers only, so that `rollway ... -o json | jq` never reads half of an error. The document
is the last thing on stderr; as JSON it is one line, so that a pipeline finds it behind the notes.
"""

from __future__ import annotations

import errno
import itertools
import json
from typing import TYPE_CHECKING, Any

import click

from rollway.cli import output as out
from rollway.cli.documents import object_document
from rollway.routers.errors import Fault, RollwayError
from rollway.routers.objects import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Sequence

_BUG = "this is a bug in rollway; --debug shows where"


def form_of(words: Sequence[str]) -> str:
    """Return the form of the answer that the words of a command ask for; they may be wrong in every other way."""
    form = "text"
    for word, following in itertools.pairwise([*words, ""]):
        if word == "--":
            break
        if word in ("-o", "--output"):
            form = following
        elif word.startswith("--output="):
            form = word.removeprefix("--output=")
        elif word.startswith("-o") and not word.startswith("--"):
            form = word.removeprefix("-o").removeprefix("=")
    return form


def report(error: Exception, form: str, ref: ObjectRef | None = None) -> int:
    """Print an error, about one of several objects if there is a `ref`, to stderr; return the exit code."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EPIPE):
        # Stores have errors of their own, so this is click that could not print a help text.
        error = out.OutputError(error)
    code = error.exit_code if isinstance(error, RollwayError | click.ClickException) else 1
    if form == "json":
        click.echo(json.dumps(error_document(error, code, ref), ensure_ascii=False), err=True)
    elif form == "yaml":
        click.echo(f"---\n{out.yaml_text(error_document(error, code, ref))}", err=True)
    elif isinstance(error, click.ClickException):
        error.show()
    elif isinstance(error, RollwayError | out.OutputError):
        out.error(f"{ref}: {error}" if ref else str(error))
    else:
        out.error(f"{type(error).__name__}: {error}\n  {_BUG}")
    return code


def error_document(error: Exception, code: int, ref: ObjectRef | None = None) -> dict[str, Any]:
    """Write an error as data; its schema is `docs/schema/error.json`."""
    message, hint = str(error), ""
    reasons: tuple[object, ...] = ()
    if isinstance(error, RollwayError):
        reasons = (*getattr(error, "faults", ()), *getattr(error, "reasons", ()))
        message, hint = error.message.partition("\n")[0] if reasons else error.message, error.hint
        reasons += error.others
        ref = ref or (error.ref if isinstance(error.ref, ObjectRef) else None)
    elif isinstance(error, click.ClickException):
        message = error.format_message()
    elif not isinstance(error, out.OutputError):
        hint = _BUG
    return {
        "error": {
            "type": type(error).__name__,
            "object": object_document(ref) if ref else None,
            "message": message,
            "reasons": [_reason_document(reason) for reason in reasons],
            "hint": hint,
            "retryable": isinstance(error, RollwayError) and error.retryable,
            "exitCode": code,
        }
    }


def _reason_document(reason: object) -> dict[str, Any]:
    """Write one of several reasons: a fault with its place, a finding with its code, or a text."""
    message = reason.message if isinstance(reason, Fault) else str(reason)
    return {
        "message": message,
        "place": getattr(reason, "place", "") or None,
        "code": getattr(reason, "code", "") or None,
    }
