"""The arguments and options that commands share, and what they are turned into: a store, a router, limits."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from routers.model import Evidence
    from routers.router import TrafficRouter
    from routers.stores.directory import DirectoryStore

_Function = TypeVar("_Function", bound="Callable[..., Any]")

LEVELS = ("written", "accepted", "loaded", "measured")
_NO_STORE = "give --dir PATH: a directory (or one file) of manifests. Clusters come with the next version"


class WeightCommand(click.Command):
    """Take `-1` for a weight, which then is refused with its range, and not for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move words like `-1` behind `--`."""
        negative = [word for word in args if re.match(r"-\.?\d", word)]
        if negative and "--" not in args:
            args = [*(word for word in args if word not in negative), "--", *negative]
        return super().parse_args(ctx, args)


def complete_name(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the names of the Rollouts in the store."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    from routers.errors import RollwayError  # noqa: PLC0415
    from routers.router import read_routes  # noqa: PLC0415

    path = ctx.params.get("directory") or os.environ.get("ROLLWAY_DIR")
    try:
        names = (
            {found.ref.name for found, _ in read_routes(_open(path or "", ctx.params.get("namespace")))}
            if path
            else set()
        )
    except RollwayError:
        names = set()
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def _open(directory: str, namespace: str | None) -> DirectoryStore:
    from routers.stores.directory import DirectoryStore  # noqa: PLC0415

    return DirectoryStore(directory, namespace or "default")


def store_options(function: _Function) -> _Function:
    """Add the options that choose a store and an output, and open the store."""

    @click.option(
        "--dir",
        "directory",
        type=click.Path(exists=True),
        envvar="ROLLWAY_DIR",
        show_envvar=True,
        help="Directory (or one file) of manifests.",
    )
    @click.option("-n", "--namespace", help="Namespace of the Rollout, and of manifests that name none.")
    @click.option(
        "-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True
    )
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(function)
    def wrapper(directory: str | None, namespace: str | None, *, debug: bool, **words: Any) -> Any:  # noqa: ARG001 - main reads debug
        if directory is None:
            raise click.UsageError(_NO_STORE)
        return function(store=_open(directory, namespace), namespace=namespace or "", **words)

    return wrapper  # type: ignore[return-value] # click decorates the signature


def rollout_options(function: _Function) -> _Function:
    """Add NAME and -f, and read the Rollout into a router."""

    @click.argument("name", shell_complete=complete_name)
    @click.option(
        "-f", "--filename", type=click.Path(exists=True, dir_okay=False), help="File with the Rollout."
    )
    @store_options
    @functools.wraps(function)
    def wrapper(name: str, filename: str | None, store: DirectoryStore, namespace: str, **words: Any) -> Any:
        from routers.router import TrafficRouter, read_route  # noqa: PLC0415

        source = _open(filename, namespace) if filename else store
        return function(router=TrafficRouter(read_route(source, name, namespace), store), **words)

    return wrapper  # type: ignore[return-value] # click decorates the signature


def limit_options(function: _Function) -> _Function:
    """Add the guards, and give the router their limits."""

    @click.option("--max-step", metavar="WEIGHT", help="Refuse a larger change of the canary's weight.")
    @click.option("--keep-stable", is_flag=True, help="Refuse to leave stable without traffic.")
    @click.option("--no-create", is_flag=True, help="Refuse to create objects.")
    @click.option("--no-delete", is_flag=True, help="Refuse to delete objects.")
    @click.option(
        "--allow", metavar="CODE", multiple=True, help="Tell a refusal with this code as a note (repeatable)."
    )
    @functools.wraps(function)
    def wrapper(
        router: TrafficRouter,
        max_step: str | None,
        keep_stable: bool,
        no_create: bool,
        no_delete: bool,
        allow: tuple[str, ...],
        **words: Any,
    ) -> Any:
        from routers.guards import Limits  # noqa: PLC0415

        limits = Limits(max_step, keep_stable, not no_create, not no_delete, frozenset(allow))
        return function(router=replace(router, limits=limits), **words)

    return wrapper  # type: ignore[return-value] # click decorates the signature


def write_options(function: _Function) -> _Function:
    """Add what the writing verbs share."""
    for decorate in (
        click.option("--dry-run", is_flag=True, help="Show the plan and write nothing."),
        click.option(
            "--expect",
            metavar="FINGERPRINT",
            default="",
            help="Refuse unless the plan is still the reviewed one.",
        ),
        click.option("--adopt", is_flag=True, help="Take over an object that belongs to somebody else."),
        click.option(
            "--verify", type=click.Choice(LEVELS), help="Evidence to reach (default: the highest there is)."
        ),
    ):
        function = decorate(function)
    return function


def evidence_level(word: str | None) -> Evidence | None:
    """Read a level of evidence; None stays None, which means the highest there is."""
    from routers.model import Evidence  # noqa: PLC0415

    return Evidence[word.upper()] if word else None
