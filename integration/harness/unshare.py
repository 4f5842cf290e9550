"""Linux namespaces for one command, by `unshare` of util-linux: the processes that it leaves end with it."""

from __future__ import annotations

import os
import shutil
import subprocess

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
"""The search path, with the folders that only root has on its own."""

_OWN = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def unavailable(packages: dict[str, str], *, user: bool) -> str:
    """Return why there can be no such namespaces here; empty when there can.

    `packages` has the programs that are needed beside `unshare`, each with its Debian package.
    """
    for program, package in {"unshare": "util-linux", **packages}.items():
        if not shutil.which(program, path=PATH):
            return f"{program} is not on the PATH (Debian: apt-get install {package})"
    done = subprocess.run(command("true", user=user), capture_output=True, text=True, check=False)
    return f"namespaces are not allowed here: {done.stderr.strip()}" if done.returncode else ""


def command(*words: str, user: bool) -> list[str]:
    """Return the command that runs these words in network, mount and process namespaces of their own.

    With `user` in a user namespace as well, so that it needs no root.
    """
    program = shutil.which("unshare", path=PATH) or "unshare"
    return [program, *(("--user", "--map-root-user") if user else ()), *_OWN, *words]
