"""Run an ingress-nginx controller in a mount namespace, where the fixed paths that it uses are private."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Mount private /etc, /var and /tmp/nginx, put the given files in /etc/nginx, and become the program."""
    etc_nginx, sink_port, *program = sys.argv[1:]
    layers = Path(etc_nginx).with_name("layers")
    layers.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(layers)], check=True)
    for top in ("etc", "var"):
        for layer in ("upper", "work"):
            (layers / top / layer).mkdir(parents=True)
        options = f"lowerdir=/{top},upperdir={layers}/{top}/upper,workdir={layers}/{top}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, f"/{top}"], check=True)
    Path("/etc/nginx").mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", etc_nginx, "/etc/nginx"], check=True)
    for name in ("ssl", "auth", "geoip", "telemetry"):
        Path("/etc/ingress-controller", name).mkdir(parents=True, exist_ok=True)
    for path in ("/var/lib/nginx", "/var/log/nginx", "/tmp/nginx"):
        Path(path).mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/tmp/nginx"], check=True)
    # Where the controller posts the configuration of TCP services once: the kernel accepts it, and nothing reads it.
    sink = socket.create_server(("127.0.0.1", int(sink_port)), backlog=128)
    sink.set_inheritable(True)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
