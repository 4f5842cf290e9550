"""`rollway lint`: every fault of the manifests, and what the data planes would do with them."""

from __future__ import annotations

import click

from rollway.cli import report
from rollway.cli.group import Command
from rollway.cli.options import ScopeOptions, output_option
from rollway.cli.parameters import options
from rollway.cli.stores import open_file, open_store
from rollway.routers import linting


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
    """Check one Rollout or all, and what their data planes would report, with file and line."""
    store, namespace = open_store(scope.store, scope.filename)
    manifests = open_file(scope.filename, scope.store)
    if manifests:
        namespace = scope.store.namespace or ""
    namespace = "" if scope.all_namespaces else namespace
    problems = linting.lint(store, namespace, scope.name or "", manifests=manifests)
    report.problems(problems, output)
    severities = {problem.severity for problem in problems}
    if severities & {"fault", "refusal"}:
        raise click.exceptions.Exit(2 if "fault" in severities else 4)
