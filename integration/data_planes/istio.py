"""Istio: the real istiod, and a stock Envoy as its ingress gateway."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from data_planes import dump, fetch, running_pod
from harness import tools
from harness.control_plane import flags
from harness.daemon import Daemon

if TYPE_CHECKING:
    from pathlib import Path

    from data_planes import PodPorts
    from harness.api import Api
    from harness.providers import Cluster

NAMESPACE = "istio-system"
GATEWAY = f"{NAMESPACE}/shops"
POD = "istio-ingressgateway-0"
ISTIOD = "istiod-0"
_ADDRESS = "10.244.255.1"
_PORTS = {"http": 21000, "xds": 21001, "debug": 21002, "monitoring": 21003, "admin": 21004}
SERVICE = "istio-ingressgateway"
GATEWAY_PORTS = {"http": 21005, "tls": 21006, "tcp": 21007}
"""The ports of Envoy and of its Service for the listeners of a Gateway of Gateway API; see `gateway_api.py`."""

# Stock Envoy lacks Istio's own filters, and without workload certificates automatic mutual TLS never becomes ready.
_ENVIRONMENT = {
    "POD_NAME": ISTIOD,
    "POD_NAMESPACE": NAMESPACE,
    "CLUSTER_ID": "Kubernetes",
    "ENABLE_LEADER_ELECTION": "false",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
}


class Istio:
    """One istiod and one gateway."""

    name: ClassVar[str] = "istio"
    settled_s: ClassVar[float] = 1.5

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{_PORTS['http']}"
        self.admin = f"127.0.0.1:{_PORTS['admin']}"
        self.debug = f"127.0.0.1:{_PORTS['debug']}"
        self.istiod: Daemon | None = None
        self.envoy: Daemon | None = None

    def start(self, cluster: Cluster, api: Api, folder: Path) -> None:
        """Create the gateway's objects, start istiod and Envoy, and wait until Envoy is live."""
        api.install(_definitions())
        for manifest in _objects():
            api.put(manifest)
        mesh = folder / "mesh.yaml"
        mesh.write_text(
            yaml.safe_dump(
                {"rootNamespace": NAMESPACE, "trustDomain": "cluster.local", "enableAutoMtls": False}
            )
        )
        words = {
            "kubeconfig": str(cluster.kubeconfig),
            "meshConfig": str(mesh),
            "httpAddr": self.debug,
            "grpcAddr": f"127.0.0.1:{_PORTS['xds']}",
            "secureGRPCAddr": "",
            "httpsAddr": "",
            "monitoringAddr": f"127.0.0.1:{_PORTS['monitoring']}",
            "ctrlz_port": "0",
        }
        command = [str(tools.istiod().path()), "discovery", *flags(words)]
        self.istiod = Daemon("istiod", command, folder, _ENVIRONMENT)
        self.istiod.start()
        self.istiod.wait(lambda: fetch(f"http://{self.debug}/ready") is not None)
        bootstrap = folder / "envoy.yaml"
        bootstrap.write_text(yaml.safe_dump(_bootstrap()))
        command = [str(envoy()), "-c", str(bootstrap), "--concurrency", "1", "--drain-time-s", "1"]
        self.envoy = Daemon("envoy", [*command, "--log-level", "warning"], folder)
        self.restart()

    def kill(self) -> None:
        """Kill the gateway's Envoy."""
        assert self.envoy is not None, "it was started"
        self.envoy.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Start the gateway's Envoy, again after `kill`."""
        assert self.envoy is not None, "it was made"
        self.envoy.start()
        self.envoy.wait(lambda: fetch(f"http://{self.admin}/ready") == b"LIVE\n")

    def host(self, namespace: str) -> str:
        """Return the host name of a namespace's shop."""
        return f"shop.{namespace}.example.com"

    @property
    def loaded_options(self) -> tuple[str, ...]:
        """The addresses that rollway asks, as its options."""
        return ("--envoy-admin", self.admin)

    @property
    def pod_ports(self) -> PodPorts:
        """The gateway's admin port, and istiod's debug port."""
        return {f"{NAMESPACE}/{POD}": {"15000": self.admin}, f"{NAMESPACE}/{ISTIOD}": {"8080": self.debug}}

    def requests_to(self, service: str, namespace: str) -> int:
        """Return how many requests Envoy has sent to a Service."""
        words = rf"cluster\.outbound.*{service}\.{namespace}\..*upstream_rq_total"
        stats = json.loads(fetch(f"http://{self.admin}/stats?format=json&filter={words}"))["stats"]
        return sum(int(stat["value"]) for stat in stats if "value" in stat)

    def dump(self, folder: Path) -> None:
        """Write Envoy's configuration, istiod's view of it, and both logs."""
        urls = {
            "envoy.json": f"http://{self.admin}/config_dump",
            "syncz.json": f"http://{self.debug}/debug/syncz",
        }
        dump(folder, (self.istiod, self.envoy), urls)

    def stop(self) -> None:
        """End both."""
        for daemon in (self.envoy, self.istiod):
            if daemon:
                daemon.stop()


