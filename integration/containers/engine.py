"""A Docker engine: the one that runs on this machine, or else Debian's, unpacked and not installed.

`programs/engine.py` makes the namespaces in which an engine of ours runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from containers.docker import DockerError, docker
from harness import debian, tools, unshare
from harness.control_plane import flags
from harness.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INSIDE = "ROLLWAY_ENGINE"
"""The variable that is set where a command runs beside an engine of ours."""


def running(environment: Mapping[str, str] | None = None) -> str:
    """Return in one line why this environment finds no running Docker engine; empty when it finds one."""
    try:
        docker("version", environment=environment, seconds=30)
    except DockerError as error:
        return f"Docker does not run here: {' '.join(str(error).split())[:200]}"
    return ""


def unavailable() -> str:
    """Return why there can be no engine on this machine; empty when there can."""
    why = running()
    if not why:
        return ""
    if os.geteuid() != 0:
        return f"{why}; an engine of our own needs root"
    own = unshare.unavailable({"ip": "iproute2", "apt-get": "apt"}, user=False)
    return f"{why}; for an engine of our own, {own}" if own else ""


@contextlib.contextmanager
def started() -> Iterator[Mapping[str, str]]:
    """Start an engine in the namespaces that this process already has; yield the environment that finds it."""
    root = debian.unpacked(debian.ENGINE)
    place = tools.cache() / "engine"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="rollway-engine-") as name:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another run's engine to end", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        # Other engines have lock files, sockets and pids of their own.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        folder = Path(name)
        (folder / "tmp").mkdir()
        environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "PATH": f"{root}/usr/bin:{unshare.PATH}",
            # Files that the command leaves are of no use without the engine.
            "TMPDIR": str(folder / "tmp"),
        }
        words = {
            "data-root": str(place / "data"),
            "exec-root": str(folder / "exec"),
            "pidfile": str(folder / "docker.pid"),
            "host": environment["DOCKER_HOST"],
            "add-runtime": f"rollway={folder}/bin/rollway-runc",
            "default-runtime": "rollway",
        }
        daemon = Daemon("dockerd", [f"{root}/usr/sbin/dockerd", *flags(words)], folder)
        daemon.environment = {**environment, **_programs(root, folder)}
        daemon.start()
        try:
            daemon.wait(lambda: not running(environment))
            # Containers that a killed run has left.
            left = docker("ps", "--all", "--quiet", environment=environment).split()
            if left:
                docker("rm", "--force", "--volumes", *left, environment=environment)
            yield environment
        finally:
            daemon.stop(seconds=30)


def _programs(root: Path, folder: Path) -> dict[str, str]:
    """Put the engine's programs under the names that it calls, and return where they and their libraries are."""
    (folder / "bin").mkdir()
    links = {"iptables": "usr/sbin/xtables-nft-multi", "ip6tables": "usr/sbin/xtables-nft-multi"}
    for name, target in {**links, "docker-init": "usr/bin/tini-static"}.items():
        (folder / "bin" / name).symlink_to(root / target)
    runtime = folder / "bin/rollway-runc"
    script = Path(__file__).resolve().parent / "container_runtime.py"
    runtime.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "{root}/usr/sbin/runc" "$@"\n')
    runtime.chmod(0o755)
    libraries = f"{root}/usr/lib/x86_64-linux-gnu"
    return {
        "PATH": f"{folder}/bin:{root}/usr/bin:{root}/usr/sbin:{unshare.PATH}",
        "LD_LIBRARY_PATH": f"{libraries}:{root}/lib/x86_64-linux-gnu",
        "XTABLES_LIBDIR": f"{libraries}/xtables",
    }
