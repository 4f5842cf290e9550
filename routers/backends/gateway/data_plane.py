"""The Envoys of istiod and the Traefiks that serve a Rollout's routes, and what is asked of them.

Which implementation serves a route is known from its status, where each controller reports under its own name. Sources:
Istio, "Kubernetes Gateway API" (automated and manual deployment); the labels and flags of Traefik's Helm chart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.data_plane import DataPlane, PolicyRule
from rollway.routers.backends.gateway import ENVOY, TRAEFIK
from rollway.routers.backends.gateway.probe import OPTIONS, controllers, gateway_probe
from rollway.routers.backends.gateway.routes import GROUP, find_routes
from rollway.routers.backends.gateway.status import parents_of
from rollway.routers.objects import Need, ObjectRef, dig
from rollway.routers.probes.http import NoAnswerError
from rollway.routers.probes.pods import PodPort, flags_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live
    from rollway.routers.probes.pods import Pods

TRAEFIK_LABELS = "app.kubernetes.io/name=traefik"
_ENVOY_ADMIN = 15000
_TRAEFIK_API = 8080
_GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"
"""What istiod puts on the pods that it deploys for a Gateway."""


def envoys(pods: Pods, rollout: Rollout, live: Live) -> Iterator[PodPort]:
    """Yield the admin ports of the Envoys of each Gateway that istiod reports on."""
    if ENVOY.name not in _serving(rollout, live):
        return
    for gateway in _gateways(rollout, live):
        manifest = pods.access.read([Need(GROUP, "Gateway", gateway.name, gateway.namespace, required=False)])
        addresses = dig(manifest.manifest(gateway) or {}, "spec", "addresses") or ()
        hosts = [str(dig(address, "value")) for address in addresses]
        running = [PodPort(pod, _ENVOY_ADMIN) for pod in _pods_of(pods, gateway, hosts)]
        if not running:
            raise NoAnswerError(f"no running Envoy of {gateway} was found")
        yield from running


def traefiks(pods: Pods, rollout: Rollout, live: Live) -> Iterator[PodPort]:
    """Yield the API ports of the Traefiks whose provider for Gateway API is on."""
    if TRAEFIK.name not in _serving(rollout, live):
        return
    # The names of Traefik's flags are written in any case.
    running = [
        (pod, {name.lower(): value for name, value in flags_of(manifest).items()})
        for pod, manifest in pods.running(TRAEFIK_LABELS)
    ]
    # Flags may stand in a file instead; where some pods have this one, the others are for something else.
    chosen = [(pod, flags) for pod, flags in running if "providers.kubernetesgateway" in flags] or running
    if not chosen:
        raise NoAnswerError(f"no running pod of Traefik was found (label {TRAEFIK_LABELS})")
    for pod, flags in chosen:
        # As `:8080/tcp`.
        port = flags.get("entrypoints.traefik.address", "").partition("/")[0].rpartition(":")[2]
        yield PodPort(pod, int(port or _TRAEFIK_API))


def _serving(rollout: Rollout, live: Live) -> set[str]:
    """Return the options of the implementations that report on the Rollout's routes.

    Raises:
        NoAnswerError: none reports, or one that cannot be asked.
    """
    names = controllers(rollout, live)
    if not names:
        raise NoAnswerError(
            "no controller reports on the routes, so nothing shows which data plane serves them"
        )
    strange = sorted(names - OPTIONS.keys())
    if strange:
        raise NoAnswerError(f"there is no common way to ask the data plane of {', '.join(strange)}")
    return {OPTIONS[name].name for name in names}


def _gateways(rollout: Rollout, live: Live) -> Iterator[ObjectRef]:
    """Yield the Gateways on which istiod reports."""
    known: set[ObjectRef] = set()
    for route in find_routes(rollout, live):
        manifest = live[route.ref].manifest
        refs = dig(manifest, "spec", "parentRefs") or ()
        for parent_ref, parent in zip(refs, parents_of(manifest), strict=True):
            options = {OPTIONS[report.controller] for report in parent.reports}
            gateway = ObjectRef(
                GROUP, "Gateway", parent_ref.get("namespace") or route.ref.namespace, parent_ref["name"]
            )
            if ENVOY in options and gateway not in known:
                known.add(gateway)
                yield gateway


def _pods_of(pods: Pods, gateway: ObjectRef, hosts: list[str]) -> Iterator[ObjectRef]:
    """Yield the pods of a Gateway: those that istiod has deployed, or those of the Services that it names."""
    if not hosts:
        selector = f"{_GATEWAY_LABEL}={gateway.name}"
        yield from (pod for pod, _ in pods.running(selector, (gateway.namespace,)))
    for host in hosts:
        name, namespace, *_ = [*host.split("."), gateway.namespace]
        service = ObjectRef("", "Service", namespace, name)
        read = pods.access.read([Need("", "Service", name, namespace, required=False)])
        labels = dig(read.manifest(service) or {}, "spec", "selector")
        if labels:
            selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
            yield from (pod for pod, _ in pods.running(selector, (namespace,)))


DATA_PLANE = DataPlane(
    probe=gateway_probe,
    pods={ENVOY.name: envoys, TRAEFIK.name: traefiks},
    rules=(PolicyRule(GROUP, "gateways", ("get",)), PolicyRule("", "services", ("get",))),
)
