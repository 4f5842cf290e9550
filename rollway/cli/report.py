"""Reports over many Rollouts: status, lint, and the table of the backends."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rollway.cli import documents
from rollway.cli import output as out
from rollway.cli.events import last_wish
from rollway.cli.probes import data_plane_probes
from rollway.routers.backends import BUILTIN, backend
from rollway.routers.engine import Engine, needs_of
from rollway.routers.errors import InvalidInputError, ManifestError, RollwayError
from rollway.routers.model import Access, Live, Traffic, dig
from rollway.routers.router import TrafficRouter, read_rollout, read_rollouts
from rollway.routers.stores import missing
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.cli.events import Wish
    from rollway.routers.engine import Observation
    from rollway.routers.model import LiveObject, Rollout
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
    return _Seen([router.observe(check=True)], last_wish(router.store, router.rollout))


def _all(store: Store, namespace: str) -> _Seen:
    entries, failed = observe(store, namespace)
    return _Seen(entries, failed=failed)


def _print(seen: _Seen, name: str | None, output: str) -> None:
    if output != "text":
        out.document(documents.status_document(seen.entries, seen.wish), output)
        return
    if name:
        out.status_of_one(seen.entries[0], seen.wish)
    else:
        out.status(seen.entries)
    out.findings(dict.fromkeys(found for entry in seen.entries for found in entry.findings))


def observe(store: Store, namespace: str) -> tuple[list[Observation], bool]:
    """Observe all Rollouts with a single reading of the store; tell on stderr of those that cannot be.

    Returns:
        The observations, and whether any Rollout could not be observed.
    """
    rollouts: list[Rollout] = []
    failed = False
    for found, rollout in read_rollouts(store, namespace):
        if not _routed(found):
            continue
        if isinstance(rollout, RollwayError):
            failed = True
            click.echo(f"error: {rollout}", err=True)
        else:
            rollouts.append(rollout)
    seen: list[Observation] = []
    live = _read_all(store, rollouts)
    for rollout in rollouts:
        try:
            _require(store, rollout, live)
            seen.append(Engine(store).observe(rollout, live))
        except RollwayError as error:
            failed = True
            click.echo(f"error: {rollout.ref}: {error}", err=True)
    return seen, failed


def _routed(rollout: LiveObject) -> bool:
    """Tell whether a Rollout has traffic routing at all; one without is none of our business."""
    strategy = dig(rollout.manifest, "spec", "strategy")
    return any(dig(strategy, name, "trafficRouting") is not None for name in ("canary", "blueGreen"))


def _read_all(store: Store, rollouts: list[Rollout]) -> Live:
    """Read what all routes need at once, whether or not it is there."""
    needs = [replace(need, required=False) for rollout in rollouts for need in needs_of(rollout)]
    return store.read(needs) if needs else Live(())


def _require(store: Store, rollout: Rollout, live: Live) -> None:
    """Raise the store's own error when something that a route requires was not read."""
    absent = missing(needs_of(rollout), live)
    if absent:
        store.read(absent)


@dataclass(frozen=True)
class Problem:
    """One line of `lint`: where, how bad (fault, refusal, note), which Rollout, and what."""

    place: str
    severity: str
    rollout: str
    message: str

    @property
    def line(self) -> str:
        """Write it as compilers do, so that editors find the place."""
        return f"{self.place}: {self.severity}: {self.rollout}: {self.message}"

    @property
    def document(self) -> dict[str, Any]:
        """Write it for `-o json`."""
        return {
            "place": self.place,
            "severity": self.severity,
            "rollout": self.rollout,
            "message": self.message,
        }


def lint(store: Store, namespace: str, name: str | None = None) -> list[Problem]:
    """Check one Rollout or all of the store: manifest, objects, and what the data planes say to them."""
    rollouts = read_rollouts(store, namespace, name or "")
    if name and not rollouts:
        read_rollout(store, name, namespace)
    live = _read_all(store, [rollout for _, rollout in rollouts if not isinstance(rollout, RollwayError)])
    return [problem for found, rollout in rollouts for problem in _lint(store, found, rollout, live)]


def _lint(store: Store, found: LiveObject, rollout: Rollout | RollwayError, live: Live) -> Iterator[Problem]:
    name = f"{found.ref.namespace}/{found.ref.name}"
    place = found.locate(()) or str(found.ref)
    if not _routed(found):
        yield Problem(place, "note", name, "has no trafficRouting, so rollway has nothing to do for it")
        return
    try:
        if isinstance(rollout, RollwayError):
            raise rollout
        _require(store, rollout, live)
        engine = Engine(store)
        want = engine.observe(rollout, live).traffic or Traffic(Split(0, rollout.total))
        for finding in engine.check(rollout, want, live):
            if finding.code != "files-only":
                at = live[finding.ref].locate(()) if finding.ref and finding.ref in live else ""
                yield Problem(at or place, finding.severity.value, name, str(finding))
    except RollwayError as error:
        severity = "fault" if isinstance(error, InvalidInputError) or error.exit_code == 1 else "refusal"
        parts = error.faults if isinstance(error, ManifestError) else getattr(error, "reasons", ())
        for part in parts:
            at, colon, rest = part.partition(": ")
            located = bool(colon) and at.rpartition(":")[2].isdigit()
            yield Problem(at if located else place, severity, name, rest if located else part)
        if parts:
            return
        yield Problem(place, severity, name, str(error).replace("\n  ", "; "))


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
    for name in BUILTIN:
        able = backend(name).capabilities
        group = able.versions[0].partition("/")[0]
        versions = ", ".join(version.partition("/")[2] for version in able.versions)
        rows.append(
            (
                name,
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
