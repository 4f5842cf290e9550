"""The arguments and options that commands share, and what they are turned into: a store, a router, limits.

Without `--dir` the store is a cluster: that of the kubeconfig's current context, as for kubectl.
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rollway.cli.duration import DURATION
from rollway.cli.probes import LEVELS, probe_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.shell_completion import CompletionItem

    from rollway.routers.model import Evidence
    from rollway.routers.router import TrafficRouter
    from rollway.routers.stores import Store

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_COMPLETION_TIMEOUT_S = 2.0


class Command(click.Command):
    """Take a bare `--dry-run` for `--dry-run=client`, as kubectl once did."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give the bare option its value."""
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(
            ctx,
            [f"{word}=client" if word == "--dry-run" and at < end else word for at, word in enumerate(args)],
        )


class WeightCommand(Command):
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

    from rollway.routers.errors import RollwayError  # noqa: PLC0415
    from rollway.routers.router import read_rollouts  # noqa: PLC0415

    words = {**ctx.params, "request_timeout": _COMPLETION_TIMEOUT_S}
    words["directory"] = words.get("directory") or os.environ.get("ROLLWAY_DIR")
    try:
        store, namespace = open_store(**{name: words.get(name) for name in _STORE_WORDS})
        names = {found.ref.name for found, _ in read_rollouts(store, namespace)}
    except RollwayError:
        names = set()
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


_STORE_WORDS = ("directory", "namespace", "kubeconfig", "context", "as_user", "as_groups", "request_timeout")


def open_store(
    directory: str | None,
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
    as_user: str | None,
    as_groups: Sequence[str] | None,
    request_timeout: float | None,
) -> tuple[Store, str]:
    """Open the store that the words name; return it and the namespace to look in (empty: any)."""
    if directory:
        given = [
            name
            for name, value in (
                ("--kubeconfig", kubeconfig),
                ("--context", context),
                ("--as", as_user),
                ("--as-group", as_groups),
            )
            if value
        ]
        if given:
            raise click.UsageError(
                f"{', '.join(given)} is for a cluster, and --dir is a directory: give one of them"
            )
        return _directory(directory, namespace), namespace or ""
    from rollway.routers.kube.connection import TIMEOUT_S  # noqa: PLC0415
    from rollway.routers.stores.cluster import ClusterStore  # noqa: PLC0415

    store = ClusterStore.open(
        kubeconfig, context, user=as_user or "", groups=as_groups or (), timeout=request_timeout or TIMEOUT_S
    )
    return store, namespace or store.namespace


def _directory(path: str, namespace: str | None) -> Store:
    from rollway.routers.stores.directory import DirectoryStore  # noqa: PLC0415

    return DirectoryStore(path, namespace or "default")


def store_options(function: _Function) -> _Function:
    """Add the options that choose a store and an output, and open the store."""

    @click.option(
        "--dir",
        "directory",
        type=click.Path(exists=True),
        envvar="ROLLWAY_DIR",
        show_envvar=True,
        help="Directory (or one file) of manifests instead of a cluster.",
    )
    @click.option("--kubeconfig", type=click.Path(), help="Kubeconfig of the cluster (default: KUBECONFIG).")
    @click.option("--context", help="Context of the kubeconfig (default: the current one).")
    @click.option("--as", "as_user", metavar="USER", help="User to impersonate.")
    @click.option(
        "--as-group", "as_groups", metavar="GROUP", multiple=True, help="Group to impersonate (repeatable)."
    )
    @click.option(
        "--request-timeout", type=DURATION, metavar="TIME", help="How long one request may take (15s)."
    )
    @click.option("-n", "--namespace", help="Namespace of the Rollout (default: the context's).")
    @click.option(
        "-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True
    )
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(function)
    def wrapper(*, debug: bool, **words: Any) -> Any:
        if not debug and not words["directory"]:
            import logging  # noqa: PLC0415

            # The HTTP library logs every retry as a warning; what comes of them is what a person wants to read.
            logging.getLogger("urllib3").setLevel(logging.ERROR)
        store, namespace = open_store(**{name: words.pop(name) for name in _STORE_WORDS})
        return function(store=store, namespace=namespace, **words)

    return wrapper  # type: ignore[return-value] # click decorates the signature


