"""Connect to a port of a pod through the API server, as `kubectl port-forward` does.

Source: Kubernetes, "Port forward" of the pod API (`v4.channel.k8s.io`): each message begins with the number of its
channel, 0 for data and 1 for errors, and the first message of each channel holds nothing but the port.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rollway.routers.errors import UnreachableError
from rollway.routers.kube.access import is_allowed
from rollway.routers.kube.failures import RequestInfo, failure

if TYPE_CHECKING:
    import websocket

    from rollway.routers.kube.connection import Connection
    from rollway.routers.kube.kubeconfig import Credentials

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_CHUNK = 65536


def may_forward(connection: Connection, namespace: str) -> bool:
    """Return whether the role allows port-forward to the pods of a namespace; asks the API server.

    Opening one is a `get` for the server, and a `create` as well since Kubernetes 1.35.

    Raises:
        StoreError: the API server cannot be asked.
    """
    return all(
        is_allowed(connection, verb, "pods/portforward", namespace=namespace) for verb in ("create", "get")
    )


def forward(connection: Connection, namespace: str, pod: str, port: int, timeout: float) -> socket.socket:
    """Return a socket that leads to a port on a pod's loopback; closing it ends the connection.

    A port where nobody listens shows as a socket that ends at once.

    Raises:
        ForbiddenError, NotFoundError: the role lacks `pods/portforward`; the pod is gone.
        StoreError: there is no way to the pod, or none within `timeout` seconds.
    """
    import websocket  # noqa: PLC0415 - what only a port-forward costs

    info = RequestInfo("create", "pods/portforward", "", namespace, pod)
    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/portforward?ports={port}"
    tunnel = websocket.WebSocket(sslopt=_tls(connection.credentials), skip_utf8_validation=True)
    try:
        tunnel.connect(  # type: ignore[no-untyped-call]
            f"ws{connection.host.removeprefix('http')}{path}",
            header=[f"{name}: {value}" for name, value in connection.headers()],
            subprotocols=[_PROTOCOL],
            timeout=timeout,
            **_proxy(connection.credentials),
        )
    except websocket.WebSocketBadStatusException as error:
        raise failure(info, error.status_code, _status(error.resp_body), connection.host) from error
    except (websocket.WebSocketException, OSError) as error:
        raise UnreachableError(f"port-forward to pod {namespace}/{pod}: {error}") from error
    tunnel.settimeout(None)
    outside, inside = socket.socketpair()
    for carry in (_carry_in, _carry_out):
        name = f"rollway-port-forward-{pod}"
        threading.Thread(target=carry, args=(tunnel, inside), name=name, daemon=True).start()
    return outside


def _carry_out(tunnel: websocket.WebSocket, inside: socket.socket) -> None:
    """Send what the caller writes to the pod, until the caller closes the socket."""
    import websocket  # noqa: PLC0415

    with contextlib.suppress(OSError, websocket.WebSocketException):
        while content := inside.recv(_CHUNK):
            tunnel.send_binary(bytes([_DATA]) + content)
    with contextlib.suppress(OSError):
        tunnel.abort()  # type: ignore[no-untyped-call] # wakes the other thread, which then closes both


def _carry_in(tunnel: websocket.WebSocket, inside: socket.socket) -> None:
    """Hand what the pod sends to the caller, until one of the two ends it or the kubelet reports an error."""
    import websocket  # noqa: PLC0415

    begun: set[int] = set()
    with contextlib.suppress(OSError, websocket.WebSocketException):
        while (frame := tunnel.recv_data())[0] == websocket.ABNF.OPCODE_BINARY:
            channel, content = frame[1][0], frame[1][1:]
            if channel not in begun:
                begun.add(channel)  # the port, once for each channel
            elif channel == _DATA:
                inside.sendall(content)
            elif channel == _ERROR:
                break
    with contextlib.suppress(OSError):
        inside.shutdown(socket.SHUT_RDWR)
    inside.close()
    tunnel.shutdown()  # type: ignore[no-untyped-call]


def _tls(credentials: Credentials) -> dict[str, Any]:
    """Return the options of TLS that the kubeconfig asks for."""
    options: dict[str, Any] = {"context": credentials.tls} if credentials.tls else {}
    return {**options, "server_hostname": credentials.server_name} if credentials.server_name else options


def _proxy(credentials: Credentials) -> dict[str, Any]:
    """Return where the proxy is."""
    from urllib.parse import urlsplit  # noqa: PLC0415

    if not credentials.proxy:
        return {}
    proxy = urlsplit(credentials.proxy)
    login = (proxy.username, proxy.password) if proxy.username else None
    kind = proxy.scheme if proxy.scheme.startswith("socks") else "http"
    return {
        "http_proxy_host": proxy.hostname,
        "http_proxy_port": proxy.port,
        "http_proxy_auth": login,
        "proxy_type": kind,
    }


def _status(body: Any) -> dict[str, Any]:
    try:
        status = json.loads(body or b"{}")
    except ValueError:
        status = None
    if isinstance(status, dict):
        return status
    # A kubelet that cannot be reached answers with plain words.
    return {"message": bytes(body).decode(errors="replace").strip()[:300]}
