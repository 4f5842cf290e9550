"""What an implementation of Gateway API would ignore, reject or break, and what a reader should know.

Sources: Gateway API v1.4, apis/v1 (the limits are `MaxItems` and CEL rules of HTTPRoute and GRPCRoute), and GEP-1619
(session persistence). A reference that is not valid gets its share of the requests, and each is answered with 500.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.affinity import client_ip_services, session_affinity, unused_client_ip
from rollway.routers.backends.destinations import check_share
from rollway.routers.backends.endpoints import check_services
from rollway.routers.backends.gateway.routes import (
    GROUP,
    backend_refs,
    find_routes,
    find_targets,
    rules_of,
    stanza_of,
)
from rollway.routers.backends.gateway.status import ACCEPTED, PARTIAL, RESOLVED, parents_of
from rollway.routers.backends.gateway.support import check_support
from rollway.routers.backends.services import unknown_services
from rollway.routers.findings import Finding, Severity
from rollway.routers.model import CANARY, STABLE
from rollway.routers.objects import ObjectRef, dig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.backends.endpoints import Port
    from rollway.routers.backends.gateway.routes import Target
    from rollway.routers.backends.gateway.status import ParentReport
    from rollway.routers.model import Context
    from rollway.routers.objects import Live, Manifest

MAX_RULES = 16
MAX_MATCHES_OF_A_RULE = 64
MAX_MATCHES = 128
MAX_BACKEND_REFS = 16

GRANT = "ReferenceGrant"


def findings(context: Context) -> Iterator[Finding]:
    """Yield what there is to report of a Rollout, its Services and each of its routes."""
    rollout, want, live = context
    for key in stanza_of(rollout).unused:
        message = f"{key} of the Gateway API stanza is read, and rollway does not act on it"
        yield Finding("gateway-field-not-used", Severity.NOTE, rollout.ref, message)
    yield from unknown_services(rollout, live)
    yield from unused_client_ip(client_ip_services(rollout, live), "a Gateway")
    yield from check_services(rollout, want, live, _ports(context))
    for ref, _ in find_routes(rollout, live):
        manifest = live[ref].manifest
        yield from _check_limits(ref, rules_of(ref, manifest))
        yield from _check_status(context, ref, manifest)
        yield from _check_grant(context, ref)
        yield from check_support(context, ref, manifest)
        for target in find_targets(rollout, ref, live):
            yield from check_share("gateway", want.split, target)
            yield from _check_ports(context, target)
            yield from _check_affinity(target, rules_of(ref, manifest)[target.index])


def _severity(context: Context) -> Severity:
    """Return how grave it is when the canary would not get its share: nothing stops the way back to stable."""
    return Severity.REFUSAL if context.want.split.canary else Severity.NOTE


def _entry(live: Live, target: Target, position: int) -> Manifest:
    rule = rules_of(target.ref, live[target.ref].manifest)[target.index]
    return backend_refs(target.ref, target.index, rule)[position]


def _ports(context: Context) -> dict[str, Sequence[Port]]:
    """Return the ports of each Service that requests are sent to."""
    rollout, _, live = context
    ports: dict[str, dict[Port, None]] = {STABLE: {}, CANARY: {}}
    for ref, _ in find_routes(rollout, live):
        for target in find_targets(rollout, ref, live):
            for role, used in ports.items():
                port = _entry(live, target, getattr(target, role)).get("port")
                if port:
                    used[port] = None
    return {role: tuple(used) for role, used in ports.items()}


def _check_ports(context: Context, target: Target) -> Iterator[Finding]:
    """Report references to a port that the Service does not have, and two that differ."""
    rollout, want, live = context
    names = {STABLE: rollout.stable_service, CANARY: rollout.canary_service}
    weights = {STABLE: want.split.stable, CANARY: want.split.canary}
    used = {role: _entry(live, target, getattr(target, role)).get("port") for role in names}
    for role, port in used.items():
        service = ObjectRef("", "Service", rollout.namespace, names[role])
        listed = [dig(entry, "port") for entry in dig(live.manifest(service) or {}, "spec", "ports") or ()]
        severity = _severity(context) if weights[role] else Severity.NOTE
        if port is None:
            message = f"{target.part}: the reference to {service} has no port, so it is not valid"
            yield Finding("gateway-port", severity, target.ref, message, "add the port of the Service")
        elif service in live and port not in listed:
            have = ", ".join(map(str, listed)) or "none"
            message = f"{target.part}: {service} has no port {port}; its ports: {have}"
            yield Finding("gateway-port", severity, target.ref, message, "correct the port of the reference")
    if None not in used.values() and used[STABLE] != used[CANARY]:
        message = f"{target.part}: requests go to port {used[STABLE]} of stable, and to port {used[CANARY]} of canary"
        yield Finding("gateway-ports-differ", Severity.NOTE, target.ref, message)


def _check_affinity(target: Target, rule: Manifest) -> Iterator[Finding]:
    persistence = rule.get("sessionPersistence")
    if persistence:
        kind = dig(persistence, "type") or "Cookie"
        meaning = (
            "users stay with the version that they got first, so the weight is the share of new sessions"
        )
        yield session_affinity(target.ref, f"{target.part} has sessionPersistence ({kind})", meaning)


def _check_limits(ref: ObjectRef, rules: Sequence[Manifest]) -> Iterator[Finding]:
    """Refuse what the API server, or a validating policy in it, does not take."""
    matches = [len(rule.get("matches") or [{}]) for rule in rules]
    refs = [len(backend_refs(ref, index, rule)) for index, rule in enumerate(rules)]
    for what, count, limit in (
        ("rules", len(rules), MAX_RULES),
        ("matches in one rule", max(matches, default=0), MAX_MATCHES_OF_A_RULE),
        ("matches in all rules", sum(matches), MAX_MATCHES),
        ("backendRefs in one rule", max(refs, default=0), MAX_BACKEND_REFS),
    ):
        if count > limit:
            message = f"would have {count} {what}, and Gateway API allows {limit}"
            remedy = "divide the route into two, and name both in the Rollout"
            yield Finding("gateway-limit", Severity.REFUSAL, ref, message, remedy)


def _check_status(context: Context, ref: ObjectRef, manifest: Manifest) -> Iterator[Finding]:
    """Report what controllers have found wrong with the route as it is now; an older status counts for nothing."""
    reports = [report for parent in parents_of(manifest) for report in parent.reports]
    for report in reports:
        who = f"{report.controller} at {report.parent}"
        accepted = report.conditions.get(ACCEPTED)
        if accepted and accepted.current and accepted.status == "False":
            alone = not any(_accepts(other) for other in reports)
            message = f"{who} has not accepted it ({accepted}), so it sends no request by it"
            severity = _severity(context) if alone else Severity.NOTE
            yield Finding(
                "gateway-not-accepted", severity, ref, message, "mend the route or its Gateway first"
            )
            continue
        for kind, bad in ((RESOLVED, "False"), (PARTIAL, "True")):
            condition = report.conditions.get(kind)
            if condition and condition.current and condition.status == bad:
                message = f"{who} reports {kind} {bad} ({condition})"
                yield Finding("gateway-partly-invalid", Severity.NOTE, ref, message)


def _accepts(report: ParentReport) -> bool:
    accepted = report.conditions.get(ACCEPTED)
    return accepted is not None and accepted.status == "True"


def _check_grant(context: Context, ref: ObjectRef) -> Iterator[Finding]:
    """Report Services in another namespace that no ReferenceGrant lets the route refer to."""
    rollout, want, live = context
    if ref.namespace == rollout.namespace:
        return
    grants = [item.manifest for item in live.of(GROUP, GRANT) if item.ref.namespace == rollout.namespace]
    weights = {rollout.stable_service: want.split.stable, rollout.canary_service: want.split.canary}
    for service, weight in weights.items():
        if any(_grants(grant, ref, service) for grant in grants):
            continue
        message = f"no ReferenceGrant in namespace {rollout.namespace} lets it refer to Service {rollout.namespace}/{service}"
        # Files may leave out what stands in the cluster.
        severity = _severity(context) if weight and live.running else Severity.NOTE
        remedy = f"add a ReferenceGrant from {ref.kind} in namespace {ref.namespace} to that Service"
        yield Finding("gateway-reference-grant", severity, ref, message, remedy)


def _grants(grant: Manifest, ref: ObjectRef, service: str) -> bool:
    sources = [
        (dig(entry, "group"), dig(entry, "kind"), dig(entry, "namespace"))
        for entry in dig(grant, "spec", "from") or ()
    ]
    targets = [
        (dig(entry, "group") or "", dig(entry, "kind"), dig(entry, "name") or service)
        for entry in dig(grant, "spec", "to") or ()
    ]
    return (GROUP, ref.kind, ref.namespace) in sources and ("", "Service", service) in targets
