"""etcd and kube-apiserver as processes on loopback, with TLS, tokens and RBAC on."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import tools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

READY_S = 90
ISSUER = "https://kubernetes.default.svc"


class StartError(RuntimeError):
    """A process ended, or was not ready in time; the message has the end of its log."""


class ControlPlane:
    """One etcd and one API server that keep their ports and their data when they are stopped and started again."""

    def __init__(self, folder: Path, minor: str = tools.KUBERNETES[0]) -> None:
        self.folder = folder
        self.minor = minor
        self.token = secrets.token_hex(16)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("etcd", "certs", "logs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "etcd").chmod(0o700)
        self._peer, self._client, self.port = free_ports(3)
        self.signing_key = ec.generate_private_key(ec.SECP256R1())
        pem = self.signing_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        _private(folder / "certs" / "sa.key", pem)
        _private(folder / "tokens.csv", f'{self.token},admin,admin,"system:masters"\n'.encode())

    @property
    def server(self) -> str:
        """The address of the API server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> bytes:
        """The certificate that signs the API server's."""
        return (self.folder / "certs" / "apiserver.crt").read_bytes()

    def start(self) -> None:
        """Start both and wait until the API server is ready."""
        self.start_etcd()
        self.start_apiserver()

    def start_etcd(self) -> None:
        """Start etcd; it is ready when the API server is."""
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._client, self._peer))
        words = {
            "name": "one",
            "data-dir": str(self.folder / "etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"one={peer}",
            "log-level": "error",
        }
        self._run("etcd", [str(tools.etcd().path()), "--unsafe-no-fsync", *flags(words)])

    def start_apiserver(self) -> None:
        """Start the API server and wait until it is ready."""
        certs = self.folder / "certs"
        words = {
            "etcd-servers": f"http://127.0.0.1:{self._client}",
            "bind-address": "127.0.0.1",
            "secure-port": str(self.port),
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",
            "cert-dir": str(certs),
            "token-auth-file": str(self.folder / "tokens.csv"),
            "anonymous-auth": "false",
            "authorization-mode": "RBAC",
            "service-account-key-file": str(certs / "sa.key"),
            "service-account-signing-key-file": str(certs / "sa.key"),
            "service-account-issuer": ISSUER,
            "service-cluster-ip-range": "10.96.0.0/16",
            # Nothing here makes the ServiceAccount `default` that this plugin asks for.
            "disable-admission-plugins": "ServiceAccount",
            # Off by default, on in OpenShift and in hardened clusters: what works with it works without.
            "enable-admission-plugins": "OwnerReferencesPermissionEnforcement",
            "allow-privileged": "true",
            "shutdown-delay-duration": "0s",
        }
        self._run(
            "kube-apiserver", [str(tools.kubernetes("kube-apiserver", self.minor).path()), *flags(words)]
        )
        self._wait()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End one of the two, `etcd` or `kube-apiserver`, at once."""
        process = self._processes.pop(name)
        process.send_signal(number)
        process.wait(timeout=30)

    def ensure_running(self) -> None:
        """Start what is not running."""
        if "etcd" not in self._processes:
            self.start_etcd()
        if "kube-apiserver" not in self._processes:
            self.start_apiserver()

    def stop(self) -> None:
        """End both."""
        for name in list(self._processes)[::-1]:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                self.kill(name)

    def kubeconfig(self, name: str = "admin", token: str = "", server: str = "") -> Path:
        """Write a kubeconfig for a token (default: the administrator's) and return its path."""
        path = self.folder / f"{name}.kubeconfig"
        cluster: dict[str, str] = {"server": server or self.server}
        if cluster["server"].startswith("https"):
            cluster["certificate-authority-data"] = base64.b64encode(self.ca).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token or self.token}}],
            "contexts": [{"name": name, "context": {"cluster": "local", "user": name}}],
        }
        _private(path, yaml.safe_dump(config).encode())
        return path

    def log(self, name: str) -> str:
        """Return the end of a process's log."""
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches only the person's command, which then ends these in order.
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_S
        request = urllib.request.Request(
            f"{self.server}/readyz", headers={"Authorization": f"Bearer {self.token}"}
        )
        while time.monotonic() < deadline:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise StartError(f"{name} ended with {process.returncode}:\n{self.log(name)}")
            with contextlib.suppress(
                urllib.error.URLError, ConnectionError, TimeoutError, ssl.SSLError, OSError
            ):
                context = ssl.create_default_context(cadata=self.ca.decode())
                opener = urllib.request.build_opener(
                    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
                )
                with opener.open(request, timeout=3) as answer:
                    if answer.read() == b"ok":
                        return
            time.sleep(0.1)
        raise StartError(f"the API server was not ready in {READY_S} s:\n{self.log('kube-apiserver')}")


def started(folder: Path, minor: str) -> ControlPlane:
    """Start a control plane; another program may take the ports before they are used, so this is tried again with others."""
    for attempt in range(3):
        plane = ControlPlane(folder / str(attempt), minor)
        try:
            plane.start()
        except StartError:
            plane.stop()
            if attempt == 2:
                raise
        except BaseException:
            plane.stop()
            raise
        else:
            return plane
    raise AssertionError("the loop returns or raises")


def flags(values: Mapping[str, str]) -> list[str]:
    """Write options as Go's programs take them."""
    return [f"--{name}={value}" for name, value in values.items()]


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def _private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    os.chmod(path, 0o600)
    path.write_bytes(content)
