"""Run a command beside a Docker engine: the one that runs here, or else one of its own that ends with the command.

    python integration/programs/engine.py [--stay] COMMAND...

The engine of its own is Debian's, unpacked and not installed, in network, mount and process namespaces of its own: the
machine's network and firewall are not touched, nothing leaves it, and what a killed command leaves behind ends as well.
It needs root, apt, and `unshare` (util-linux). Its images stay in the cache, so they are loaded once. With `--stay` a
shell follows the command, in which `docker` finds the engine.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from containers import engine
from harness import debian, tools, unshare
from harness.control_plane import StartError


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
    if engine.INSIDE in os.environ:
        try:
            return _beside_an_engine(words.command, stay=words.stay)
        except StartError as error:
            print(f"error: {' '.join(str(error).split())[-1000:]}", file=sys.stderr)
            return 1
    why = engine.unavailable()
    if why:
        print(f"error: {why}", file=sys.stderr)
        return 1
    if not engine.running():
        os.execvp(words.command[0], words.command)
    try:
        # Inside the namespaces nothing can be downloaded.
        debian.unpacked(debian.ENGINE)
    except tools.MissingToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    os.environ |= {engine.INSIDE: "1", "PATH": unshare.PATH}
    inside = unshare.command(sys.executable, __file__, *sys.argv[1:], user=False)
    return os.execvp(inside[0], inside)


def _beside_an_engine(command: list[str], *, stay: bool) -> int:
    with engine.started() as environment:
        process = subprocess.Popen(command, env=dict(environment))
        # Ctrl-C also reaches the command, which then deletes its cluster; this waits for it.
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