def envoy() -> Path:
    """Return Envoy, which a wheel brings."""
    from importlib.resources import as_file, files

    with as_file(files("envoy") / "_bin" / "envoy") as path:
        return path


def _definitions() -> list[dict[str, Any]]:
    """Return every CRD of Istio: istiod waits for each kind that it watches."""
    file = (
        tools.module_folder("istio.io/istio", pinned_by="istio")
        / "manifests/charts/base/files/crd-all.gen.yaml"
    )
    loaded = yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader)
    return [crd for crd in loaded if crd and crd["kind"] == "CustomResourceDefinition"]


def _objects() -> list[dict[str, Any]]:
    listeners = {f"gateway-{name}": number for name, number in GATEWAY_PORTS.items()}
    labels = {"istio": "ingressgateway"}
    meta = {"name": SERVICE, "namespace": NAMESPACE}
    port = _PORTS["http"]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        running_pod(POD, NAMESPACE, _ADDRESS, **labels),
        running_pod(ISTIOD, NAMESPACE, "10.244.255.2", app="istiod"),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {
                "selector": labels,
                "ports": [
                    {"name": "http2", "port": 80, "targetPort": port},
                    *({"name": name, "port": number} for name, number in listeners.items()),
                ],
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {"kubernetes.io/service-name": meta["name"]}},
            "addressType": "IPv4",
            "ports": [
                {"name": name, "port": number, "protocol": "TCP"}
                for name, number in {"http2": port, **listeners}.items()
            ],
            "endpoints": [
                {
                    "addresses": [_ADDRESS],
                    "conditions": {"ready": True},
                    "targetRef": {"kind": "Pod", "name": POD, "namespace": NAMESPACE},
                }
            ],
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "shops", "namespace": NAMESPACE},
            "spec": {
                "selector": labels,
                "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
            },
        },
        _telemetry(),
    ]


def _telemetry() -> dict[str, Any]:
    """Return what makes Envoy count requests as Istio's own filter does, which stock Envoy lacks.

    What the count is by, Prometheus reads of the names: see `prometheus.py`.
    """
    counter = {
        "stat": {
            "name": "requests_total",
            "tags": [
                {"name": "reporter", "value_format": "source"},
                {"name": "response_code", "value_format": "%RESPONSE_CODE%"},
                {"name": "cluster", "value_format": "%UPSTREAM_CLUSTER_RAW%"},
                {"name": "workload", "value_format": "%UPSTREAM_METADATA(istio:workload)%"},
            ],
        },
        "value_fixed": 1,
    }
    logger = {
        "name": "requests",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config",
            "stat_prefix": "istio",
            "counters": [counter],
        },
    }
    manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    value = {"typed_config": {"@type": f"type.googleapis.com/{manager}", "access_log": [logger]}}
    patch = {
        "applyTo": "NETWORK_FILTER",
        "match": {
            "context": "GATEWAY",
            "listener": {
                "filterChain": {"filter": {"name": "envoy.filters.network.http_connection_manager"}}
            },
        },
        "patch": {"operation": "MERGE", "value": value},
    }
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "telemetry", "namespace": NAMESPACE},
        "spec": {"configPatches": [patch]},
    }


def _bootstrap() -> dict[str, Any]:
    def socket(port: str) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": _PORTS[port]}}

    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {
        "@type": f"type.googleapis.com/{options}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    return {
        "node": {
            "id": f"router~{_ADDRESS}~{POD}.{NAMESPACE}~{NAMESPACE}.svc.cluster.local",
            "cluster": f"{SERVICE}.{NAMESPACE}",
            "metadata": {
                "NAMESPACE": NAMESPACE,
                "CLUSTER_ID": "Kubernetes",
                "ISTIO_VERSION": "1.31.0",
                "LABELS": {"istio": "ingressgateway"},
            },
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": {options: http2},
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket("xds")}}]}],
                    },
                }
            ]
        },
        "admin": {"address": socket("admin")},
    }
