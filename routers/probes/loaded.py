"""What one kind of proxy has loaded: the frame of the probes that compare its own routes with the routing objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from rollway.routers.probes.http import unknown
from rollway.routers.traffic import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rollway.routers.model import Context
    from rollway.routers.objects import ObjectRef
    from rollway.routers.probes.http import Find
    from rollway.routers.traffic import Verdict

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class LoadedProbe(ABC, Generic[Loaded]):
    """Ask every instance of a proxy that is given what it has loaded."""

    find: Find
    """Where every pod is."""
    backend: str
    objects: Callable[[Context], Sequence[ObjectRef]]
    """The routing objects that it judges."""
    compare: Callable[[Sequence[Loaded], Context], Verdict]
    """Compares what one instance has loaded with the objects."""
    evidence: ClassVar[Evidence] = Evidence.LOADED
    what: ClassVar[str]
    """What an answer holds, for people: `routes`."""

    @property
    def backends(self) -> frozenset[str]:
        """The backend whose objects it judges."""
        return frozenset({self.backend})

    @abstractmethod
    def judge(self, context: Context) -> Verdict:
        """Compare what each instance has loaded with the routing objects."""

    @abstractmethod
    def read(self, document: Any) -> Iterable[Loaded]:
        """Read what one instance answered; a document of another form may raise what a look into it raises."""

    def judge_document(self, document: Any, context: Context) -> Verdict:
        """Compare what one instance answered with the routing objects; needs no network."""
        try:
            loaded = list(self.read(document))
        except (TypeError, KeyError, AttributeError, ValueError):
            return unknown(self.objects(context), f"answered something else than its {self.what}")
        return self.compare(loaded, context)
