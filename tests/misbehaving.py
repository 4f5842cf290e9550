"""A real HTTP(S) server on loopback that answers as it is told: well, late, too much, cut off, or nonsense."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Behaviour: TypeAlias = Callable[[bytes], Iterator[bytes]]


class Server:
    """A server whose behaviour gets the whole request, and yields what goes back, piece by piece."""

    def __init__(self, behaviour: Behaviour, context: ssl.SSLContext | None = None) -> None:
        self.behaviour = behaviour
        self.requests: list[bytes] = []
        self._context = context
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def text(self, number: int = -1) -> str:
        """Return one of the requests as a text."""
        return self.requests[number].decode()

    def wait(self, seconds: float) -> bool:
        """Do nothing for so long; return whether the server is closed meanwhile."""
        return self._closing.wait(seconds)

    def close(self) -> None:
        """End the server, and wait for what it still does."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            connection.settimeout(10)
            if self._context:
                connection = stack.enter_context(self._context.wrap_socket(connection, server_side=True))
            request = _request(connection)
            if request:
                self.requests.append(request)
                for piece in self.behaviour(request):
                    if self._closing.is_set():
                        return
                    connection.sendall(piece)


def _request(connection: socket.socket) -> bytes:
    """Return a request with its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return received
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [
        line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    ]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def reply(body: bytes = b"", status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """Return an answer of HTTP."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body
