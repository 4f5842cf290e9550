"""Session affinity: objects of the user that keep users with one version or one pod, and what a weight means then.

A backend reports it as one note, `session-affinity`, in `check`; so `plan`, `set-weight` and `status` all show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.services import service_refs
from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, ObjectRef

FINDINGS = (
    FindingCode(
        "session-affinity",
        "An object asks that users stay with one version or one pod. The message describes what the weight then means.",
        "The share of all requests differs from the weight, or users change versions although the object seems to prevent it.",
        "Nothing, if that is what you want; otherwise take the affinity out of the object that is named.",
    ),
)


def session_affinity(ref: ObjectRef, cause: str, meaning: str) -> Finding:
    """Return the note that an object asks for affinity.

    `cause` says how (`uses cookie affinity`), and `meaning` what the weight is the share of, and who does not move.
    """
    return Finding("session-affinity", Severity.NOTE, ref, f"{cause}: {meaning}")


def client_ip_services(rollout: Rollout, live: Live) -> Iterator[ObjectRef]:
    """Yield the Services of the Rollout with `sessionAffinity: ClientIP`.

    Only kube-proxy acts on it (Kubernetes, "Virtual IPs and Service Proxies", Session affinity).
    """
    for ref in service_refs(rollout):
        if dig(live.manifest(ref), "spec", "sessionAffinity") == "ClientIP":
            yield ref


def unused_client_ip(services: Iterable[ObjectRef], data_plane: str) -> Iterator[Finding]:
    """Note that Services have `sessionAffinity: ClientIP`, and that a data plane sends to their endpoints itself."""
    for ref in services:
        yield session_affinity(
            ref,
            "has sessionAffinity ClientIP",
            f"{data_plane} sends to the endpoints itself and does not use it, so the weight is the share of all requests, and "
            "a user can get another version with each",
        )
