"""An external.metrics.k8s.io API with one metric that a test sets, for the autoscaler of kube-controller-manager."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.https_server import Handler, serving
from harness.waiting import until
from rollway.routers.kube.client import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest

METRIC = "requests"
_HOST = "127.0.0.1"
_GROUP, _VERSION = "external.metrics.k8s.io", "v1beta1"


class Gauge:
    """The value of the metric `requests`, the same in every namespace."""

    def __init__(self) -> None:
        self.value = 0


@contextlib.contextmanager
def external_metrics(client: Client) -> Iterator[Gauge]:
    """Serve the API through the API server while the block runs."""
    gauge = Gauge()

    class Metrics(Handler):
        def do_GET(self) -> None:  # noqa: N802 - http.server calls it so
            path = self.path.partition("?")[0]
            if path == f"/apis/{_GROUP}/{_VERSION}":
                self.answer(_resources())
            elif path.endswith(f"/{METRIC}"):
                self.answer(_values(gauge.value))
            else:
                self.answer({}, 404)

    with serving(_HOST, Metrics) as address:
        service, api = _objects(address.port)
        client.create(service)
        client.create(api)
        try:
            until(lambda: _is_available(client, api), "the metrics are served")
            yield gauge
        finally:
            for manifest in (api, service):
                client.delete(Target.of(manifest))


def _objects(port: int) -> list[Manifest]:
    """Return the Service and the APIService: through a name, because no EndpointSlice may have an address of loopback."""
    place = {"name": "external-metrics", "namespace": "default"}
    spec = {"type": "ExternalName", "externalName": _HOST, "ports": [{"port": port}]}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": spec},
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{_VERSION}.{_GROUP}"},
            "spec": {
                "group": _GROUP,
                "version": _VERSION,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {**place, "port": port},
            },
        },
    ]


def _is_available(client: Client, api: Manifest) -> bool:
    status = (client.get(Target.of(api)) or {}).get("status") or {}
    return any(
        each["type"] == "Available" and each["status"] == "True" for each in status.get("conditions") or ()
    )


def _resources() -> Manifest:
    metric = {"name": METRIC, "singularName": "", "namespaced": True, "verbs": ["get"]}
    resource = {**metric, "kind": "ExternalMetricValueList"}
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{_GROUP}/{_VERSION}",
        "resources": [resource],
    }


def _values(value: int) -> Manifest:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    item = {"metricName": METRIC, "metricLabels": {}, "timestamp": now, "value": str(value)}
    return {
        "kind": "ExternalMetricValueList",
        "apiVersion": f"{_GROUP}/{_VERSION}",
        "metadata": {},
        "items": [item],
    }
