"""`rollway analyze`: the metrics of one template, measured now."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import StoreOptions, output_option
from rollway.cli.parameters import Options, argument, contains, option, options
from rollway.cli.stores import open_file, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollway.analysis.preparing import Prepared
    from rollway.analysis.status import MetricResult, RunStatus
    from rollway.routers.stores import Store

_TEMPLATE = "Template"
_CODES = {"Successful": 0, "Inconclusive": 5}


class AnalyzeOptions(Options):
    """One template, with its arguments, from the store or from a file."""

    name: str = argument(metavar="[KIND/]NAME")
    arguments: tuple[str, ...] = option(
        "--arg",
        heading=_TEMPLATE,
        metavar="NAME=VALUE",
        multiple=True,
        help="Value of an argument of the template (repeatable); it may take the place of a secret.",
    )
    filename: str | None = option(
        "-f",
        "--filename",
        heading=_TEMPLATE,
        type=click.Path(),
        metavar="FILE",
        help="File with the template; - reads it from standard input.",
    )
    controller: str = option(
        "--controller-namespace",
        heading=_TEMPLATE,
        default="argo-rollouts",
        show_default=True,
        metavar="NAMESPACE",
        help="Namespace with the Secrets of providers like Datadog.",
    )
    full: bool = option(
        "--full",
        heading=_TEMPLATE,
        is_flag=True,
        help="Take the whole run, with its delays, intervals, counts and limits.",
    )
    store: StoreOptions = contains(StoreOptions)


@click.command(
    cls=Command,
    examples="""
    rollway analyze success-rate --arg service=shop
    rollway analyze success-rate -f analysis.yaml --arg service=shop -o json
    rollway analyze clusteranalysistemplate/latency --full
    """,
)
@options(target=AnalyzeOptions)
@output_option()
def analyze(target: AnalyzeOptions, *, output: str) -> None:
    """Measure the metrics of an AnalysisTemplate once, and show what a release would make of them.

    NAME is that of an AnalysisTemplate; KIND may be clusteranalysistemplate or analysisrun as well. The requests go to the
    real provider, from this machine. Exit code: 0 Successful, 1 Failed or Error, 5 Inconclusive.
    """
    from rollway.analysis.asking import ask  # noqa: PLC0415 - the help needs none of it
    from rollway.analysis.playing import World, once, play  # noqa: PLC0415

    given = _arguments(target.arguments)
    prepared = _prepared(target, given)
    metrics = prepared.metrics if target.full else once(prepared.metrics)
    world = World(ask, lambda: datetime.now(UTC), time.sleep, os.environ, prepared.credentials)
    status: RunStatus | None = None
    for status in play(metrics, world, prepared.secrets):
        if target.full and output == "text" and not status.completed:
            _show_last(status)
    assert status is not None, "a template has a metric"
    if output == "text":
        _show(prepared, status)
    else:
        out.document(
            {
                "kind": prepared.ref.kind,
                "namespace": prepared.ref.namespace,
                "name": prepared.ref.name,
                **status.manifest(),
            },
            output,
        )
    assert status.phase is not None, "the run has ended"
    raise click.exceptions.Exit(_CODES.get(status.phase.value, 1))


def _prepared(target: AnalyzeOptions, given: dict[str, str]) -> Prepared:
    """Read the template that the options name."""
    from rollway.analysis.preparing import Sources, prepare  # noqa: PLC0415 - the help needs none of it

    manifests = open_file(target.filename, target.store)
    if manifests:
        namespace = target.store.namespace or ""
        secrets: Callable[[], Store] = lambda: open_store(target.store)[0]  # noqa: E731 - few templates have one
    else:
        manifests, namespace = open_store(target.store)
        opened = manifests
        secrets = lambda: opened  # noqa: E731
    sources = Sources(manifests, secrets, target.controller, os.environ)
    return prepare(sources, target.name, namespace, given)


def _arguments(words: Sequence[str]) -> dict[str, str]:
    given = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--arg {word}: give NAME=VALUE")
        given[name] = value
    return given


def _show(prepared: Prepared, status: RunStatus) -> None:
    """Print a row for each metric, and the decision."""
    conditions = {metric.name: metric for metric in prepared.metrics}
    rows = []
    for result in status.results.values():
        metric = conditions[result.name]
        tests = [
            f"{word} {each.source}"
            for word, each in (("success:", metric.success), ("failure:", metric.failure))
            if each
        ]
        name = f"{result.name} (dry run)" if result.dry_run else result.name
        rows.append((name, result.phase.value, _value(result), "; ".join(tests) or "-"))
    out.table(("METRIC", "PHASE", "VALUE", "CONDITION"), rows)
    assert status.phase is not None, "the run has ended"
    colour = {"Successful": "green", "Inconclusive": "yellow"}.get(status.phase.value, "red")
    out.echo()
    out.echo(f"{status.phase.value}: {status.message}" if status.message else status.phase.value, fg=colour)


def _value(result: MetricResult) -> str:
    last = result.last
    if last is None:
        return "-"
    value = last.value if len(last.value) <= 60 else f"{last.value[:60]}..."
    return f"{value} ({last.message})" if value and last.message else value or last.message or "-"


def _show_last(status: RunStatus) -> None:
    """Print a line for each metric as it is now."""
    parts = [f"{name} {_value(result)}: {result.phase.value}" for name, result in status.results.items()]
    out.note("; ".join(parts))
