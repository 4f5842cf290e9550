"""The gateways, sidecars and istiods that serve a Rollout, and what is asked of them.

Sources: Istio, "Gateway" (`selector`), and the label that its injector sets on pods with a sidecar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.routers.backends.data_plane import DataPlane, PolicyRule
from rollway.routers.backends.istio import ADMIN, ISTIOD
from rollway.routers.backends.istio.virtual_service import GROUP, ref_of, stanza_of
from rollway.routers.objects import Need, ObjectRef, dig
from rollway.routers.probes.pods import PodPort

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live
    from rollway.routers.probes import Probe
    from rollway.routers.probes.http import Find
    from rollway.routers.probes.pods import Pods
    from rollway.routers.probes.prometheus import Metric

SIDECARS = 5
"""How many of the sidecars in a namespace are asked; gateways are asked all."""
_SIDECAR_LABEL = "security.istio.io/tlsMode=istio"
_ISTIOD_LABEL = "app=istiod"
_ADMIN_PORT = 15000
_DEBUG_PORT = 8080
_MESH = "mesh"


def envoys(pods: Pods, rollout: Rollout, live: Live) -> Iterator[PodPort]:
    """Yield the admin ports of all gateways that the VirtualServices name, and of some sidecars where they name the mesh."""
    for service in stanza_of(rollout).virtual_services:
        ref = ref_of(service)
        named = dig(live.manifest(ref) or {}, "spec", "gateways") or [_MESH]
        gateways = [_gateway(str(name), ref.namespace) for name in named if name != _MESH]
        if gateways:
            read = pods.access.read(
                [
                    Need(GROUP, "Gateway", gateway.name, gateway.namespace, required=False)
                    for gateway in gateways
                ]
            )
            for gateway in gateways:
                selector = dig(read.manifest(gateway) or {}, "spec", "selector")
                if isinstance(selector, dict) and selector:
                    yield from (PodPort(pod, _ADMIN_PORT) for pod, _ in pods.running(_selector(selector)))
        if _MESH in named:
            sidecars = pods.running(_SIDECAR_LABEL, (ref.namespace,))[:SIDECARS]
            yield from (PodPort(pod, _ADMIN_PORT) for pod, _ in sidecars)


def istiods(pods: Pods, _rollout: Rollout, _live: Live) -> Iterator[PodPort]:
    """Yield the debug ports of istiod, whatever the Rollout."""
    return (PodPort(ref, _DEBUG_PORT) for ref, _ in pods.running(_ISTIOD_LABEL))


def _gateway(name: str, namespace: str) -> ObjectRef:
    """Return the Gateway that `NAME` or `NAMESPACE/NAME` means in a VirtualService."""
    space, _, short = name.rpartition("/")
    return ObjectRef(GROUP, "Gateway", space or namespace, short)


def _selector(labels: Mapping[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _probe(places: Mapping[str, Find]) -> Probe:
    from rollway.routers.backends.istio.probe import envoy_probe  # noqa: PLC0415 - where no pod is, nobody needs it

    return envoy_probe(places[ADMIN.name], places.get(ISTIOD.name))


def _metric(rollout: Rollout, live: Live) -> Metric:
    from rollway.routers.backends.istio.metrics import metric  # noqa: PLC0415 - few ask a Prometheus

    return metric(rollout, live)


DATA_PLANE = DataPlane(
    probe=_probe,
    pods={ADMIN.name: envoys, ISTIOD.name: istiods},
    rules=(PolicyRule(GROUP, "gateways", ("get",)),),
    metric=_metric,
)
