"""A real admission webhook: an HTTPS server that the API server asks."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.namespace import Namespace

WORDS = "weights change on weekdays only"


@contextlib.contextmanager
def refusing_webhook(namespace: Namespace, *resources: str, answering: bool = True) -> Iterator[None]:
    """Let a webhook refuse every write of some resources in a namespace; with `answering` off it fails instead."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_words: Any) -> None:
            """Print nothing."""

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            response = {"uid": review["request"]["uid"], "allowed": False, "status": {"message": WORDS}}
            body = json.dumps(
                {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
            )
            self.send_response(200 if answering else 500)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    authority = trustme.CA()
    host = namespace.cluster.host
    if not host:
        pytest.skip("the API server of an existing cluster does not find this machine")
    server = ThreadingHTTPServer((host, 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    name = f"refuse-{secrets.token_hex(3)}.rollway.dev"
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": name,
                "clientConfig": {
                    "url": f"https://{host}:{server.server_address[1]}/",
                    "caBundle": base64.b64encode(authority.cert_pem.bytes()).decode(),
                },
                "rules": [
                    {
                        "apiGroups": ["*"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE", "UPDATE", "DELETE"],
                        "resources": list(resources),
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 20,
            }
        ],
    }
    namespace.api.put(configuration)
    try:
        _wait_until_asked(namespace, resources)
        yield
    finally:
        namespace.api.delete(configuration)
        server.shutdown()
        server.server_close()
        thread.join()


def _wait_until_asked(namespace: Namespace, resources: tuple[str, ...]) -> None:
    """The API server reads webhook configurations by a watch of its own, so the first writes may pass."""
    import time

    import manifests as m
    from rollway.routers.errors import AdmissionError

    probe = m.ingress("webhook-probe") if "ingresses" in resources else m.virtual_service("webhook-probe")
    for _ in range(100):
        try:
            namespace.put(probe)
        except AdmissionError:
            return
        time.sleep(0.1)
    raise AssertionError("the API server did not ask the webhook within 10 s")
