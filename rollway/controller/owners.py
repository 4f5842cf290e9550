"""Who owns a ReplicaSet, as the API server has it at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.errors import ConflictError
from rollway.routers.kube.client import Target

if TYPE_CHECKING:
    from rollway.controller.decision import Adopt
    from rollway.routers.kube.client import Client


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
