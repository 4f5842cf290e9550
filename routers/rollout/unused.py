"""Find the fields of a Rollout that rollway does not act on, and those that look like a misspelled one.

What is acted on is what the schema speaks of, so a field that rollway learns about leaves the list by itself.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rollway.routers.objects import Pointer

_ALIKE = 0.8
"""How alike a key must be to a known one to pass for its misspelling; `canaryMetadata` and `canaryService` are 0.6."""
_STRATEGY: Pointer = ("spec", "strategy")
_ROUTING = "trafficRouting"


class _UnknownField(NamedTuple):
    """A field that the schema does not speak of, and the known one that was probably meant (empty: none)."""

    pointer: Pointer
    meant: str


def unused_fields(manifest: Any, schema: Any) -> list[list[Pointer]]:
    """Return the fields below `spec.strategy` that the schema does not speak of, those of one name together.

    A field that several items of a list have is one entry, with a pointer for each. The other fields of `spec` describe
    the pods and are left out: moving traffic never touches those. So is what is misspelled, which is a fault.
    """
    grouped: dict[Pointer, list[Pointer]] = {}
    for pointer, meant in _unknown_fields(manifest, schema):
        if not meant:
            name = tuple("" if isinstance(step, int) else step for step in pointer)
            grouped.setdefault(name, []).append(pointer)
    return list(grouped.values())


def misspelled_fields(manifest: Any, schema: Any) -> Iterator[tuple[Pointer, str]]:
    """Yield each field of a strategy that looks like a misspelled one, with the one that was probably meant."""
    return ((pointer, meant) for pointer, meant in _unknown_fields(manifest, schema) if meant)


def asks_for_routing(manifest: Any) -> bool:
    """Return whether a Rollout asks for traffic to be moved; without it rollway has nothing to do."""
    return _names_routing(manifest) or is_without_router(manifest)


def is_without_router(manifest: Any) -> bool:
    """Return whether a Rollout is blue-green by its Services alone, which select the pods of one release."""
    active = dig(manifest, *_STRATEGY, "blueGreen", "activeService")
    return active is not None and not _names_routing(manifest)


def _names_routing(manifest: Any) -> bool:
    """Return whether a Rollout has traffic routing, also by a misspelled key."""
    strategies = dig(manifest, *_STRATEGY)
    return any(
        value is not None and (key == _ROUTING or bool(_nearest(key, [_ROUTING])))
        for name in ("canary", "blueGreen")
        if isinstance(strategy := dig(strategies, name), dict)
        for key, value in strategy.items()
    )


def _unknown_fields(manifest: Any, schema: Any) -> Iterator[_UnknownField]:
    known = schema["properties"]["spec"]["properties"]["strategy"]
    return _below(dig(manifest, *_STRATEGY), known, _STRATEGY)


def _below(value: Any, schema: Any, path: Pointer) -> Iterator[_UnknownField]:
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _below(item, schema["items"], (*path, index))
    elif isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        for key, item in value.items():
            if key == _ROUTING or item is None:
                continue  # below trafficRouting every unknown key is a fault already
            if key in known:
                yield from _below(item, known[key], (*path, key))
            else:
                # A key is no misspelling of one that stands beside it.
                yield _UnknownField(
                    (*path, key), _nearest(key, [name for name in known if name not in value])
                )


def _nearest(key: Any, known: Iterable[str]) -> str:
    word = str(key)
    possible = [name for name in known if _ratio_at_most(word, name) >= _ALIKE]
    if not possible:
        return ""
    import difflib  # noqa: PLC0415 - most unknown keys are like no known one

    return "".join(difflib.get_close_matches(word, possible, n=1, cutoff=_ALIKE))


@functools.lru_cache(maxsize=4096)
def _ratio_at_most(word: str, name: str) -> float:
    """Return how alike two words are at most, by the letters that both have in any order."""
    common = Counter(word) & Counter(name)
    return 2 * common.total() / (len(word) + len(name))
