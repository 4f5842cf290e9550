"""What a mesh with SMI leaves open, and shares that come out differently."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from rollway.routers.backends.endpoints import ready_targets
from rollway.routers.backends.smi.header_route import MESHES
from rollway.routers.backends.smi.split import backends_of, foreign_matches, root_ref
from rollway.routers.backends.smi.versions import DEFAULT_VERSION, GROUP, SPLIT_CRD, known_versions, split_ref
from rollway.routers.findings import Finding, Severity
from rollway.routers.objects import dig
from rollway.routers.snapshot import Groups
from rollway.routers.weights import percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, LiveObject
    from rollway.routers.traffic import Traffic


def header_route_findings(rollout: Rollout, want: Traffic, live: Live) -> Iterator[Finding]:
    """Report what a header route rests on: a mesh that acts on `matches`, and a root Service with pods."""
    if not want.header_routes:
        return
    message = (
        "a mesh that does not act on `matches` sends everybody to the canary, and nothing shows whether this one does "
        f"({' and '.join(MESHES)} do)"
    )
    remedy = "look whether the mesh does with a Service that no user calls, and allow it then"
    yield Finding("smi-matches-unproven", Severity.REFUSAL, split_ref(rollout), message, remedy)
    root = root_ref(rollout)
    if live.running and root.name != rollout.stable_service and not ready_targets(root, live):
        message = "has no ready endpoint, and it answers the requests that do not match"
        remedy = "wait until its pods are ready (--wait 60s)"
        yield Finding("endpoints-not-ready", Severity.REFUSAL, root, message, remedy, transient=True)


def overlaps(rollout: Rollout, want: Traffic, live: Live) -> Iterator[Finding]:
    """Report other TrafficSplits of the same root Service."""
    ref, root = split_ref(rollout), root_ref(rollout).name
    by_root = live.all_of(GROUP, ref.kind).index("root", lambda: Groups(_root_of))
    for other in by_root.of((ref.namespace, root)):
        if other.ref != ref:
            message = f"splits Service {root} too, and SMI does not define which of two splits counts"
            refusal = Severity.NOTE if want.is_all_stable else Severity.REFUSAL
            yield Finding("smi-overlap", refusal, other.ref, message, "remove one of them")


def notes(rollout: Rollout, want: Traffic, live: Live) -> Iterator[Finding]:
    """Report what a reader of the weights should know: who is split, and by which share."""
    ref, root = split_ref(rollout), root_ref(rollout).name
    manifest = live[ref].manifest
    if foreign_matches(rollout, manifest):
        message = f"has matches: the weight is the share of the requests that match, and all others go to Service {root}"
        yield Finding("smi-matches", Severity.NOTE, ref, message)
    if root != rollout.stable_service and not want.split.canary:
        message = f"without it, clients of {root} get whatever pods it selects, so `reset` keeps it unless --delete-all is given"
        yield Finding("smi-root-service", Severity.NOTE, ref, message)
    pair = {name: weight for name, _, weight in backends_of(ref, manifest)}
    budget = pair[rollout.stable_service] + pair[rollout.canary_service]
    if budget != want.split.total and len(pair) > 2:
        share = (pair[rollout.canary_service] / Fraction(budget)).as_integer_ratio()
        message = f"other backends keep their weights, so the canary has {pair[rollout.canary_service]} of {budget}, {percent(*share)}"
        yield Finding("smi-effective-share", Severity.NOTE, ref, message)
    if not known_versions(ref, SPLIT_CRD, live):
        message = (
            f"is written as {DEFAULT_VERSION}, because the store does not show which versions the mesh serves"
        )
        remedy = "keep a TrafficSplit or its CRD in the store"
        yield Finding("smi-version-guessed", Severity.NOTE, ref, message, remedy)


def _root_of(split: LiveObject) -> tuple[str, str]:
    """Return the namespace and the name of the Service that a TrafficSplit splits."""
    return split.ref.namespace, str(dig(split.manifest, "spec", "service"))
