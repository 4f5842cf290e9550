"""`rollway set-weight` and `rollway switch`: plan, guard, write and verify one weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from rollway.cli import answers, documents
from rollway.cli import output as out
from rollway.cli.evidence import EvidenceOptions, evidence_level, with_probes
from rollway.cli.group import Command
from rollway.cli.options import WRITING, ChangeOptions, GuardOptions, RolloutOptions, output_option
from rollway.cli.parameters import contains, option, options
from rollway.cli.progress import Waiting
from rollway.cli.stores import open_router
from rollway.routers.events import Recorder

if TYPE_CHECKING:
    from rollway.routers.router import TrafficRouter


@dataclass(eq=False, repr=False)
class WriteOptions:
    """How one weight is written."""

    change: ChangeOptions = contains(ChangeOptions)
    expect: str = option(
        "--expect",
        heading=WRITING,
        metavar="FINGERPRINT",
        default="",
        help="Refuse unless the plan is still the reviewed one.",
    )


@click.command(
    "set-weight",
    cls=Command,
    examples="""
    rollway set-weight shop 20                        # 20 of 100
    rollway set-weight shop 0.5% --dry-run
    rollway set-weight shop 20 --dir k8s/             # in a folder of manifests
    rollway set-weight shop 20 --expect FINGERPRINT   # only the plan that was reviewed
    """,
)
@options(target=RolloutOptions, guards=GuardOptions, writing=WriteOptions, evidence=EvidenceOptions)
@click.argument("weight")
@output_option()
def set_weight(
    target: RolloutOptions,
    guards: GuardOptions,
    writing: WriteOptions,
    evidence: EvidenceOptions,
    *,
    weight: str,
    output: str,
) -> None:
    """Give the canary a WEIGHT: plan, guard, write and verify."""
    _write(open_router(target, guards), weight, writing, evidence, output)


@click.command(
    cls=Command,
    examples="""
    rollway switch shop canary
    rollway switch shop canary --verify loaded --on-failure back
    """,
)
@options(target=RolloutOptions, guards=GuardOptions, writing=WriteOptions, evidence=EvidenceOptions)
@click.argument("to", type=click.Choice(["stable", "canary"]))
@output_option()
def switch(
    target: RolloutOptions,
    guards: GuardOptions,
    writing: WriteOptions,
    evidence: EvidenceOptions,
    *,
    to: str,
    output: str,
) -> None:
    """Send all traffic to stable or canary at once (blue-green: active or preview)."""
    router = open_router(target, guards)
    _write(router, router.rollout.total if to == "canary" else 0, writing, evidence, output)


def _write(
    router: TrafficRouter, weight: int | str, writing: WriteOptions, evidence: EvidenceOptions, output: str
) -> None:
    """Set a weight, report it, and leave an Event about it."""
    change = writing.change
    router = with_probes(router, evidence.probes, evidence.verify, dry_run=bool(change.dry_run))
    wanted = router.rollout.split(weight)
    record = Recorder(router, enabled=change.events and not change.dry_run, note=out.note)
    with record.failures(wanted), Waiting() as waiting:
        result = router.set_weight(
            weight,
            adopt=change.adopt,
            expect=writing.expect,
            dry_run=change.dry_run,
            verify=evidence_level(evidence.verify),
            timeout=evidence.timeout,
            on_failure=evidence.on_failure,
            wait=evidence.wait,
            waiting=waiting,
        )
    # The Event first: nobody may be there to read the answer.
    record.written(result, wanted)
    if output == "text":
        answers.result(result, wanted)
        out.findings(result.findings)
    else:
        out.document(documents.result_document(result, wanted), output)
