"""`rollway check`: what works for a Rollout and what does not, as one list."""

from __future__ import annotations

from collections import Counter

import click

from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import ROLLOUT, StoreOptions, filename_option, name_argument, output_option
from rollway.cli.parameters import Options, contains, option, options
from rollway.cli.stores import open_file, open_store
from rollway.routers.checking import Check, CheckResult, check_rollout


class CheckOptions(Options):
    """One Rollout of the store, and where its data planes are."""

    name: str = name_argument()
    filename: str | None = filename_option()
    data_planes: tuple[str, ...] = option(
        "--data-plane",
        heading=ROLLOUT,
        metavar="NAMESPACE",
        multiple=True,
        help="Namespace of the data plane's pods (repeatable; default: look in all).",
    )
    store: StoreOptions = contains(StoreOptions)


@click.command(
    cls=Command,
    examples="""
    rollway check shop
    rollway check shop --as system:serviceaccount:shop:ci
    rollway check shop --dir k8s -o json
    rollway check shop -f rollout.yaml                # on the cluster's objects
    """,
)
@options(target=CheckOptions)
@output_option()
def check(target: CheckOptions, *, output: str) -> None:
    """List what works for a Rollout and what does not: access, kinds, rights, objects, endpoints, data planes, writers."""
    store, namespace = open_store(target.store, target.filename)
    manifests = open_file(target.filename, target.store)
    if manifests:
        namespace = target.store.namespace or ""
    checks = check_rollout(store, target.name, namespace, manifests=manifests, data_planes=target.data_planes)
    if output == "text":
        _show(checks)
    else:
        out.document([{**each._asdict(), "result": each.result.value} for each in checks], output)
    if any(each.result is CheckResult.PROBLEM for each in checks):
        raise click.exceptions.Exit(1)


def _show(checks: list[Check]) -> None:
    words = {CheckResult.OK: "OK", CheckResult.PROBLEM: "problem", CheckResult.UNKNOWN: "unknown"}
    out.table(
        ("AREA", "SUBJECT", "RESULT", "DETAIL"),
        [(each.area, each.subject, words[each.result], each.detail) for each in checks],
    )
    remedies = dict.fromkeys(
        each.remedy for each in checks if each.result is not CheckResult.OK and each.remedy
    )
    out.echo()
    for remedy in remedies:
        out.echo(f"  {remedy}")
    counts = Counter(each.result for each in checks)
    out.echo(", ".join(f"{counts[result]} {word}" for result, word in words.items()))
