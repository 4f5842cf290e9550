"""Istio: the weights of stable and canary inside the user's VirtualServices."""

from rollway.routers.backends import BackendPackage

PACKAGE = BackendPackage("istio", __name__)
