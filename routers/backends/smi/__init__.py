"""SMI: one TrafficSplit of ours that shares the traffic of a root Service."""

from rollway.routers.backends import BackendPackage

PACKAGE = BackendPackage("smi", __name__)
