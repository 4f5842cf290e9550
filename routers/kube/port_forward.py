"""Connect to a port of a pod through the API server, as `kubectl port-forward` does.

Source: Kubernetes, "Port forward" of the pod API (`v4.channel.k8s.io`: a data and an error channel for each port).
"""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rollway.routers.errors import UnreachableError
from rollway.routers.kube.access import is_allowed
from rollway.routers.kube.failures import RequestInfo, failure

if TYPE_CHECKING:
    import socket

    from rollway.routers.kube.connection import Connection

_PROTOCOL = "v4.channel.k8s.io"


def may_forward(connection: Connection, namespace: str) -> bool:
    """Tell whether the role allows port-forward to the pods of a namespace; asks the API server.

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
    import websocket  # noqa: PLC0415 - with the next line 0.1 s that only a port-forward costs
    from kubernetes.stream.ws_client import PortForward  # noqa: PLC0415

    class Forward(PortForward):
        """What carries the bytes; the client's own leaves the connection for the garbage collector to close."""

        def _proxy(self) -> None:
            try:
                super()._proxy()  # type: ignore[no-untyped-call]
            finally:
                self.websocket.shutdown()

    info = RequestInfo("create", "pods/portforward", "", namespace, pod)
    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/portforward?ports={port}"
    channel = websocket.WebSocket(sslopt=_tls(connection), skip_utf8_validation=True)
    try:
        channel.connect(  # type: ignore[no-untyped-call]
            f"ws{connection.host.removeprefix('http')}{path}",
            header=[f"{name}: {value}" for name, value in connection.headers()],
            subprotocols=[_PROTOCOL],
            timeout=timeout,
            **_proxy(connection),
        )
    except websocket.WebSocketBadStatusException as error:
        raise failure(info, error.status_code, _status(error.resp_body), connection.host) from error
    except (websocket.WebSocketException, OSError) as error:
        raise UnreachableError(f"port-forward to pod {namespace}/{pod}: {error}") from error
    channel.settimeout(None)
    found: socket.socket = Forward(channel, [port]).socket(port)  # type: ignore[no-untyped-call]
    return found


def _tls(connection: Connection) -> dict[str, Any]:
    """Return the options of TLS that the kubeconfig asks for."""
    configuration = connection.configuration
    options: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE}
    if not configuration.verify_ssl:
        options["check_hostname"] = False
    given = {
        "ca_certs": configuration.ssl_ca_cert,
        "certfile": configuration.cert_file,
        "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }
    options.update((option, value) for option, value in given.items() if value)
    return options


def _proxy(connection: Connection) -> dict[str, Any]:
    """Return where the proxy of the kubeconfig is; the environment's are the library's own business."""
    from urllib.parse import urlsplit  # noqa: PLC0415

    if not connection.configuration.proxy:
        return {}
    found = urlsplit(connection.configuration.proxy)
    return {"http_proxy_host": found.hostname, "http_proxy_port": found.port, "proxy_type": "http"}


def _status(body: Any) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    # A kubelet that cannot be reached answers with plain words.
    return {"message": bytes(body).decode(errors="replace").strip()[:300]}
