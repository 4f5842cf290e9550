"""ingress-nginx: one canary Ingress of ours beside each stable Ingress of the user's.

The controller reports nothing of a canary that it ignores, so `check` replays its rules (see `controller`) over
all Ingresses that the store knows. Annotations: https://kubernetes.github.io/ingress-nginx, "Canary".
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from rollway.routers.backends.endpoints import check_services, endpoint_needs
from rollway.routers.backends.nginx import controller
from rollway.routers.backends.nginx.neighbours import Neighbours
from rollway.routers.backends.nginx.stanza import NginxTrafficRouting
from rollway.routers.backends.services import service_needs, service_refs, unknown_services
from rollway.routers.errors import ManifestError, NotFoundError
from rollway.routers.findings import Finding, Severity
from rollway.routers.model import CANARY, STABLE
from rollway.routers.objects import Access, Need, ObjectRef, dig
from rollway.routers.render import render
from rollway.routers.traffic import Capabilities, Reading, Traffic
from rollway.routers.weights import nearest_split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.backends.nginx.controller import IngressPath, Loaded, Policy
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest

GROUP = "networking.k8s.io"
_NAME_LIMIT = 253
_OWN_KEYS = ("canary", "canary-weight", "canary-weight-total")


def canary_name(rollout: str, stable_ingress: str) -> str:
    """Return `<rollout>-<stableIngress>-canary`; a name over 253 characters is cut and gets a hash of the whole."""
    name = f"{rollout}-{stable_ingress}"
    if len(name) > _NAME_LIMIT - len("-canary"):
        digest = hashlib.sha256(f"{rollout}/{stable_ingress}".encode()).hexdigest()[:10]
        name = f"{name[: _NAME_LIMIT - len('-canary') - 11].rstrip('-.')}-{digest}"
    return f"{name}-canary"


class NginxBackend:
    """Carry weights in the canary annotations of ingress-nginx."""

    name: ClassVar[str] = "nginx"
    capabilities: ClassVar[Capabilities] = Capabilities(
        objects="canary Ingress",
        versions=("networking.k8s.io/v1",),
        access=Access.MANAGED,
        smallest_total=100,
    )

    def needs(self, rollout: Rollout) -> Sequence[Need]:
        """Read the stable Ingresses, every other Ingress and both Services; manage the canary Ingresses."""
        stanza = _stanza(rollout)
        needs: list[Need] = []
        for stable, canary in pairs(rollout):
            needs.append(Need(GROUP, "Ingress", stable.name, stable.namespace))
            own = tuple(f"{stanza.annotation_prefix}/{key}" for key in _OWN_KEYS)
            managed = Need(GROUP, "Ingress", canary.name, canary.namespace, Access.MANAGED, required=False)
            needs.append(replace(managed, own_keys=own, derived_from=stable))
        needs.append(Need(GROUP, "Ingress", required=False))
        return [*needs, *service_needs(rollout), *endpoint_needs(rollout)]

    def render(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return one canary Ingress for each stable Ingress, with the paths that lead to the stable Service."""
        return [_render(rollout, want, stable, canary, live) for stable, canary in pairs(rollout)]

    def observe(self, rollout: Rollout, live: Live) -> Sequence[Reading]:
        """Read the weight of each canary Ingress as the controller does; an absent one has none."""
        return [_observe(rollout, canary, live.manifest(canary)) for _, canary in pairs(rollout)]

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Finding]:
        """Report every case in which the controller would ignore a canary, merge it wrongly or refuse it."""
        findings: dict[Finding, None] = {}
        refusal = Severity.REFUSAL if want.split.canary else Severity.NOTE
        for stable, canary in pairs(rollout):
            for finding in [
                *_check_pair(rollout, want, stable, canary, live, refusal),
                *_check_ports(rollout, stable, live, refusal),
                *unknown_services(rollout, live),
            ]:
                findings[finding] = None
        # Without a ready stable endpoint ingress-nginx answers 503 also to what would go to the canary (measured).
        ports = dict.fromkeys((STABLE, CANARY), _ports(rollout, live))
        return [*findings, *check_services(rollout, want.split, live, ports, keep_stable=True)]


def _stanza(rollout: Rollout) -> NginxTrafficRouting:
    return rollout.stanza(NginxTrafficRouting)


