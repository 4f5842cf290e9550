"""Run the command line inside the test's own process, or in a terminal of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

from rollway.cli import run

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Ran:
    """What a command answered."""

    code: int
    stdout: str
    stderr: str


def rollway(*words: str) -> Ran:
    """Run `rollway WORDS...` and return its exit code and output."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = run(words)
    return Ran(code, stdout.getvalue(), stderr.getvalue())


def on_terminal(
    *words: str, environment: Mapping[str, str] | None = None, stdout: Path | None = None, typed: str = ""
) -> tuple[int, str]:
    """Run `rollway WORDS...` with stdout (unless it is a file) and stderr on one terminal, where somebody has typed.

    Returns:
        The exit code, and what was written to the terminal.
    """
    controller, terminal = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    answers = os.open(stdout, os.O_WRONLY | os.O_CREAT) if stdout else terminal
    child = subprocess.Popen(
        [sys.executable, "-m", "rollway.cli", *words],
        stdin=terminal if typed else subprocess.DEVNULL,
        stdout=answers,
        stderr=terminal,
        env={**plain, "TERM": "xterm", "COLUMNS": "100", **(environment or {})},
    )
    os.write(controller, typed.encode())
    for opened in {answers, terminal}:
        os.close(opened)
    written = bytearray()
    # A terminal whose last program has ended answers with an error instead of an empty read (Linux, pty(7)).
    with contextlib.suppress(OSError):
        while part := os.read(controller, 65536):
            written += part
    os.close(controller)
    return child.wait(), written.decode()


def schema(name: str, document: Any) -> None:
    """Check a document against its written schema."""
    folder = Path(__file__).parent.parent / "docs" / "schema"
    written = json.loads((folder / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(written)
    jsonschema.validate(document, written)
