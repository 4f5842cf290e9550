"""Samples of requests at a tenth of what a general HTTP client costs: the tests send some hundred thousand of them.

What rollway counts by itself (`--url`) goes through its own client, and is compared with these.
"""

from __future__ import annotations

import collections
import re
import selectors
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rollway.routers.probes.requests import CONNECTIONS, TIMEOUT_S, Identity, Sample, measure

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = re.compile(rb"\r\nx-version: *([^\r]*)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_PIECE = 65536


class _Answer:
    """What has come of one answer so far."""

    def __init__(self) -> None:
        self._raw = b""
        self._ended = False

    def add(self, piece: bytes) -> None:
        """Take what came next; nothing means that the server has closed the connection."""
        self._raw += piece
        self._ended = not piece

    @property
    def head(self) -> bytes:
        """The status line and the headers."""
        return self._raw.partition(_HEAD_END)[0]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        head, end, body = self._raw.partition(_HEAD_END)
        if not end:
            return False
        if length := _LENGTH.search(head):
            return len(body) >= int(length[1])
        if _CHUNKED.search(head):
            return body.endswith(_LAST_CHUNK)
        return self._ended or self.status in (204, 304)

    @property
    def status(self) -> int:
        """The status code."""
        return int(self._raw[9:12])

    @property
    def version(self) -> str:
        """The version that the answer names."""
        found = _VERSION.search(self.head)
        return found[1].decode() if found else ""

    @property
    def closes(self) -> bool:
        """Whether the connection cannot be used for another request."""
        return self._ended or bool(_CLOSE.search(self.head))


class _Requests:
    """Requests to one address, a number of which are under way at any time."""

    def __init__(self, url: str, requests: int, headers: Mapping[str, str], rate: float) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        lines = {"Host": parts.netloc, "User-Agent": "rollway-tests", **headers}
        written = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._request = f"GET {parts.path or '/'} HTTP/1.1\r\n{written}\r\n".encode()
        self._left = requests
        self._pause = 1 / rate if rate else 0.0
        self._next = time.monotonic()
        self._under_way: dict[socket.socket, _Answer] = {}
        self._ready = selectors.DefaultSelector()
        self.versions: collections.Counter[str] = collections.Counter()
        self.failures: collections.Counter[str] = collections.Counter()
        self.failed_versions: collections.Counter[str] = collections.Counter()

    def run(self) -> None:
        """Send all of them."""
        try:
            for _ in range(min(CONNECTIONS, self._left)):
                self._connect()
            while self._under_way:
                events = self._ready.select(TIMEOUT_S)
                for key, _ in events:
                    assert isinstance(key.fileobj, socket.socket)
                    self._receive(key.fileobj)
                if not events:
                    for connection in list(self._under_way):
                        self._fail(connection, f"not answered in {TIMEOUT_S:g} s")
        finally:
            for connection in self._under_way:
                connection.close()
            self._ready.close()

    def _connect(self) -> None:
        """Open a connection and send the next request through it, if one is left."""
        while self._left:
            try:
                connection = socket.create_connection(self._address, TIMEOUT_S)
            except OSError as error:
                self._left -= 1
                self.failures[type(error).__name__] += 1
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ready.register(connection, selectors.EVENT_READ)
            self._send(connection)
            return

    def _send(self, connection: socket.socket) -> None:
        self._left -= 1
        self._under_way[connection] = _Answer()
        if self._pause:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next += self._pause
        try:
            connection.sendall(self._request)
        except OSError as error:
            self._fail(connection, type(error).__name__)

    def _receive(self, connection: socket.socket) -> None:
        answer = self._under_way[connection]
        try:
            piece = connection.recv(_PIECE)
        except OSError as error:
            self._fail(connection, type(error).__name__)
            return
        answer.add(piece)
        if answer.complete:
            self._count(answer)
            if answer.closes or not self._left:
                self._close(connection)
                self._connect()
            else:
                self._send(connection)
        elif not piece:
            self._fail(connection, "broken off")

    def _count(self, answer: _Answer) -> None:
        version = answer.version
        if answer.status < 400:
            self.versions[version] += 1
            return
        self.failures[f"HTTP {answer.status}"] += 1
        if version:
            self.failed_versions[version] += 1

    def _fail(self, connection: socket.socket, reason: str) -> None:
        self.failures[reason] += 1
        self._close(connection)
        self._connect()

    def _close(self, connection: socket.socket) -> None:
        self._ready.unregister(connection)
        del self._under_way[connection]
        connection.close()


def sample(url: str, requests: int, headers: Mapping[str, str], rate: float = 0) -> Sample:
    """Send GET requests, and count the versions that `X-Version` of the answers names.

    `rate` is in requests per second (0: as fast as a few connections go).
    """
    if not url.startswith("http://"):  # the owner of a cluster may want TLS
        return measure(url, Identity.parse("header:X-Version"), requests=requests, rate=rate, headers=headers)
    begin = time.monotonic()
    sent = _Requests(url, requests, headers, rate)
    sent.run()
    return Sample(
        tuple(sorted(sent.versions.items())),
        tuple(sorted(sent.failures.items())),
        time.monotonic() - begin,
        tuple(sorted(sent.failed_versions.items())),
    )
