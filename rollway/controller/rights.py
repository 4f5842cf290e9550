"""The rights of the controller, and those that it gives to people who already have the roles view, edit and admin.

Each verb is one that the controller uses; the kinds of routing objects and their verbs are those of the backends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers import rbac
from rollway.routers.backends.data_plane import PolicyRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollway.routers.backends import BackendPackage

_READ = ("get", "list", "watch")
_ARGO = "argoproj.io"
_KINDS = (
    "rollouts",
    "rollouts/scale",
    "analysisruns",
    "analysistemplates",
    "clusteranalysistemplates",
    "experiments",
)

_OWN = (
    PolicyRule(_ARGO, "rollouts", (*_READ, "patch")),
    PolicyRule(_ARGO, "rollouts/status", ("patch",)),
    # To be the owner of what it makes (OwnerReferencesPermissionEnforcement).
    PolicyRule(_ARGO, "rollouts/finalizers", ("update",)),
    PolicyRule("apps", "replicasets", (*_READ, "create", "update", "patch", "delete")),
    # The workload of a workloadRef, which a Rollout scales down when its own pods are there.
    PolicyRule("apps", "deployments", (*_READ, "patch")),
    PolicyRule("", "podtemplates", _READ),
    PolicyRule("", "services", (*_READ, "patch")),
    PolicyRule("", "pods", (*_READ, "patch")),
    PolicyRule("", "pods/eviction", ("create",)),
    PolicyRule("discovery.k8s.io", "endpointslices", _READ),
    PolicyRule("", "events", ("create", "patch")),
)
LEASES = (PolicyRule("coordination.k8s.io", "leases", ("get", "create", "update")),)
"""What electing a leader needs, in the namespace of the controller alone."""

VIEW = tuple(PolicyRule(_ARGO, kind, _READ) for kind in _KINDS)
"""What whoever may view a namespace may do with its Rollouts."""

EDIT = tuple(
    PolicyRule(_ARGO, kind, ("create", "delete", "deletecollection", "patch", "update"))
    for kind in (*_KINDS, "rollouts/status")
)
"""What whoever may edit a namespace may do beside that; promoting and aborting are patches of the status."""


def controller_rules(packages: Sequence[BackendPackage]) -> list[PolicyRule]:
    """Return the rules for a controller of Rollouts that may use these backends."""
    return list(_joined((*_OWN, *rbac.kind_rules(packages))))


def _joined(rules: Iterable[PolicyRule]) -> Iterable[PolicyRule]:
    """Join the rules of one resource."""
    verbs: dict[tuple[str, str], tuple[str, ...]] = {}
    for rule in rules:
        known = verbs.get((rule.group, rule.resource), ())
        verbs[rule.group, rule.resource] = tuple(dict.fromkeys((*known, *rule.verbs)))
    return (PolicyRule(group, resource, each) for (group, resource), each in verbs.items())
