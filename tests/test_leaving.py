"""How the process of a command ends."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import atexit, ctypes, threading, time
libc = ctypes.CDLL(None)
libc.strdup.restype = ctypes.c_void_p
text = ctypes.c_void_p(libc.strdup(b"a handler of C"))
libc.__cxa_atexit(ctypes.cast(libc.puts, ctypes.c_void_p), text, None)
atexit.register(print, "a handler of Python")
threading.Thread(target=time.sleep, args=(600,)).start()
from rollway.cli import main
main({words})
"""


def ended(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command beside a thread that does not end, and handlers of both kinds."""
    program = PROGRAM.format(words=list(words))
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_no_handler_of_a_c_library_runs_beside_threads() -> None:
    """OpenSSL's handler would free what threads still use; Python's handlers run, and all output is written."""
    ran = ended("backends")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("\na handler of Python\n")
    assert ("gateway" in ran.stdout, "a handler of C" in ran.stdout) == (True, False)


def test_the_exit_code_and_the_traceback_stay() -> None:
    """A usage error is 2; an error with `--debug` is 1, with its traceback."""
    assert ended("no-such-verb").returncode == 2
    ran = ended("status", "--dir", "/nowhere", "--debug")
    assert (ran.returncode, "Traceback (most recent call last)" in ran.stderr) == (1, True)
