"""Services alone: the active Service selects the pods of the stable release or those of the canary, never of both.

Every user moves at once, for new connections; those that are open stay with the pods that they lead to. `sessionAffinity:
ClientIP` holds nobody back, because the pods of the other release leave the Service (Kubernetes, "Virtual IPs and
Service Proxies").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rollway.routers.backends.affinity import session_affinity
from rollway.routers.backends.endpoints import readiness_findings, slice_need
from rollway.routers.backends.service.pods import pod_need, readiness
from rollway.routers.backends.service.release import (
    CANARY_ANNOTATION,
    STABLE_ANNOTATION,
    Memory,
    active_ref,
    preview_ref,
    read_memory,
    read_release,
)
from rollway.routers.errors import AmbiguousError, RefusedError, UnknownRolesError
from rollway.routers.findings import Finding, Severity
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import Access, Need, dig, duplicate
from rollway.routers.traffic import Capabilities, Outcome, Reading, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.backends.service.release import Release
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef

_SELECTED = f"/spec/selector/{HASH_LABEL}"
_REMEMBERED = tuple(
    f"/metadata/annotations/{key.replace('/', '~1')}" for key in (STABLE_ANNOTATION, CANARY_ANNOTATION)
)
_NAME_STABLE = "name the one that is stable now: --stable HASH"


class ServiceBackend:
    """Carry all traffic to one release by the selector of a Service."""

    name: ClassVar[str] = "service"
    capabilities: ClassVar[Capabilities] = Capabilities(
        objects="Service", versions=("v1",), access=Access.SHARED, partial_weights=False
    )

    def needs(self, rollout: Rollout) -> Sequence[Need]:
        """Share the active Service, and the one for previews where the caller names what it is to show; read the pods."""
        active, preview = active_ref(rollout), preview_ref(rollout)
        needs = [_service(active, Access.SHARED, (_SELECTED, *_REMEMBERED))]
        if preview:
            named = rollout.hashes is not None and rollout.hashes.canary
            needs.append(_service(preview, Access.SHARED if named else Access.READ, (_SELECTED,)))
        return [*needs, pod_need(rollout.namespace), slice_need(rollout.namespace, [active.name])]

    def render(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return the active Service with the hash of the role that gets everything, and what it has to remember."""
        release = read_release(rollout, live)
        ref, preview = active_ref(rollout), preview_ref(rollout)
        if not release.stable:
            error = AmbiguousError if release.active else UnknownRolesError
            raise error(
                f"{ref}: which release is stable is not known: {release.doubt}", hint=_NAME_STABLE, ref=ref
            )
        if want.split.canary:
            _refuse_no_canary(rollout, release)
            rendered = [_switched(live[ref].manifest, release.canary, Memory(release.stable, release.canary))]
        else:
            rendered = [_switched(live[ref].manifest, release.stable, Memory())]
        if preview and rollout.hashes is not None and rollout.hashes.canary:
            rendered.append(_selecting(live[preview].manifest, release.canary))
        return rendered

    def observe(self, rollout: Rollout, live: Live) -> Sequence[Reading]:
        """Read which release the active Service selects."""
        ref, release = active_ref(rollout), read_release(rollout, live)
        active, stable, canary, doubt = release
        total = str(rollout.total)
        if not active:
            reason = doubt or f"its selector has no {HASH_LABEL}, so it selects the pods of every release"
            return [Reading(ref, "", (("every release", total),), outcome=Outcome.UNKNOWN, reason=reason)]
        if doubt:
            return [Reading(ref, "", ((active, total),), outcome=Outcome.UNKNOWN, reason=doubt)]
        other = (canary if canary != stable else "") if active == stable else stable
        weights = ((active, total), *(((other, "0"),) if other else ()))
        split = Split(0 if active == stable else rollout.total, rollout.total)
        return [Reading(ref, "", weights, Traffic(split))]

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Finding]:
        """Report a release without ready pods or with fewer than the other one, and clients that DNS holds back."""
        ref = active_ref(rollout)
        service = live[ref].manifest
        findings: list[Finding] = []
        if dig(service, "spec", "clusterIP") == "None":
            message = (
                "is headless, so clients stay with the pods of the other release until they ask DNS again"
            )
            findings.append(Finding("service-headless", Severity.NOTE, ref, message))
        if dig(service, "spec", "sessionAffinity") == "ClientIP":
            meaning = "a client stays with one pod of the release that is selected, and moves to the other release with all"
            findings.append(session_affinity(ref, "has sessionAffinity ClientIP", meaning))
        if live.running:
            ready = readiness(ref, service, live, want.split, read_memory(ref, service))
            findings += readiness_findings(want, ready, keep_stable=False)
        return findings


def _service(ref: ObjectRef, access: Access, fields: tuple[str, ...]) -> Need:
    return Need(
        "", "Service", ref.name, ref.namespace, access, fields=fields if access is Access.SHARED else ()
    )


def _refuse_no_canary(rollout: Rollout, release: Release) -> None:
    """Raise where there is no other release to switch to, or where a newer one would make the memory wrong."""
    ref, preview = active_ref(rollout), preview_ref(rollout)
    active, stable, canary, _ = release
    source = f"{preview} selects" if preview else "the status of the Rollout names"
    if rollout.hashes and rollout.hashes.canary:
        source = "--canary names"
    if not canary:
        raise UnknownRolesError(
            f"{ref}: which release is the canary is not known: {source} none",
            hint="name it: --canary HASH",
            ref=ref,
        )
    if canary == stable:
        raise RefusedError(
            f"{ref}: there is no other release to switch to: {source} {canary}, which is the stable one",
            hint="wait until the new release is there, or name its hash: --canary HASH",
            ref=ref,
        )
    named = rollout.hashes and rollout.hashes.stable
    if active not in ("", stable, canary) and not named:
        raise AmbiguousError(
            f"{ref}: {source} {canary}, a newer release than {active}, to which all traffic went from {stable}",
            hint=f"name the one to go back to: --stable {active} or --stable {stable}",
            ref=ref,
        )


def _selecting(service: Manifest, pod_hash: str) -> Manifest:
    changed: Manifest = duplicate(service)
    changed["spec"]["selector"][HASH_LABEL] = pod_hash
    return changed


def _switched(service: Manifest, pod_hash: str, memory: Memory) -> Manifest:
    """Return a Service that selects a hash and remembers two, or none."""
    changed = _selecting(service, pod_hash)
    present = dig(changed, "metadata", "annotations") or {}
    annotations = {
        key: text for key, text in present.items() if key not in (STABLE_ANNOTATION, CANARY_ANNOTATION)
    }
    if memory.stable:
        annotations |= {STABLE_ANNOTATION: memory.stable, CANARY_ANNOTATION: memory.canary}
    if annotations:
        changed["metadata"]["annotations"] = annotations
    elif present:
        del changed["metadata"]["annotations"]
    return changed


BACKEND = ServiceBackend()
