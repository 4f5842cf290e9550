"""Run the verbs that change how a release goes on: options in, one call of the library, the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.cli import output as out
from rollway.cli.options import StoreOptions, dry_run_option, name_argument, names_argument
from rollway.cli.parameters import Options, contains
from rollway.cli.release_documents import verb_document
from rollway.cli.stores import open_store
from rollway.releases.acting import carry_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.releases.acting import Aim, Decide
    from rollway.routers.plan import DryRun


class VerbOptions(Options):
    """How something is written, and where."""

    dry_run: DryRun = dry_run_option("Show what would be done and write nothing")
    store: StoreOptions = contains(StoreOptions)


class ReleaseOptions(Options):
    """One Rollout, and how it is written."""

    name: str = name_argument()
    writing: VerbOptions = contains(VerbOptions)


class ReleasesOptions(Options):
    """Some Rollouts, and how they are written."""

    names: tuple[str, ...] = names_argument()
    writing: VerbOptions = contains(VerbOptions)


def run(names: Sequence[str], writing: VerbOptions, output: str, word: str, decide: Decide) -> None:
    """Carry out a verb on each Rollout, and print what was done to it."""
    store, namespace = open_store(writing.store)
    for name in names:
        aim = carry_out(store, name, namespace, decide, writing.dry_run)
        show(word, aim, writing.dry_run, output)


def show(word: str, aim: Aim, dry_run: DryRun, output: str) -> None:
    """Print what a verb did to a Rollout."""
    if output != "text":
        if output == "yaml":
            out.echo("---")
        out.document(verb_document(word, aim, dry_run), output)
        return
    rollout, target = aim.rollout.ref, aim.target.ref
    whose = str(rollout) if target == rollout else f"{target}, the workload of {rollout}"
    nothing = "" if aim.effect.changes else "nothing to do: "
    out.echo(f"{whose}: {nothing}{aim.effect.text}")
    if dry_run:
        checked = ", and the cluster would take it" if dry_run == "server" and aim.effect.changes else ""
        out.echo(f"dry run: nothing was written{checked}")
