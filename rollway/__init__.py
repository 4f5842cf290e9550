"""rollway: progressive delivery on Kubernetes. The program is `rollway.cli`, the library `rollway.routers`."""

__version__ = "0.1.0"
