"""The commands that report: status of one Rollout or of many, findings, and the table of the backends."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import click

from rollway.cli import documents
from rollway.cli import output as out
from rollway.cli.probes import data_plane_probes
from rollway.routers.backends import packages
from rollway.routers.errors import StoreError
from rollway.routers.events import last_wish
from rollway.routers.model import Access
from rollway.routers.observing import observe_all
from rollway.routers.router import TrafficRouter, read_rollout

if TYPE_CHECKING:
    from rollway.routers.events import Wish
    from rollway.routers.linting import Problem
    from rollway.routers.planning import Observation
    from rollway.routers.probes import Probe
    from rollway.routers.stores import Store


DataPlanes = dict[str, tuple[str, ...]]
WATCH_INTERVAL_S = 2.0


class _Seen(NamedTuple):
    """One look: the Rollouts, what was asked for a single one, and whether any could not be observed."""

    entries: list[Observation]
    wish: Wish | None = None
    failed: bool = False


def show(store: Store, namespace: str, name: str | None, output: str, data_planes: DataPlanes) -> bool:
    """Print the status; return whether any Rollout could not be observed.

    `data_planes` are the words of `rollway.cli.probes.data_plane_options`.
    """
    if name:
        router = _router(store, namespace, name)
        seen = _one(replace(router, probes=_probes(router, data_planes)))
    else:
        seen = _all(store, namespace)
    _print(seen, name, output)
    return seen.failed


def watch(store: Store, namespace: str, name: str | None, output: str, data_planes: DataPlanes) -> None:
    """Print the status whenever it changes, until Ctrl-C. Reads as `status` does, so it needs no right to watch."""
    # Where the data planes are is found out once; which pods they are then, each time.
    probes = _probes(_router(store, namespace, name), data_planes) if name else ()
    last: _Seen | None = None
    while True:
        seen = (
            _one(replace(_router(store, namespace, name), probes=probes)) if name else _all(store, namespace)
        )
        if seen != last:
            if output == "text" and sys.stdout.isatty():
                click.clear()
            elif output == "text" and last is not None:
                click.echo()
            _print(seen, name, output)
            last = seen
        time.sleep(WATCH_INTERVAL_S)


def _router(store: Store, namespace: str, name: str) -> TrafficRouter:
    return TrafficRouter(read_rollout(store, name, namespace), store)


def _probes(router: TrafficRouter, data_planes: DataPlanes) -> tuple[Probe, ...]:
    return tuple(data_plane_probes(router, None, **data_planes))


def _one(router: TrafficRouter) -> _Seen:
    try:
        wish = last_wish(router.store, router.rollout)
    except StoreError as error:
        out.note(f"what was asked last cannot be told: {error.message}")
        wish = None
    return _Seen([router.observe(check=True)], wish)


def _all(store: Store, namespace: str) -> _Seen:
    observed, errors = observe_all(store, namespace)
    for ref, error in errors:
        click.echo(f"error: {ref}: {error}", err=True)
    return _Seen(observed, failed=bool(errors))


def _print(seen: _Seen, name: str | None, output: str) -> None:
    if output != "text":
        out.document(documents.status_document(seen.entries, seen.wish), output)
        return
    if name:
        out.status_of_one(seen.entries[0], seen.wish)
    else:
        out.status(seen.entries)
    out.findings(dict.fromkeys(found for entry in seen.entries for found in entry.findings))


def problems(found: list[Problem], output: str) -> None:
    """Print what `lint` found, one line each as compilers do, so that editors find the place, and how many there are."""
    if output != "text":
        out.document([problem._asdict() for problem in found], output)
        return
    for problem in found:
        click.echo(f"{problem.place}: {problem.severity}: {problem.rollout}: {problem.message}")
    names = ("fault", "refusal", "note")
    counts = [sum(problem.severity == name for problem in found) for name in names]
    click.echo(
        ", ".join(f"{count} {name}{'s' * (count != 1)}" for count, name in zip(counts, names, strict=True))
    )


def capabilities() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the table of the backends: a header and a row for each."""
    header = (
        "BACKEND",
        "OBJECT",
        "ACCESS",
        "API VERSIONS",
        "TOTAL",
        "BLUE-GREEN",
        "HEADER ROUTES",
        "MIRROR ROUTES",
    )
    rows: list[tuple[str, ...]] = []
    for package in packages():
        able = package.backend.capabilities
        group = able.versions[0].partition("/")[0]
        versions = ", ".join(version.partition("/")[2] for version in able.versions)
        rows.append(
            (
                package.name,
                able.objects,
                "ours" if able.access is Access.MANAGED else "shared",
                f"{group}/{versions}",
                f"{able.smallest_total} or more",
                "yes",
                "yes" if able.header_routes else "refused",
                "yes" if able.mirror_routes else "refused",
            )
        )
    return header, rows