def scope_options(function: _Function) -> _Function:
    """Add -A beside the options that choose a store."""

    @click.option("-A", "--all-namespaces", is_flag=True, help="Look in every namespace.")
    @store_options
    @functools.wraps(function)
    def wrapper(namespace: str, *, all_namespaces: bool, **words: Any) -> Any:
        return function(namespace="" if all_namespaces else namespace, **words)

    return wrapper  # type: ignore[return-value] # click decorates the signature


def rollout_options(function: _Function) -> _Function:
    """Add NAME and -f, and read the Rollout into a router."""

    @click.argument("name", shell_complete=complete_name)
    @click.option(
        "-f", "--filename", type=click.Path(exists=True, dir_okay=False), help="File with the Rollout."
    )
    @store_options
    @functools.wraps(function)
    def wrapper(name: str, filename: str | None, store: Store, namespace: str, **words: Any) -> Any:
        from rollway.routers.router import TrafficRouter, known_as, read_rollout  # noqa: PLC0415

        if filename:
            asked = click.get_current_context().params["namespace"] or ""
            rollout = known_as(read_rollout(_directory(filename, namespace), name, asked), store)
        else:
            rollout = read_rollout(store, name, namespace)
        return function(router=TrafficRouter(rollout, store), **words)

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
        from rollway.routers.guards import Limits  # noqa: PLC0415

        limits = Limits(max_step, keep_stable, not no_create, not no_delete, frozenset(allow))
        return function(router=replace(router, limits=limits), **words)

    return wrapper  # type: ignore[return-value] # click decorates the signature


def dry_run_option(function: _Function) -> _Function:
    """Add --dry-run, as kubectl has it."""
    return click.option(
        "--dry-run",
        type=click.Choice(["none", "client", "server"]),
        default="none",
        callback=lambda _ctx, _parameter, word: {"none": False, "client": True}.get(word, word),
        help="Show the plan and write nothing; server: ask the cluster's admission as well.",
    )(function)


def events_option(function: _Function) -> _Function:
    """Add --no-events."""
    return click.option(
        "--events/--no-events",
        default=True,
        help="Write a Kubernetes Event about it (default: yes, in a cluster).",
    )(function)


def wait_option(function: _Function) -> _Function:
    """Add --wait."""
    return click.option(
        "--wait",
        type=DURATION,
        default=0,
        metavar="TIME",
        help="Wait this long for destinations that are not ready, instead of refusing at once.",
    )(function)


def timeout_option(function: _Function) -> _Function:
    """Add --timeout."""
    return click.option(
        "--timeout",
        type=DURATION,
        metavar="TIME",
        default=30,
        help="How long the data plane may take to show the evidence (default: 30s).",
    )(function)


def on_failure_option(function: _Function) -> _Function:
    """Add --on-failure."""
    return click.option(
        "--on-failure",
        type=click.Choice(["stop", "back"]),
        default="stop",
        show_default=True,
        help="When the evidence is not reached in time: stop there, or send all traffic back to stable.",
    )(function)


def level_option(function: _Function) -> _Function:
    """Add --verify."""
    return click.option(
        "--verify", type=click.Choice(LEVELS), help="Evidence to reach (default: the highest there is)."
    )(function)


def write_options(function: _Function) -> _Function:
    """Add what the writing verbs share."""
    for decorate in (
        dry_run_option,
        click.option(
            "--expect",
            metavar="FINGERPRINT",
            default="",
            help="Refuse unless the plan is still the reviewed one.",
        ),
        click.option("--adopt", is_flag=True, help="Take over an object that belongs to somebody else."),
        wait_option,
        events_option,
        level_option,
        timeout_option,
        on_failure_option,
        probe_options,
    ):
        function = decorate(function)
    return function


def evidence_level(word: str | None) -> Evidence | None:
    """Read a level of evidence; None stays None, which means the highest there is."""
    from rollway.routers.model import Evidence  # noqa: PLC0415

    return Evidence[word.upper()] if word else None
