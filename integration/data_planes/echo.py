"""The shop's pods: one nginx that answers on every address with the version of that address."""

from __future__ import annotations

import functools
import shutil
from typing import TYPE_CHECKING

import trustme

from data_planes import fetch
from harness import debian
from harness.daemon import Daemon

if TYPE_CHECKING:
    from pathlib import Path

PORT = 8080
TLS_PORT = 8443
VERSIONS = {"stable": 1, "canary": 2, "other": 3}
"""The last part of a pod's address for each version."""
NAMESPACES = range(255)
"""The numbers of the namespaces whose shops have addresses of their own; those of 255 belong to the data planes."""

_CONFIG = """
daemon off;
user root;
worker_processes 1;
pid {folder}/echo.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  map $server_addr $version {{ "~\\.1$" stable; "~\\.2$" canary; default other; }}
  server {{
    listen 0.0.0.0:{port} backlog=1024;
    listen 0.0.0.0:{tls_port} ssl backlog=1024;
    ssl_certificate {folder}/echo.pem;
    ssl_certificate_key {folder}/echo.pem;
    default_type text/plain;
    add_header X-Version $version;
    add_header Set-Cookie "version=$version; Path=/";
    location / {{ return 200 "$version\\n"; }}
  }}
}}
"""


def address(namespace: int, version: str) -> str:
    """Return the address of the pod of a version in the namespace with that number.

    Raises:
        ValueError: the number is not in `NAMESPACES`.
    """
    if namespace not in NAMESPACES:
        raise ValueError(f"shop {namespace} has no address: the last one that has is {NAMESPACES[-1]}")
    return f"10.244.{namespace}.{VERSIONS[version]}"


@functools.cache
def authority() -> trustme.CA:
    """Return whose certificates the pods have: a client that trusts no other is connected to a pod itself."""
    return trustme.CA()


def nginx_environment(root: Path) -> dict[str, str]:
    """Return where Debian's nginx finds its libraries."""
    return {"LD_LIBRARY_PATH": f"{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu"}


def started(folder: Path) -> Daemon:
    """Start it and wait until it answers."""
    root = debian.unpacked(debian.NGINX)
    home = folder / "echo"
    home.mkdir()
    config = home / "nginx.conf"
    config.write_text(_CONFIG.format(folder=home, port=PORT, tls_port=TLS_PORT))
    authority().issue_cert("shop.example.com").private_key_and_cert_chain_pem.write_to_path(home / "echo.pem")
    program = str(root / "usr/sbin/nginx")
    assert shutil.which(program), program
    daemon = Daemon(
        "echo", [program, "-p", str(home), "-c", str(config), "-e", "stderr"], folder, nginx_environment(root)
    )
    daemon.start()
    daemon.wait(lambda: fetch(f"http://{address(0, 'stable')}:{PORT}/") == b"stable\n")
    return daemon
