"""How the process of a command ends: with the handlers of Python, and without those of C libraries."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the process with an exit code, after what `atexit` has and with everything printed.

    The ordinary end is not safe where threads have used TLS, even when each was joined: Python before 3.13 does not wait
    for the system's thread, whose last act is to free what OpenSSL keeps for it, and OpenSSL's own handler, which `exit`
    calls, frees the same (openssl/openssl#6214). Rarely, on a busy machine, a command that succeeded then ended by SIGSEGV
    or SIGABRT. `os._exit` calls no such handler, and no thread holds it up.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - what multiprocessing calls before it calls os._exit
    for stream in (sys.stdout, sys.stderr):
        # What could be reported was reported before.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)