def pairs(rollout: Rollout) -> Iterator[tuple[ObjectRef, ObjectRef]]:
    """Yield (stable Ingress, canary Ingress)."""
    for name in _stanza(rollout).stable_ingresses:
        yield (
            ObjectRef(GROUP, "Ingress", rollout.namespace, name),
            ObjectRef(GROUP, "Ingress", rollout.namespace, canary_name(rollout.name, name)),
        )


def _ports(rollout: Rollout, live: Live) -> list[int | str]:
    """Return the ports of the stable Service that its Ingresses use."""
    used = (path.port for stable, _ in pairs(rollout) for path in stable_paths(rollout, stable, live))
    return list(dict.fromkeys(port.get("name") or port.get("number") or "" for port in used))


def policy_of(rollout: Rollout, canary: ObjectRef, live: Live) -> Policy | None:
    """Return what a canary Ingress asks for; None where there is no such canary."""
    manifest = live.manifest(canary)
    if manifest is None:
        return None
    annotations = controller.annotations_of(canary, manifest)
    enabled, policy, _ = controller.read_canary(annotations, _stanza(rollout).annotation_prefix)
    return policy if enabled else None


def stable_paths(rollout: Rollout, stable: ObjectRef, live: Live) -> list[IngressPath]:
    """Return the paths of a stable Ingress that lead to the stable Service."""
    paths: list[IngressPath] | None = live.memo.get(stable)
    if paths is None:
        paths = live.memo[stable] = list(controller.read_paths(stable, live[stable].manifest))
    return [path for path in paths if path.service == rollout.stable_service]


def _render(rollout: Rollout, want: Traffic, stable: ObjectRef, canary: ObjectRef, live: Live) -> Manifest:
    paths = stable_paths(rollout, stable, live)
    if not paths:
        raise NotFoundError(
            f"{stable} has no path that leads to Service {rollout.stable_service}, so there is nothing to split",
            hint="name the Ingress that serves the stable Service in nginx.stableIngress, or add such a path to this one",
        )
    stanza, ingress = _stanza(rollout), live[stable].manifest
    prefix = stanza.annotation_prefix
    annotations = dict(stanza.annotations)
    old_class = controller.annotations_of(stable, ingress).get(controller.CLASS_ANNOTATION)
    if old_class is not None:
        annotations.setdefault(controller.CLASS_ANNOTATION, old_class)
    annotations |= {f"{prefix}/canary": "true", f"{prefix}/canary-weight": str(want.split.canary)}
    annotations.pop(f"{prefix}/canary-weight-total", None)
    if want.split.total != 100:
        annotations[f"{prefix}/canary-weight-total"] = str(want.split.total)
    rules: dict[int, dict[str, Any]] = {}
    for path in paths:
        rule = rules.setdefault(path.rule, {"host": path.host, "paths": []})
        # An omitted path is served as "/", which is clearer written out.
        rule["paths"].append({"path": path.path or "/", "path_type": path.path_type, "port": path.port})
    return render(
        "nginx/ingress.yaml.j2",
        name=canary.name,
        namespace=canary.namespace,
        annotations=annotations,
        ingress_class=ingress["spec"].get("ingressClassName"),
        tls=ingress["spec"].get("tls"),
        rules=list(rules.values()),
        service=rollout.canary_service,
    )


def _observe(rollout: Rollout, canary: ObjectRef, manifest: Manifest | None) -> Reading:
    if manifest is None:
        return Reading(canary)
    prefix = _stanza(rollout).annotation_prefix
    annotations = controller.annotations_of(canary, manifest)
    enabled, policy, problems = controller.read_canary(annotations, prefix)
    if not enabled:
        return Reading(canary)
    garbage = [problem for problem in problems if problem.startswith("canary-weight")]
    if garbage:
        raise ManifestError(canary, [f"metadata.annotations: {problem}" for problem in garbage])
    total = max(policy.total, 100)
    weight = min(max(policy.weight, 0), total)
    split = nearest_split(Fraction(total - weight), Fraction(weight), rollout.total)
    assert split is not None, "the total is at least 100"
    weights = ((rollout.canary_service, str(weight)), (rollout.stable_service, str(total - weight)))
    return Reading(canary, "", weights, Traffic(split[0]), split[1])


