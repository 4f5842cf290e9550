"""Report what not every implementation of Gateway API does, and what those that serve a route do not.

Sources: `implementations.py`; GEP-995 (rule names: experimental channel since v1.2, standard since v1.4), GEP-3171 (percentage
of a mirror: experimental since v1.2, standard since v1.3); `HeaderMatchRegularExpression` in apis/v1/httproute_types.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.gateway.implementations import (
    GRPC_HEADERS,
    GRPC_WEIGHT,
    IMPLEMENTATIONS,
    MIRROR,
    MULTIPLE_MIRRORS,
    PERCENTAGE_MIRROR,
)
from rollway.routers.backends.gateway.routes import is_ours, rules_of
from rollway.routers.backends.gateway.status import controllers_of
from rollway.routers.findings import Finding, Severity
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.model import Context
    from rollway.routers.objects import Manifest, ObjectRef


def check_support(context: Context, ref: ObjectRef, manifest: Manifest) -> Iterator[Finding]:
    """Yield what the implementations of one route are known not to do, and what only some do."""
    rules = rules_of(ref, manifest)
    ours = [rule for rule in rules if is_ours(context.rollout, ref, rule, rules)]
    used = _features(context, ref, ours)
    for controller in controllers_of(manifest):
        known = IMPLEMENTATIONS.get(controller)
        if known is None:
            if ours:
                message = f"nothing is known of {controller}: whether it does what header and mirror routes need is not checked"
                yield Finding("gateway-implementation-unknown", Severity.NOTE, ref, message)
            continue
        for feature in sorted(used.keys() & known.lacks):
            message = f"{used[feature]}, and {known.name} ({controller}) has not passed the conformance tests of {feature}"
            remedy = "do without it, or see whether your version can, and allow it"
            yield Finding("gateway-not-supported", Severity.REFUSAL, ref, message, remedy)
    if any(_has_pattern(rule) for rule in ours):
        message = "a header is compared with a RegularExpression, whose syntax each implementation chooses by itself"
        yield Finding("gateway-pattern", Severity.NOTE, ref, message)
    if ours and not context.live.running:
        message = "has rules of ours with names, which a cluster keeps since Gateway API v1.4 (experimental channel: v1.2)"
        yield Finding("gateway-rule-names", Severity.NOTE, ref, message)


def _features(context: Context, ref: ObjectRef, ours: Sequence[Manifest]) -> dict[str, str]:
    """Return the features that are used, each with what uses it."""
    used: dict[str, str] = {}
    is_grpc = ref.kind == "GRPCRoute"
    if is_grpc and 0 < context.want.split.canary < context.want.split.total:
        used[GRPC_WEIGHT] = "weights of a GRPCRoute decide"
    for rule in ours:
        name = rule.get("name")
        if is_grpc and any(dig(match, "headers") for match in rule.get("matches") or ()):
            used[GRPC_HEADERS] = f"rule {name} compares headers of a GRPCRoute"
        mirrors = [entry for entry in rule.get("filters") or () if dig(entry, "type") == "RequestMirror"]
        if mirrors:
            used[MIRROR] = f"rule {name} mirrors requests"
        if any(dig(entry, "requestMirror", "percent") is not None for entry in mirrors):
            used[PERCENTAGE_MIRROR] = f"rule {name} mirrors a percentage of its requests"
        if len(mirrors) > 1:
            used[MULTIPLE_MIRRORS] = f"rule {name} mirrors its requests to more than one place"
    return used


def _has_pattern(rule: Manifest) -> bool:
    return any(
        dig(entry, "type") == "RegularExpression"
        for match in rule.get("matches") or ()
        for entry in dig(match, "headers") or ()
    )
