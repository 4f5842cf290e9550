"""Where objects live. A store is the only thing that reads and writes; the engine decides what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routers.model import Evidence, Finding, Live, Need
    from routers.plan import Change


class Store(Protocol):
    """Read what is needed, write one change at a time."""

    @property
    def evidence(self) -> Evidence:
        """The highest level of evidence that this store can show by itself."""
        ...

    @property
    def limits(self) -> Sequence[Finding]:
        """What this store cannot know, as notes for every plan."""
        ...

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the objects that the needs ask for, as they are now.

        Raises:
            NotFoundError: a required object is not there; every missing one is named.
            DuplicateObjectError: a needed object stands in two places.
            StoreError: the store cannot be read.
        """
        ...

    def write(self, change: Change) -> str:
        """Make one change and return the object's new version (empty after a deletion).

        All of it happens or nothing does.

        Raises:
            ConflictError: the object is no longer what the change was computed from.
            StoreError: the store cannot be written.
        """
        ...
