"""Read what belongs to a Rollout; what cannot be read is left out with a note, so that the rest is still shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.releases.revisions import hash_of, owned_by
from rollway.releases.tree import Related
from rollway.routers.errors import RollwayError
from rollway.routers.model import HASH_LABEL, ROLLOUT_GROUP
from rollway.routers.objects import Need

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollway.routers.objects import LiveObject, Manifest
    from rollway.routers.stores import Store


def read_related(store: Store, rollout: LiveObject, note: Callable[[str], None]) -> Related:
    """Return what may belong to a Rollout; `note` is called with the reason when a kind cannot be read."""
    kinds = (("apps", "ReplicaSet"), (ROLLOUT_GROUP, "AnalysisRun"), (ROLLOUT_GROUP, "Experiment"))
    needs = [Need(*kind, namespace=rollout.ref.namespace, required=False) for kind in kinds]
    replica_sets, runs, experiments = _read(store, needs, note)
    owners = [rollout.manifest, *owned_by(rollout.manifest, experiments)]
    hashes = {hash_of(item) for owner in owners for item in owned_by(owner, replica_sets)} - {""}
    if not hashes:
        return Related(replica_sets, (), runs, experiments)
    selector = f"{HASH_LABEL} in ({','.join(sorted(hashes))})"
    pods = Need("", "Pod", namespace=rollout.ref.namespace, required=False, selector=selector, runtime=True)
    return Related(replica_sets, _read(store, [pods], note)[0], runs, experiments)


def _read(store: Store, needs: Sequence[Need], note: Callable[[str], None]) -> tuple[Sequence[Manifest], ...]:
    """Return the objects of each need: all at once, or one kind after the other where one of them cannot be read."""
    try:
        live = store.read(needs)
        return tuple([item.manifest for item in live.of(need.group, need.kind)] for need in needs)
    except RollwayError as error:
        if error.retryable:
            raise
        if len(needs) == 1:
            note(f"no {needs[0].kind} is shown: {error.message}")
            return ([],)
        return tuple(objects for need in needs for objects in _read(store, [need], note))
