"""From options to the store and to the router of one Rollout."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING

import click

from rollway.cli.options import StoreOptions
from rollway.routers.errors import NotFoundError, RollwayError
from rollway.routers.guards import Limits
from rollway.routers.lookup import known_as, read_rollout, read_rollouts
from rollway.routers.roles import known_roles
from rollway.routers.router import TrafficRouter
from rollway.routers.weights import parse_weight

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from rollway.cli.options import GuardOptions, RolloutOptions, ScopeOptions
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest
    from rollway.routers.stores import Store
    from rollway.routers.stores.cluster import ClusterStore

_COMPLETION_TIMEOUT_S = 2.0


def open_store(options: StoreOptions, filename: str | None = None) -> tuple[Store, str]:
    """Open the store that the options name; return it and the namespace to look in (empty: any).

    Where an object stands in several files of a directory, the one in `filename`, or near it, counts.
    """
    if options.directory:
        _refuse_cluster_options(options)
        if options.directory == filename == "-":
            raise click.UsageError("--dir and -f both name standard input: give it to one of them")
        return open_directory(options.directory, options.namespace, filename), options.namespace or ""
    store = open_cluster(options)
    return store, options.namespace or store.namespace


def open_cluster(options: StoreOptions) -> ClusterStore:
    """Open the cluster that the options name: the kubeconfig's current context, unless they name another."""
    if not options.debug:
        import logging  # noqa: PLC0415 - 2 ms that files do not need

        # The HTTP library logs every retry as a warning; what comes of them is what a person wants to read.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
    from rollway.routers.kube.connection import TIMEOUT_S  # noqa: PLC0415 - 100 ms that files do not need
    from rollway.routers.stores.cluster import ClusterStore  # noqa: PLC0415

    return ClusterStore.open(
        options.kubeconfig,
        options.context,
        user=options.as_user or "",
        groups=options.as_groups,
        timeout=options.request_timeout or TIMEOUT_S,
    )


def _refuse_cluster_options(options: StoreOptions) -> None:
    given = [
        spelling
        for spelling, value in (
            ("--kubeconfig", options.kubeconfig),
            ("--context", options.context),
            ("--as", options.as_user),
            ("--as-group", options.as_groups),
        )
        if value
    ]
    if given:
        raise click.UsageError(
            f"{', '.join(given)} is for a cluster, and --dir is a directory: give one of them"
        )


def open_directory(path: str, namespace: str | None, prefer: str | None = None, within: str = "") -> Store:
    """Open a directory, or one file, of manifests, or those of standard input (`-`).

    `prefer` and `within` are those of `DirectoryStore`.
    """
    from rollway.routers.stores.directory import DirectoryStore  # noqa: PLC0415 - a cluster does not need it

    if path == "-":
        from rollway.routers.stores.stream import StreamStore  # noqa: PLC0415

        return StreamStore(_standard_input(), namespace or "default")
    named = "" if prefer in (None, "-") else str(prefer)
    return DirectoryStore(path, namespace or "default", prefer=named, within=within)


@functools.cache
def _standard_input() -> bytes:
    """Return what stands in the standard input, which can be read once."""
    return sys.stdin.buffer.read()


def open_router(options: RolloutOptions, guards: GuardOptions | None = None) -> TrafficRouter:
    """Read the Rollout that the options name, and return the router that moves its traffic."""
    store, namespace = open_store(options.store, options.filename)
    if options.filename:
        rollout = _read_file(options.filename, options.name, options.store, store)
    else:
        rollout = read_rollout(store, options.name, namespace)
    rollout = known_roles(rollout, store, options.roles.stable or "", options.roles.canary or "")
    return TrafficRouter(rollout, store, _limits(guards, rollout) if guards else Limits())


def read_manifest(options: RolloutOptions, router: TrafficRouter) -> Manifest:
    """Return the manifest of the Rollout that the options name, from where the router's was read."""
    store = router.store
    if options.filename:
        store = _open_file(options.filename, options.store)
    rollout = router.rollout
    item, _ = read_rollouts(store, rollout.namespace, rollout.name)[0]
    return item.manifest


def read_named(options: ScopeOptions, store: Store, namespace: str) -> Rollout | None:
    """Read the one Rollout that the options name; None when they mean all."""
    if options.filename:
        return _read_file(options.filename, options.name or "", options.store, store)
    return read_rollout(store, options.name, namespace) if options.name else None


def _read_file(path: str, name: str, options: StoreOptions, store: Store) -> Rollout:
    """Read a Rollout from a file; without a name, the only one that the file holds."""
    file = _open_file(path, options)
    if not name:
        names = [item.ref.name for item, _ in read_rollouts(file, options.namespace or "")]
        if len(names) > 1:
            raise click.UsageError(f"{path} holds the Rollouts {', '.join(names)}: give the NAME of one")
        name = names[0] if names else ""
    if not name:
        raise NotFoundError(f"{path} holds no Rollout")
    return known_as(read_rollout(file, name, options.namespace or ""), store)


def open_file(path: str | None, options: StoreOptions) -> Store | None:
    """Open the file that holds the Rollout; None where it comes from the store."""
    return _open_file(path, options) if path else None


def _open_file(path: str, options: StoreOptions) -> Store:
    within = "" if options.directory in (None, "-") else str(options.directory)
    return open_directory(path, options.namespace, within=within)


def _limits(guards: GuardOptions, rollout: Rollout) -> Limits:
    if guards.max_step is not None:
        # A limit that cannot be read is an error also where nothing has to change.
        parse_weight(guards.max_step, rollout.total)
    if guards.allow:
        from rollway.routers.finding_codes import refuse_unknown  # noqa: PLC0415 - it loads every backend

        refuse_unknown(guards.allow)
    return Limits(
        guards.max_step,
        guards.keep_stable,
        not guards.no_create,
        not guards.no_delete,
        frozenset(guards.allow),
    )


def complete_name(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Offer the names of the Rollouts in the store that the words so far name."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell that completes needs it

    words = ctx.params
    options = StoreOptions(
        namespace=words.get("namespace"),
        directory=words.get("directory") or os.environ.get("ROLLWAY_DIR"),
        kubeconfig=words.get("kubeconfig"),
        context=words.get("context"),
        as_user=words.get("as_user"),
        as_groups=words.get("as_groups") or (),
        request_timeout=_COMPLETION_TIMEOUT_S,
        debug=False,
    )
    try:
        store, namespace = open_store(options)
        names = {item.ref.name for item, _ in read_rollouts(store, namespace)}
    except RollwayError:
        return []
    kind, slash, start = incomplete.rpartition("/")
    return [CompletionItem(f"{kind}{slash}{name}") for name in sorted(names) if name.startswith(start)]
