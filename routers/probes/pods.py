"""Find the pods of the data planes that serve a route, and reach them through the API server.

Sources: the labels of ingress-nginx' manifests and its flags (internal/ingress/flags in 1.11); Istio, "Gateway"
(`selector`) and the label that its injector sets on pods with a sidecar.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rollway.routers.backends.istio.virtual_service import GROUP as ISTIO
from rollway.routers.backends.istio.virtual_service import ref_of, stanza_of
from rollway.routers.backends.nginx import backend as nginx
from rollway.routers.backends.nginx import controller
from rollway.routers.errors import RollwayError
from rollway.routers.model import Need, ObjectRef, dig
from rollway.routers.probes.envoy import EnvoyProbe
from rollway.routers.probes.http import Address, NoAnswerError
from rollway.routers.probes.ingress_nginx import IngressNginxProbe

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

    from rollway.routers.model import Live, Manifest, Rollout
    from rollway.routers.probes import Probe

NGINX_LABELS = "app.kubernetes.io/component=controller,app.kubernetes.io/name=ingress-nginx"
SIDECAR_LABEL = "security.istio.io/tlsMode=istio"
ISTIOD_LABEL = "app=istiod"
SIDECARS = 5
"""How many of the sidecars in a namespace are asked; gateways are asked all."""
_STATUS_PORT = 10246
_ADMIN_PORT = 15000
_DEBUG_PORT = 8080
_CONTROLLER = "k8s.io/ingress-nginx"
_MESH = "mesh"


class PodAccess(Protocol):
    """Read objects, and reach the ports of pods; the store of a cluster does both."""

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the objects that the needs ask for; see `rollway.routers.stores.Store`."""
        ...

    def may_forward(self, namespace: str) -> bool:
        """Tell whether the role allows port-forward to the pods of a namespace."""
        ...

    def forward(self, namespace: str, pod: str, port: int, timeout: float) -> socket.socket:
        """Open a connection to a port of a pod, for which `timeout` seconds are allowed."""
        ...


@dataclass(frozen=True)
class _Port:
    """One pod, and the port on its loopback that is asked."""

    ref: ObjectRef
    number: int


