"""Programs from Debian's packages, unpacked into the cache: nothing is installed and no service starts."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.tools import MissingToolError, cache

if TYPE_CHECKING:
    from collections.abc import Sequence

NGINX = (
    "nginx",
    "nginx-common",
    "libnginx-mod-http-lua",
    "libnginx-mod-http-ndk",
    "libnginx-mod-http-headers-more-filter",
    "libnginx-mod-http-set-misc",
    "libnginx-mod-stream",
    "lua-resty-core",
    "lua-resty-lrucache",
    "lua-cjson",
    "lua-nginx-cookie",
    "lua-nginx-dns",
    "lua-nginx-string",
    "libluajit2-5.1-2",
    "libluajit2-5.1-common",
    "libpcre3",
)
"""nginx with the modules that ingress-nginx loads, and the Lua libraries of its balancer that Debian has."""
PROMETHEUS = ("prometheus",)
ENGINE = (
    "docker.io",
    "containerd",
    "runc",
    "tini",
    "iptables",
    "libdevmapper1.02.1",
    "libip4tc2",
    "libip6tc2",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libxtables12",
)
"""A Docker engine, and the libraries of its programs that a small Debian lacks."""
MMDEBSTRAP = ("mmdebstrap",)
RELEASE = "bookworm"
"""The release of Debian whose packages are in the images of the tests."""


def root_file_system(packages: Sequence[str], target: Path, *, whole: bool) -> None:
    """Make the root file system of an image from packages: the smallest Debian with them, or else only their files.

    Without `whole` there is what the packages and those that they depend on hold, and nothing is configured.
    """
    if not shutil.which("apt-get") or not shutil.which("perl"):
        raise MissingToolError("images are made of Debian's packages, and apt-get is not here")
    program = unpacked(MMDEBSTRAP) / "usr/bin/mmdebstrap"
    words = [f"--variant={'minbase' if whole else 'extract'}", f"--include={','.join(packages)}"]
    command = ["perl", str(program), "--quiet", *words, RELEASE, str(target)]
    print(f"making a root file system of {len(packages)} Debian packages ({packages[0]})", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingToolError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")


def unpacked(packages: tuple[str, ...]) -> Path:
    """Return a folder with the content of the packages, downloaded now unless the cache has it."""
    release = Path("/etc/os-release").read_bytes() if Path("/etc/os-release").exists() else b""
    digest = hashlib.sha256(b"\0".join([release, *(name.encode() for name in packages)])).hexdigest()[:16]
    target = cache() / "debian" / digest
    if target.exists():
        return target
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise MissingToolError(f"{packages[0]} is taken from Debian's packages, and apt-get is not here")
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        print(f"downloading {len(packages)} Debian packages ({packages[0]})", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            _download(packages, Path(folder))
            content = Path(folder) / "content"
            for file in sorted(Path(folder).glob("*.deb")):
                subprocess.run(["dpkg", "-x", str(file), str(content)], check=True)
            content.rename(target)
    return target


def _download(packages: tuple[str, ...], folder: Path) -> None:
    command = ["apt-get", "download", "-qq", *packages]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        # A bare machine has no package lists yet.
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=False)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingToolError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
