"""`set-weight` on a Rollout of rollway's controller: the controller holds the weight, and lets it go again."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from rollway.cli import answers, documents
from rollway.cli import output as out
from rollway.cli.evidence import evidence_level, with_probes
from rollway.cli.progress import Waiting
from rollway.cli.releasing import show
from rollway.cli.stores import open_store
from rollway.releases.acting import carry_out, needs_controller, on_rollout
from rollway.releases.held_traffic import set_held_weight
from rollway.releases.holding import release_weight
from rollway.routers.errors import RollwayError
from rollway.routers.events import Recorder
from rollway.routers.held_weight import LONGEST_WORD
from rollway.routers.model import INSTANCE_ID, Strategy
from rollway.routers.stores import FileStore

if TYPE_CHECKING:
    from rollway.cli.options import GuardOptions
    from rollway.cli.writing import WritingOptions
    from rollway.routers.router import TrafficRouter
    from rollway.routers.stores import Store

_OF_RELEASE = frozenset({"name", "release", "dry_run", "output", "debug"})
_OF_STORE = frozenset(
    {"namespace", "directory", "kubeconfig", "context", "as_user", "as_groups", "request_timeout"}
)


def is_for_controller(router: TrafficRouter, guards: GuardOptions, *, hold: bool = False) -> bool:
    """Return whether a weight goes to rollway's controller: by the label of the Rollout, or because `hold` asks for it.

    A weight in files, and one that is allowed beside the controller, goes into the objects.
    """
    allowed = "controller-in-charge" in guards.allow
    if hold and allowed:
        raise click.UsageError(
            "--hold asks the controller, and --allow controller-in-charge passes it by: give one"
        )
    if hold:
        needs_controller(router.store, "--hold")
        return True
    managed = router.rollout.instance_id == INSTANCE_ID
    return managed and not allowed and not isinstance(router.store, FileStore)


def hold_weight(router: TrafficRouter, options: WritingOptions, output: str, weight: str) -> None:
    """Let the controller hold a weight, and report it as if it had been written here."""
    change, evidence = options.change, options.evidence
    if change.adopt:
        raise click.UsageError(
            "--adopt: the controller takes over no object; run `rollway reset` or remove its label first"
        )
    router = with_probes(router, evidence.probes, evidence.verify, dry_run=bool(change.dry_run))
    record = Recorder(router, enabled=change.events and not change.dry_run, note=out.note)
    wanted = router.rollout.split(weight) if router.rollout.strategy is Strategy.CANARY else None
    with record.failures(wanted), Waiting() as waiting:
        held = set_held_weight(
            router,
            weight,
            _caller(router.store),
            expect=options.expect,
            dry_run=change.dry_run,
            verify=evidence_level(evidence.verify),
            timeout=evidence.timeout,
            on_failure=evidence.on_failure,
            wait=evidence.wait,
            waiting=waiting,
        )
    record.written(held.result)
    if output != "text":
        out.document(documents.result_document(held.result, held.weight), output)
        return
    answers.result(held.result)
    if held.weight:
        out.echo(
            f"  held by {held.weight.by} until promote, abort, another update or `rollway set-weight {router.rollout.name} --release`"
        )
    elif change.dry_run:
        out.echo("  the controller would hold it")
    out.findings(held.result.findings)


def _caller(store: Store) -> str:
    """Return who holds a weight: the name that the API server knows, else that of the user of this machine."""
    from rollway.routers.stores.cluster import ClusterStore  # noqa: PLC0415 - files do not need it

    name = ""
    if isinstance(store, ClusterStore):
        try:
            name = store.user_name()
        except RollwayError as error:
            out.note(f"the API server does not say who you are: {error.message}")
    if not name:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):  # no such user, as in many containers
            name = "unknown"
    return "".join(filter(str.isprintable, name))[:LONGEST_WORD] or "unknown"


def let_go(options: WritingOptions, output: str) -> None:
    """Let the weight go that is held."""
    _refuse_others()
    target = options.target
    store, namespace = open_store(target.store)
    needs_controller(store, "--release")
    aim = carry_out(store, target.name, namespace, on_rollout(release_weight), options.change.dry_run)
    show("set-weight", aim, options.change.dry_run, output)


def _refuse_others() -> None:
    """Refuse the options that are about a weight: beside --release they would do nothing."""
    context = click.get_current_context()
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in _OF_RELEASE | _OF_STORE
        and context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)} is for a WEIGHT, and --release lets one go")
