"""`rollway verify`: whether objects, data planes and requests show a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rollway.cli import documents
from rollway.cli import output as out
from rollway.cli.answers import canary, routes, weights
from rollway.cli.evidence import ProbeOptions, evidence_level, with_probes
from rollway.cli.group import Command
from rollway.cli.options import GuardOptions, RolloutOptions, headers_option, output_option
from rollway.cli.parameters import Options, contains, option, options
from rollway.cli.probes import EVIDENCE, LEVELS
from rollway.cli.stores import open_router
from rollway.cli.values import DURATION
from rollway.routers.errors import NotVerifiedError
from rollway.routers.observation import Observation
from rollway.routers.traffic import Outcome

if TYPE_CHECKING:
    from rollway.routers.model import Rollout
    from rollway.routers.traffic import Verdict


class VerifyOptions(Options):
    """What must be known, and whom to ask."""

    level: str | None = option(
        "--level",
        heading=EVIDENCE,
        type=click.Choice(LEVELS),
        help="Evidence to ask for (default: the highest there is).",
    )
    timeout: float = option(
        "--timeout",
        heading=EVIDENCE,
        type=DURATION,
        default=0,
        metavar="TIME",
        help="Look again for this long while a data plane does not follow (default: one look).",
    )
    probes: ProbeOptions = contains(ProbeOptions)


@click.command(
    cls=Command,
    examples="""
    rollway verify shop                               # do its objects agree?
    rollway verify shop 20 --level loaded --timeout 30s
    rollway verify shop 20 --url https://shop.example.com --identify header:X-Version
    """,
)
@options(target=RolloutOptions, guards=GuardOptions, evidence=VerifyOptions)
@click.argument("weight", required=False)
@output_option()
@headers_option
def verify(
    target: RolloutOptions,
    guards: GuardOptions,
    evidence: VerifyOptions,
    *,
    weight: str | None,
    output: str,
    header_line: bool,
) -> None:
    """Check that WEIGHT is what objects, data planes and requests show; without one, what the objects show. Exit code 5: not."""
    router = with_probes(open_router(target, guards), evidence.probes, evidence.level)
    verdict = router.verify(weight, evidence_level(evidence.level), evidence.timeout)
    if output == "text":
        _show(router.rollout, verdict, header_line=header_line)
    else:
        out.document(documents.verdict_document(router.rollout, verdict), output)
    if verdict.outcome is not Outcome.MATCHES:
        raise NotVerifiedError(f"{router.rollout.ref} {verdict.outcome.value}: {verdict.reason}")


def _show(rollout: Rollout, verdict: Verdict, *, header_line: bool) -> None:
    out.table(
        ("OBJECT", "PART", "WEIGHTS", "CANARY"),
        [(str(reading.ref), reading.part, weights(reading), canary(reading)) for reading in verdict.readings],
        headers=header_line,
    )
    routes(Observation(rollout, verdict.readings))
    out.echo(f"{rollout.ref}: {verdict.outcome.value} (evidence: {verdict.evidence.name.lower()})")
    if verdict.reason and verdict.outcome is Outcome.MATCHES:
        out.echo(f"  {verdict.reason}")
