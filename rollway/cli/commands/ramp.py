"""`rollway ramp`: a weight that moves in steps, in a terminal or a pipeline."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from rollway.cli import answers, documents
from rollway.cli import output as out
from rollway.cli.evidence import EvidenceOptions, evidence_level, with_probes
from rollway.cli.group import Command
from rollway.cli.options import GuardOptions, RolloutOptions, adopt_option, events_option, output_option
from rollway.cli.parameters import option, options
from rollway.cli.progress import Interrupt, RampDisplay
from rollway.cli.stores import open_router
from rollway.cli.values import DURATION
from rollway.routers.events import STARTED, Recorder
from rollway.routers.guards import canary_weight
from rollway.routers.ramp import PATIENCE_S, Ramp, weights

if TYPE_CHECKING:
    from rollway.routers.applying import Result
    from rollway.routers.model import Finding
    from rollway.routers.router import TrafficRouter

STEPS = "Steps"


@dataclass(frozen=True)
class StepOptions:
    """How the ramp goes from step to step."""

    step: str = option(
        "--step", heading=STEPS, required=True, metavar="WEIGHT", help="How much to move each time."
    )
    every: float = option(
        "--every",
        heading=STEPS,
        required=True,
        type=DURATION,
        metavar="TIME",
        help="How long to stay at each weight: 30s, 5m.",
    )
    on_interrupt: str = option(
        "--on-interrupt",
        heading=STEPS,
        type=click.Choice(["stay", "back"]),
        default="back",
        show_default=True,
        help="Without a terminal: stay at the weight, or go back to stable, after Ctrl-C or SIGTERM.",
    )
    patience: float = option(
        "--patience",
        heading=STEPS,
        type=DURATION,
        default=PATIENCE_S,
        metavar="TIME",
        help="How long a step waits for an API server that does not answer (default: 2m).",
    )
    adopt: bool = adopt_option()
    events: bool = events_option()


@click.command(
    cls=Command,
    examples="""
    rollway ramp shop 0..100 --step 10 --every 5m
    rollway ramp shop 0..50 --step 10 --every 1m --verify loaded --on-failure back
    """,
)
@options(target=RolloutOptions, steps=StepOptions, guards=GuardOptions, evidence=EvidenceOptions)
@click.argument("span", metavar="FROM..TO")
@output_option()
def ramp(
    target: RolloutOptions,
    steps: StepOptions,
    guards: GuardOptions,
    evidence: EvidenceOptions,
    *,
    span: str,
    output: str,
) -> None:
    """Move the weight from FROM to TO in steps, with time between them; run again, it goes on from what is live."""
    start, dots, end = span.partition("..")
    if not (start and dots and end):
        raise click.UsageError(f"{span!r} is not of the form FROM..TO, like 0..100")
    router = with_probes(open_router(target, guards), evidence.probes, evidence.verify)
    code = _Run(router, steps, evidence, output).take(start, end)
    if code:
        raise click.exceptions.Exit(code)


class _Run:
    """One ramp with what it shows: steps, display, interruption, Events."""

    def __init__(
        self, router: TrafficRouter, steps: StepOptions, evidence: EvidenceOptions, output: str
    ) -> None:
        self._router = router
        self._steps = steps
        self._evidence = evidence
        self._output = output
        self._record = Recorder(router, enabled=steps.events, note=self._note)
        self._display = RampDisplay(router.rollout.total)
        self._shown: set[Finding] = set()

    def take(self, start: str, end: str) -> int:
        """Take every step from `start` to `end`; return the exit code."""
        rollout, record, display = self._router.rollout, self._record, self._display
        # Objects that do not agree are brought to one weight by the first step; the largest is where it goes on from.
        live = max((canary_weight(reading) for reading in self._router.observe().readings), default=0)
        coming = weights(start, end, self._steps.step, rollout.total, live)
        record(
            STARTED,
            f"{rollout.ref}: canary {live} of {rollout.total} now, then {', '.join(map(str, coming))}",
        )
        with Interrupt() as interrupt, display:
            steps = Ramp(self._router, live, self._steps.patience, display.waits)
            for index, weight in enumerate(coming):
                self._advance(steps, weight)
                following = coming[index + 1 : index + 2]
                if following and display.pause(interrupt, self._steps.every, following[0]):
                    display.stop()
                    interrupt.clear()
                    self._interrupted(steps)
                    return 128 + interrupt.number
        return 0

    def _advance(self, steps: Ramp, weight: int) -> None:
        wanted = self._router.rollout.split(weight)
        with self._record.failures(wanted):
            result = steps.advance(
                weight,
                adopt=self._steps.adopt,
                verify=evidence_level(self._evidence.verify),
                timeout=self._evidence.timeout,
                on_failure=self._evidence.on_failure,
                wait=self._evidence.wait,
                waiting=lambda pending: self._display.waits(str(pending[0])),
            )
        self._record.written(result, wanted)
        self._show(result, weight)

    def _show(self, result: Result, weight: int) -> None:
        wanted = self._router.rollout.split(weight)
        with self._display.aside():
            if self._output == "text":
                answers.result(result, wanted)
                out.findings(finding for finding in result.findings if finding not in self._shown)
                self._shown.update(result.findings)
            else:
                if self._output == "yaml":
                    out.echo("---")
                out.document(documents.result_document(result, wanted), self._output)
            # A pipeline reads the steps as they come.
            out.finish()
            self._display.reached(
                wanted, result.verdict.evidence.name.lower() if result.verdict else "unknown"
            )

    def _note(self, text: str) -> None:
        with self._display.aside():
            out.note(text)

    def _interrupted(self, steps: Ramp) -> None:
        """Ask whether to stay or to go back to stable, and do it."""
        rollout, answer = self._router.rollout, self._steps.on_interrupt
        if sys.stdin.isatty() and sys.stderr.isatty():
            question = f"interrupted: stay at {steps.live} of {rollout.total}, or go back to stable?"
            choices = click.Choice(["stay", "back"])
            answer = click.prompt(question, type=choices, default=answer, err=True)
        if answer == "stay":
            click.echo(f"interrupted: {rollout.ref} stays at {steps.live} of {rollout.total}", err=True)
            return
        click.echo(f"interrupted: {rollout.ref} goes back to stable", err=True)
        result = steps.back()
        self._record.written(result, rollout.split(0))
        self._show(result, 0)
