"""Services alone: blue-green by the pod-template hash that a Service selects."""

from rollway.routers.backends import BackendPackage

PACKAGE = BackendPackage("service", __name__, without_router=True)
