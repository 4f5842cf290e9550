"""ingress-nginx: one canary Ingress of ours beside each stable Ingress of the user's."""

from rollway.routers.backends import BackendPackage

PACKAGE = BackendPackage("nginx", __name__)
