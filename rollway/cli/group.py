"""The shape of the command line: verbs that are loaded when they are called, and help in groups.

See click's documentation, "Lazily Loading Subcommands": `rollway --help` and the completion of verbs read the table of
the verbs and import none of them.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from click.shell_completion import CompletionItem

WIDTH = 120
"""The help is as wide as the terminal, and at most this many columns."""

OPTIONS, STORE, OUTPUT = "Options", "Store", "Output"
_LAST = (STORE, OUTPUT)
"""The headings that every verb has stand behind its own."""

DEBUG: dict[str, Any] = {"is_flag": True, "heading": OUTPUT, "help": "Show the traceback of an error."}
"""The settings of `--debug`, which every verb has; `main` looks for it among the words."""


class Verb(NamedTuple):
    """Where a verb is (`module:function`), the heading under which the help lists it, and what it does."""

    place: str
    heading: str
    summary: str


class LazyGroup(click.Group):
    """A group that imports a verb when it is called, and whose own options may stand behind the verb as well.

    The options of the group only pass their values on to the verb, in front of what stands behind it, so that of an
    option that is given twice the one behind counts. A verb that has no such option (`rollway -n shop backends`) has
    no use for it.
    """

    def __init__(self, *args: Any, verbs: Mapping[str, Verb], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click asks with a context
        """Return the verbs, in the order of the table."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a verb."""
        if cmd_name not in self.verbs:
            return None
        module, _, function = self.verbs[cmd_name].place.partition(":")
        command = getattr(import_module(module), function)
        assert isinstance(command, click.Command), "the table names commands"
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, and put the options that stand before it behind it."""
        if args[0] not in self.verbs and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=self.verbs, ctx=ctx)
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, [*(self._passed_on(ctx, command) if command else ()), *rest]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the verb, and keep them for the verb."""
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        ctx.meta[__name__] = given
        return super().parse_args(ctx, args)

    def _passed_on(self, ctx: click.Context, command: click.Command) -> list[str]:
        """Write the options before the verb as words again, as far as the verb has them."""
        known = {parameter.name for parameter in command.params}
        words: list[str] = []
        for option in self.params:
            if not isinstance(option, click.Option) or option.name not in known:
                continue
            value = ctx.meta[__name__].get(option.name)
            if option.is_flag:
                words += [option.opts[-1]] if value else []
            else:
                values: Sequence[str] = value if option.multiple else [value]
                words += [f"{option.opts[-1]}={one}" for one in values or () if isinstance(one, str)]
        return words

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the verbs under their headings, each with its whole summary."""
        for heading in dict.fromkeys(verb.heading for verb in self.verbs.values()):
            rows = [(name, verb.summary) for name, verb in self.verbs.items() if verb.heading == heading]
            with formatter.section(heading):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the verbs without importing them."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell that completes needs it

        verbs = [
            CompletionItem(name, help=verb.summary)
            for name, verb in self.verbs.items()
            if name.startswith(incomplete)
        ]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]


class Option(click.Option):
    """An option with the heading under which the help lists it."""

    def __init__(self, *args: Any, heading: str = OPTIONS, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.heading = heading


class Command(click.Command):
    """A verb: its help has examples, and its options stand in groups.

    Two words are read as people mean them: a bare `--dry-run` is `--dry-run=client`, as kubectl once had it, and `-1`
    is a weight, which is refused with its range, and no option.
    """

    def __init__(self, *args: Any, examples: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = examples
        if not any(parameter.name == "debug" for parameter in self.params):
            self.params.append(Option(["--debug"], expose_value=False, **DEBUG))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give a bare `--dry-run` its value, and move words like `-1` behind `--`."""
        end = args.index("--") if "--" in args else len(args)
        words = [f"{word}=client" if word == "--dry-run" else word for word in args[:end]]
        if end < len(args):
            return super().parse_args(ctx, [*words, *args[end:]])
        negative = [
            index
            for index, word in enumerate(words)
            if re.match(r"-\.?\d", word) and not self._takes_value(words[index - 1] if index else "")
        ]
        rest = [word for index, word in enumerate(words) if index not in negative]
        behind = ["--", *(words[index] for index in negative)] if negative else []
        return super().parse_args(ctx, [*rest, *behind])

    def _takes_value(self, word: str) -> bool:
        """Whether the word behind this one is the value of an option."""
        return any(
            isinstance(parameter, click.Option) and word in parameter.opts and not parameter.is_flag
            for parameter in self.params
        )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the examples, then the options under their headings."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line.strip()}\n")
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):
                own = parameter.heading if isinstance(parameter, Option) else OPTIONS
                common = parameter is self.get_help_option(ctx)
                groups.setdefault(OUTPUT if common else own, []).append(record)
        order = [*(heading for heading in groups if heading not in _LAST), *_LAST]
        for heading in filter(groups.get, order):
            with formatter.section(heading):
                formatter.write_dl(groups[heading])
