"""What a cluster and Prometheus ask of the controller over HTTP: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rollway.controller.process import Controller


def serve(controller: Controller, health_port: int, metrics_port: int) -> Callable[[], None]:
    """Answer on both ports, and return what ends that; port 0 leaves one out."""
    metrics: dict[str, Callable[[], tuple[int, bytes]]] = {
        "/metrics": lambda: (200, controller.metrics.text())
    }
    health: dict[str, Callable[[], tuple[int, bytes]]] = {
        "/healthz": lambda: _word(controller.alive),
        "/readyz": lambda: _word(controller.ready),
    }
    paths: dict[int, dict[str, Callable[[], tuple[int, bytes]]]] = {}
    for port, answers in ((health_port, health), (metrics_port, metrics)):
        if port:
            paths.setdefault(port, {}).update(answers)
    servers = [ThreadingHTTPServer(("", port), _handler(answers)) for port, answers in paths.items()]
    for server in servers:
        threading.Thread(target=server.serve_forever, name="rollway-http", daemon=True).start()

    def close() -> None:
        for server in servers:
            server.shutdown()
            server.server_close()

    return close


def _word(good: bool) -> tuple[int, bytes]:
    return (200, b"ok\n") if good else (503, b"not yet\n")


def _handler(answers: Mapping[str, Callable[[], tuple[int, bytes]]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answer some paths, and write no log of it."""

        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            status, body = answer() if answer else (404, b"not found\n")
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Write no line for each question of a kubelet."""

    return Handler
