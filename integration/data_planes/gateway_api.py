"""Gateway API: the Gateways of two implementations, istiod with Envoy and Traefik, at which routes of the shops attach."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, ClassVar

from data_planes import dump, fetch, running_pod
from data_planes.istio import GATEWAY_PORTS, SERVICE
from data_planes.istio import NAMESPACE as ISTIO_NAMESPACE
from harness import tools
from harness.control_plane import flags
from harness.daemon import Daemon
from harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from data_planes import PodPorts
    from data_planes.istio import Istio
    from harness.api import Api
    from harness.providers import Cluster
    from rollway.routers.objects import Manifest

GROUP_VERSION = "gateway.networking.k8s.io/v1"
TRAEFIK_NAMESPACE = "traefik"
TRAEFIK_POD = "traefik-0"
TRAEFIK_LABELS = {"app.kubernetes.io/name": "traefik"}
"""The label that Traefik's Helm chart gives its pods."""
_TRAEFIK_API = 24001
_TRAEFIK_PORTS = {"http": 24000, "tls": 24002, "tcp": 24003}
PARENTS: dict[str, Manifest] = {
    "gateway-istio": {"name": "istio", "namespace": ISTIO_NAMESPACE},
    "gateway-traefik": {"name": "traefik", "namespace": TRAEFIK_NAMESPACE},
}
"""The parentRef of routes by the name of the data plane. The names differ, because Traefik 3.6 writes a status for the
Gateways of others as well, and so would be asked about a route of istiod's Gateway."""


class IstioGateway:
    """A Gateway of istiod at the Envoy that Istio's own ingress gateway has; that data plane has to run."""

    name: ClassVar[str] = "gateway-istio"
    settled_s: ClassVar[float] = 1.5

    def __init__(self, istio: Istio) -> None:
        self.istio = istio
        self.ports = GATEWAY_PORTS
        self.url = f"http://127.0.0.1:{self.ports['http']}"

    def start(self, cluster: Cluster, api: Api, folder: Path) -> None:
        """Create the GatewayClass and the Gateway, and wait until istiod has programmed it."""
        del cluster, folder  # Istio's own are used
        # istiod deploys nothing for a Gateway that names a Service ("manual deployment" in Istio's documents).
        place = [{"type": "Hostname", "value": f"{SERVICE}.{ISTIO_NAMESPACE}.svc.cluster.local"}]
        attach(api, self.name, "istio.io/gateway-controller", self.ports, addresses=place)

    def host(self, namespace: str) -> str:
        """Return the host name of a namespace's shop."""
        return f"shop.{namespace}.example.com"

    @property
    def loaded_options(self) -> tuple[str, ...]:
        """The address that rollway asks, as its option."""
        return ("--gateway-envoy", self.istio.admin)

    @property
    def pod_ports(self) -> PodPorts:
        """None beside those of Istio's ingress gateway."""
        return {}

    def kill(self) -> None:
        """Kill the gateway's Envoy."""
        self.istio.kill()

    def restart(self) -> None:
        """Start it again."""
        self.istio.restart()

    def dump(self, folder: Path) -> None:
        """Write what Istio writes."""
        self.istio.dump(folder)

    def stop(self) -> None:
        """Do nothing: Istio ends its programs."""


