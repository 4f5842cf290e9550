"""The library: plan, refuse, apply and verify traffic weights for canary and blue-green releases on Kubernetes.

A controller needs three names: a store, `read_rollout` and `TrafficRouter`. See README for ten lines that use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if __name__ != "rollway.routers":
    # A second copy of the modules under another name would raise errors that nobody catches.
    raise ImportError(f"this package is rollway.routers, and not {__name__}")

if TYPE_CHECKING:
    from rollway.routers.applying import Result
    from rollway.routers.errors import RollwayError
    from rollway.routers.guards import Limits
    from rollway.routers.model import Evidence, Rollout, Traffic, Verdict
    from rollway.routers.plan import Plan
    from rollway.routers.router import TrafficRouter, read_rollout, read_rollouts
    from rollway.routers.stores.cluster import ClusterStore
    from rollway.routers.stores.directory import DirectoryStore
    from rollway.routers.stores.watching import WatchingStore
    from rollway.routers.weights import Split

_HOME = {
    "ClusterStore": "rollway.routers.stores.cluster",
    "DirectoryStore": "rollway.routers.stores.directory",
    "Evidence": "rollway.routers.model",
    "Limits": "rollway.routers.guards",
    "Plan": "rollway.routers.plan",
    "Result": "rollway.routers.applying",
    "RollwayError": "rollway.routers.errors",
    "Rollout": "rollway.routers.model",
    "Split": "rollway.routers.weights",
    "Traffic": "rollway.routers.model",
    "TrafficRouter": "rollway.routers.router",
    "Verdict": "rollway.routers.model",
    "WatchingStore": "rollway.routers.stores.watching",
    "read_rollout": "rollway.routers.router",
    "read_rollouts": "rollway.routers.router",
}

__all__ = [
    "ClusterStore",
    "DirectoryStore",
    "Evidence",
    "Limits",
    "Plan",
    "Result",
    "Rollout",
    "RollwayError",
    "Split",
    "Traffic",
    "TrafficRouter",
    "Verdict",
    "WatchingStore",
    "read_rollout",
    "read_rollouts",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `rollway --help` starts fast."""
    if name in _HOME:
        from importlib import import_module  # noqa: PLC0415 - see above

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
