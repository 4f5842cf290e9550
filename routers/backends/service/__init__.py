"""Services alone: blue-green by the pod-template hash that a Service selects."""

from rollway.routers.backends import BackendPackage
from rollway.routers.objects import Access

PACKAGE = BackendPackage("service", __name__, without_router=True, kinds=(("", "Service", Access.SHARED),))
