"""Find the routes of a Rollout, and the rules in them that hold both Services.

Source: Gateway API v1.4, apis/v1 (`HTTPRouteRule`, `BackendRef`). The share of a backendRef is its weight out of the sum
of its rule; an absent weight is 1. A reference is one of ours by group, kind, namespace and name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.backends.destinations import Destinations, positions_of
from rollway.routers.backends.gateway.stanza import GatewayTrafficRouting
from rollway.routers.errors import ManifestError, NotFoundError
from rollway.routers.model import CANARY, STABLE
from rollway.routers.objects import ObjectRef, dig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.backends.gateway.stanza import RouteSelector
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest

GROUP = "gateway.networking.k8s.io"

VERSIONS = {
    "HTTPRoute": ("v1", "v1beta1"),
    "GRPCRoute": ("v1", "v1alpha2"),
    "TLSRoute": ("v1", "v1alpha3", "v1alpha2"),
    "TCPRoute": ("v1", "v1alpha2"),
}
"""The versions of each kind that rollway reads and writes. In all of them rules and backendRefs have the same fields.

TLSRoute is v1 since Gateway API 1.5, TCPRoute since 1.6; from then on the standard channel does not serve v1alpha2.
"""

MAX_WEIGHT = 1_000_000


class Route(NamedTuple):
    """One route object of the Rollout, and whether it may get header and mirror rules."""

    ref: ObjectRef
    use_header_routes: bool


@dataclass(frozen=True)
class Target(Destinations):
    """One rule that holds both Services, and its place in the list."""

    index: int


def stanza_of(rollout: Rollout) -> GatewayTrafficRouting:
    """Return the Rollout's Gateway API stanza."""
    return rollout.stanza(GatewayTrafficRouting)


def find_routes(rollout: Rollout, live: Live) -> list[Route]:
    """Return the routes that the Rollout names, and then those that its selectors find, in order of kind and name.

    Raises:
        NotFoundError: a selector finds none.
        DuplicateObjectError, UnsupportedError: one that a selector finds cannot be worked with.
    """
    stanza = stanza_of(rollout)
    routes = {route_ref(rollout, name.kind, name.name): name.use_header_routes for name in stanza.routes}
    for selector in stanza.selectors:
        for ref in _selected(selector, stanza.namespace, live):
            routes.setdefault(ref, False)
    return [Route(ref, use_header_routes) for ref, use_header_routes in routes.items()]


def route_ref(rollout: Rollout, kind: str, name: str) -> ObjectRef:
    """Name one of the Rollout's routes."""
    return ObjectRef(GROUP, kind, stanza_of(rollout).namespace, name)


def _selected(selector: RouteSelector, namespace: str, live: Live) -> list[ObjectRef]:
    items = [
        item
        for item in live.of(GROUP, selector.kind)
        if item.ref.namespace == namespace
        and not item.is_copy
        and selector.fits(dig(item.manifest, "metadata", "labels") or {})
    ]
    for item in items:
        if item.problem:
            raise item.problem
    if not items:
        raise NotFoundError(
            f"no {selector.kind} in namespace {namespace} has the labels {selector}",
            hint="give the route those labels, or name it in the Rollout",
        )
    return sorted((item.ref for item in items), key=lambda ref: ref.name)


def rules_of(ref: ObjectRef, manifest: Manifest) -> list[Manifest]:
    """Return the rules of a route.

    Raises:
        ManifestError: they are no list of mappings, or the API version is not known.
    """
    version = str(manifest.get("apiVersion")).rpartition("/")[2]
    if version not in VERSIONS[ref.kind]:
        known = ", ".join(VERSIONS[ref.kind])
        raise ManifestError(ref, [f"apiVersion: {version} is not known for {ref.kind}; known: {known}"])
    rules = dig(manifest, "spec", "rules") or []
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ManifestError(ref, ["spec.rules: a list of rules belongs here"])
    return rules


