"""The library: plan, refuse, apply and verify traffic weights for canary and blue-green releases on Kubernetes.

A controller needs three names: a store, `read_rollout` and `TrafficRouter`. See README for ten lines that use them.
The names here are public, and so are the errors of `rollway.routers.errors` and the contract suite of
`rollway.routers.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if __name__ != "rollway.routers":
    # A second copy of the modules under another name would raise errors that nobody catches.
    raise ImportError(f"this package is rollway.routers, and not {__name__}")

if TYPE_CHECKING:
    from rollway.routers.applying import Result
    from rollway.routers.checking import Check, CheckResult, check_rollout
    from rollway.routers.data_planes import (
        DataPlaneProbes,
        data_plane_probes,
        prometheus_probe,
        status_probes,
    )
    from rollway.routers.errors import RollwayError
    from rollway.routers.events import Recorder, Wish, last_wish
    from rollway.routers.finding_codes import finding_codes
    from rollway.routers.findings import Finding, FindingCode, Severity
    from rollway.routers.guards import Limits
    from rollway.routers.linting import Problem, lint
    from rollway.routers.lookup import read_rollout, read_rollouts
    from rollway.routers.model import Rollout, RolloutStatus, Strategy
    from rollway.routers.objects import Live, LiveObject, Manifest, Need, ObjectRef
    from rollway.routers.observation import Observation
    from rollway.routers.observing import Observations, observe_all
    from rollway.routers.plan import Action, Change, DryRun, Plan
    from rollway.routers.probes import Probe
    from rollway.routers.probes.http import Address
    from rollway.routers.probes.prometheus import PrometheusProbe
    from rollway.routers.probes.requests import RequestsProbe
    from rollway.routers.ramp import Ramp
    from rollway.routers.roles import known_roles
    from rollway.routers.router import TrafficRouter
    from rollway.routers.stores import EventStore, Store
    from rollway.routers.stores.cluster import ClusterStore
    from rollway.routers.stores.directory import DirectoryStore
    from rollway.routers.stores.watching import WatchingStore
    from rollway.routers.traffic import (
        Evidence,
        HeaderRoute,
        MirrorRoute,
        ObjectVerdict,
        Outcome,
        Reading,
        RequestMatch,
        RequestSample,
        StringMatch,
        Traffic,
        Verdict,
    )
    from rollway.routers.weights import Split
    from rollway.routers.write_options import WriteOptions

_NAMES = {
    "rollway.routers.applying": ("Result",),
    "rollway.routers.checking": ("Check", "CheckResult", "check_rollout"),
    "rollway.routers.data_planes": (
        "DataPlaneProbes",
        "data_plane_probes",
        "prometheus_probe",
        "status_probes",
    ),
    "rollway.routers.errors": ("RollwayError",),
    "rollway.routers.events": ("Recorder", "Wish", "last_wish"),
    "rollway.routers.finding_codes": ("finding_codes",),
    "rollway.routers.findings": ("Finding", "FindingCode", "Severity"),
    "rollway.routers.guards": ("Limits",),
    "rollway.routers.linting": ("Problem", "lint"),
    "rollway.routers.lookup": ("read_rollout", "read_rollouts"),
    "rollway.routers.model": ("Rollout", "RolloutStatus", "Strategy"),
    "rollway.routers.objects": ("Live", "LiveObject", "Manifest", "Need", "ObjectRef"),
    "rollway.routers.observing": ("Observations", "observe_all"),
    "rollway.routers.plan": ("Action", "Change", "DryRun", "Plan"),
    "rollway.routers.observation": ("Observation",),
    "rollway.routers.probes": ("Probe",),
    "rollway.routers.probes.http": ("Address",),
    "rollway.routers.probes.prometheus": ("PrometheusProbe",),
    "rollway.routers.probes.requests": ("RequestsProbe",),
    "rollway.routers.ramp": ("Ramp",),
    "rollway.routers.roles": ("known_roles",),
    "rollway.routers.router": ("TrafficRouter",),
    "rollway.routers.stores": ("EventStore", "Store"),
    "rollway.routers.stores.cluster": ("ClusterStore",),
    "rollway.routers.stores.directory": ("DirectoryStore",),
    "rollway.routers.stores.watching": ("WatchingStore",),
    "rollway.routers.traffic": (
        "Evidence",
        "HeaderRoute",
        "MirrorRoute",
        "ObjectVerdict",
        "Outcome",
        "Reading",
        "RequestMatch",
        "RequestSample",
        "StringMatch",
        "Traffic",
        "Verdict",
    ),
    "rollway.routers.weights": ("Split",),
    "rollway.routers.write_options": ("WriteOptions",),
}
"""The public names by their module."""

_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Action",
    "Address",
    "Change",
    "Check",
    "CheckResult",
    "ClusterStore",
    "DataPlaneProbes",
    "DirectoryStore",
    "DryRun",
    "EventStore",
    "Evidence",
    "Finding",
    "FindingCode",
    "HeaderRoute",
    "Limits",
    "Live",
    "LiveObject",
    "Manifest",
    "MirrorRoute",
    "Need",
    "ObjectRef",
    "ObjectVerdict",
    "Observation",
    "Observations",
    "Outcome",
    "Plan",
    "Probe",
    "Problem",
    "PrometheusProbe",
    "Ramp",
    "Reading",
    "Recorder",
    "RequestMatch",
    "RequestSample",
    "RequestsProbe",
    "Result",
    "Rollout",
    "RolloutStatus",
    "RollwayError",
    "Severity",
    "Split",
    "Store",
    "Strategy",
    "StringMatch",
    "Traffic",
    "TrafficRouter",
    "Verdict",
    "WatchingStore",
    "Wish",
    "WriteOptions",
    "check_rollout",
    "data_plane_probes",
    "finding_codes",
    "known_roles",
    "last_wish",
    "lint",
    "observe_all",
    "prometheus_probe",
    "read_rollout",
    "read_rollouts",
    "status_probes",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `rollway --help` starts fast."""
    if name in _MODULES:
        from importlib import import_module  # noqa: PLC0415 - see above

        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
