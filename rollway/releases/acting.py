"""Carry out a verb: read the Rollout, decide what the verb writes, and write it, again where somebody else wrote meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import jsonpatch

from rollway.releases.revisions import revision_to_undo, revisions_of, template_of
from rollway.releases.verbs import Effect, set_images, set_template
from rollway.routers.errors import ConflictError, UncertainError, UnsupportedError
from rollway.routers.lookup import find_rollout
from rollway.routers.objects import LiveObject, Need, dig
from rollway.routers.plan import Action, Change
from rollway.routers.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rollway.routers.objects import Manifest
    from rollway.routers.plan import DryRun, Operation
    from rollway.routers.stores import Store

_ATTEMPTS = 5
"""As often as Argo Rollouts' command line tries after a conflict."""
_WORKLOADS = {("apps", "Deployment"), ("apps", "ReplicaSet"), ("", "PodTemplate")}


@dataclass(frozen=True)
class Aim:
    """A Rollout as it was read, the object that a verb changes (the Rollout, or its workload), and how."""

    rollout: LiveObject
    target: LiveObject
    effect: Effect


Decide: TypeAlias = "Callable[[Store, LiveObject], Aim]"
"""Finds out from a store and a Rollout what a verb changes."""


def on_rollout(verb: Callable[[Manifest], Effect]) -> Decide:
    """Return a verb on the Rollout itself."""
    return lambda _store, rollout: Aim(rollout, rollout, verb(rollout.manifest))


def on_status(word: str, verb: Callable[[Manifest], Effect]) -> Decide:
    """Return a verb on the status of the Rollout, which files do not have.

    The verb raises UnsupportedError for a store of files.
    """

    def decide(store: Store, rollout: LiveObject) -> Aim:
        needs_controller(store, word)
        return Aim(rollout, rollout, verb(rollout.manifest))

    return decide


def needs_controller(store: Store, word: str) -> None:
    """Raise UnsupportedError for a store of files, where no controller reports what it does."""
    if isinstance(store, FileStore):
        raise UnsupportedError(
            f"{word} needs what a controller reports, and files have no status",
            hint="leave --dir out, to use the cluster of your kubeconfig",
        )


def image_setter(images: Mapping[str, str]) -> Decide:
    """Return the verb that sets images by the names of containers, in the Rollout or in its workload."""

    def decide(store: Store, rollout: LiveObject) -> Aim:
        target = workload_of(store, rollout) or rollout
        return Aim(rollout, target, set_images(target.manifest, images))

    return decide


def undoer(number: int = 0) -> Decide:
    """Return the verb that goes back to the template of a revision; 0: the one before the latest."""

    def decide(store: Store, rollout: LiveObject) -> Aim:
        needs_controller(store, "undo")
        target = workload_of(store, rollout) or rollout
        revisions = revisions_of(rollout.manifest, read_replica_sets(store, rollout.ref.namespace))
        revision = revision_to_undo(rollout.manifest, revisions, number)
        return Aim(
            rollout,
            target,
            set_template(target.manifest, template_of(revision.replica_set), revision.number),
        )

    return decide


def read_replica_sets(store: Store, namespace: str) -> Sequence[Manifest]:
    """Return the ReplicaSets of a namespace."""
    need = Need("apps", "ReplicaSet", namespace=namespace)
    return [item.manifest for item in store.read([need]).of("apps", "ReplicaSet")]


def workload_of(store: Store, rollout: LiveObject) -> LiveObject | None:
    """Return the object whose pod template the Rollout runs; None when it is its own.

    Raises:
        UnsupportedError: its kind has no template that a Rollout takes.
        NotFoundError: it does not exist.
    """
    named = dig(rollout.manifest, "spec", "workloadRef")
    if not named:
        return None
    group = str(named.get("apiVersion", "")).rpartition("/")[0]
    kind, name = str(named.get("kind", "")), str(named.get("name", ""))
    if (group, kind) not in _WORKLOADS:
        raise UnsupportedError(
            f"{rollout.ref} takes its pod template from {kind}.{group or 'v1'} {name}, which no Rollout can",
            hint="spec.workloadRef names a Deployment or ReplicaSet (apps/v1), or a PodTemplate (v1)",
        )
    need = Need(group, kind, name, rollout.ref.namespace)
    return store.read([need])[need.ref]


def carry_out(store: Store, name: str, namespace: str, decide: Decide, dry_run: DryRun = False) -> Aim:
    """Carry out a verb, and return what was done, or with `dry_run` would be done.

    Raises:
        ConflictError: the release has moved since it was read, so that the verb would do something else.
        StoreError: the store cannot be read or written.
    """
    aim = first = decide(store, find_rollout(store, name, namespace))
    for attempt in range(_ATTEMPTS):
        try:
            _write(store, aim, dry_run)
        except UncertainError:
            raise
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
            aim = decide(store, find_rollout(store, name, aim.rollout.ref.namespace))
            if aim.effect.basis != first.effect.basis:
                raise ConflictError(
                    f"{aim.rollout.ref} has moved since it was read, so nothing was written",
                    hint=f"see where it is (`rollway get {name}`), and run the command again",
                ) from None
        else:
            break
    return aim


def _write(store: Store, aim: Aim, dry_run: DryRun) -> None:
    """Write the status first, as Argo Rollouts' command line does, then the object."""
    target = aim.target
    for subresource, operations in (("status", aim.effect.status), ("", aim.effect.spec)):
        if operations and dry_run is not True:
            change = _change(target, operations, subresource)
            target = store.write(change, dry_run=dry_run == "server") or target


def _change(target: LiveObject, operations: Sequence[Operation], subresource: str) -> Change:
    after = jsonpatch.apply_patch(target.manifest, list(operations))
    return Change(
        Action.PATCH,
        target.ref,
        target.manifest,
        after,
        tuple(operations),
        target.version,
        subresource=subresource,
        lasting=True,
    )
