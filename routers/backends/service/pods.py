"""The ready pods of a release, by its hash and by the other labels that a Service selects.

Sources: Kubernetes, "Pod Lifecycle" (condition `Ready`) and "Service" (a `targetPort` with a name is looked up among the
ports of each pod's containers; a pod that is about to end is not ready for its Services).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.endpoints import Ready
from rollway.routers.model import CANARY, HASH_LABEL, STABLE
from rollway.routers.objects import Need, dig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.backends.service.release import Memory
    from rollway.routers.objects import Live, Manifest, ObjectRef
    from rollway.routers.weights import Split


def pod_need(namespace: str) -> Need:
    """Ask for the pods of all releases in a namespace, with their conditions."""
    return Need("", "Pod", namespace=namespace, required=False, selector=HASH_LABEL, runtime=True)


def ready_pods(ref: ObjectRef, service: Manifest, live: Live, pod_hash: str) -> set[str]:
    """Return the names of the ready pods that a Service would lead to if it selected a hash."""
    return {name for name, its_hash in _ready_pods(ref, service, live) if its_hash == pod_hash}


def readiness(ref: ObjectRef, service: Manifest, live: Live, split: Split, memory: Memory) -> Ready:
    """Count the ready pods of both roles behind a Service that was switched already.

    Where stable gets everything, all other releases together count as the canary: only where none of them serves users
    either, nothing is lost by selecting a stable release without ready pods.
    """
    selector = dig(service, "spec", "selector")
    active = selector[HASH_LABEL]
    hashes = [its_hash for _, its_hash in _ready_pods(ref, service, live)]
    selected, others = hashes.count(active), sum(1 for its_hash in hashes if its_hash != active)
    if split.canary:
        counts = {CANARY: selected, STABLE: hashes.count(memory.stable)}
    else:
        counts = {STABLE: selected, CANARY: others}
    labels = ", ".join(f"{key}={value}" for key, value in selector.items())
    reasons = dict.fromkeys(counts, f"no ready pod has the labels {labels} and serves its ports")
    return Ready(counts, reasons, dict.fromkeys(counts, ref))


def _ready_pods(ref: ObjectRef, service: Manifest, live: Live) -> Iterator[tuple[str, str]]:
    """Yield the name and the hash of each ready pod that has all other labels and the ports with a name."""
    selector = dig(service, "spec", "selector")
    labels = {key: value for key, value in selector.items() if key != HASH_LABEL}
    targets = [dig(port, "targetPort") for port in dig(service, "spec", "ports") or ()]
    names = {target for target in targets if isinstance(target, str)}
    for item in live.of("", "Pod"):
        having = dig(item.manifest, "metadata", "labels") or {}
        if (
            item.ref.namespace == ref.namespace
            and HASH_LABEL in having
            and labels.items() <= having.items()
            and names <= _ports(item.manifest)
            and _is_ready(item.manifest)
        ):
            yield item.ref.name, having[HASH_LABEL]


def _ports(pod: Manifest) -> set[str]:
    # A sidecar that starts first stands among the init containers, and may have ports too.
    containers = [*(dig(pod, "spec", "containers") or ()), *(dig(pod, "spec", "initContainers") or ())]
    return {str(dig(port, "name")) for container in containers for port in dig(container, "ports") or ()}


def _is_ready(pod: Manifest) -> bool:
    conditions = dig(pod, "status", "conditions") or ()
    ready = any(dig(entry, "type") == "Ready" and dig(entry, "status") == "True" for entry in conditions)
    return ready and dig(pod, "metadata", "deletionTimestamp") is None
