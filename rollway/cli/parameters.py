"""Options as typed values: an attribute of a class is declared together with what fills it on the command line."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, dataclass_transform

import click

from rollway.cli.group import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Function = TypeVar("_Function", bound="Callable[..., Any]")


@dataclass_transform(kw_only_default=True)
class Options:
    """Values of the command line that belong together.

    It is no dataclass, because making a dozen of those costs two milliseconds at every start.
    """

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class _Declared(NamedTuple):
    """An attribute that one option or argument fills."""

    kind: type[click.Parameter]
    spellings: tuple[str, ...]
    settings: dict[str, Any]

    def parameters(self, name: str, **settings: Any) -> list[click.Parameter]:
        """Make the parameter that fills the attribute of this name."""
        return [self.kind([name, *self.spellings], **{**self.settings, **settings})]

    def value(self, name: str, words: dict[str, Any]) -> Any:
        """Take its value from the words of a command."""
        return words.pop(name)


class _Contained(NamedTuple):
    """An attribute that holds the options of another class."""

    options: type[Options]

    def parameters(self, _name: str, **settings: Any) -> list[click.Parameter]:
        """Make the parameters of that class."""
        return parameters_of(self.options, **settings)

    def value(self, _name: str, words: dict[str, Any]) -> Any:
        """Take the values of that class from the words of a command."""
        return _build(self.options, words)


class _Collected(NamedTuple):
    """An attribute that holds the values of several options by their names."""

    declared: Mapping[str, _Declared]

    def parameters(self, _name: str, **settings: Any) -> list[click.Parameter]:
        """Make the parameters of all of them."""
        return [
            one for name, each in self.declared.items() for one in each.parameters(_word(name), **settings)
        ]

    def value(self, _name: str, words: dict[str, Any]) -> Any:
        """Take their values from the words of a command."""
        return {name: words.pop(_word(name)) for name in self.declared}


_Declaration: TypeAlias = _Declared | _Contained | _Collected


def option(*spellings: str, heading: str, **settings: Any) -> Any:
    """Declare an attribute that an option fills; `settings` are those of `click.Option`."""
    return _Declared(Option, spellings, {"heading": heading, **settings})


def argument(**settings: Any) -> Any:
    """Declare an attribute that an argument fills; `settings` are those of `click.Argument`."""
    return _Declared(click.Argument, (), settings)


def contains(values: type[Options]) -> Any:
    """Declare an attribute that holds the options of another class."""
    return _Contained(values)


def collects(declared: Mapping[str, Any]) -> Any:
    """Declare an attribute that holds the values of several options by the names that they have here (`nginx-status`)."""
    return _Collected(declared)


def options(**classes: type[Options]) -> Callable[[_Function], _Function]:
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


def parameters_of(values: type[Options], **settings: Any) -> list[click.Parameter]:
    """Make the parameters that fill a class, with other `settings` than the declared ones where they are given."""
    return [
        parameter
        for name, each in _declarations(values).items()
        for parameter in each.parameters(name, **settings)
    ]


def _word(name: str) -> str:
    """Return what an option is called among a command's words."""
    return name.replace("-", "_")


def passed_on(values: type[Options]) -> list[click.Parameter]:
    """Make the parameters of a class for the group, which takes them as words and leaves their meaning to the verb."""
    return parameters_of(values, type=str, envvar=None, expose_value=False, callback=None)


def _build(values: type[Options], words: dict[str, Any]) -> Options:
    return values(**{name: each.value(name, words) for name, each in _declarations(values).items()})


def _declarations(values: type[Options]) -> dict[str, _Declaration]:
    """Return what a class declares, behind what the classes that it derives from do."""
    return {
        name: each
        for part in reversed(values.__mro__)
        for name, each in vars(part).items()
        if isinstance(each, _Declared | _Contained | _Collected)
    }
