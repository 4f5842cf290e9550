"""Many values by key at one moment, and indexes over all of them that follow cheaply from one moment to the next."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, ValuesView
from typing import Any, NamedTuple, Protocol, Self, TypeVar, cast

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_MANY = 1000
"""So many changes, and an index is built anew rather than brought along."""


class Index(Protocol):
    """What was found out from all values together. It is immutable, as the values are."""

    def after(self, removed: Iterable[Any], added: Iterable[Any]) -> Self:
        """Return the index of the same values without some and with others."""
        ...


_Index = TypeVar("_Index", bound=Index)


class Groups:
    """The values by what they have in common: an index of whatever `key_of` returns of each."""

    def __init__(
        self, key_of: Callable[[Any], Hashable], groups: Mapping[Hashable, tuple[Any, ...]] | None = None
    ) -> None:
        self._key_of = key_of
        self._groups = groups or {}

    def after(self, removed: Iterable[Any], added: Iterable[Any]) -> Groups:
        """Return the same without some values and with others."""
        groups = dict(self._groups)
        for value in removed:
            key = self._key_of(value)
            groups[key] = tuple(other for other in groups[key] if other is not value)
        fresh: dict[Hashable, list[Any]] = {}
        for value in added:
            fresh.setdefault(self._key_of(value), []).append(value)
        for key, values in fresh.items():
            groups[key] = (*groups.get(key, ()), *values)
        return Groups(self._key_of, groups)

    def of(self, key: Hashable) -> tuple[Any, ...]:
        """Return the values of one group."""
        return self._groups.get(key, ())


class _Inherited(NamedTuple):
    """The indexes of an earlier moment, and what has changed since: by key, the value of then, or None for none."""

    indexes: Mapping[Hashable, Index]
    before: Mapping[Any, Any] = {}


def _nothing() -> None:
    return None


class Snapshot(Mapping[Key, Value]):
    """Values by key; immutable, so that whatever was found out from them stays true.

    No snapshot keeps an earlier one alive, only the indexes that are carried along.
    """

    def __init__(self, values: Mapping[Key, Value]) -> None:
        self._values = dict(values)
        self._indexes: dict[Hashable, Index] = {}
        self._inherited = _Inherited({})
        self._earlier: Callable[[], Snapshot[Key, Value] | None] = _nothing
        self._changed: tuple[Key, ...] = ()
        """What is not as in the snapshot that this one was made from."""

    def __getitem__(self, key: Key) -> Value:
        return self._values[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def values(self) -> ValuesView[Value]:
        """Return the values, at the speed of a dict."""
        return self._values.values()

    def after(self, written: Mapping[Key, Value], deleted: Iterable[Key] = ()) -> Snapshot[Key, Value]:
        """Return the same with some values in place of, or beside, those that were there, and without others."""
        gone = [key for key in deleted if key in self._values]
        changed = {key: value for key, value in written.items() if self._values.get(key) is not value}
        if not gone and not changed:
            return self
        values = {**self._values, **changed}
        for key in gone:
            values.pop(key, None)
        later: Snapshot[Key, Value] = Snapshot({})
        later._values = values
        later._inherit(self, (*changed, *gone))
        return later

    def index(self, key: Hashable, empty: Callable[[], _Index]) -> _Index:
        """Return an index over the values; `key` names it, `empty` makes one over none.

        It is made once, from the one of an earlier snapshot where there is one. Of a snapshot that others still work
        with, it is made there first, since they will ask for it too.
        """
        known = self._indexes.get(key)
        if known is None:
            earlier = self._earlier()
            if earlier is not None:
                known = self._follow(
                    earlier.index(key, empty), {each: earlier.get(each) for each in self._changed}
                )
            elif key in self._inherited.indexes:
                known = self._follow(self._inherited.indexes[key], self._inherited.before)
            else:
                known = empty().after((), self.values())
            self._indexes[key] = known
        return cast("_Index", known)

    def _follow(self, earlier: Index, before: Mapping[Key, Value | None]) -> Index:
        removed = [value for value in before.values() if value is not None]
        return earlier.after(removed, [self._values[key] for key in before if key in self._values])

    def _inherit(self, earlier: Snapshot[Key, Value], changed: tuple[Key, ...]) -> None:
        """Take over what an earlier snapshot has found out, and what has changed since."""
        self._earlier, self._changed = weakref.ref(earlier), changed
        before = {key: earlier.get(key) for key in changed}
        if earlier._indexes:
            self._inherited = _Inherited(dict(earlier._indexes), before)
        elif earlier._inherited.indexes:
            # Nobody asked for an index since the moment of those, so all that has changed since then counts.
            before.update(earlier._inherited.before)
            self._inherited = _Inherited(earlier._inherited.indexes if len(before) < _MANY else {}, before)
