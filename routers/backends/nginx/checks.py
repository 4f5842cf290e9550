"""What ingress-nginx would ignore, reject or break, and what a weight means beside what the user's objects ask for.

The controller reports nothing of a canary that it ignores, so its rules are replayed (see `controller`) over all
Ingresses that the store knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.affinity import client_ip_services, session_affinity, unused_client_ip
from rollway.routers.backends.nginx import controller
from rollway.routers.backends.nginx.ingresses import GROUP, pairs, stable_paths, stanza_of
from rollway.routers.backends.nginx.neighbours import Neighbours
from rollway.routers.backends.nginx.policy import read_canary
from rollway.routers.backends.services import service_refs
from rollway.routers.findings import Finding, Severity
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.backends.nginx.controller import Loaded
    from rollway.routers.backends.nginx.policy import Policy
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef
    from rollway.routers.traffic import Traffic


def check_pair(
    rollout: Rollout, want: Traffic, stable: ObjectRef, canary: ObjectRef, live: Live, refusal: Severity
) -> Iterator[Finding]:
    """Compare what is planned for one canary Ingress with what the controller would load, in each possible order."""
    stanza = stanza_of(rollout)
    manifest = live[canary].manifest
    annotations = controller.annotations_of(canary, manifest)
    _, policy, problems = read_canary(annotations, stanza.annotation_prefix)
    for problem in problems:
        yield Finding(
            "nginx-bad-annotation",
            refusal,
            canary,
            problem,
            "correct the annotations in the Rollout's nginx stanza",
        )
    if read_canary(controller.annotations_of(stable, live[stable].manifest), stanza.annotation_prefix)[0]:
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
    for primary, ours in primaries.items():
        yield from _affinity(rollout, loaded, primary, ours, live)


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


def check_ports(rollout: Rollout, stable: ObjectRef, live: Live, refusal: Severity) -> Iterator[Finding]:
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
    ingress = live[stable].manifest
    if policy.choices:
        message = f"requests with {policy.choices} go by that, not by the weight"
        yield Finding("nginx-header-first", Severity.NOTE, canary, message)
    if any("snippet" in key for key, _ in stanza_of(rollout).annotations):
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


def _affinity(rollout: Rollout, loaded: Loaded, primary: str, ours: str, live: Live) -> Iterator[Finding]:
    """Note what keeps users with a version or a pod, by what the controller loads of both upstreams."""
    stable, canary = loaded.upstreams.get(primary), loaded.upstreams.get(ours)
    if stable is None or canary is None:
        return
    if stable.affinity:
        prefix = stanza_of(rollout).annotation_prefix
        annotations = controller.annotations_of(stable.affinity, live[stable.affinity].manifest)
        name = annotations.get(f"{prefix}/session-cookie-name", "INGRESSCOOKIE")
        age = annotations.get(f"{prefix}/session-cookie-max-age") or annotations.get(
            f"{prefix}/session-cookie-expires"
        )
        lasting = f"for {age} s" if age else "until the browser is closed"
        kept = (
            "who was answered by the canary stays with it, also at weight 0, until its Ingress is deleted (`rollway reset`), "
            "and the weight is the share of users without the cookie"
            if canary.affinity
            else "the weight is the share of the requests of all others, whom a request to the canary gives no cookie"
        )
        yield session_affinity(
            stable.affinity,
            f"uses cookie affinity (cookie {name}, {lasting})",
            f"who was answered by stable stays with it, whatever the weight and the header; {kept}",
        )
    elif stable.hash_by:
        yield session_affinity(
            stable.first,
            f"uses upstream-hash-by {stable.hash_by}",
            "it chooses the pod after the version is chosen, so the weight is the share of all requests, and a user can get "
            "another version with each",
        )
    through = {
        ref for ref, part in zip(service_refs(rollout), (stable, canary), strict=True) if part.through_service
    }
    services = set(client_ip_services(rollout, live))
    yield from unused_client_ip(sorted(services - through, key=str), "ingress-nginx")
    for ref in sorted(services & through, key=str):
        yield session_affinity(
            ref,
            "has sessionAffinity ClientIP, and requests go through the Service (service-upstream)",
            "the only client is the controller, so all that one controller sends to this version goes to one pod; the weight "
            "is the share of all requests, and a user can get another version with each",
        )
