"""The rules of a route whose weights a data plane should have loaded: what the comparisons with each implementation share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.backends.gateway.routes import backend_refs, role_of, rules_of
from rollway.routers.model import CANARY, STABLE
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest, ObjectRef

REQUESTS = ("HTTPRoute", "GRPCRoute")
"""The kinds that route requests."""
CONNECTIONS = ("TLSRoute", "TCPRoute")
"""The kinds that route connections."""


class Rule(NamedTuple):
    """One rule of ours: its place in the route, its name (empty: none), and the rule itself."""

    position: int
    name: str
    manifest: Manifest

    @property
    def part(self) -> str:
        """Name it in its route."""
        return f"rule {self.name}" if self.name else f"rules[{self.position}]"


def weighted_rules(rollout: Rollout, ref: ObjectRef, manifest: Manifest) -> list[Rule]:
    """Return the rules that hold both Services, and those of `managedRoutes`."""
    rules = []
    for index, rule in enumerate(rules_of(ref, manifest)):
        name = str(rule.get("name") or "")
        roles = {role_of(rollout, ref, entry) for entry in backend_refs(ref, index, rule)}
        if is_managed(rollout, name) or {STABLE, CANARY} <= roles:
            rules.append(Rule(index, name, rule))
    return rules


def is_managed(rollout: Rollout, name: str) -> bool:
    """Return whether a rule is one that rollway adds: `NAME` of `managedRoutes`, or a further one, `NAME-1`."""
    base, _, number = name.rpartition("-")
    return name in rollout.managed_routes or (number.isdecimal() and base in rollout.managed_routes)


def other_kinds(ref: ObjectRef, rules: Sequence[Rule]) -> list[str]:
    """Return the references that lead to no Service: how each implementation names those is its own affair."""
    return [
        f"{entry['kind']} {entry.get('name')}"
        for rule in rules
        for entry in backend_refs(ref, rule.position, rule.manifest)
        if (entry.get("group") or "", entry.get("kind") or "Service") != ("", "Service")
    ]


def weight_of(entry: Manifest) -> int:
    """Return the weight of a reference; an absent one is 1."""
    weight = entry.get("weight")
    return 1 if weight is None else int(weight)


def matches_of(rule: Manifest) -> list[Manifest]:
    """Return the matches of a rule; without any, it has one that every request fulfils."""
    return rule.get("matches") or [{}]


def path_of(match: Manifest) -> str:
    """Return the path of a match; both implementations leave out the slash at the end of a prefix."""
    path = str(dig(match, "path", "value") or "/")
    prefix = (dig(match, "path", "type") or "PathPrefix") == "PathPrefix"
    return path.rstrip("/") or "/" if prefix else path
