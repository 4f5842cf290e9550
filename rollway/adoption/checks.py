"""What stands against a move of a Deployment, and what its user should know. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.adoption.reading import AUTOSCALER, CANARY
from rollway.releases.phase import replicas_of
from rollway.routers.backends.adoption import refusal
from rollway.routers.errors import RefusedError
from rollway.routers.findings import Finding, Severity
from rollway.routers.model import ROLLOUT_GROUP, ROLLOUT_KIND
from rollway.routers.objects import dig
from rollway.routers.writers import Influence, writers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.adoption.reading import Surroundings
    from rollway.routers.objects import LiveObject

_HELM = "meta.helm.sh/release-name"


def refuse_existing(around: Surroundings) -> None:
    """Raise RefusedError where a Rollout of the name is there, or one refers to the Deployment."""
    ref = around.deployment.ref
    for item in around.live.of(ROLLOUT_GROUP, ROLLOUT_KIND):
        named = dig(item.manifest, "spec", "workloadRef", "name")
        if ref.name in (item.ref.name, named):
            why = f"takes its pods from {ref}" if named == ref.name else "has the name of the Deployment"
            raise RefusedError(
                f"{item.ref} is there already, and {why}",
                hint=f"`rollway get {item.ref.name}` shows how far it is",
                ref=item.ref,
            )


def deployment_findings(around: Surroundings, managers: Sequence[str]) -> Iterator[Finding]:
    """Report what stands against the Deployment itself; `managers` have written fields of it."""
    ref, manifest = around.deployment.ref, around.deployment.manifest
    if dig(manifest, "spec", "paused"):
        yield refusal("adopt-paused", ref, "is paused", "resume it, and let it finish")
    if dig(manifest, "spec", "strategy", "type") == "Recreate":
        message = "has the strategy Recreate, and a Rollout runs beside it for a while"
        yield refusal("adopt-recreate", ref, message, "use RollingUpdate where that is possible")
    if around.live.running and not _is_complete(around.deployment):
        message = "is in the middle of an update, or has pods that are not available"
        yield refusal("adopt-rolling-out", ref, message, f"kubectl rollout status deployment/{ref.name}")
    for owner in manifest["metadata"].get("ownerReferences") or ():
        message = f"belongs to {owner.get('kind')} {owner.get('name')}"
        yield refusal("adopt-owned", ref, message, "change that one, or leave it the Deployment")
    yield from _tools(around, managers)


def _is_complete(deployment: LiveObject) -> bool:
    """Return whether all pods are of the newest template, and available."""
    status, wanted = deployment.manifest.get("status") or {}, replicas_of(deployment.manifest)
    observed = status.get("observedGeneration", 0) >= (
        dig(deployment.manifest, "metadata", "generation") or 0
    )
    counts = [status.get(key) or 0 for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return observed and counts == [wanted] * 3


def _tools(around: Surroundings, managers: Sequence[str]) -> Iterator[Finding]:
    ref, manifest = around.deployment.ref, around.deployment.manifest
    remedy = "commit what is printed, and take `replicas` out of the Deployment there"
    names = [writer.name for writer in writers_of(manifest, managers) if writer.influence is Influence.SYNC]
    release = dig(manifest, "metadata", "annotations", _HELM)
    if release:
        names.append(f"Helm (release {release})")
    if names:
        yield refusal("adopt-synced", ref, f"is written by {' and '.join(names)}", remedy)
    for item in around.live.of(*CANARY):
        target = dig(item.manifest, "spec", "targetRef")
        if (dig(target, "kind"), dig(target, "name")) == (ref.kind, ref.name):
            message = f"is released by {item.ref} of Flagger"
            yield refusal("adopt-flagger", ref, message, "delete that Canary first")


def autoscalers_of(around: Surroundings) -> list[LiveObject]:
    """Return the autoscalers of the Deployment, by name."""
    ref = around.deployment.ref
    return sorted(
        (
            item
            for item in around.live.of(*AUTOSCALER)
            if (dig(item.manifest, "spec", "scaleTargetRef", "kind"), _target(item)) == (ref.kind, ref.name)
        ),
        key=lambda item: item.ref.name,
    )


def _target(autoscaler: LiveObject) -> str:
    return str(dig(autoscaler.manifest, "spec", "scaleTargetRef", "name"))


def autoscaler_findings(around: Surroundings) -> Iterator[Finding]:
    """Report autoscalers that move, and those that their owner would move back."""
    for item in autoscalers_of(around):
        owner = next(iter(item.manifest["metadata"].get("ownerReferences") or ()), None)
        if owner:
            message = f"is made by {owner.get('kind')} {owner.get('name')}"
            yield refusal("adopt-autoscaler-owned", item.ref, message, "let that one name the Rollout")
        else:
            message = "scales the Deployment, and is pointed at the Rollout"
            yield Finding("adopt-autoscaler", Severity.NOTE, item.ref, message)
