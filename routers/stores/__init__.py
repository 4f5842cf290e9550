"""Where objects live. A store is the only thing that reads and writes; planning decides what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rollway.routers.model import Evidence, Live, LiveObject, Manifest, Need, ObjectRef
    from rollway.routers.plan import Change


class Store(Protocol):
    """Read what is needed, write one change at a time."""

    @property
    def evidence(self) -> Evidence:
        """The highest level of evidence that this store can show by itself."""
        ...

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the objects that the needs ask for, as they are now; `Live.notes` tells what could not be seen.

        Raises:
            NotFoundError: a required object is not there; every missing one is named.
            DuplicateObjectError: a needed object stands in two places.
            StoreError: the store cannot be read.
        """
        ...

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Make one change and return the object as the store holds it now (None after a deletion).

        All of it happens or nothing does. With `dry_run` everything is checked as for a write, and nothing is stored.

        Raises:
            ConflictError: the object is no longer what the change was computed from.
            UnsupportedError: the store cannot check without storing.
            StoreError: the store cannot be written.
        """
        ...


@runtime_checkable
class EventStore(Protocol):
    """A store that keeps Kubernetes Events as well."""

    def record(self, event: Manifest) -> None:
        """Write a Kubernetes Event, whose name must be its own.

        Raises:
            StoreError: it cannot be written.
        """
        ...

    def recorded(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Return the Events of a namespace that still exist and have a label, given as `key=value`.

        Raises:
            StoreError: they cannot be read.
        """
        ...


def missing(needs: Sequence[Need], found: Collection[ObjectRef]) -> list[Need]:
    """Return the needs that require an object by name which is not among those found."""
    return [
        need
        for need in needs
        if need.required
        and need.name
        and (need.ref not in found if need.namespace else not any(need.matches(ref) for ref in found))
    ]


def names(needs: Sequence[Need]) -> str:
    """Write the objects that some needs name, for an error."""
    return ", ".join(
        f"{need.kind} {need.namespace + '/' if need.namespace else ''}{need.name}" for need in needs
    )
