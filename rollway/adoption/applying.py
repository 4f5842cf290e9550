"""Write a plan in its order, put back what was written when a write fails, and see whether the move is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.adoption.planning import taken_over
from rollway.adoption.reading import DEPLOYMENT
from rollway.releases.phase import HEALTHY, phase_of, replicas_of
from rollway.routers.errors import ApplyError, ConflictError, RollwayError, UncertainError
from rollway.routers.lookup import find_rollout
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import Need, dig

if TYPE_CHECKING:
    from rollway.adoption.planning import AdoptionPlan
    from rollway.routers.objects import LiveObject, Manifest
    from rollway.routers.plan import Change, DryRun
    from rollway.routers.stores import Store

_ATTEMPTS = 5


def write(store: Store, plan: AdoptionPlan, dry_run: DryRun = False) -> None:
    """Write every change of a plan. With `dry_run` nothing is stored; "server": the cluster checks each of them.

    Raises:
        ApplyError: a write failed after others; what was written is put back, and the message names what could not be.
        StoreError: the first one failed.
    """
    if dry_run is True:
        return
    written: list[Change] = []
    for change in plan.changes:
        try:
            _write(store, change, dry_run=dry_run == "server")
        except RollwayError as error:
            if not written or dry_run:
                raise
            raise _put_back(store, written, change, error) from error
        written.append(change)


def _write(store: Store, change: Change, *, dry_run: bool) -> None:
    try:
        store.write(change, dry_run=dry_run)
    except UncertainError:
        # The answer got lost, and only the object shows whether the write did.
        if not change.is_in(_present(store, change)):
            raise


def _present(store: Store, change: Change) -> LiveObject | None:
    need = Need(change.ref.group, change.ref.kind, change.ref.name, change.ref.namespace, required=False)
    return store.read([need]).get(change.ref)


def _put_back(store: Store, written: list[Change], failed: Change, error: RollwayError) -> ApplyError:
    """Take out what was written, the last one first, and return the error that shows how it stands then."""
    states = [f"{failed.ref}: {error.message}"]
    for change in reversed(written):
        try:
            inverse = change.inverse(_present(store, change))
            if inverse:
                store.write(inverse)
            states.append(f"{change.ref}: put back")
        except RollwayError as again:
            states.append(f"{change.ref}: still as it was written ({again.message})")
    text = "\n  ".join(["the Deployment was not moved, and serves as before:", *states])
    return ApplyError(text, hint=error.hint, ref=failed.ref, retryable=error.retryable)


def look(store: Store, plan: AdoptionPlan) -> tuple[LiveObject, Manifest]:
    """Return the Rollout and the Deployment as they are now."""
    ref = plan.deployment.ref
    need = Need(*DEPLOYMENT, ref.name, ref.namespace)
    return find_rollout(store, plan.rollout["metadata"]["name"], ref.namespace), store.read([need])[
        ref
    ].manifest


def is_moved(store: Store, plan: AdoptionPlan, rollout: Manifest, deployment: Manifest) -> bool:
    """Return whether users have the pods of the Rollout alone, and those of the Deployment are gone where they are to go."""
    if phase_of(rollout).name != HEALTHY:
        return False
    if plan.stable_service:
        need = Need("", "Service", plan.stable_service, plan.deployment.ref.namespace)
        selected = dig(store.read([need])[need.ref].manifest, "spec", "selector", HASH_LABEL)
        if selected != dig(rollout, "status", "stableRS"):
            return False
    stays = (dig(plan.rollout, "spec", "workloadRef", "scaleDown") or "never") == "never"
    return stays or not replicas_of(deployment)


def take_template(store: Store, plan: AdoptionPlan) -> None:
    """Let the Rollout have the pod template itself instead of referring to the Deployment; no pod changes by that.

    Raises:
        ConflictError: others change the Rollout again and again.
    """
    for attempt in range(_ATTEMPTS):
        rollout, deployment = look(store, plan)
        if not dig(rollout.manifest, "spec", "workloadRef"):
            return
        try:
            _write(store, taken_over(rollout, deployment), dry_run=False)
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return
