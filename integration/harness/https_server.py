"""An HTTPS server of the tests that the API server asks, with a certificate of its own authority."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator


class Handler(BaseHTTPRequestHandler):
    """Answer in JSON."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_words: Any) -> None:
        """Print nothing."""

    def answer(self, content: Any, status: int = 200) -> None:
        """Send an answer."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Address(NamedTuple):
    """The port of a server, and the certificate of its authority (PEM)."""

    port: int
    authority: bytes


@contextlib.contextmanager
def serving(host: str, handler: type[Handler]) -> Iterator[Address]:
    """Serve at an address of this machine while the block runs."""
    authority = trustme.CA()
    server = ThreadingHTTPServer((host, 0), handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)
    # A client that connects and is silent must not keep the others waiting, nor the end of the server.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Address(server.server_address[1], authority.cert_pem.bytes())
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
