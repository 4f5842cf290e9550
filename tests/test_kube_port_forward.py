"""A port of a pod as a socket: what goes through, and what ends it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
import yaml

from rollway.routers.errors import ForbiddenError, UnreachableError
from rollway.routers.kube.connection import Connection
from rollway.routers.kube.port_forward import forward

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.enable_socket
PORT = struct.pack("<H", 8080)


class Kubelet:
    """The far end of one port-forward: a WebSocket of `v4.channel.k8s.io`, spoken by hand."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._file = stream.makefile("rb")
        self.request = b"".join(iter(self._file.readline, b"\r\n")).decode()

    def accept(self) -> None:
        """Answer the handshake, and send the first message of each channel."""
        key = next(line.split(": ")[1] for line in self.request.splitlines() if "-Key" in line)
        accepted = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        self._stream.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accepted) + b"\r\n\r\n"
        )
        self.send(0, PORT)
        self.send(1, PORT)

    def send(self, channel: int, content: bytes) -> None:
        """Send one message."""
        message = bytes([channel]) + content
        self._stream.sendall(b"\x82" + bytes([len(message)]) + message)

    def receive(self) -> bytes:
        """Return the next message, channel first; empty when the other end is gone."""
        head = self._file.read(2)
        if len(head) < 2:
            return b""
        mask = self._file.read(4)
        masked = self._file.read(head[1] & 0x7F)
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked))

    def refuse(self, status: str, body: bytes) -> None:
        """Answer the handshake with an error."""
        self._stream.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._stream.close()


@contextlib.contextmanager
def kubelet(serve: Callable[[Kubelet], None], folder: Path) -> Iterator[Connection]:
    """Serve one port-forward in a thread, and return a connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            stream, _ = listener.accept()
            end = Kubelet(stream)
            serve(end)
            end.close()

        thread = threading.Thread(target=run)
        thread.start()
        config = {
            "current-context": "fake",
            "clusters": [
                {"name": "fake", "cluster": {"server": f"http://127.0.0.1:{listener.getsockname()[1]}"}}
            ],
            "users": [{"name": "fake", "user": {"token": "secret"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        yield Connection(str(path))
        thread.join(20)
        assert not thread.is_alive()


def test_bytes_go_both_ways_until_the_caller_closes(tmp_path: Path) -> None:
    """What is written arrives in the pod, what the pod sends arrives here, and closing the socket ends the tunnel."""
    received: list[bytes] = []

    def serve(end: Kubelet) -> None:
        end.accept()
        received.append(end.receive())
        end.send(0, b"pong")
        received.append(end.receive())

    with kubelet(serve, tmp_path) as connection:
        stream = forward(connection, "default", "web-1", 8080, 5)
        stream.settimeout(20)
        stream.sendall(b"ping")
        assert stream.recv(100) == b"pong"
        stream.close()
    assert received == [b"\x00ping", b""]


def test_the_request_names_pod_port_and_who_asks(tmp_path: Path) -> None:
    """The API server is asked for the pod's port, with the token of the kubeconfig and the protocol of port-forward."""
    requests: list[str] = []

    def serve(end: Kubelet) -> None:
        requests.append(end.request)
        end.accept()

    with kubelet(serve, tmp_path) as connection:
        forward(connection, "shop", "web-1", 8080, 5).close()
    assert requests[0].startswith("GET /api/v1/namespaces/shop/pods/web-1/portforward?ports=8080 ")
    assert "Authorization: Bearer secret" in requests[0]
    assert "Sec-WebSocket-Protocol: v4.channel.k8s.io" in requests[0]


@pytest.mark.parametrize("ended", ["error", "close"])
def test_a_port_where_nobody_listens_ends_the_socket(ended: str, tmp_path: Path) -> None:
    """An error of the kubelet, or the end of its connection, is the end of the socket, after what came before."""

    def serve(end: Kubelet) -> None:
        end.accept()
        end.send(0, b"last words")
        if ended == "error":
            end.send(1, b"connection refused")
            assert end.receive() == b""

    with kubelet(serve, tmp_path) as connection:
        stream = forward(connection, "default", "web-1", 8080, 5)
        stream.settimeout(20)
        assert stream.recv(100) == b"last words"
        assert stream.recv(100) == b""
        stream.close()


def test_a_role_that_may_not(tmp_path: Path) -> None:
    """The answer of the API server becomes the typed error of every other request."""

    def serve(end: Kubelet) -> None:
        end.refuse(
            "403 Forbidden", b'{"message": "User \\"ci\\" cannot create resource \\"pods/portforward\\""}'
        )

    with kubelet(serve, tmp_path) as connection, pytest.raises(ForbiddenError, match="pods/portforward"):
        forward(connection, "default", "web-1", 8080, 5)


def test_a_server_that_is_gone(tmp_path: Path) -> None:
    """A connection that ends before the handshake is unreachable, and names the pod."""
    with (
        kubelet(lambda _end: None, tmp_path) as connection,
        pytest.raises(UnreachableError, match="pod default/web-1"),
    ):
        forward(connection, "default", "web-1", 8080, 5)
