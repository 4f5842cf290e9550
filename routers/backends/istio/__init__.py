"""Istio: the weights of stable and canary inside the user's VirtualServices."""

from rollway.routers.backends import AddressOption, BackendPackage
from rollway.routers.objects import Access

ADMIN = AddressOption(
    "envoy-admin", "Admin port (15000) of an Istio gateway or sidecar; repeat it for every pod."
)
ISTIOD = AddressOption(
    "istiod",
    "Debug port (8080) of istiod, asked why an Envoy rejected an update; repeat it for every pod.",
    explains=ADMIN.name,
)
PACKAGE = BackendPackage(
    "istio",
    __name__,
    addresses=(ADMIN, ISTIOD),
    kinds=(
        ("networking.istio.io", "VirtualService", Access.SHARED),
        ("networking.istio.io", "DestinationRule", Access.SHARED),
    ),
    install=(("networking.istio.io", "install Istio, or its CRDs from istio.io/api"),),
)
