"""What differs between two values as a sequence of edits, and how one edit is taken out of a third value. Pure.

Items of a list are told apart by their `name`, as Kubernetes does with lists of routes, ports and containers. So an
item that is put in, taken out or moved is an edit of its own, and its neighbours stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.objects import Pointer

MISSING: Any = object()
"""The side of an edit on which there is no value."""

Edit: TypeAlias = "tuple[Pointer, Any, Any]"
"""Where, the old value and the new one. A missing old value at an index puts an item in before the one that is there."""


def differences(before: Any, after: Any, path: Pointer = ()) -> Iterator[Edit]:
    """Yield the edits that make `after` of `before`, in an order in which they can be done.

    In each list the items that stay are changed first, where they stood; then others are taken out from the end, and
    at last put in from the beginning.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_mappings(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(before, after, path)
    elif before is MISSING or after is MISSING or before != after or type(before) is not type(after):
        yield path, before, after


def _of_mappings(before: dict[str, Any], after: dict[str, Any], path: Pointer) -> Iterator[Edit]:
    for key, old in before.items():
        new = after.get(key, MISSING)
        if old is not new:  # a changed copy shares what stays
            yield from differences(old, new, (*path, key))
    for key, new in after.items():
        if key not in before:
            yield from differences(MISSING, new, (*path, key))


def _of_lists(before: list[Any], after: list[Any], path: Pointer) -> Iterator[Edit]:
    pairs = aligned(before, after)
    for old, new in pairs:
        if before[old] is not after[new]:
            yield from differences(before[old], after[new], (*path, old))
    kept, made = {old for old, _ in pairs}, {new for _, new in pairs}
    for index in reversed(range(len(before))):
        if index not in kept:
            yield (*path, index), before[index], MISSING
    for index, item in enumerate(after):
        if index not in made:
            yield (*path, index), MISSING, item


def name_of(item: Any) -> str | None:
    """Return the name by which an item of a list is known; None for one that has none."""
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else None


def aligned(before: Sequence[Any], after: Sequence[Any]) -> list[tuple[int, int]]:
    """Return which item of one list is which of another, by index and in order; the others are taken out or put in.

    Lists of one length whose names are the same all the way are compared place by place.
    """
    old, new = [name_of(item) for item in before], [name_of(item) for item in after]
    if old == new:
        return [(index, index) for index in range(len(before))]
    head = 0
    while head < min(len(old), len(new)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    middle = _best_pairs(before[head : len(old) - tail], after[head : len(new) - tail])
    return [
        *((index, index) for index in range(head)),
        *((head + index, head + other) for index, other in middle),
        *((len(old) - left, len(new) - left) for left in range(tail, 0, -1)),
    ]


def _best_pairs(before: Sequence[Any], after: Sequence[Any]) -> list[tuple[int, int]]:
    """Return the pairs, in order, that are most alike in sum: the longest common subsequence, with degrees."""
    rows = [[0.0] * (len(after) + 1) for _ in range(len(before) + 1)]
    likeness = [[_likeness(item, other) for other in after] for item in before]
    for row in reversed(range(len(before))):
        for column in reversed(range(len(after))):
            alike = likeness[row][column]
            paired = alike + rows[row + 1][column + 1] if alike else 0.0
            rows[row][column] = max(paired, rows[row + 1][column], rows[row][column + 1])
    pairs: list[tuple[int, int]] = []
    row = column = 0
    while row < len(before) and column < len(after):
        alike = likeness[row][column]
        if alike and rows[row][column] == alike + rows[row + 1][column + 1]:
            pairs.append((row, column))
            row, column = row + 1, column + 1
        elif rows[row][column] == rows[row + 1][column]:
            row += 1
        else:
            column += 1
    return pairs


_CERTAIN = 2.0
"""Items that are as alike as this are the same one: they are equal, or have one name."""


def _likeness(item: Any, other: Any) -> float:
    """Return 0 for items that cannot be the same one, and more the surer it is that they are."""
    if name_of(item) != name_of(other):
        return 0.0
    if item == other and type(item) is type(other):
        return 4.0
    if not isinstance(item, dict) or not isinstance(other, dict):
        return 0.0
    same = sum(1 for key, value in item.items() if key in other and other[key] == value)
    share = same / max(len(item), len(other), 1)
    return 1.0 + share if name_of(item) is None else 2.0 + share


class Relocation:
    """Where the values of one manifest stand in another that was made of it."""

    def __init__(self, before: Any, after: Any) -> None:
        self._before, self._after = before, after
        self._aligned: dict[Pointer, dict[int, int]] = {}

    def of(self, path: Pointer) -> Pointer | None:
        """Return where the value at a path is now; None where it is not any more."""
        before, after = self._before, self._after
        target: list[str | int] = []
        for place, step in enumerate(path):
            there: str | int | None = step
            if isinstance(before, list) and isinstance(after, list):
                if path[:place] not in self._aligned:
                    self._aligned[path[:place]] = dict(aligned(before, after))
                there = self._aligned[path[:place]].get(step) if isinstance(step, int) else None
            try:
                before, after = before[step], after[there]
            except (LookupError, TypeError):
                return None  # no list has an item None
            target.append(step if there is None else there)
        return tuple(target)


def holds(present: Any, wanted: Any) -> bool:
    """Return whether an object has everything that was written; what a server added does not count."""
    if isinstance(present, dict) and isinstance(wanted, dict):
        return all(key in present and holds(present[key], value) for key, value in wanted.items())
    if isinstance(present, list) and isinstance(wanted, list):
        return len(present) == len(wanted) and all(map(holds, present, wanted))
    return bool(present == wanted)


def without_step(now: Any, before: Any, after: Any) -> Any:
    """Return `now` without the step from `before` to `after`: a merge of three, in which a foreign change wins."""
    if before == after:
        return now
    if now == after:
        return before
    if isinstance(now, dict) and isinstance(after, dict) and (before is MISSING or isinstance(before, dict)):
        old = {} if before is MISSING else before
        merged = {
            key: without_step(now.get(key, MISSING), old.get(key, MISSING), after.get(key, MISSING))
            for key in [*now, *(key for key in old if key not in now)]
        }
        left = {key: value for key, value in merged.items() if value is not MISSING}
        return left if left or before is not MISSING else MISSING
    if all(isinstance(value, list) for value in (now, before, after)):
        return _list_without_step(now, before, after)
    return now


def _list_without_step(now: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    """Take a step out of a list: what it put in goes, what it took out comes back, what others put in or changed stays."""
    origin = {new: old for old, new in aligned(before, after)}
    known = {place: new for new, place in aligned(after, now)}
    put_in = [item for new, item in enumerate(after) if new not in origin]
    result: list[tuple[Any, int | None]] = []  # each with the item of `before` that it is, if any
    for place, item in enumerate(now):
        new = known.get(place)
        if new in origin and new is not None:
            result.append((without_step(item, before[origin[new]], after[new]), origin[new]))
        elif not any(_likeness(item, ours) >= _CERTAIN and holds(item, ours) for ours in put_in):
            result.append((item, None))  # somebody else's, or somebody has made something else of it
    theirs = [item for item, old in result if old is None]
    for old, item in enumerate(before):
        if old not in origin.values() and not any(_likeness(item, other) >= _CERTAIN for other in theirs):
            result.insert(_place_for(old, [known_old for _, known_old in result]), (item, old))
    return [item for item, _ in result]


def _place_for(index: int, present: Sequence[int | None]) -> int:
    """Return where an item belongs in a list, by the indexes that those present had once (None: they are others')."""
    before = [place for place, old in enumerate(present) if old is not None and old < index]
    if before:
        return before[-1] + 1
    return next((place for place, old in enumerate(present) if old is not None), 0)
