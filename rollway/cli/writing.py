"""What every verb that writes does: plan, guard, write, verify, report it, and leave an Event about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.cli import answers
from rollway.cli import output as out
from rollway.cli.evidence import (
    EvidenceOptions,
    RouteEvidenceOptions,
    evidence_level,
    with_data_planes,
    with_probes,
)
from rollway.cli.options import WRITING, ChangeOptions, GuardOptions, RolloutOptions
from rollway.cli.parameters import Options, contains, option
from rollway.cli.progress import Waiting
from rollway.cli.stores import open_router
from rollway.routers.events import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.routers.applying import Result
    from rollway.routers.router import TrafficRouter
    from rollway.routers.weights import Split
    from rollway.routers.write_options import WriteOptions


class _PlanOptions(Options):
    """One Rollout, and what may be done to its objects."""

    target: RolloutOptions = contains(RolloutOptions)
    guards: GuardOptions = contains(GuardOptions)
    change: ChangeOptions = contains(ChangeOptions)
    expect: str = option(
        "--expect",
        heading=WRITING,
        metavar="FINGERPRINT",
        default="",
        help="Refuse unless the plan is still the reviewed one.",
    )


class WritingOptions(_PlanOptions):
    """How a weight is written, and what must be known afterwards."""

    evidence: EvidenceOptions = contains(EvidenceOptions)


class RouteWritingOptions(_PlanOptions):
    """How a route is written, and what must be known afterwards."""

    evidence: RouteEvidenceOptions = contains(RouteEvidenceOptions)


def open_to_write(options: WritingOptions | RouteWritingOptions) -> TrafficRouter:
    """Return the router of the Rollout, with what it may ask for the evidence."""
    return with_evidence(open_router(options.target, options.guards), options)


def with_evidence(router: TrafficRouter, options: WritingOptions | RouteWritingOptions) -> TrafficRouter:
    """Return the router with what it may ask for the evidence, once it has written."""
    level, dry_run = options.evidence.verify, bool(options.change.dry_run)
    if isinstance(options, WritingOptions):
        return with_probes(router, options.evidence.probes, level, dry_run=dry_run, after_write=True)
    return with_data_planes(router, options.evidence.planes, level, dry_run=dry_run, after_write=True)


def write(
    router: TrafficRouter,
    options: WritingOptions | RouteWritingOptions,
    output: str,
    call: Callable[[WriteOptions], Result],
    wanted: Split | None = None,
) -> None:
    """Make a call of the library and report what it did; `wanted` is the split that it asks for, if it asks for one."""
    change, evidence = options.change, options.evidence
    record = Recorder(router, enabled=change.events and not change.dry_run, note=out.note)
    with record.failures(wanted), Waiting() as waiting:
        result = call(
            {
                "adopt": change.adopt,
                "expect": options.expect,
                "dry_run": change.dry_run,
                "verify": evidence_level(evidence.verify),
                "timeout": evidence.timeout,
                "on_failure": evidence.on_failure,
                "wait": evidence.wait,
                "waiting": waiting,
            }
        )
    # The Event first: nobody may be there to read the answer.
    record.written(result)
    if output == "text":
        answers.result(result)
        out.findings(result.findings)
    else:
        from rollway.cli import documents  # noqa: PLC0415 - an answer in text does not need it

        out.document(documents.result_document(result), output)
