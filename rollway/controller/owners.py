"""Who owns a ReplicaSet, as the API server has it at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.controller.spec import selects
from rollway.routers.errors import ConflictError
from rollway.routers.kube.client import Target
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from rollway.controller.decision import Adopt
    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest


def is_controlled(manifest: Manifest) -> bool:
    """Return whether an object has an owner that controls it."""
    return any(owner.get("controller") for owner in manifest["metadata"].get("ownerReferences") or ())


def may_adopt(rollout: Manifest, replica_set: Manifest) -> bool:
    """Return whether a ReplicaSet is nobody's, is to stay, and has pods that a Rollout selects."""
    selector = dig(rollout, "spec", "selector") or {}
    labels = dig(replica_set, "spec", "template", "metadata", "labels") or {}
    going = replica_set["metadata"].get("deletionTimestamp")
    return bool(selector) and not is_controlled(replica_set) and not going and selects(selector, labels)


def refuse_gone(client: Client, write: Adopt) -> None:
    """Raise where the Rollout is about to go: what it adopted then, the garbage collector would delete with it.

    Source: Kubernetes, `RecheckDeletionTimestamp` in `pkg/controller/controller_ref_manager.go`.

    Raises:
        ConflictError: it is deleted, or another one has its name.
        RollwayError: it could not be read.
    """
    owner = write.owners[-1]
    present = client.get(Target("argoproj.io", "Rollout", write.ref.namespace, owner["name"]))
    metadata = present["metadata"] if present else {}
    if metadata.get("uid") != owner["uid"] or metadata.get("deletionTimestamp"):
        raise ConflictError(
            f"Rollout {write.ref.namespace}/{owner['name']} is about to go, and adopts nothing"
        )
