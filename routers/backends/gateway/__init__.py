"""Gateway API: the weights of stable and canary inside the user's HTTPRoutes, GRPCRoutes, TLSRoutes and TCPRoutes."""

from rollway.routers.backends import AddressOption, BackendPackage
from rollway.routers.objects import Access

ENVOY = AddressOption(
    "gateway-envoy",
    "Admin port (15000) of an Envoy of istiod's Gateway; repeat it for every pod.",
    optional=True,
)
TRAEFIK = AddressOption(
    "gateway-traefik", "API port (8080) of a Traefik with a Gateway; repeat it for every pod.", optional=True
)
PACKAGE = BackendPackage(
    "gateway",
    __name__,
    paths=(("gatewayAPI",), ("plugins", "argoproj-labs/gatewayAPI")),
    addresses=(ENVOY, TRAEFIK),
    kinds=(
        ("gateway.networking.k8s.io", "HTTPRoute", Access.SHARED),
        ("gateway.networking.k8s.io", "GRPCRoute", Access.SHARED),
        ("gateway.networking.k8s.io", "TLSRoute", Access.SHARED),
        ("gateway.networking.k8s.io", "TCPRoute", Access.SHARED),
        ("gateway.networking.k8s.io", "ReferenceGrant", Access.READ),
    ),
)
