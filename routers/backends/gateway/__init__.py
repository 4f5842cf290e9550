"""Gateway API: the weights of stable and canary inside the user's HTTPRoutes, GRPCRoutes, TLSRoutes and TCPRoutes."""

from rollway.routers.backends import BackendPackage

PACKAGE = BackendPackage(
    "gateway", __name__, paths=(("gatewayAPI",), ("plugins", "argoproj-labs/gatewayAPI"))
)