def _check_pair(
    rollout: Rollout, want: Traffic, stable: ObjectRef, canary: ObjectRef, live: Live, refusal: Severity
) -> Iterator[Finding]:
    """Compare what is planned for one canary Ingress with what the controller would load, in each possible order."""
    stanza = _stanza(rollout)
    manifest = live[canary].manifest
    annotations = controller.annotations_of(canary, manifest)
    _, policy, problems = controller.read_canary(annotations, stanza.annotation_prefix)
    for problem in problems:
        yield Finding(
            "nginx-bad-annotation",
            refusal,
            canary,
            problem,
            "correct the annotations in the Rollout's nginx stanza",
        )
    if controller.read_canary(
        controller.annotations_of(stable, live[stable].manifest), stanza.annotation_prefix
    )[0]:
        message = "is marked as a canary itself, so the controller serves no path of it"
        yield Finding(
            "nginx-stable-is-canary",
            refusal,
            stable,
            message,
            "name the Ingress that serves the stable version",
        )
        return
    planned = policy._replace(weight=want.split.canary, total=want.split.total)
    for loaded in _loads(stable, live, stanza.annotation_prefix):
        yield from _check_loaded(rollout, loaded, planned, stable, canary, live, refusal)
    yield from _notes(rollout, stable, canary, live, policy)


def _loads(stable: ObjectRef, live: Live, prefix: str) -> Sequence[Loaded]:
    """Return what the controller of the stable Ingress loads, in each order that it may see the Ingresses in.

    While no Ingress changes, neither does this.
    """
    neighbours = live.all_of(GROUP, "Ingress").index(("nginx", prefix), lambda: Neighbours(prefix))
    known: Sequence[Loaded] | None = neighbours.memo.get(stable)
    if known is None:
        known = [controller.load(order, prefix) for order in _orders(stable, neighbours, live)]
        neighbours.memo[stable] = known
    return known


def _orders(
    stable: ObjectRef, neighbours: Neighbours, live: Live
) -> Iterator[list[tuple[ObjectRef, Manifest]]]:
    """Yield the Ingresses of the stable one's class, oldest first; in both orders where no age is known.

    The controller sorts by creation time, then by namespace and name, descending. An Ingress that is yet to be
    created is the newest; files know no age at all.
    """
    name = controller.class_of(stable, live[stable].manifest)
    related = [
        (ref, live[ref].manifest)
        for ref in neighbours.of(stable)
        if name is None or controller.class_of(ref, live[ref].manifest) in (None, name)
    ]
    related.sort(key=lambda item: (item[0].namespace, item[0].name), reverse=True)
    ages = [item[1]["metadata"].get("creationTimestamp") for item in related]
    if any(ages):
        yield sorted(related, key=lambda item: str(item[1]["metadata"].get("creationTimestamp") or "9999"))
    else:
        yield related
        yield related[::-1]


def _check_loaded(
    rollout: Rollout,
    loaded: Loaded,
    planned: Policy,
    stable: ObjectRef,
    canary: ObjectRef,
    live: Live,
    refusal: Severity,
) -> Iterator[Finding]:
    primaries: dict[str, str] = {}
    for path in stable_paths(rollout, stable, live):
        primary = path.upstream(stable.namespace)
        ours = path._replace(service=rollout.canary_service).upstream(canary.namespace)
        primaries[primary] = ours
        address = "".join(path.location[:2])
        server = loaded.locations.get(path.location)
        deleted = primary not in loaded.upstreams
        if server is None or (server[0] == primary and deleted):
            why = loaded.reasons(primary) or "the controller makes no location of it"
            message, remedy = f"{address} is not served: {why}", "use a Service for one purpose only"
            yield Finding("nginx-location-missing", refusal, stable, message, remedy)
            continue
        if server[0] != primary:
            message = (
                f"{address} is served by {server[1]}, so the canary would take part of that traffic or none"
            )
            yield Finding(
                "nginx-path-taken", refusal, canary, message, "let one Ingress serve this host and path"
            )
            continue
        alternatives = loaded.upstreams[primary].alternatives
        if ours not in alternatives or ours not in loaded.upstreams:
            why = loaded.reasons(ours) or "the controller does not merge it"
            message = f"the canary would get nothing on {address}: {why}"
            yield Finding("nginx-canary-ignored", refusal, canary, message, "correct what the reason names")
        elif alternatives[0] != ours:
            first = loaded.upstreams.get(alternatives[0])
            other = first.first if first else f"upstream {alternatives[0]}"
            message = (
                f"{other} is the canary of {address} already, and the controller uses only the first one"
            )
            yield Finding("nginx-second-canary", refusal, canary, message, f"remove {other}")
        elif loaded.upstreams[ours].policy != planned:
            other = loaded.upstreams[ours].first
            message = f"Service {rollout.canary_service} is used by {other} first, and that one decides: the weight would be ignored"
            remedy = "give the canary a Service that no other Ingress uses"
            yield Finding("nginx-canary-service-shared", refusal, canary, message, remedy)
    for location, ref in loaded.refused():
        message = f"makes location {location} a second time, so nginx refuses the configuration of all hosts"
        remedy = "let one Ingress have this path, in one pathType"
        yield Finding("nginx-config-refused", refusal, ref, message, remedy)
    yield from _side_effects(rollout, loaded, primaries, stable, canary, refusal)


