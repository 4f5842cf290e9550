"""What the verbs are given that ask for evidence: how much, how long, and whom they ask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import click

from rollway.cli.parameters import Options, contains, option
from rollway.cli.probes import (
    EVIDENCE,
    LEVELS,
    DataPlaneOptions,
    SampleOptions,
    data_plane_probes,
    measuring_probe,
)
from rollway.cli.values import DURATION
from rollway.routers.traffic import Evidence

if TYPE_CHECKING:
    from rollway.routers.probes import Probe
    from rollway.routers.router import TrafficRouter


class ProbeOptions(Options):
    """What is asked beside the store."""

    planes: DataPlaneOptions = contains(DataPlaneOptions)
    sample: SampleOptions = contains(SampleOptions)


class ReachOptions(Options):
    """What must be known before a change is done."""

    verify: str | None = option(
        "--verify",
        heading=EVIDENCE,
        type=click.Choice(LEVELS),
        help="Evidence to reach (default: the highest there is).",
    )
    timeout: float = option(
        "--timeout",
        heading=EVIDENCE,
        type=DURATION,
        metavar="TIME",
        default=30,
        help="How long the data plane may take to show the evidence (default: 30s).",
    )
    on_failure: Literal["stop", "back"] = option(
        "--on-failure",
        heading=EVIDENCE,
        type=click.Choice(["stop", "back"]),
        default="stop",
        show_default=True,
        help="When the evidence is not reached in time: stop there, or send all traffic back to stable.",
    )
    wait: float = option(
        "--wait",
        heading=EVIDENCE,
        type=DURATION,
        default=0,
        metavar="TIME",
        help="Wait this long for destinations that are not ready, instead of refusing at once.",
    )


class EvidenceOptions(ReachOptions):
    """What must be known before a weight is done, and whom to ask."""

    probes: ProbeOptions = contains(ProbeOptions)


class RouteEvidenceOptions(ReachOptions):
    """What must be known before a route is done: requests that are counted show weights alone."""

    planes: DataPlaneOptions = contains(DataPlaneOptions)


def evidence_level(word: str | None) -> Evidence | None:
    """Read a level of evidence; None stays None, which means the highest there is."""
    return Evidence[word.upper()] if word else None


def with_probes(
    router: TrafficRouter,
    probes: ProbeOptions,
    level: str | None,
    *,
    dry_run: bool = False,
    after_write: bool = False,
) -> TrafficRouter:
    """Give the router what it may ask for the level of evidence that was asked for by name, if any was.

    Data planes are looked for in the cluster only where their answer is used: with `after_write` once the objects are
    written, which spares reading them for this search alone. Whoever names a level or a place has to know before.
    """
    router = with_data_planes(router, probes.planes, level, dry_run=dry_run, after_write=after_write)
    return replace(router, probes=(*router.probes, *measuring_probe(router, probes.sample)))


def with_data_planes(
    router: TrafficRouter,
    planes: DataPlaneOptions,
    level: str | None,
    *,
    dry_run: bool = False,
    after_write: bool = False,
) -> TrafficRouter:
    """Give the router the data planes that it may ask; see `with_probes`."""
    in_cluster = not dry_run and level not in ("written", "accepted")
    if after_write and in_cluster and level is None and not planes.given:
        return replace(router, find_probes=lambda live: data_plane_probes(router, planes, None, live=live))
    by_status = _status_probes(router) if level == "accepted" else ()
    asked = data_plane_probes(router, planes, level, in_cluster=in_cluster)
    return replace(router, probes=(*by_status, *asked))


def _status_probes(router: TrafficRouter) -> tuple[Probe, ...]:
    from rollway.routers.data_planes import status_probes  # noqa: PLC0415 - only this level needs it

    return status_probes(router.rollout, router.store)
