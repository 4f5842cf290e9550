"""Options as typed values: a field of a frozen dataclass is declared together with its option on the command line."""

from __future__ import annotations

import functools
from dataclasses import Field, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from rollway.cli.group import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Function = TypeVar("_Function", bound="Callable[..., Any]")


class _Declared(NamedTuple):
    """How a field stands on the command line."""

    kind: type[click.Parameter]
    spellings: tuple[str, ...]
    settings: dict[str, Any]

    def parameter(self, name: str, **settings: Any) -> click.Parameter:
        """Make the parameter that fills the field."""
        return self.kind([name, *self.spellings], **{**self.settings, **settings})


def option(*spellings: str, heading: str, **settings: Any) -> Any:
    """Declare a field that an option fills; `settings` are those of `click.Option`."""
    return field(metadata={"declared": _Declared(Option, spellings, {"heading": heading, **settings})})


def argument(**settings: Any) -> Any:
    """Declare a field that an argument fills; `settings` are those of `click.Argument`."""
    return field(metadata={"declared": _Declared(click.Argument, (), settings)})


def contains(values: type) -> Any:
    """Declare a field that holds the options of another class."""
    return field(metadata={"contains": values})


def collects(declared: Mapping[str, Any]) -> Any:
    """Declare a field that holds the values of several options by the names that they have here (`nginx-status`)."""
    return field(metadata={"collects": {name: each.metadata["declared"] for name, each in declared.items()}})


def options(**classes: type) -> Callable[[_Function], _Function]:
    """Give a verb the options of some classes; it is called with one value of each, by its keyword."""

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def verb(**words: Any) -> Any:
            given = {keyword: _build(values, words) for keyword, values in classes.items()}
            return function(**given, **words)

        # As with click's own decorators, the one that stands last comes last in the help.
        parameters = [parameter for values in classes.values() for parameter in parameters_of(values)]
        verb.__dict__.setdefault("__click_params__", []).extend(reversed(parameters))
        return verb  # type: ignore[return-value] # the command calls it with words

    return decorate


def parameters_of(values: type, **settings: Any) -> list[click.Parameter]:
    """Make the parameters that fill a class, with other `settings` than the declared ones where they are given."""
    parameters: list[click.Parameter] = []
    for each in fields(values):
        if "contains" in each.metadata:
            parameters += parameters_of(each.metadata["contains"])
        elif "collects" in each.metadata:
            declared = each.metadata["collects"]
            parameters += [one.parameter(_word(name), **settings) for name, one in declared.items()]
        else:
            parameters.append(each.metadata["declared"].parameter(each.name, **settings))
    return parameters


def _word(name: str) -> str:
    """Return what an option is called among a command's words."""
    return name.replace("-", "_")


def passed_on(values: type) -> list[click.Parameter]:
    """Make the parameters of a class for the group, which takes them as words and leaves their meaning to the verb."""
    return parameters_of(values, type=str, envvar=None, expose_value=False, callback=None)


def _build(values: type, words: dict[str, Any]) -> Any:
    def of(each: Field[Any]) -> Any:
        if "contains" in each.metadata:
            return _build(each.metadata["contains"], words)
        if "collects" in each.metadata:
            return {name: words.pop(_word(name)) for name in each.metadata["collects"]}
        return words.pop(each.name)

    return values(**{each.name: of(each) for each in fields(values)})