class TraefikGateway:
    """One Traefik with its provider for Gateway API."""

    name: ClassVar[str] = "gateway-traefik"
    settled_s: ClassVar[float] = 1.5

    def __init__(self) -> None:
        self.ports = _TRAEFIK_PORTS
        self.url = f"http://127.0.0.1:{self.ports['http']}"
        self.api = f"127.0.0.1:{_TRAEFIK_API}"
        self.daemon: Daemon | None = None

    def start(self, cluster: Cluster, api: Api, folder: Path) -> None:
        """Create its objects, start it, and wait until it has programmed its Gateway."""
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TRAEFIK_NAMESPACE}})
        api.put(running_pod(TRAEFIK_POD, TRAEFIK_NAMESPACE, "10.244.255.20", **TRAEFIK_LABELS))
        words = {
            "entrypoints.web.address": f"127.0.0.1:{self.ports['http']}",
            "entrypoints.tls.address": f"127.0.0.1:{self.ports['tls']}",
            "entrypoints.tcp.address": f"127.0.0.1:{self.ports['tcp']}",
            "entrypoints.traefik.address": self.api,
            **TRAEFIK_FLAGS,
            # For TLSRoutes and TCPRoutes, which it reads as v1alpha2.
            "providers.kubernetesgateway.experimentalchannel": "true",
            "providers.kubernetesgateway.statusaddress.ip": "127.0.0.1",
        }
        command = [str(tools.traefik().path()), *flags(words)]
        self.daemon = Daemon("traefik-gateway", command, folder, {"KUBECONFIG": str(cluster.kubeconfig)})
        self.restart()
        attach(api, self.name, "traefik.io/gateway-controller", self.ports)

    def host(self, namespace: str) -> str:
        """Return the host name of a namespace's shop."""
        return f"shop.{namespace}.example.com"

    @property
    def loaded_options(self) -> tuple[str, ...]:
        """The address that rollway asks, as its option."""
        return ("--gateway-traefik", self.api)

    @property
    def pod_ports(self) -> PodPorts:
        """The port of its API."""
        return {f"{TRAEFIK_NAMESPACE}/{TRAEFIK_POD}": {"8080": self.api}}

    def kill(self) -> None:
        """Kill it."""
        assert self.daemon is not None, "it was started"
        self.daemon.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Start it, again after `kill`."""
        assert self.daemon is not None, "it was made"
        self.daemon.start()
        self.daemon.wait(lambda: fetch(f"http://{self.api}/ping") == b"OK")

    def dump(self, folder: Path) -> None:
        """Write what it has loaded, and its log."""
        dump(folder, (self.daemon,), {"traefik.json": f"http://{self.api}/api/rawdata"})

    def stop(self) -> None:
        """End it."""
        if self.daemon:
            self.daemon.stop()


TRAEFIK_FLAGS = {
    "api.insecure": "true",
    "api.dashboard": "false",
    "ping": "true",
    "providers.kubernetesgateway": "true",
    # Its default of 2 s is how long a second write may wait.
    "providers.providersthrottleduration": "100ms",
    # Otherwise it waits ten seconds for idle connections when it ends.
    "entrypoints.web.transport.lifecycle.gracetimeout": "0s",
    "global.checknewversion": "false",
    "global.sendanonymoususage": "false",
}
"""How every Traefik of the tests is started."""


_PROTOCOLS: dict[str, Manifest] = {
    "http": {"protocol": "HTTP"},
    "tls": {"protocol": "TLS", "tls": {"mode": "Passthrough"}},
    "tcp": {"protocol": "TCP"},
}
LISTENERS: dict[str, Manifest] = {
    "HTTPRoute": {},
    "GRPCRoute": {},
    "TLSRoute": {"sectionName": "tls"},
    "TCPRoute": {"sectionName": "tcp"},
}
"""At which listener routes of each kind attach: those of requests at the only one that takes them."""


def attach(api: Api, plane: str, controller: str, ports: Mapping[str, int], **spec: Any) -> None:
    """Create the GatewayClass and the Gateway of a data plane, and wait until its controller has programmed it.

    Every namespace may attach routes. Traefik wants the port of one of its entry points.
    """
    parent = PARENTS[plane]
    gateway_class = {
        "apiVersion": GROUP_VERSION,
        "kind": "GatewayClass",
        "metadata": {"name": parent["name"]},
    }
    api.put({**gateway_class, "spec": {"controllerName": controller}})
    anybody = {"namespaces": {"from": "All"}}
    listeners = [
        {"name": name, "port": port, "allowedRoutes": anybody, **_PROTOCOLS[name]}
        for name, port in ports.items()
    ]
    gateway = {
        "apiVersion": GROUP_VERSION,
        "kind": "Gateway",
        "metadata": dict(parent),
        "spec": {"gatewayClassName": parent["name"], "listeners": listeners, **spec},
    }
    api.put(gateway)

    def programmed() -> bool:
        status = (api.get(gateway) or {}).get("status", {})
        return any(
            condition["type"] == "Programmed" and condition["status"] == "True"
            for condition in status.get("conditions", ())
        )

    until(programmed, f"Gateway {parent['name']} is programmed", 60)
