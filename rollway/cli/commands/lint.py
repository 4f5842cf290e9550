"""`rollway lint`: every fault of the manifests, and what the data planes would do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rollway.analysis.lookup import TEMPLATES, has_analyses, objects, read_live
from rollway.analysis.spec import RUN
from rollway.cli import output as out
from rollway.cli import report
from rollway.cli.group import Command
from rollway.cli.options import ScopeOptions, output_option
from rollway.cli.parameters import options
from rollway.cli.stores import open_file, open_store
from rollway.routers import linting
from rollway.routers.errors import ForbiddenError
from rollway.routers.model import ROLLOUT_KIND
from rollway.routers.stores import FileStore

if TYPE_CHECKING:
    from rollway.routers.stores import Store


@click.command(
    cls=Command,
    examples="""
    rollway lint --dir k8s/                           # every Rollout of a folder
    rollway lint --dir . -o github                    # annotations in a workflow of GitHub
    rollway lint shop -o json
    rollway lint -f rollout.yaml                      # a Rollout of a file, on the cluster's objects
    """,
)
@options(scope=ScopeOptions)
@output_option("github")
def lint(scope: ScopeOptions, *, output: str) -> None:
    """Check one Rollout or all, and what their data planes would report, with file and line; and templates of analyses."""
    store, namespace = open_store(scope.store, scope.filename)
    manifests = open_file(scope.filename, scope.store)
    if manifests:
        namespace = scope.store.namespace or ""
    namespace = "" if scope.all_namespaces else namespace
    problems = linting.lint(store, namespace, scope.name or "", manifests=manifests)
    problems += _of_analyses(store, manifests, namespace, scope.name or "")
    report.problems(problems, output)
    severities = {problem.severity for problem in problems}
    if severities & {"fault", "refusal"}:
        raise click.exceptions.Exit(2 if "fault" in severities else 4)


def _of_analyses(store: Store, manifests: Store | None, namespace: str, name: str) -> list[linting.Problem]:
    """Return the problems of the templates in the store, and of what the Rollouts ask of them.

    AnalysisRuns are checked in files only: in a cluster their status has the faults already.
    """
    runs = [RUN] if isinstance(store, FileStore) else []
    try:
        live = read_live(store, namespace, *runs, *([] if manifests else [ROLLOUT_KIND]))
    except ForbiddenError as error:
        out.note(f"templates of analyses are not checked: {error.message}")
        return []
    own = read_live(manifests, namespace, RUN, ROLLOUT_KIND) if manifests else None
    if own is not None:
        live = live.after(own.values())
    if not any(objects(live, kind) for kind in (*TEMPLATES, RUN)) and not has_analyses(live):
        return []
    from rollway.analysis.linting import lint_analyses  # noqa: PLC0415 - most folders have no analyses

    return lint_analyses(live, namespace, name, only=own)
