"""Run a command beside a Docker engine: the one that runs here, or else one of its own that ends with the command.

    python integration/engine.py [--stay] COMMAND...

The engine of its own is Debian's, unpacked and not installed, in network, mount and process namespaces of its own: the
machine's network and firewall are not touched, nothing leaves it, and what a killed command leaves behind ends as well.
It needs root, apt, and `unshare` (util-linux). Its images stay in the cache, so they are loaded once. With `--stay` a
shell follows the command, in which `docker` finds the engine.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness import debian, tools, unshare
from harness.control_plane import StartError, flags
from harness.daemon import Daemon
from harness.docker import DockerError, docker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INSIDE = "ROLLWAY_ENGINE"
_HARNESS = Path(__file__).resolve().parent / "harness"


def running(environment: Mapping[str, str] | None = None) -> str:
    """Say in one line why no Docker engine runs that this environment finds; empty when there is one."""
    try:
        docker("version", environment=environment, seconds=30)
    except DockerError as error:
        return f"Docker does not run here: {' '.join(str(error).split())[:200]}"
    return ""


def unavailable() -> str:
    """Say why there can be no engine on this machine; empty when there can."""
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
        # Lock files, sockets and pids of this engine are no other's.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        folder = Path(name)
        (folder / "tmp").mkdir()
        environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "PATH": f"{root}/usr/bin:{unshare.PATH}",
            # What the command leaves for a look is of no use without the engine.
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
            # What a killed run left.
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
    script = _HARNESS / "container_runtime.py"
    runtime.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "{root}/usr/sbin/runc" "$@"\n')
    runtime.chmod(0o755)
    libraries = f"{root}/usr/lib/x86_64-linux-gnu"
    return {
        "PATH": f"{folder}/bin:{root}/usr/bin:{root}/usr/sbin:{unshare.PATH}",
        "LD_LIBRARY_PATH": f"{libraries}:{root}/lib/x86_64-linux-gnu",
        "XTABLES_LIBDIR": f"{libraries}/xtables",
    }


def main() -> int:
    """Become the command where an engine runs; else make the namespaces, start one in them, and run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--stay", action="store_true", help="open a shell beside an engine of ours afterwards"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER)
    words = parser.parse_args()
    if INSIDE in os.environ:
        try:
            return _beside_an_engine(words.command, stay=words.stay)
        except StartError as error:
            print(f"error: {' '.join(str(error).split())[-1000:]}", file=sys.stderr)
            return 1
    why = unavailable()
    if why:
        print(f"error: {why}", file=sys.stderr)
        return 1
    if not running():
        os.execvp(words.command[0], words.command)
    try:
        # From inside, nothing can be downloaded any more.
        debian.unpacked(debian.ENGINE)
    except tools.MissingToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    os.environ |= {INSIDE: "1", "PATH": unshare.PATH}
    inside = unshare.command(sys.executable, __file__, *sys.argv[1:], user=False)
    return os.execvp(inside[0], inside)


def _beside_an_engine(command: list[str], *, stay: bool) -> int:
    with started() as environment:
        process = subprocess.Popen(command, env=dict(environment))
        # Ctrl-C reaches the command as well, which then takes its cluster away; this waits for it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, _frame: process.send_signal(number))
        status = process.wait()
        if stay:
            print("the engine runs until this shell ends; `docker ps` shows what is in it", flush=True)
            subprocess.run(
                ["bash", "--norc", "-i"],
                env={**environment, "PS1": "engine$ "},
                check=False,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        return status


if __name__ == "__main__":
    sys.exit(main())
