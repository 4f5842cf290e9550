"""The `trafficRouting.istio` stanza. Source: Argo Rollouts, `IstioTrafficRouting` in pkg/apis/rollouts/v1alpha1/types.go."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.backends.stanzas import OBJECT_NAME, PORT, TEXT, Stanza, array, mapping

if TYPE_CHECKING:
    from rollway.routers.backends.stanzas import Fault
    from rollway.routers.objects import Manifest


class TLSRoute(NamedTuple):
    """Select a TLS route by port, by its whole set of SNI hosts, or both; 0 and empty mean not asked."""

    port: int = 0
    sni_hosts: tuple[str, ...] = ()


class IstioVirtualService(NamedTuple):
    """One VirtualService and the routes in it that carry the weights; an empty selection means: find them.

    `routes` holds the names of http routes, `tcp_routes` the ports of tcp routes.
    """

    name: str
    namespace: str
    routes: tuple[str, ...] = ()
    tls_routes: tuple[TLSRoute, ...] = ()
    tcp_routes: tuple[int, ...] = ()


class IstioDestinationRule(NamedTuple):
    """The DestinationRule whose subsets play stable and canary."""

    name: str
    stable_subset_name: str
    canary_subset_name: str
    additional_subset_names: tuple[str, ...] = ()


class IstioTrafficRouting(NamedTuple):
    """The VirtualServices that carry the weights, by host or by the subsets of a DestinationRule."""

    virtual_services: tuple[IstioVirtualService, ...]
    destination_rule: IstioDestinationRule | None = None


def read(stanza: Manifest, namespace: str, fault: Fault) -> IstioTrafficRouting:
    """Read a stanza that fits the schema."""
    single, several = stanza.get("virtualService"), stanza.get("virtualServices", [])
    if (single is not None) == bool(several):
        given = "both are given" if single else "neither is given"
        fault(["virtualService"], f"exactly one of virtualService and virtualServices is needed; {given}")
    services = [_virtual_service(entry, namespace) for entry in ([single] if single else several)]
    for index, entry in enumerate(services):
        if (entry.name, entry.namespace) in [(other.name, other.namespace) for other in services[:index]]:
            message = f"VirtualService {entry.namespace}/{entry.name} is listed twice"
            fault(["virtualServices", index], message)
    rule = stanza.get("destinationRule")
    if rule and rule["stableSubsetName"] == rule["canarySubsetName"]:
        message = f"subset {rule['canarySubsetName']!r} is already the stable one; the canary needs a subset of its own"
        fault(["destinationRule", "canarySubsetName"], message)
    return IstioTrafficRouting(tuple(services), _destination_rule(rule) if rule else None)


def _virtual_service(entry: Manifest, namespace: str) -> IstioVirtualService:
    """Split `name.namespace` at the last dot, `.cluster.local` dropped (Argo Rollouts, utils/istio, #4709)."""
    name, dot, home = entry["name"].removesuffix(".cluster.local").removesuffix(".svc").rpartition(".")
    tls = tuple(
        TLSRoute(item.get("port", 0), tuple(item.get("sniHosts", []))) for item in entry.get("tlsRoutes", [])
    )
    return IstioVirtualService(
        name if dot else home,
        home if dot else namespace,
        tuple(entry.get("routes", [])),
        tls,
        tuple(item["port"] for item in entry.get("tcpRoutes", [])),
    )


def _destination_rule(rule: Manifest) -> IstioDestinationRule:
    return IstioDestinationRule(
        rule["name"],
        rule["stableSubsetName"],
        rule["canarySubsetName"],
        tuple(rule.get("additionalSubsetNames", [])),
    )


def _needs_services(stanza: IstioTrafficRouting) -> bool:
    return stanza.destination_rule is None


_VIRTUAL_SERVICE = mapping(
    ["name"],
    name=OBJECT_NAME,
    routes=array(TEXT),
    tlsRoutes=array({**mapping(port=PORT, sniHosts={**array(TEXT), "minItems": 1}), "minProperties": 1}),
    tcpRoutes=array(mapping(["port"], port=PORT)),
)

STANZA = Stanza(
    mapping(
        virtualService=_VIRTUAL_SERVICE,
        virtualServices=array(_VIRTUAL_SERVICE),
        destinationRule=mapping(
            ["name", "canarySubsetName", "stableSubsetName"],
            name=OBJECT_NAME,
            canarySubsetName=TEXT,
            stableSubsetName=TEXT,
            additionalSubsetNames=array(TEXT),
        ),
    ),
    read,
    _needs_services,
)
