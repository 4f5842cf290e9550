"""Read what stands around a Deployment: what selects its pods, routes to them, scales them, and owns them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from rollway.releases.phase import time_of
from rollway.routers.backends import packages
from rollway.routers.backends.adoption import refusal
from rollway.routers.errors import AmbiguousError, NotFoundError, RollwayError
from rollway.routers.model import ROLLOUT_GROUP, ROLLOUT_KIND
from rollway.routers.objects import Need, ObjectRef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rollway.routers.findings import Finding
    from rollway.routers.objects import Kind, Live, LiveObject, Manifest
    from rollway.routers.stores import Store

DEPLOYMENT: Kind = ("apps", "Deployment")
AUTOSCALER: Kind = ("autoscaling", "HorizontalPodAutoscaler")
CANARY: Kind = ("flagger.app", "Canary")
WORKLOADS: tuple[Kind, ...] = (DEPLOYMENT, ("apps", "StatefulSet"), ("apps", "DaemonSet"))
_AROUND: tuple[Kind, ...] = (
    ("", "Service"),
    *WORKLOADS[1:],
    AUTOSCALER,
    CANARY,
    (ROLLOUT_GROUP, ROLLOUT_KIND),
)


class Surroundings(NamedTuple):
    """A Deployment, and the objects of its namespace that may have to do with it."""

    deployment: LiveObject
    live: Live


def read_surroundings(store: Store, name: str, namespace: str, note: Callable[[str], None]) -> Surroundings:
    """Read a Deployment and what stands around it; `note` is called with the reason where a kind may not be read.

    Raises:
        NotFoundError: there is no such Deployment.
        AmbiguousError: several namespaces have one.
    """
    deployment = _find(store, name, namespace)
    home = deployment.ref.namespace
    live = store.read([Need(*DEPLOYMENT, namespace=home, required=False)])
    for kind in (*_AROUND, *_routes()):
        try:
            part = store.read([Need(*kind, namespace=home, required=False)])
        except RollwayError as error:
            if error.retryable:
                raise
            note(f"no {kind[1]} was looked at: {error.message}")
            continue
        live = live.after(part.values())
    return Surroundings(deployment, live)


def controller_findings(
    store: Store, instance_id: str, namespaces: Sequence[str], note: Callable[[str], None]
) -> list[Finding]:
    """Return the refusal where no controller with the instance id holds a Lease in one of some namespaces."""
    name = f"rollway-controller-{instance_id}"
    needs = [Need("coordination.k8s.io", "Lease", namespace=space, required=False) for space in namespaces]
    try:
        leases = [item for need in needs for item in store.read([need]).values()]
    except RollwayError as error:
        if error.retryable:
            raise
        note(f"whether a controller runs was not looked at: {error.message}")
        return []
    now = datetime.now(UTC)
    held = any(
        (item.ref.name == name or item.ref.name.startswith(f"{name}-")) and _is_held(item.manifest, now)
        for item in leases
    )
    ref = ObjectRef("coordination.k8s.io", "Lease", namespaces[0], name)
    remedy = "`rollway install --print | kubectl apply -f -`; --controller-namespace names where it runs"
    text = "is held by nobody, so no controller would act"
    return [] if held else [refusal("adopt-no-controller", ref, text, remedy)]


def _is_held(lease: Manifest, now: datetime) -> bool:
    """Return whether somebody holds a Lease; twice its duration forgives clocks that differ."""
    spec = lease.get("spec") or {}
    renewed = time_of(spec.get("renewTime"))
    lasts = timedelta(seconds=2 * int(spec.get("leaseDurationSeconds") or 0))
    return bool(spec.get("holderIdentity") and renewed and now < renewed + lasts)


def _routes() -> Iterator[Kind]:
    for package in packages():
        if package.adoption:
            yield from package.adoption.kinds


def _find(store: Store, name: str, namespace: str) -> LiveObject:
    need = Need(*DEPLOYMENT, name, namespace, required=False)
    items = [item for ref, item in store.read([need]).items() if need.matches(ref)]
    if not items:
        store.read([need._replace(required=True)])
        raise NotFoundError(f"Deployment {name} is not in the store")
    if len(items) > 1:
        spaces = ", ".join(sorted(item.ref.namespace for item in items))
        raise AmbiguousError(f"Deployment {name} is in the namespaces {spaces}", hint="name it with -n")
    return items[0]
