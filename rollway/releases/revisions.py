"""The ReplicaSets of a Rollout as its revisions: which is stable, which is the canary, and what can be gone back to. Pure.

Source: Argo Rollouts v1.10, `pkg/kubectl-argo-rollouts/info` and `utils/replicaset/replicaset.go`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.errors import InvalidInputError, NotFoundError
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import dig, duplicate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollway.routers.objects import Manifest

REVISION = "rollout.argoproj.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"
_EARLIER = "rollout.argoproj.io/revision-history"
_EPHEMERAL = "rollout.argoproj.io/ephemeral-metadata"


class Revision(NamedTuple):
    """One release of a Rollout: its number, its ReplicaSet, and the roles that it plays now."""

    number: int
    replica_set: Manifest
    roles: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the ReplicaSet."""
        return str(self.replica_set["metadata"]["name"])

    @property
    def earlier(self) -> tuple[int, ...]:
        """The numbers that the same release had before it was gone back to."""
        words = str(annotation(self.replica_set, _EARLIER) or "").split(",")
        return tuple(int(word) for word in words if word.strip().isdecimal())


def annotation(manifest: Manifest, key: str) -> str:
    """Return an annotation; empty where there is none."""
    return str(dig(manifest, "metadata", "annotations", key) or "")


def hash_of(manifest: Manifest) -> str:
    """Return the pod-template hash that an object carries."""
    return str(dig(manifest, "metadata", "labels", HASH_LABEL) or "")


def number_of(manifest: Manifest) -> int:
    """Return the revision that an object is of; 0 where it names none."""
    text = annotation(manifest, REVISION)
    return int(text) if text.isdecimal() else 0


def owned_by(owner: Manifest, manifests: Iterable[Manifest]) -> list[Manifest]:
    """Return the objects that name an owner in their ownerReferences."""
    uid = dig(owner, "metadata", "uid")
    return [
        item
        for item in manifests
        if uid and any(entry.get("uid") == uid for entry in dig(item, "metadata", "ownerReferences") or ())
    ]


def revisions_of(rollout: Manifest, replica_sets: Iterable[Manifest]) -> list[Revision]:
    """Return the revisions of a Rollout, the latest first."""
    revisions = [
        Revision(number_of(item), item, roles_of(rollout, hash_of(item)))
        for item in owned_by(rollout, replica_sets)
    ]
    return sorted(revisions, key=lambda revision: (-revision.number, revision.name))


def roles_of(rollout: Manifest, pod_hash: str) -> tuple[str, ...]:
    """Return what the pods of a release are now: stable, canary, ping, pong; stable, active, preview with blue-green."""
    status = rollout.get("status") or {}
    if not pod_hash:
        return ()
    is_stable = status.get("stableRS") == pod_hash
    stable = ("stable",) if is_stable else ()
    if dig(rollout, "spec", "strategy", "blueGreen") is not None:
        if dig(status, "blueGreen", "activeSelector") == pod_hash:
            return (*stable, "active")
        return (*stable, "preview") if dig(status, "blueGreen", "previewSelector") == pod_hash else stable
    canary = () if is_stable or status.get("currentPodHash") != pod_hash else ("canary",)
    roles = stable or canary
    if roles and dig(rollout, "spec", "strategy", "canary", "pingPong"):
        stable_is_ping = dig(status, "canary", "stablePingPong") == "ping"
        return (*roles, "ping" if stable_is_ping == is_stable else "pong")
    return roles


def revision_to_undo(rollout: Manifest, revisions: Sequence[Revision], number: int = 0) -> Revision:
    """Return the revision with that number; 0 stands for the one before the latest.

    Raises:
        NotFoundError: there is none; lists those that there are.
        InvalidInputError: the number is negative.
    """
    name = f"Rollout {rollout['metadata'].get('namespace', '')}/{rollout['metadata']['name']}"
    if number < 0:
        raise InvalidInputError(f"revision {number} is no revision: give the number of one, or 0")
    if number == 0:
        if len(revisions) < 2:
            raise NotFoundError(f"{name} has no earlier revision to go back to", hint=_listed(revisions))
        return revisions[1]
    for revision in revisions:
        if revision.number == number:
            return revision
    renamed = next((each for each in revisions if number in each.earlier), None)
    now = f"the release of revision {number} is revision {renamed.number} now; " if renamed else ""
    raise NotFoundError(f"{name} has no revision {number}", hint=f"{now}{_listed(revisions)}")


def _listed(revisions: Sequence[Revision]) -> str:
    if not revisions:
        return "no ReplicaSet belongs to it"
    return f"there is: {', '.join(str(each.number) for each in revisions)}"


def template_of(replica_set: Manifest) -> dict[str, Any]:
    """Return the pod template from which a ReplicaSet was made, without what its controller added.

    That is the hash, the ephemeral metadata, and the anti-affinity to the other release. Argo's `undo` takes only the
    hash away, and its controller then starts a new ReplicaSet instead of using the old one.
    """
    template: dict[str, Any] = duplicate(dig(replica_set, "spec", "template") or {})
    metadata = template.get("metadata") or {}
    metadata.pop("creationTimestamp", None)
    _remove(metadata, "labels", [HASH_LABEL])
    for kind, added in _ephemeral(replica_set).items():
        present = metadata.get(kind) or {}
        _remove(metadata, kind, [key for key, value in added.items() if present.get(key) == value])
    _remove_anti_affinity(template.get("spec") or {})
    return template


def _remove(holder: dict[str, Any], key: str, names: Iterable[str]) -> None:
    """Remove names from a mapping, and the mapping with its last one."""
    mapping = holder.get(key)
    if not isinstance(mapping, dict):
        return
    for name in names:
        mapping.pop(name, None)
    if not mapping:
        del holder[key]


def _ephemeral(replica_set: Manifest) -> dict[str, dict[str, str]]:
    """Return the labels and annotations that a controller has put into a template for the time of a role."""
    try:
        added = json.loads(annotation(replica_set, _EPHEMERAL) or "{}")
    except ValueError:
        return {}
    kinds = ("labels", "annotations")
    return {kind: added[kind] for kind in kinds if isinstance(dig(added, kind), dict)}


def _remove_anti_affinity(pod: dict[str, Any]) -> None:
    """Remove the terms that keep the pods of one release away from those of another."""
    terms = dig(pod, "affinity", "podAntiAffinity")
    if not isinstance(terms, dict):
        return
    for key in list(terms):
        left = [term for term in terms[key] or () if not _is_injected(term.get("podAffinityTerm", term))]
        if left:
            terms[key] = left
        else:
            del terms[key]
    if not terms:
        del pod["affinity"]["podAntiAffinity"]
    if not pod["affinity"]:
        del pod["affinity"]


def _is_injected(term: dict[str, Any]) -> bool:
    expressions = dig(term, "labelSelector", "matchExpressions") or ()
    return any(expression.get("key") == HASH_LABEL for expression in expressions)
