"""rollway in a process of its own, as a person or a pipeline starts it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLLWAY = [sys.executable, "-X", "faulthandler", "-m", "rollway.cli"]
"""The command; should it crash, it prints what its threads were doing."""


@contextlib.contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Start `rollway WORDS...` with its output in pipes; it does not outlive the block.

    Ctrl-C works for it also where the tests themselves were started in the background, with that signal ignored.
    """
    process = subprocess.Popen(
        [*ROLLWAY, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads are forked here
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def rollway(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `rollway WORDS...` to its end and return what it printed; any other exit status is a failure."""
    done = subprocess.run(
        [*ROLLWAY, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == status, f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done