def _side_effects(
    rollout: Rollout,
    loaded: Loaded,
    primaries: dict[str, str],
    stable: ObjectRef,
    canary: ObjectRef,
    refusal: Severity,
) -> Iterator[Finding]:
    """Report other Ingresses that lose a location to our canary, or are split with the stable one."""
    for name, victim, location in loaded.skipped:
        if name in primaries.values():
            message = (
                f"{''.join(location[:2])} would answer 404, because its Service is the canary of {canary}"
            )
            remedy = "give the canary a Service that no other Ingress uses"
            yield Finding("nginx-breaks-other", refusal, victim, message, remedy)
    listed = {ref for ref, _ in pairs(rollout)}
    others = sorted(
        f"{''.join(key[:2])} of {ref}"
        for key, (name, ref) in loaded.locations.items()
        if name in primaries and ref not in listed
    )
    if others:
        message = f"the controller splits a Service wherever it is served, so also {', '.join(others)}"
        yield Finding("nginx-wider-effect", Severity.NOTE, stable, message)


def _check_ports(rollout: Rollout, stable: ObjectRef, live: Live, refusal: Severity) -> Iterator[Finding]:
    """Report when the canary Service is known and lacks a port that the stable paths use."""
    ref = service_refs(rollout)[-1]
    service = live.manifest(ref)
    if service is None:
        return
    ports = dig(service, "spec", "ports")
    listed = ports if isinstance(ports, list) else []
    known = [value for port in listed for value in (dig(port, "name"), dig(port, "port"))]
    for path in stable_paths(rollout, stable, live):
        wanted = path.port.get("name") or path.port.get("number")
        if wanted not in known:
            message = f"has no port {wanted}, which {stable} uses for the stable Service: the canary would have no endpoint"
            yield Finding("nginx-service-port", refusal, ref, message, "add the port to the Service")


def _notes(
    rollout: Rollout, stable: ObjectRef, canary: ObjectRef, live: Live, policy: Policy
) -> Iterator[Finding]:
    prefix = _stanza(rollout).annotation_prefix
    ingress = live[stable].manifest
    annotations = controller.annotations_of(stable, ingress)
    if annotations.get(f"{prefix}/affinity") == "cookie":
        message = (
            "uses cookie affinity: users keep the version that they were first sent to, whatever the weight"
        )
        yield Finding("nginx-sticky", Severity.NOTE, stable, message)
    if policy.header or policy.cookie:
        name = f"header {policy.header}" if policy.header else f"cookie {policy.cookie}"
        yield Finding(
            "nginx-header-first", Severity.NOTE, canary, f"requests with {name} go by it, not by the weight"
        )
    if any("snippet" in key for key, _ in _stanza(rollout).annotations):
        message = "has a snippet annotation: a controller that does not allow snippets keeps the previous version of the object"
        yield Finding("nginx-snippet", Severity.NOTE, canary, message)
    if controller.default_backend(stable, ingress):
        yield Finding(
            "nginx-default-backend",
            Severity.NOTE,
            stable,
            "has a default backend, which the canary Ingress does not copy",
        )
    if any(path.path is None for path in stable_paths(rollout, stable, live)):
        yield Finding(
            "nginx-empty-path",
            Severity.NOTE,
            canary,
            'has "/" where the stable Ingress omits the path: only so they match',
        )


BACKEND = NginxBackend()
