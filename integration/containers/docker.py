"""The docker command."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class DockerError(RuntimeError):
    """Docker refused a command, or is not there; the message has its words."""


def docker(
    *words: str,
    stdin: Any = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> str:
    """Run docker to its end, and return what it printed.

    Raises:
        DockerError: it failed, or took longer than so many seconds.
    """
    try:
        done = subprocess.run(
            ["docker", *words],
            stdin=stdin,
            env=None if environment is None else dict(environment),
            capture_output=True,
            check=False,
            timeout=seconds,
        )
    except FileNotFoundError:
        raise DockerError("docker is not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise DockerError(f"docker {' '.join(words)}: no answer in {seconds} s") from None
    if done.returncode:
        raise DockerError(f"docker {' '.join(words)}: {done.stderr.decode(errors='replace').strip()[-2000:]}")
    return done.stdout.decode(errors="replace")
