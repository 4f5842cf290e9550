"""Run a command in user, network, mount and process namespaces of its own, so that nothing it sends leaves the machine.

    python integration/programs/sandbox.py COMMAND...

Inside, every address of 10.244.0.0/16 is local, so Services can have endpoints that an API server accepts; all
processes that the command leaves behind end with it. It needs `unshare` (util-linux) and `ip` (iproute2), and no root.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import sandbox, unshare


def main() -> None:
    """Become the command in a new sandbox; called again inside, set the network up first."""
    if sandbox.inside():
        for words in ("link set lo up", f"route add local {sandbox.PODS} dev lo"):
            subprocess.run(["ip", *words.split()], check=True)
        os.execvp(sys.argv[1], sys.argv[1:])
    why = sandbox.unavailable()
    if why:
        sys.exit(f"error: {why}")
    environment = {**os.environ, sandbox.INSIDE: "1", "PATH": unshare.PATH}
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        environment.pop(name, None)
        environment.pop(name.upper(), None)
    command = unshare.command(sys.executable, __file__, *sys.argv[1:], user=True)
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    main()
