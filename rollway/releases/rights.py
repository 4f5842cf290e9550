"""The rights that the verbs about releases need beside those that move traffic. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.data_plane import PolicyRule
from rollway.routers.model import ROLLOUT_GROUP
from rollway.routers.objects import dig
from rollway.routers.rbac import plural

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest

_WATCHED = (
    (ROLLOUT_GROUP, "rollouts"),
    (ROLLOUT_GROUP, "analysisruns"),
    (ROLLOUT_GROUP, "experiments"),
    ("apps", "replicasets"),
    ("", "pods"),
)


def release_rules(rollout: Manifest) -> list[PolicyRule]:
    """Return the rules in the namespace of a Rollout with which one looks at its release, and runs it.

    What is watched cannot be narrowed to names that nobody knows before.
    """
    name = (str(rollout["metadata"]["name"]),)
    rules = [
        PolicyRule(ROLLOUT_GROUP, "rollouts", ("patch",), name),
        PolicyRule(ROLLOUT_GROUP, "rollouts/status", ("patch",), name),
        *(PolicyRule(group, resource, ("list", "watch")) for group, resource in _WATCHED),
    ]
    workload = dig(rollout, "spec", "workloadRef")
    if workload:
        group = str(workload.get("apiVersion", "")).rpartition("/")[0]
        named = (str(workload.get("name", "")),)
        rules.append(PolicyRule(group, plural(str(workload.get("kind", ""))), ("get", "patch"), named))
    return rules
