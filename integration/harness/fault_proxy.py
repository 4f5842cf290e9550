"""A proxy between rollway and the API server that fails on purpose: plain HTTP on loopback, TLS behind it."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.kube.connection import Connection

WRITES = ("PATCH", "PUT", "POST", "DELETE")


@dataclass
class Fault:
    """What goes wrong, how often, and with which requests.

    `path` limits it to requests whose path has that text. `kind` is `reset` (before the server sees it), `lost` (stored, then the connection is reset), `hang` (stored, then
    silence), `status` (an error of the proxy's own), `stored-status` (stored, then an error), `truncated`, `slow`,
    or `gone` (a watch whose version is too old).
    """

    kind: str
    times: int = 1
    methods: tuple[str, ...] = WRITES
    status: int = 500
    retry_after: str = ""
    seconds: float = 3.0
    skip: int = 0
    path: str = ""


@dataclass
class FaultProxy:
    """Forward requests, and apply the faults in order; `requests` lists (method, path) of all."""

    upstream: Connection
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    server: Any = None
    watches: list[socket.socket] = field(default_factory=list)

    def drop_watches(self) -> None:
        """Close the connection of every watch that is open."""
        while self.watches:
            with contextlib.suppress(OSError):
                self.watches.pop().shutdown(socket.SHUT_RDWR)

    @property
    def address(self) -> str:
        """Where to connect to."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault for a request, if there is one, and count it."""
        with self.lock:
            self.requests.append((method, path))
            for fault in self.faults:
                if method not in fault.methods or fault.path not in path or not fault.times:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None


@contextlib.contextmanager
def fault_proxy(upstream: Connection) -> Iterator[FaultProxy]:  # noqa: C901 - a handler of many small methods
    """Run a proxy in front of the API server of a connection."""
    proxy = FaultProxy(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_words: Any) -> None:
            """Print nothing."""

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
                super().handle_one_request()

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            fault = proxy.take(self.command, self.path)
            kind = fault.kind if fault else ""
            if fault and kind == "reset":
                self._reset()
            elif fault and kind == "status":
                self._status(fault)
            elif fault and kind == "gone":
                gone = {
                    "type": "ERROR",
                    "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"},
                }
                self._answer(
                    200, {"Content-Type": "application/json"}, json.dumps(gone).encode() + b"\n", None
                )
            else:
                self._forward(body, fault)

        def _forward(self, body: bytes | None, fault: Fault | None) -> None:
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() in ("authorization", "content-type", "accept")
                or name.lower().startswith("impersonate")
            }
            if "Authorization" not in headers:
                headers["Authorization"] = dict(proxy.upstream.headers())["Authorization"]
            answer = proxy.upstream._pool.request(
                self.command,
                f"{proxy.upstream.host}{self.path}",
                body=body,
                headers=headers,
                preload_content=False,
                retries=False,
                timeout=300,
            )
            if "watch=true" in self.path:
                self._stream(answer)
                return
            data = answer.data
            kind = fault.kind if fault else ""
            if fault and kind == "lost":
                self._reset()
            elif fault and kind == "hang":
                time.sleep(fault.seconds)
                self._reset()
            elif fault and kind == "stored-status":
                self._status(fault)
            else:
                self._answer(answer.status, dict(answer.headers), data, fault)

        def _answer(self, status: int, headers: dict[str, str], data: bytes, fault: Fault | None) -> None:
            self.send_response(status)
            for name in ("Content-Type", "Retry-After", "Warning"):
                if name in headers:
                    self.send_header(name, headers[name])
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if fault and fault.kind == "truncated":
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self._reset()
            elif fault and fault.kind == "slow":
                for index in range(len(data)):
                    self.wfile.write(data[index : index + 1])
                    self.wfile.flush()
                    time.sleep(fault.seconds / 20)
            else:
                self.wfile.write(data)

        def _stream(self, answer: Any) -> None:
            proxy.watches.append(self.connection)
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while chunk := answer.read1(65536):
                self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def _status(self, fault: Fault) -> None:
            body = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "message": "made up by the proxy",
            }
            headers = {"Content-Type": "application/json"}
            if fault.retry_after:
                headers["Retry-After"] = fault.retry_after
            self._answer(fault.status, headers, json.dumps(body).encode(), None)

        def _reset(self) -> None:
            # Without lingering, the kernel sends a reset when the socket is closed.
            with contextlib.suppress(OSError):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            self.close_connection = True

        do_GET = do_PATCH = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.server = server
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