@dataclass(frozen=True)
class Pods:
    """The pods of the data planes in some namespaces (none: in all of them)."""

    access: PodAccess
    namespaces: tuple[str, ...] = ()

    def probe(self, router: str) -> Probe | None:
        """Return the probe of a router's data plane, or None where there is no common way to ask one."""
        if router == "nginx":
            return IngressNginxProbe(functools.partial(self._addresses, router))
        if router == "istio":
            return EnvoyProbe(functools.partial(self._addresses, router), self._istiod)
        return None

    def obstacle(self, router: str, rollout: Rollout, live: Live) -> str:
        """Say why the data plane of a router cannot be asked here; empty when it can."""
        try:
            ports = self._ports(router, rollout, live)
            spaces = sorted({port.ref.namespace for port in ports})
            with _reachable():
                closed = [space for space in spaces if not self.access.may_forward(space)]
        except NoAnswerError as error:
            return str(error)
        return f"the role may not port-forward to pods in namespace {', '.join(closed)}" if closed else ""

    def _addresses(self, router: str, rollout: Rollout, live: Live) -> Sequence[Address]:
        """Return where the pods are now; they come and go, so they are looked for each time."""
        return [self._address(port) for port in self._ports(router, rollout, live)]

    def _istiod(self, rollout: Rollout, live: Live) -> Sequence[Address]:
        """Return where istiod answers, whatever the route."""
        del rollout, live
        with _reachable():
            return [self._address(_Port(ref, _DEBUG_PORT)) for ref, _ in self._running(ISTIOD_LABEL)]

    def _address(self, port: _Port) -> Address:
        space, name = port.ref.namespace, port.ref.name
        dial = functools.partial(self.access.forward, space, name, port.number)
        return Address(f"pod {space}/{name}", f"http://127.0.0.1:{port.number}", dial)

    def _ports(self, router: str, rollout: Rollout, live: Live) -> list[_Port]:
        find = {"nginx": self._nginx, "istio": self._istio}[router]
        with _reachable():
            found = list(dict.fromkeys(find(rollout, live)))
        if not found:
            where = f"namespace {', '.join(self.namespaces)}" if self.namespaces else "the cluster"
            raise NoAnswerError(f"no running pod of the {router} data plane was found in {where}")
        return found

    def _running(self, selector: str, namespaces: Sequence[str] = ()) -> list[tuple[ObjectRef, Manifest]]:
        spaces = namespaces or self.namespaces or ("",)
        needs = [
            Need("", "Pod", namespace=space, required=False, selector=selector, runtime=True)
            for space in spaces
        ]
        labels = dict(label.split("=", 1) for label in selector.split(","))
        return [
            (pod.ref, pod.manifest)
            for pod in self.access.read(needs).of("", "Pod")
            if dig(pod.manifest, "status", "phase") == "Running"
            and not pod.manifest["metadata"].get("deletionTimestamp")
            and labels.items() <= (pod.manifest["metadata"].get("labels") or {}).items()
        ]

    def _nginx(self, rollout: Rollout, live: Live) -> Iterator[_Port]:
        pods = [(ref, _flags(pod)) for ref, pod in self._running(NGINX_LABELS)]
        controllers = {flags.get("controller-class", _CONTROLLER) for _, flags in pods}
        # The class is looked up only where there is a choice: reading it is a right that a Role does not have.
        wanted = self._controllers(rollout, live) if len(controllers) > 1 else controllers
        for ref, flags in pods:
            watched = flags.get("watch-namespace", "")
            if flags.get("controller-class", _CONTROLLER) in wanted and watched in ("", rollout.namespace):
                yield _Port(ref, int(flags.get("status-port", _STATUS_PORT)))

    def _controllers(self, rollout: Rollout, live: Live) -> set[str]:
        """Return the controllers of the classes that the stable Ingresses name."""
        names = {
            controller.class_of(stable, live[stable].manifest)
            for stable, _ in nginx.pairs(rollout)
            if stable in live
        }
        classes = self.access.read([Need("networking.k8s.io", "IngressClass", required=False)])
        return {
            str(dig(found.manifest, "spec", "controller"))
            for found in classes.of("networking.k8s.io", "IngressClass")
            if found.ref.name in names
        }

    def _istio(self, rollout: Rollout, live: Live) -> Iterator[_Port]:
        for service in stanza_of(rollout).virtual_services:
            ref = ref_of(service)
            manifest = live.manifest(ref) or {}
            named = dig(manifest, "spec", "gateways") or [_MESH]
            gateways = [_gateway(str(name), ref.namespace) for name in named if name != _MESH]
            if gateways:
                read = self.access.read(
                    [Need(ISTIO, "Gateway", at.name, at.namespace, required=False) for at in gateways]
                )
                for at in gateways:
                    selector = dig(read.manifest(at) or {}, "spec", "selector")
                    if isinstance(selector, dict) and selector:
                        yield from _admin_ports(self._running(_selector(selector)))
            if _MESH in named:
                yield from _admin_ports(self._running(SIDECAR_LABEL, (ref.namespace,))[:SIDECARS])


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    """Tell what the API server refuses in the words of a probe."""
    try:
        yield
    except RollwayError as error:
        raise NoAnswerError(error.message) from error


def _gateway(name: str, namespace: str) -> ObjectRef:
    """Return the Gateway that `NAME` or `NAMESPACE/NAME` means in a VirtualService."""
    space, _, short = name.rpartition("/")
    return ObjectRef(ISTIO, "Gateway", space or namespace, short)


def _selector(labels: Mapping[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _admin_ports(pods: Sequence[tuple[ObjectRef, Manifest]]) -> Iterator[_Port]:
    return (_Port(ref, _ADMIN_PORT) for ref, _ in pods)


def _flags(pod: Manifest) -> dict[str, str]:
    """Return the flags that the pod's containers are started with: `--name=value`."""
    words = [
        word
        for container in dig(pod, "spec", "containers") or ()
        for key in ("command", "args")
        for word in dig(container, key) or ()
        if isinstance(word, str) and word.startswith("--")
    ]
    return {name: value for name, _, value in (word.removeprefix("--").partition("=") for word in words)}
