"""Which Service the users of a Deployment reach, and the one beside it for the new version. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.adoption.reading import WORKLOADS
from rollway.routers.backends.adoption import refusal
from rollway.routers.errors import AmbiguousError, NotFoundError
from rollway.routers.findings import Finding, Severity
from rollway.routers.model import HASH_LABEL, MANAGED_BY, ROLLOUT_GROUP, ROLLOUT_KIND
from rollway.routers.objects import ObjectRef, dig, duplicate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.adoption.reading import Surroundings
    from rollway.routers.objects import LiveObject, Manifest

_PORT = ("name", "port", "targetPort", "protocol", "appProtocol")
_SPEC = (
    "selector",
    "sessionAffinity",
    "sessionAffinityConfig",
    "publishNotReadyAddresses",
    "trafficDistribution",
)
"""The fields of a Service that another one for the same pods needs; those of addresses and load balancers are its own."""


def services_of(around: Surroundings) -> list[LiveObject]:
    """Return the Services that lead to the Deployment's pods, by name."""
    labels = dig(around.deployment.manifest, "spec", "template", "metadata", "labels") or {}
    return sorted(
        (item for item in around.live.of("", "Service") if _selects(item.manifest, labels)),
        key=lambda item: item.ref.name,
    )


def _selects(service: Manifest, labels: dict[str, str]) -> bool:
    selector = dict(dig(service, "spec", "selector") or {})
    selector.pop(HASH_LABEL, None)
    return bool(selector) and selector.items() <= labels.items()


def choose_service(around: Surroundings, name: str, routed: Sequence[ObjectRef]) -> LiveObject | None:
    """Return the Service of the given name, or the one that there is; of several, the only one with routes. None: there is none.

    Raises:
        NotFoundError: none of that name leads to the pods.
        AmbiguousError: several could be meant.
    """
    services = services_of(around)
    listed = ", ".join(item.ref.name for item in services)
    if name:
        for item in services:
            if item.ref.name == name:
                return item
        have = f"those that do: {listed}" if listed else "no Service does"
        raise NotFoundError(f"Service {name} does not lead to the pods of {around.deployment.ref}", hint=have)
    leading = [item for item in services if item.ref in routed]
    if len(services) > 1 and len(leading) != 1:
        why = "and more than one has routes" if leading else "and none of them has routes"
        raise AmbiguousError(
            f"the Services {listed} all lead to the pods of {around.deployment.ref}, {why}",
            hint="name the one that users reach with --service",
        )
    chosen = leading if len(services) > 1 else services
    return chosen[0] if chosen else None


def canary_service(stable: LiveObject, name: str) -> Manifest:
    """Return the Service of the new version: the same pods and ports, without what is the stable one's own."""
    spec = stable.manifest["spec"]
    kept: dict[str, Any] = {key: duplicate(spec[key]) for key in _SPEC if key in spec}
    ports = [{key: port[key] for key in _PORT if key in port} for port in spec.get("ports") or ()]
    headless = {"clusterIP": "None"} if spec.get("clusterIP") == "None" else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": stable.ref.namespace},
        "spec": {**kept, **headless, "ports": ports},
    }


def service_findings(around: Surroundings, stable: LiveObject, canary: Manifest) -> Iterator[Finding]:
    """Report what stands against the Services: other owners, other pods, other Services."""
    owner = dig(stable.manifest, "metadata", "annotations", MANAGED_BY)
    if owner or dig(stable.manifest, "spec", "selector", HASH_LABEL):
        whose = f"belongs to Rollout {owner}" if owner else "selects the pods of a Rollout"
        yield refusal("adopt-service-in-use", stable.ref, whose, "name another Service with --service")
    for other in _others(around):
        labels = dig(other.manifest, "spec", "template", "metadata", "labels") or {}
        if _selects(stable.manifest, labels):
            message = f"also leads to the pods of {other.ref}"
            yield refusal("adopt-shared-service", stable.ref, message, "narrow its selector first")
    present = around.live.manifest(ObjectRef("", "Service", stable.ref.namespace, canary["metadata"]["name"]))
    if present and dig(present, "spec", "selector") != canary["spec"]["selector"]:
        ref = ObjectRef("", "Service", stable.ref.namespace, canary["metadata"]["name"])
        yield refusal("adopt-canary-service", ref, "is there and selects other pods", "give --canary-service")
    for item in services_of(around):
        if item.ref.name not in (stable.ref.name, canary["metadata"]["name"]):
            message = "leads to the same pods and stays as it is: to those of both versions during an update"
            yield Finding("adopt-second-service", Severity.NOTE, item.ref, message)


def _others(around: Surroundings) -> Iterator[LiveObject]:
    """Yield the other workloads of the namespace."""
    for group, kind in (*WORKLOADS, (ROLLOUT_GROUP, ROLLOUT_KIND)):
        for item in around.live.of(group, kind):
            if item.ref != around.deployment.ref:
                yield item
