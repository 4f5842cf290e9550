"""Look up Rollouts in a store, by name or all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rollway.routers.errors import AmbiguousError, ForbiddenError, NotFoundError, RollwayError
from rollway.routers.model import ROLLOUT_GROUP, ROLLOUT_KIND
from rollway.routers.objects import Need, dig
from rollway.routers.rollout import parse_rollout

if TYPE_CHECKING:
    from rollway.routers.model import Rollout
    from rollway.routers.objects import LiveObject, Pointer
    from rollway.routers.stores import Store


def read_rollout(store: Store, name: str, namespace: str = "") -> Rollout:
    """Read the Rollout of that name; without a namespace, the only one of that name in the store.

    Raises:
        NotFoundError: there is none.
        AmbiguousError: several namespaces have one.
        ManifestError: it has faults.
    """
    return rollout_of(find_rollout(store, name, namespace))


def find_rollout(store: Store, name: str, namespace: str = "") -> LiveObject:
    """Return the object of a Rollout, whatever is in it; without a namespace, the only one of that name in the store.

    Raises:
        NotFoundError: there is none.
        AmbiguousError: several namespaces have one.
    """
    need = Need(ROLLOUT_GROUP, ROLLOUT_KIND, name, namespace, required=False)
    items = sorted(
        (item for ref, item in store.read([need]).items() if need.matches(ref)),
        key=lambda item: item.ref.namespace,
    )
    if not items:
        store.read([need._replace(required=True)])
        raise NotFoundError(f"Rollout {name} is not in the store")
    if len(items) > 1:
        raise AmbiguousError(
            f"Rollout {name} is in the namespaces {', '.join(item.ref.namespace for item in items)}",
            hint="name it with -n",
        )
    return items[0]


def read_rollouts(
    store: Store, namespace: str = "", name: str = ""
) -> list[tuple[LiveObject, Rollout | RollwayError]]:
    """Read every Rollout (of that name), in order of namespace and name; one with faults comes with its error instead of a Rollout."""
    need = Need(ROLLOUT_GROUP, ROLLOUT_KIND, name, namespace, required=False, tolerant=True)
    items = [item for ref, item in store.read([need]).items() if need.matches(ref)]
    rollouts: list[tuple[LiveObject, Rollout | RollwayError]] = []
    for item in sorted(items, key=lambda item: (item.ref.namespace, item.ref.name)):
        if item.is_copy:
            continue
        try:
            rollouts.append((item, item.problem or rollout_of(item)))
        except RollwayError as error:
            rollouts.append((item, error))
    return rollouts


def rollout_of(rollout: LiveObject) -> Rollout:
    """Read a Rollout that a store returned; faults have file and line where the store knows them."""
    return parse_rollout(rollout.manifest, namespace=rollout.ref.namespace, locate=rollout.locate)


def known_as(rollout: Rollout, store: Store) -> Rollout:
    """Return a route from a file with the uid that its Rollout has in the store, if it is there and may be read.

    What rollway makes for it then belongs to that Rollout, and goes with it.
    """
    need = Need(ROLLOUT_GROUP, ROLLOUT_KIND, rollout.name, rollout.namespace, required=False, tolerant=True)
    try:
        manifest = store.read([need]).manifest(rollout.ref)
    except ForbiddenError:
        return rollout
    uid = dig(manifest, "metadata", "uid") if manifest else None
    return replace(rollout, uid=uid) if isinstance(uid, str) else rollout


def pointer_to(item: LiveObject, value: str) -> Pointer:
    """Return where the strategy of a Rollout names something; the strategy itself when it does so by default only."""
    path: Pointer = ("spec", "strategy")
    return _search(dig(item.manifest, *path), value, path) or path


def _search(holder: object, value: str, path: Pointer) -> Pointer:
    items = (
        holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
    )
    for key, item in items:
        if item == value or (isinstance(item, str) and item.partition(".")[0] == value):
            return (*path, key)
        deeper = _search(item, value, (*path, key))
        if deeper:
            return deeper
    return ()
