"""Where objects live. A store is the only thing that reads and writes; planning decides what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager

    from rollway.routers.findings import Finding
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, LiveObject, Manifest, Need, ObjectRef
    from rollway.routers.plan import Change
    from rollway.routers.traffic import Evidence


NAMES_LISTED = 8
"""How many names an error lists."""


class Store(Protocol):
    """Read what is needed, write one change at a time."""

    @property
    def evidence(self) -> Evidence:
        """The highest level of evidence that this store can show by itself."""
        ...

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the objects that the needs ask for, as they are now; `Live.notes` lists what could not be seen.

        Raises:
            NotFoundError: a required object is not there; every missing one is named.
            DuplicateObjectError: a needed object stands in two places.
            StoreError: the store cannot be read.
        """
        ...

    def lock(self, rollout: Rollout) -> AbstractContextManager[bool]:
        """Keep other calls for the same Rollout waiting from the reading to the last write; the same thread may lock again.

        Returns:
            A context that yields whether nobody else writes meanwhile. Where it yields False, as for a cluster, the
            objects are read again after the last write.
        """
        ...

    def check(self, change: Change) -> None:
        """Raise what `write` would raise, as far as the store knows it without asking anybody; write nothing.

        Planning calls it for every change, so that what a plan promises can be written.
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


@runtime_checkable
class ClusterAccess(Protocol):
    """A store of a cluster, which answers what is served, who may do what, and who wrote an object."""

    def is_served(self, group: str, kind: str, *, required: bool) -> bool:
        """Return whether the cluster serves a kind; raises NotServedError where it is required and is not."""
        ...

    def allows(
        self, verb: str, resource: str, group: str = "", *, namespace: str = "", name: str = ""
    ) -> bool:
        """Return whether the caller may do something, in the words of RBAC (`pods/portforward`).

        Raises:
            StoreError: the cluster cannot be asked.
        """
        ...

    def field_managers(self, ref: ObjectRef) -> Sequence[str]:
        """Return the managers beside rollway that have written fields of an object, each once.

        Raises:
            StoreError: the object cannot be read.
        """
        ...


@runtime_checkable
class FileStore(Protocol):
    """A store of files, some of which may not be readable."""

    def faults(self) -> Sequence[Finding]:
        """Return a finding for each file, and each document in one, that cannot be read as objects."""
        ...


def missing(needs: Sequence[Need], present: Collection[ObjectRef]) -> list[Need]:
    """Return the needs that require an object by name which is not among those present."""
    return [
        need
        for need in needs
        if need.required
        and need.name
        and (need.ref not in present if need.namespace else not any(need.matches(ref) for ref in present))
    ]


def names(needs: Sequence[Need]) -> str:
    """Write the objects that some needs name, for an error."""
    return ", ".join(
        f"{need.kind} {need.namespace + '/' if need.namespace else ''}{need.name}" for need in needs
    )


def known_names(need: Need, present: Collection[str]) -> str:
    """Write which objects of the kind are there, those with a name like the missing one first, for a hint."""
    import difflib  # noqa: PLC0415 - only an error needs it

    if not present:
        return f"there is no {need.kind} at all"
    near = difflib.get_close_matches(need.name, sorted(set(present)), n=NAMES_LISTED)
    others = sorted(set(present) - set(near))
    listed = ", ".join(shortened([*near, *others], NAMES_LISTED))
    guess = f"did you mean {near[0]}? " if near else ""
    return f"{guess}{need.kind} here: {listed}"


def shortened(words: Sequence[str], limit: int) -> list[str]:
    """Return so many words of a list, and how many more there are."""
    more = len(words) - limit
    return [*words[:limit], *([f"and {more} more"] if more > 0 else [])]
