"""`rollway verify`: whether objects, data planes and requests show a weight."""

from __future__ import annotations

from dataclasses import dataclass

import click

from rollway.cli import documents
from rollway.cli import output as out
from rollway.cli.duration import DURATION
from rollway.cli.evidence import ProbeOptions, evidence_level, with_probes
from rollway.cli.group import Command
from rollway.cli.options import GuardOptions, RolloutOptions, output_option
from rollway.cli.parameters import contains, option, options
from rollway.cli.probes import EVIDENCE, LEVELS
from rollway.cli.stores import open_router
from rollway.routers.errors import NotVerifiedError
from rollway.routers.model import Outcome


@dataclass(frozen=True)
class VerifyOptions:
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


@click.command(cls=Command)
@options(target=RolloutOptions, guards=GuardOptions, evidence=VerifyOptions)
@click.argument("weight", required=False)
@output_option()
def verify(
    target: RolloutOptions, guards: GuardOptions, evidence: VerifyOptions, *, weight: str | None, output: str
) -> None:
    """Check that WEIGHT is what objects, data planes and requests show; without one, what the objects say. Exit code 5: not."""
    router = with_probes(open_router(target, guards), evidence.probes, evidence.level)
    verdict = router.verify(weight, evidence_level(evidence.level), evidence.timeout)
    if output == "text":
        out.verdict(router.rollout, verdict)
    else:
        out.document(documents.verdict_document(router.rollout, verdict), output)
    if verdict.outcome is not Outcome.MATCHES:
        raise NotVerifiedError(f"{router.rollout.ref} {verdict.outcome.value}: {verdict.reason}")