def find_targets(rollout: Rollout, ref: ObjectRef, live: Live) -> list[Target]:
    """Return the user's rules that hold both Services; those of `managedRoutes` are no targets.

    Raises:
        NotFoundError: there is none.
        AmbiguousError: a rule holds a Service more than once.
        ManifestError: the route is not of the shape that the API has.
    """
    rules = rules_of(ref, live[ref].manifest)
    targets = [
        target
        for index, rule in enumerate(rules)
        if not is_ours(rollout, ref, rule, rules) and (target := _target(rollout, ref, index, rule))
    ]
    if not targets:
        raise NotFoundError(
            f"{ref}: no rule holds both stable Service {rollout.stable_service} and canary Service "
            f"{rollout.canary_service}",
            hint="; ".join(
                [*_near_misses(rollout, ref, rules), "add both to one rule (the canary with weight 0)"]
            ),
            ref=ref,
        )
    return targets


def is_ours(rollout: Rollout, ref: ObjectRef, rule: Manifest, rules: Sequence[Manifest]) -> str:
    """Return the name of the header or mirror route whose clone a rule is; empty for a rule of the user's.

    `NAME-1` and so on count only beside a rule `NAME`, and only with the canary alone, or with a mirror.
    """
    name = rule.get("name")
    if name in rollout.managed_routes:
        return str(name)
    route, _, number = str(name).rpartition("-")
    if route not in rollout.managed_routes or not number.isdigit():
        return ""
    beside = any(other.get("name") == route for other in rules)
    roles = [role_of(rollout, ref, entry) for entry in backend_refs(ref, 0, rule)]
    mirrors = dig(rule, "filters", -1, "type") == "RequestMirror"
    return route if beside and (roles == [CANARY] or mirrors) else ""


def backend_refs(ref: ObjectRef, index: int, rule: Manifest) -> list[Manifest]:
    """Return the backendRefs of a rule.

    Raises:
        ManifestError: they are no list of mappings.
    """
    entries = rule.get("backendRefs") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ManifestError(ref, [f"spec.rules[{index}].backendRefs: a list of references belongs here"])
    return entries


def _target(rollout: Rollout, ref: ObjectRef, index: int, rule: Manifest) -> Target | None:
    """Return a rule as a target when it holds both roles, else None."""
    entries = backend_refs(ref, index, rule)
    place = f"spec.rules[{index}].backendRefs"
    positions = positions_of([role_of(rollout, ref, entry) for entry in entries], ref, place)
    if positions is None:
        return None
    name = rule.get("name")
    return Target(
        ref,
        f"rule {name}" if name else f"rules[{index}]",
        *positions,
        tuple(_weight(ref, f"{place}[{position}].weight", entry) for position, entry in enumerate(entries)),
        tuple(_label(ref, entry) for entry in entries),
        index,
    )


def role_of(rollout: Rollout, ref: ObjectRef, entry: Manifest) -> str | None:
    """Return whether a backendRef is stable, canary or somebody else's."""
    group, kind = entry.get("group") or "", entry.get("kind") or "Service"
    namespace = entry.get("namespace") or ref.namespace
    if (group, kind, namespace) != ("", "Service", rollout.namespace):
        return None
    return {rollout.stable_service: STABLE, rollout.canary_service: CANARY}.get(str(entry.get("name")))


def _near_misses(rollout: Rollout, ref: ObjectRef, rules: Sequence[Manifest]) -> Iterator[str]:
    """Yield which references have the name of a Service of the Rollout, and are another object all the same."""
    ours = (rollout.stable_service, rollout.canary_service)
    for index, rule in enumerate(rules):
        for entry in backend_refs(ref, index, rule):
            if entry.get("name") in ours and role_of(rollout, ref, entry) is None:
                ours_in_full = f"Service {rollout.namespace}/{entry['name']}"
                yield f"rules[{index}] names {_label(ref, entry)}, which is not {ours_in_full}"


def _weight(ref: ObjectRef, place: str, entry: Manifest) -> int:
    weight: Any = entry.get("weight")
    if weight is None:
        return 1
    if type(weight) is not int or not 0 <= weight <= MAX_WEIGHT:
        raise ManifestError(
            ref, [f"{place}: {weight!r} is no weight (a whole number from 0 to {MAX_WEIGHT:,})"]
        )
    return weight


def _label(ref: ObjectRef, entry: Manifest) -> str:
    kind, namespace = entry.get("kind") or "Service", entry.get("namespace") or ref.namespace
    name = str(entry.get("name")) if namespace == ref.namespace else f"{namespace}/{entry.get('name')}"
    return name if kind == "Service" else f"{kind} {name}"
