"""rollway: plan, refuse, apply and verify traffic weights for canary and blue-green releases on Kubernetes.

A controller needs three names: a store, `read_route` and `TrafficRouter`. See README for ten lines that use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from routers.engine import Result
    from routers.errors import RollwayError
    from routers.guards import Limits
    from routers.model import Evidence, Route, Traffic, Verdict
    from routers.plan import Plan
    from routers.router import TrafficRouter, read_route, read_routes
    from routers.stores.cluster import ClusterStore
    from routers.stores.directory import DirectoryStore
    from routers.stores.watching import WatchingStore
    from routers.weights import Split

_HOME = {
    "ClusterStore": "routers.stores.cluster",
    "DirectoryStore": "routers.stores.directory",
    "Evidence": "routers.model",
    "Limits": "routers.guards",
    "Plan": "routers.plan",
    "Result": "routers.engine",
    "RollwayError": "routers.errors",
    "Route": "routers.model",
    "Split": "routers.weights",
    "Traffic": "routers.model",
    "TrafficRouter": "routers.router",
    "Verdict": "routers.model",
    "WatchingStore": "routers.stores.watching",
    "read_route": "routers.router",
    "read_routes": "routers.router",
}

__all__ = [
    "ClusterStore",
    "DirectoryStore",
    "Evidence",
    "Limits",
    "Plan",
    "Result",
    "RollwayError",
    "Route",
    "Split",
    "Traffic",
    "TrafficRouter",
    "Verdict",
    "WatchingStore",
    "read_route",
    "read_routes",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `rollway --help` starts fast."""
    if name in _HOME:
        from importlib import import_module  # noqa: PLC0415 - see above

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'routers' has no attribute {name!r}")
