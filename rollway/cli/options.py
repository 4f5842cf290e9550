"""What most verbs are given. Options that belong together are one typed value, and stand together in the help.

The group reads this module at every start, so it imports nothing that only some calls need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from rollway.cli.group import DEBUG, OUTPUT, STORE, Option
from rollway.cli.parameters import Options, argument, contains, option
from rollway.cli.values import DURATION, ROLLOUT_NAME, without_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from rollway.routers.plan import DryRun

_Function = TypeVar("_Function", bound="Callable[..., Any]")

ROLLOUT, GUARDS, WRITING = "Rollout", "Guards", "Writing"


def _complete_name(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from rollway.cli.stores import complete_name  # noqa: PLC0415 - only a shell that completes a name needs it

    return complete_name(ctx, incomplete)


class StoreOptions(Options):
    """A cluster, as for kubectl, or a directory of manifests. These options may stand before the verb as well."""

    namespace: str | None = option(
        "-n", "--namespace", heading=STORE, help="Namespace of the Rollout (default: the context's)."
    )
    directory: str | None = option(
        "--dir",
        heading=STORE,
        type=click.Path(),
        envvar="ROLLWAY_DIR",
        show_envvar=True,
        metavar="PATH",
        help="Directory (or one file) of manifests instead of a cluster; - reads them from standard input.",
    )
    kubeconfig: str | None = option(
        "--kubeconfig",
        heading=STORE,
        type=click.Path(),
        help="Kubeconfig of the cluster (default: KUBECONFIG).",
    )
    context: str | None = option(
        "--context",
        heading=STORE,
        metavar="NAME",
        help="Context of the kubeconfig (default: the current one).",
    )
    as_user: str | None = option("--as", heading=STORE, metavar="USER", help="User to impersonate.")
    as_groups: tuple[str, ...] = option(
        "--as-group", heading=STORE, metavar="GROUP", multiple=True, help="Group to impersonate (repeatable)."
    )
    request_timeout: float | None = option(
        "--request-timeout",
        heading=STORE,
        type=DURATION,
        metavar="TIME",
        help="How long one request may take (15s).",
    )
    debug: bool = option("--debug", **DEBUG)


def name_argument(*, required: bool = True) -> Any:
    """Declare NAME, the name of a Rollout."""
    return argument(type=ROLLOUT_NAME, required=required, shell_complete=_complete_name)


def names_argument() -> Any:
    """Declare NAME..., the names of Rollouts; as for kubectl, the word `rollout` may stand before them."""
    return argument(
        type=ROLLOUT_NAME,
        nargs=-1,
        required=True,
        metavar="NAME...",
        callback=lambda _ctx, _parameter, names: without_kind(names),
        shell_complete=_complete_name,
    )


def filename_option() -> Any:
    """Declare `-f`, the file that holds the Rollout."""
    return option(
        "-f",
        "--filename",
        heading=ROLLOUT,
        type=click.Path(),
        metavar="FILE",
        help="File with the Rollout; - reads it from standard input.",
    )


class RoleOptions(Options):
    """Who plays which role."""

    stable: str | None = option(
        "--stable",
        heading=ROLLOUT,
        metavar="ping|pong|HASH",
        help="What is stable now, where status and objects do not show it: a Service of pingPong, or the pod-template hash "
        "of a blue-green Rollout without trafficRouting.",
    )
    canary: str | None = option(
        "--canary",
        heading=ROLLOUT,
        metavar="HASH",
        help="The pod-template hash that is the canary, for a blue-green Rollout without trafficRouting; its "
        "previewService is led to it as well.",
    )


class ScopeOptions(Options):
    """One Rollout, or all of a namespace or a store."""

    name: str | None = name_argument(required=False)
    filename: str | None = filename_option()
    all_namespaces: bool = option(
        "-A", "--all-namespaces", heading=ROLLOUT, is_flag=True, help="Look in every namespace."
    )
    store: StoreOptions = contains(StoreOptions)


class RolloutOptions(Options):
    """One Rollout, from the store or from a file."""

    name: str = name_argument()
    filename: str | None = filename_option()
    roles: RoleOptions = contains(RoleOptions)
    store: StoreOptions = contains(StoreOptions)


class GuardOptions(Options):
    """What a plan may do."""

    max_step: str | None = option(
        "--max-step", heading=GUARDS, metavar="WEIGHT", help="Refuse a larger change of the canary's weight."
    )
    keep_stable: bool = option(
        "--keep-stable", heading=GUARDS, is_flag=True, help="Refuse to leave stable without traffic."
    )
    no_create: bool = option("--no-create", heading=GUARDS, is_flag=True, help="Refuse to create objects.")
    no_delete: bool = option("--no-delete", heading=GUARDS, is_flag=True, help="Refuse to delete objects.")
    allow: tuple[str, ...] = option(
        "--allow",
        heading=GUARDS,
        metavar="CODE",
        multiple=True,
        help="Show a refusal with this code as a note (repeatable).",
    )


def _dry_run(_ctx: click.Context, _parameter: click.Parameter, word: str) -> DryRun:
    modes: dict[str, DryRun] = {"none": False, "client": True, "server": "server"}
    return modes[word]


def adopt_option() -> Any:
    """Declare `--adopt`."""
    return option(
        "--adopt", heading=WRITING, is_flag=True, help="Take over an object that belongs to somebody else."
    )


def dry_run_option(effect: str) -> Any:
    """Declare `--dry-run`, which has this effect."""
    return option(
        "--dry-run",
        heading=WRITING,
        type=click.Choice(["none", "client", "server"]),
        default="none",
        callback=_dry_run,
        help=f"{effect}; server: ask the cluster's admission as well.",
    )


def events_option() -> Any:
    """Declare `--no-events`."""
    return option(
        "--events/--no-events",
        heading=WRITING,
        default=True,
        help="Write a Kubernetes Event about it (default: yes, in a cluster).",
    )


class ChangeOptions(Options):
    """How objects are written and deleted."""

    adopt: bool = adopt_option()
    dry_run: DryRun = dry_run_option("Show the plan and write nothing")
    events: bool = events_option()


def output_option(*forms: str) -> Callable[[_Function], _Function]:
    """Add `-o`: text, JSON and YAML, and the `forms` that only some verbs have."""
    return click.option(
        "-o",
        "--output",
        cls=Option,
        heading=OUTPUT,
        type=click.Choice(["text", *forms, "json", "yaml"]),
        default="text",
        show_default=True,
        help="Form of the answer.",
    )


def headers_option(function: _Function) -> _Function:
    """Add `--no-headers`, as kubectl has it."""
    return click.option(
        "--no-headers",
        "header_line",
        cls=Option,
        heading=OUTPUT,
        flag_value=False,
        default=True,
        help="Print tables without their header line.",
    )(function)
