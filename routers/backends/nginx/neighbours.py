"""Which Ingresses can have an effect on each other, found without a look at all the others.

Two Ingresses touch each other only through a host or an upstream that both have. A canary's host that no normal Ingress
has stands for the catch-all server (see `controller`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rollway.routers.backends.nginx.controller import CATCH_ALL, all_paths, annotations_of
from rollway.routers.backends.nginx.policy import read_canary
from rollway.routers.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rollway.routers.objects import LiveObject, ObjectRef

Mark: TypeAlias = tuple[str, str]
"""What Ingresses have in common: `("host", NAME)` or `("upstream", NAME)`."""


class _Ingress(NamedTuple):
    """What matters of one Ingress to the others."""

    marks: frozenset[Mark]
    canary: bool


class Neighbours:
    """All Ingresses by what they have in common; immutable.

    An Ingress that the API server would refuse has nothing in common with any, because no controller ever sees it.
    """

    def __init__(
        self,
        prefix: str,
        ingresses: Mapping[ObjectRef, _Ingress] | None = None,
        having: Mapping[Mark, dict[ObjectRef, None]] | None = None,
        served: Mapping[Mark, int] | None = None,
        stray: frozenset[Mark] = frozenset(),
    ) -> None:
        self.prefix = prefix
        self.memo: dict[Any, Any] = {}
        """What was found out about these very Ingresses."""
        self._ingresses = ingresses or {}
        self._having = having or {}
        self._served = served or {}
        """How many normal Ingresses have a mark."""
        self._stray = stray
        """The hosts that only canaries have."""

    def after(self, removed: Iterable[LiveObject], added: Iterable[LiveObject]) -> Neighbours:
        """Return the same with other Ingresses."""
        ingresses = dict(self._ingresses)
        gone = {item.ref: known for item in removed if (known := ingresses.pop(item.ref, None))}
        come = {item.ref: ingress for item in added if (ingress := _read(item, self.prefix))}
        ingresses.update(come)
        touched = {mark for ingress in (*gone.values(), *come.values()) for mark in ingress.marks}
        having = {**self._having, **{mark: dict(self._having.get(mark, {})) for mark in touched}}
        served = dict(self._served)
        for ref, ingress in gone.items():
            for mark in ingress.marks:
                del having[mark][ref]
                served[mark] = served.get(mark, 0) - (not ingress.canary)
        for ref, ingress in come.items():
            for mark in ingress.marks:
                having[mark][ref] = None
                served[mark] = served.get(mark, 0) + (not ingress.canary)
        for mark in [mark for mark in touched if not having[mark]]:
            del having[mark], served[mark]
        stray = {mark for mark in touched if mark in having and mark[0] == "host" and not served[mark]}
        return Neighbours(self.prefix, ingresses, having, served, (self._stray - touched) | stray)

    def of(self, start: ObjectRef) -> Iterator[ObjectRef]:
        """Yield the Ingresses that can have an effect on the one given, and itself."""
        reached, waiting = {start}, [start]
        passed: set[Mark] = set()
        while waiting:
            ref = waiting.pop()
            yield ref
            for mark in self._marks(ref) - passed:
                passed.add(mark)
                for other in self._refs(mark):
                    if other not in reached:
                        reached.add(other)
                        waiting.append(other)

    def _marks(self, ref: ObjectRef) -> set[Mark]:
        known = self._ingresses.get(ref)
        if known is None:
            return set()
        return {*known.marks, _CATCH_ALL} if known.marks & self._stray else set(known.marks)

    def _refs(self, mark: Mark) -> Iterator[ObjectRef]:
        yield from self._having.get(mark, ())
        for stray in self._stray if mark == _CATCH_ALL else ():
            yield from self._having[stray]


_CATCH_ALL: Mark = ("host", CATCH_ALL)


def _read(item: LiveObject, prefix: str) -> _Ingress | None:
    try:
        paths = list(all_paths(item.ref, item.manifest))
        canary = read_canary(annotations_of(item.ref, item.manifest), prefix)[0]
    except ManifestError:
        return None
    hosts = {("host", path.location[0]) for path in paths}
    return _Ingress(
        frozenset({*hosts, *(("upstream", path.upstream(item.ref.namespace)) for path in paths)}), canary
    )
