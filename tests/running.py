"""Run the command line inside the test's own process, as the console script does."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from rollway.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command answered."""

    code: int
    stdout: str
    stderr: str


def rollway(*words: str) -> Ran:
    """Run `rollway WORDS...` and return its exit code and output."""
    stdout, stderr = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            main(list(words))
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Ran(code, stdout.getvalue(), stderr.getvalue())
