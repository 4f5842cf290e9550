"""SMI: one TrafficSplit of ours that shares the traffic of a root Service."""

from rollway.routers.backends import BackendPackage

PACKAGE = BackendPackage(
    "smi",
    __name__,
    install=(
        ("split.smi-spec.io", "install a mesh with SMI, or the CRDs of smi-sdk-go"),
        ("specs.smi-spec.io", "install a mesh with SMI, or the CRDs of smi-sdk-go"),
    ),
)
