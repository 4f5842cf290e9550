"""The least Role for one Rollout: what its backends need, as rules. Pure; the cluster store asks for no more.

An object that is only read is not asked for by name where its kind is listed, so `list` stands in for `get` there.
Server-side apply of an object that does not exist yet needs `create` beside `patch` (Kubernetes, "Server-Side Apply",
and kube-apiserver's `create on update`), for that name only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends import packages_of
from rollway.routers.backends.data_plane import PolicyRule
from rollway.routers.model import INSTANCE_ID
from rollway.routers.objects import Access
from rollway.routers.planning import needs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollway.routers.backends import BackendPackage
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest, Need

API_VERSION = "rbac.authorization.k8s.io/v1"
_GROUP = API_VERSION.partition("/")[0]
_CLUSTER_KINDS = ("CustomResourceDefinition",)
_VERBS = {
    Access.READ: ("get",),
    Access.SHARED: ("get", "patch"),
    Access.MANAGED: ("get", "patch", "create", "delete"),
}


def plural(kind: str) -> str:
    """Return the resource of a kind: `Ingress` is `ingresses`, `Policy` is `policies`, `Gateway` is `gateways`."""
    word = kind.lower()
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else f"{word}s"


def rules(rollout: Rollout) -> dict[str, list[PolicyRule]]:
    """Return the rules of each namespace that the Rollout's objects are in, its own first."""
    needs = [need for need in needs_of(rollout) if need.kind not in _CLUSTER_KINDS]
    # A weight for rollway's controller is an annotation of the Rollout.
    verbs = ("get", "patch") if rollout.instance_id == INSTANCE_ID else ("get",)
    by_namespace: dict[str, list[PolicyRule]] = {
        rollout.namespace: [PolicyRule(rollout.ref.group, plural(rollout.ref.kind), verbs, (rollout.name,))]
    }
    for namespace in dict.fromkeys(
        [rollout.namespace, *(need.namespace for need in needs if need.namespace)]
    ):
        here = [need for need in needs if need.namespace in ("", namespace)]
        by_namespace.setdefault(namespace, []).extend(_merged(_rules(here)))
    # The Event about a change stands beside the Rollout; `status` shows by it what was asked last.
    by_namespace[rollout.namespace].append(PolicyRule("", "events", ("create", "list")))
    return by_namespace


def _rules(needs: Sequence[Need]) -> Iterable[PolicyRule]:
    listed = {(need.group, need.kind) for need in needs if not need.name}
    named = {(need.group, need.kind) for need in needs if need.name}
    for need in needs:
        resource = plural(need.kind)
        if not need.name:
            # Listing a kind of the whole cluster narrows to the namespaces in which something of it is named.
            if need.namespace or (need.group, need.kind) in named:
                written = () if need.access is Access.READ else _VERBS[need.access]
                yield PolicyRule(need.group, resource, ("list", *written))
            continue
        # What is written is read again by its name, so that an answer is as new as the write.
        skipped = ("get",) if need.access is Access.READ and (need.group, need.kind) in listed else ()
        verbs = tuple(verb for verb in _VERBS[need.access] if verb not in skipped)
        if verbs:
            yield PolicyRule(need.group, resource, verbs, (need.name,))


def _merged(separate: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Join the rules that differ in their names only."""
    merged: dict[tuple[str, str, tuple[str, ...], bool], PolicyRule] = {}
    for rule in separate:
        key = (rule.group, rule.resource, rule.verbs, bool(rule.names))
        known = merged.get(key)
        names = (*known.names, *rule.names) if known else rule.names
        merged[key] = rule._replace(names=tuple(dict.fromkeys(names)))
    return list(merged.values())


def kind_rules(packages: Sequence[BackendPackage]) -> list[PolicyRule]:
    """Return the rules for every object of the kinds that these backends work with, which watches keep in memory."""
    return [
        PolicyRule(group, plural(kind), ("get", "list", "watch", *_VERBS[access][1:]))
        for package in packages
        for group, kind, access in package.kinds
    ]


def data_plane_rules(packages: Sequence[BackendPackage]) -> list[PolicyRule]:
    """Return the rules in a data plane's namespace that the evidence `loaded` needs; `create` since Kubernetes 1.35."""
    own = [rule for package in packages if package.data_plane for rule in package.data_plane.rules]
    return [PolicyRule("", "pods", ("list",)), PolicyRule("", "pods/portforward", ("get", "create")), *own]


def manifests(
    rollout: Rollout,
    service_account: str = "",
    data_planes: Sequence[str] = (),
    more: Sequence[PolicyRule] = (),
) -> list[Manifest]:
    """Return a Role for each namespace, and a RoleBinding when there is a ServiceAccount (`NAME` or `NAMESPACE:NAME`).

    `data_planes` are the namespaces whose pods are asked what they have loaded. `more` are further rules in the
    namespace of the Rollout.
    """
    name = f"rollway-{rollout.name}"
    manifests: list[Manifest] = []
    everything = rules(rollout)
    everything[rollout.namespace] += more
    for namespace in data_planes:
        everything[namespace] = [*everything.get(namespace, ()), *data_plane_rules(packages_of(rollout))]
    for namespace, wanted in everything.items():
        metadata = {"name": name, "namespace": namespace}
        role: Manifest = {"apiVersion": API_VERSION, "kind": "Role", "metadata": metadata}
        manifests.append({**role, "rules": [rule.manifest for rule in wanted]})
        if service_account:
            space, _, account = service_account.rpartition(":")
            subject = {"kind": "ServiceAccount", "name": account, "namespace": space or rollout.namespace}
            manifests.append(
                {
                    "apiVersion": API_VERSION,
                    "kind": "RoleBinding",
                    "metadata": dict(metadata),
                    "roleRef": {"apiGroup": _GROUP, "kind": "Role", "name": name},
                    "subjects": [subject],
                }
            )
    return manifests
