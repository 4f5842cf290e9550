"""Ready endpoints: what every backend asks of a destination before it gets weight. Only a running cluster has them.

Sources: Kubernetes, "EndpointSlices" (a slice names its Service in a label; `ready` unset means ready) and "Service"
(a port of a Service is found in a slice by its name, whatever number or name the pods give it); Istio,
`DestinationRule` (a subset takes the endpoints whose pod has all of its labels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rollway.routers.backends.services import service_refs
from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.model import CANARY, STABLE
from rollway.routers.objects import Need, ObjectRef, dig
from rollway.routers.snapshot import Groups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, LiveObject
    from rollway.routers.traffic import Traffic

FINDINGS = (
    FindingCode(
        "endpoints-not-ready",
        "A Service that would get traffic has no ready endpoint for a port that is used.",
        "Its share of the requests is answered with 503.",
        "Wait until its pods are ready (`--wait 60s`), or look why they are not.",
    ),
    FindingCode(
        "subset-not-ready",
        "No ready pod has the labels of a subset that would get traffic.",
        "Its share of the requests is answered with 503.",
        "Wait until its pods are ready (`--wait 60s`), or correct the labels of the subset.",
    ),
    FindingCode(
        "canary-capacity",
        "The canary would get a larger share of the traffic than it has of the ready endpoints.",
        "Each of its pods gets more requests than one of stable gets for all of them.",
        "Scale the canary up first.",
    ),
)

SLICE_GROUP, SLICE = "discovery.k8s.io", "EndpointSlice"
SERVICE_LABEL = "kubernetes.io/service-name"

Port: TypeAlias = int | str
"""A port of a Service, by number or by name."""


class Ready(NamedTuple):
    """The ready endpoints of stable and canary, and why a role has none."""

    counts: Mapping[str, int]
    reasons: Mapping[str, str]
    refs: Mapping[str, ObjectRef]
    code: str = "endpoints-not-ready"


class EndpointPod(NamedTuple):
    """One pod behind a Service."""

    name: str
    labels: Mapping[str, str]
    addresses: frozenset[str]
    ready: bool


def slice_need(namespace: str, services: Sequence[str] = ()) -> Need:
    """Ask for the EndpointSlices of some Services, or of all in a namespace."""
    selector = f"{SERVICE_LABEL} in ({','.join(sorted(set(services)))})" if services else ""
    return Need(SLICE_GROUP, SLICE, namespace=namespace, required=False, selector=selector, runtime=True)


def endpoint_needs(rollout: Rollout) -> Sequence[Need]:
    """Ask for the EndpointSlices of the stable and the canary Service."""
    services = [ref.name for ref in service_refs(rollout)]
    return [slice_need(rollout.namespace, services)] if services else []


def pod_need(namespace: str) -> Need:
    """Ask for the labels of the pods in a namespace."""
    return Need("", "Pod", namespace=namespace, required=False, runtime=True, metadata_only=True)


def check_services(
    rollout: Rollout,
    want: Traffic,
    live: Live,
    ports: Mapping[str, Sequence[Port]],
    *,
    keep_stable: bool = False,
) -> Iterator[Finding]:
    """Report destinations that would get requests without a ready endpoint, by Service and by the ports that are used.

    `ports` are those that a role must serve; none means that any will do. `keep_stable` asks for stable also where it
    gets no weight, because the data plane would answer nothing without it.
    """
    services = service_refs(rollout)
    if not live.running or not services:
        return
    refs = {STABLE: services[0], CANARY: services[-1]}
    counts: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for role, ref in refs.items():
        service = live.manifest(ref)
        if service is None:
            counts[role], reasons[role] = 0, "does not exist"
        elif dig(service, "spec", "type") == "ExternalName":
            return
        else:
            counts[role], reasons[role] = _of_service(ref, service, live, ports.get(role, ()))
    yield from readiness_findings(want, Ready(counts, reasons, refs), keep_stable=keep_stable)


def check_subsets(
    rule: ObjectRef, host: ObjectRef, want: Traffic, live: Live, labels: Mapping[str, Any]
) -> Iterator[Finding]:
    """Report subsets that would get requests although no ready pod of the host has their labels."""
    if not live.running:
        return
    ready_pods = [pod for pod in pods_behind(host, live) if pod.ready]
    counts: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for role, wanted in labels.items():
        having = {pod.name for pod in ready_pods if (wanted or {}).items() <= pod.labels.items()}
        counts[role] = len(having)
        written = ", ".join(f"{key}={value}" for key, value in (wanted or {}).items()) or "no label at all"
        reasons[role] = f"no ready pod of Service {host.name} has the labels of subset {role} ({written})"
    found = Ready(counts, reasons, dict.fromkeys(labels, rule), "subset-not-ready")
    yield from readiness_findings(want, found, keep_stable=False)


def pods_behind(host: ObjectRef, live: Live) -> Iterator[EndpointPod]:
    """Yield the pods behind a Service whose labels are known."""
    labels = {
        (pod.ref.namespace, pod.ref.name): dig(pod.manifest, "metadata", "labels") or {}
        for pod in live.of("", "Pod")
    }
    for endpoint in _endpoints(host, live):
        name = str(dig(endpoint, "targetRef", "name"))
        if (host.namespace, name) in labels:
            found = frozenset(map(str, endpoint.get("addresses") or ()))
            yield EndpointPod(name, labels[host.namespace, name], found, _is_ready(endpoint))


def addresses(ref: ObjectRef, live: Live) -> set[str]:
    """Return the addresses of all endpoints of a Service, ready or not."""
    return {str(address) for endpoint in _endpoints(ref, live) for address in endpoint.get("addresses") or ()}


def ready_targets(ref: ObjectRef, live: Live) -> set[str]:
    """Return the names of the pods behind the ready endpoints of a Service."""
    return {str(dig(entry, "targetRef", "name")) for entry in _endpoints(ref, live) if _is_ready(entry)}


def readiness_findings(want: Traffic, ready: Ready, *, keep_stable: bool) -> Iterator[Finding]:
    """Report the roles that would get requests without anything ready, and a canary that gets more than its part."""
    split = want.split
    gets_requests = {STABLE: bool(split.stable), CANARY: bool(split.canary or want.header_routes)}
    for role, served in gets_requests.items():
        needed = served or (role == STABLE and keep_stable)
        if ready.counts[role] or not needed:
            continue
        # Going back to stable loses nothing when the canary serves nobody either.
        hopeless = role == STABLE and not gets_requests[CANARY] and not ready.counts[CANARY]
        severity = Severity.NOTE if hopeless else Severity.REFUSAL
        why = (
            f"it would get traffic as {role}"
            if served
            else "without a stable one the data plane answers 503 to all, also to what the canary would get"
        )
        message = f"{ready.reasons[role]}, and {why}"
        yield Finding(
            ready.code,
            severity,
            ready.refs[role],
            message,
            "wait until its pods are ready (--wait 60s)",
            transient=True,
        )
    stable, canary = ready.counts[STABLE], ready.counts[CANARY]
    if stable and canary and canary * split.total < split.canary * stable:
        message = f"{split} of the traffic would go to {canary} ready endpoints, and stable has {stable} for all of it"
        yield Finding("canary-capacity", Severity.NOTE, ready.refs[CANARY], message, "scale the canary up")


def _of_service(ref: ObjectRef, service: Any, live: Live, ports: Sequence[Port]) -> tuple[int, str]:
    """Return the number of ready endpoints that serve all of the ports, and the message if there is none."""
    listed = dig(service, "spec", "ports") or []
    names: list[str | None] = []
    for port in ports:
        entry = next((item for item in listed if port in (item.get("name"), item.get("port"))), None)
        # A port that the Service lacks is another finding; here it counts as not served.
        names.append(None if entry is None else str(entry.get("name") or ""))
    slices = list(_slices(ref, live))
    serving: set[str] | None = None
    for name in names or [""]:
        addresses = {
            str(address)
            for endpoint_slice in slices
            if not names or _has_port(endpoint_slice, name)
            for endpoint in dig(endpoint_slice, "endpoints") or ()
            if _is_ready(endpoint)
            for address in endpoint.get("addresses") or ()
        }
        serving = addresses if serving is None else serving & addresses
    if serving:
        return len(serving), ""
    asked = f" for port {', '.join(map(str, ports))}" if ports else ""
    total = sum(1 for endpoint in _endpoints(ref, live))
    return 0, f"has no ready endpoint{asked} ({total} in all)"


def _slices(ref: ObjectRef, live: Live) -> Iterator[Any]:
    by_service = live.all_of(SLICE_GROUP, SLICE).index("service", lambda: Groups(_service_of))
    return (item.manifest for item in by_service.of((ref.namespace, ref.name)))


def _service_of(item: LiveObject) -> tuple[str, str]:
    """Return the namespace and the name of the Service of an EndpointSlice."""
    return item.ref.namespace, str(dig(item.manifest, "metadata", "labels", SERVICE_LABEL))


def _endpoints(ref: ObjectRef, live: Live) -> Iterator[Any]:
    for endpoint_slice in _slices(ref, live):
        yield from dig(endpoint_slice, "endpoints") or ()


def _is_ready(endpoint: Any) -> bool:
    return dig(endpoint, "conditions", "ready") is not False


def _has_port(endpoint_slice: Any, name: str | None) -> bool:
    return any(
        str(port.get("name") or "") == name and port.get("port")
        for port in dig(endpoint_slice, "ports") or ()
    )
