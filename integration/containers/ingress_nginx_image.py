"""The image of ingress-nginx where no registry can be reached: Debian's nginx, and the controller's Go module."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

from containers import images
from data_planes import ingress_nginx_files
from harness import debian, tools

CONTROLLER = "/nginx-ingress-controller"
_STATUS_PORT = 10246
_USER = 101
"""The user of the release's image, whom its manifests name."""


def image() -> images.Image:
    """Return the controller on Debian's nginx, laid out as the release's image is."""
    controller = tools.ingress_nginx().path()
    files = [
        Path(__file__),
        Path(ingress_nginx_files.__file__),
        *sorted(Path(ingress_nginx_files.LUA).rglob("*.lua")),
    ]

    def fill(root: Path) -> None:
        debian.root_file_system(debian.NGINX, root, whole=False)
        own = root.parent / "etc-nginx"
        # Where the controller posts the configuration of TCP services; what listens there needs no Lua, and ignores it.
        ingress_nginx_files.lay_out(root, own, sink=_STATUS_PORT)
        shutil.rmtree(root / "etc/nginx")
        shutil.move(own, root / "etc/nginx")
        (root / "etc/passwd").write_text(f"root:x:0:0::/:\nwww-data:x:{_USER}:{_USER}::/:\n")
        (root / "etc/group").write_text(f"root:x:0:\nwww-data:x:{_USER}:\n")
        for name in ("ssl", "auth", "geoip", "telemetry"):
            (root / "etc/ingress-controller" / name).mkdir(parents=True)
        for name in ("var/lib/nginx", "var/log/nginx", "tmp/nginx", "run"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for log, stream in (("access", "stdout"), ("error", "stderr")):
            (root / f"var/log/nginx/{log}.log").unlink(missing_ok=True)
            (root / f"var/log/nginx/{log}.log").symlink_to(f"/dev/{stream}")
        (root / "usr/bin/nginx").symlink_to("../sbin/nginx")
        shutil.copy(controller, root / CONTROLLER.strip("/"))
        for program in (root / CONTROLLER.strip("/"), root / "usr/sbin/nginx"):
            _let_bind(program)
        for top in ("etc/nginx", "etc/ingress-controller", "var/lib/nginx", "var/log/nginx", "tmp", "run"):
            for path in (root / top, *(root / top).rglob("*")):
                os.chown(path, _USER, _USER, follow_symlinks=False)

    sources = (str(controller), *debian.NGINX, debian.RELEASE, *(file.read_text() for file in files))
    start = {"User": str(_USER), "WorkingDir": "/etc/nginx", "Cmd": [CONTROLLER]}
    return images.Image("rollway.dev/ingress-nginx", sources, fill, start)


def _let_bind(program: Path) -> None:
    """Give a program CAP_NET_BIND_SERVICE, permitted and effective, as `setcap` does (linux/capability.h, v2)."""
    os.setxattr(program, "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
