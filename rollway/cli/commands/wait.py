"""`rollway wait`: until a release is where it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import StoreOptions, name_argument, output_option
from rollway.cli.parameters import Options, contains, options
from rollway.cli.release_documents import release_document
from rollway.cli.stores import open_store
from rollway.cli.values import DURATION
from rollway.releases.acting import needs_controller
from rollway.releases.goals import GOALS, goal_of
from rollway.releases.phase import phase_of
from rollway.releases.position import position_of
from rollway.routers.errors import DegradedError, NotReachedError
from rollway.routers.lookup import find_rollout

if TYPE_CHECKING:
    from rollway.releases.goals import Goal
    from rollway.routers.objects import LiveObject


class _Options(Options):
    """One Rollout of a cluster."""

    name: str = name_argument()
    store: StoreOptions = contains(StoreOptions)


@click.command(
    cls=Command,
    examples="""
    rollway wait shop                                 # until it is Healthy; exit code 1 when it is Degraded
    rollway wait shop --for paused --timeout 10m
    rollway wait shop --for step=2 --timeout 10m      # until two steps are done
    """,
)
@options(target=_Options)
@click.option(
    "--for",
    "word",
    default="healthy",
    show_default=True,
    metavar="PHASE|step=N",
    shell_complete=lambda _ctx, _parameter, start: [each for each in GOALS if each.startswith(start)],
    help="What to wait for: healthy, paused, degraded, progressing, or step=N.",
)
@click.option("-t", "--timeout", type=DURATION, metavar="TIME", help="How long (default: without an end).")
@output_option()
def wait(target: _Options, *, word: str, timeout: float | None, output: str) -> None:
    """Wait until a Rollout is Healthy, Paused or at a step, and print each change on the way. Exit code 5: not in time."""
    goal = goal_of(word)
    store, namespace = open_store(target.store)
    needs_controller(store, "wait")
    namespace = find_rollout(store, target.name, namespace).ref.namespace
    from rollway.cli.watching import looks  # noqa: PLC0415 - other verbs do not watch

    cluster: Any = store
    shown, item = "", None
    for item in looks(
        cluster, namespace, lambda watching: find_rollout(watching, target.name, namespace), timeout
    ):
        line = _line(item)
        if output == "text" and line != shown:
            out.echo(line)
            out.finish()
        shown = line
        if _is_over(item, goal):
            if output != "text":
                out.document(release_document(item.manifest), output)
            return
    where = phase_of(item.manifest) if item else "unknown, because the API server did not answer"
    raise NotReachedError(f"Rollout {namespace}/{target.name} did not reach {goal} in time; it is {where}")


def _is_over(item: LiveObject, goal: Goal) -> bool:
    phase = phase_of(item.manifest)
    if goal.is_reached(item.manifest):
        return True
    if goal.is_out_of_reach(phase):
        raise DegradedError(f"{item.ref} is {phase}", ref=item.ref)
    return False


def _line(item: LiveObject) -> str:
    position = position_of(item.manifest)
    step = f" (step {position})" if position else ""
    return f"{item.ref}: {phase_of(item.manifest)}{step}"
