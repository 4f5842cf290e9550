"""SMI: one TrafficSplit of ours that shares the traffic of a root Service."""

from rollway.routers.backends import BackendPackage
from rollway.routers.objects import Access

PACKAGE = BackendPackage(
    "smi",
    __name__,
    kinds=(
        ("split.smi-spec.io", "TrafficSplit", Access.MANAGED),
        ("specs.smi-spec.io", "HTTPRouteGroup", Access.MANAGED),
    ),
    install=(
        ("split.smi-spec.io", "install a mesh with SMI, or the CRDs of smi-sdk-go"),
        ("specs.smi-spec.io", "install a mesh with SMI, or the CRDs of smi-sdk-go"),
    ),
)
