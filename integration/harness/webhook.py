"""A real admission webhook: an HTTPS server that the API server asks."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from typing import TYPE_CHECKING

import pytest

from harness.https_server import Handler, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.namespace import Namespace

WORDS = "weights change on weekdays only"


@contextlib.contextmanager
def refusing_webhook(namespace: Namespace, *resources: str, answering: bool = True) -> Iterator[None]:
    """Let a webhook refuse every write of some resources in a namespace; with `answering` off it fails instead."""

    class Refuse(Handler):
        def do_POST(self) -> None:  # noqa: N802 - http.server calls it so
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            response = {"uid": review["request"]["uid"], "allowed": False, "status": {"message": WORDS}}
            answer = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
            self.answer(answer, 200 if answering else 500)

    host = namespace.cluster.host
    if not host:
        pytest.skip("the API server of an existing cluster does not find this machine")
    with serving(host, Refuse) as address:
        yield from _asked(namespace, resources, f"https://{host}:{address.port}/", address.authority)


def _asked(namespace: Namespace, resources: tuple[str, ...], url: str, authority: bytes) -> Iterator[None]:
    name = f"refuse-{secrets.token_hex(3)}.rollway.dev"
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": name,
                "clientConfig": {
                    "url": url,
                    "caBundle": base64.b64encode(authority).decode(),
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
