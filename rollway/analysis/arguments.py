"""Arguments of templates: merged, and put in the place of `{{args.name}}`. Pure.

Source: Argo Rollouts, `utils/analysis/helpers.go` (merging) and `utils/template/template.go` (placeholders).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rollway.analysis.spec import Argument
    from rollway.routers.objects import Pointer

_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
REDACTED = "*****"


def merged(given: Iterable[Argument], declared: Sequence[Argument]) -> tuple[Argument, ...]:
    """Return the declared arguments with the values that are given; one that is not declared is left out."""
    values = {argument.name: argument for argument in given if argument.resolved}
    return tuple(values.get(argument.name, argument) for argument in declared)


def combined(arguments: Iterable[Argument]) -> tuple[tuple[Argument, ...], list[str]]:
    """Return the arguments of several templates, each name once, and what contradicts: two values for one name."""
    known: dict[str, Argument] = {}
    faults = []
    for argument in arguments:
        before = known.setdefault(argument.name, argument)
        if before.value is None:
            known[argument.name] = argument
        elif argument.value not in (None, before.value):
            faults.append(f"argument {argument.name} has two values, {before.value!r} and {argument.value!r}")
    return tuple(known.values()), faults


def substituted(value: Any, values: Mapping[str, str], unknown: Callable[[str], str]) -> Any:
    """Return a manifest with the values of its arguments; `unknown` gives the text for any other placeholder."""

    def replaced(match: re.Match[str]) -> str:
        name = match[1].strip()
        key = name.removeprefix("args.")
        return values[key] if name.startswith("args.") and key in values else unknown(name)

    if isinstance(value, str):
        return _PLACEHOLDER.sub(replaced, value)
    if isinstance(value, dict):
        return {
            substituted(key, values, unknown): substituted(item, values, unknown)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [substituted(item, values, unknown) for item in value]
    return value


def placeholders(value: Any, path: Pointer = ()) -> Iterator[tuple[Pointer, str]]:
    """Yield each placeholder of a manifest with its place: `args.name`."""
    if isinstance(value, str):
        yield from ((path, match[1].strip()) for match in _PLACEHOLDER.finditer(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from placeholders(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from placeholders(item, (*path, index))


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return a text in which no secret value shows, also not as a URL or JSON writes it."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for form in _forms(secret):
            text = text.replace(form, REDACTED)
    return text


def _forms(secret: str) -> Iterator[str]:
    import base64  # noqa: PLC0415 - few runs have secrets
    import json  # noqa: PLC0415
    from urllib.parse import quote, quote_plus  # noqa: PLC0415

    forms = (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        base64.b64encode(secret.encode()).decode(),
    )
    yield from dict.fromkeys(forms)
