"""Run a ramp in a terminal or a pipeline: steps, display, interruption, Events."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from rollway.cli import documents
from rollway.cli import output as out
from rollway.cli.progress import Interrupt, RampDisplay
from rollway.routers.events import STARTED, Recorder
from rollway.routers.guards import canary_weight
from rollway.routers.ramp import Ramp, weights

if TYPE_CHECKING:
    from rollway.routers.applying import Result
    from rollway.routers.router import TrafficRouter


def run(
    router: TrafficRouter,
    span: tuple[str, str, str],
    every: float,
    *,
    output: str,
    on_interrupt: str,
    events: bool,
    patience: float,
    **words: Any,
) -> int:
    """Take every step of `span` (from, to, by), `every` seconds apart; return the exit code."""
    rollout = router.rollout
    # Objects that do not agree are brought to one weight by the first step; the largest is where it goes on from.
    live = max((canary_weight(reading) for reading in router.observe().readings), default=0)
    steps = weights(*span, rollout.total, live)
    record = Recorder(router, enabled=events, note=out.note)
    record(STARTED, f"{rollout.ref}: canary {live} of {rollout.total} now, then {', '.join(map(str, steps))}")
    with Interrupt() as interrupt, RampDisplay(rollout.total) as display:
        ramp = Ramp(router, live, patience, display.waits)
        for index, weight in enumerate(steps):
            with record.failures(rollout.split(weight)):
                result = ramp.advance(weight, waiting=lambda pending: display.waits(str(pending[0])), **words)
            _tell(router, result, weight, output, display)
            record.written(result, rollout.split(weight))
            following = steps[index + 1 : index + 2]
            if following and display.pause(interrupt, every, following[0]):
                display.stop()
                interrupt.clear()
                _interrupted(ramp, on_interrupt, output, record, display)
                return 128 + interrupt.number
    return 0


def _tell(router: TrafficRouter, result: Result, weight: int, output: str, display: RampDisplay) -> None:
    wanted = router.rollout.split(weight)
    display.reached(wanted, result.verdict.evidence.name.lower() if result.verdict else "unknown")
    if output == "text":
        out.result(result, wanted)
        out.findings(result.findings)
    else:
        if output == "yaml":
            click.echo("---")
        out.document(documents.result_document(result, wanted), output)
    # A pipeline reads the steps as they come.
    sys.stdout.flush()


def _interrupted(ramp: Ramp, on_interrupt: str, output: str, record: Recorder, display: RampDisplay) -> None:
    """Ask whether to stay or to go back to stable, and do it."""
    rollout, answer = ramp.router.rollout, on_interrupt
    if sys.stdin.isatty() and sys.stderr.isatty():
        question = f"interrupted: stay at {ramp.live} of {rollout.total}, or go back to stable?"
        answer = click.prompt(question, type=click.Choice(["stay", "back"]), default=on_interrupt, err=True)
    if answer == "stay":
        click.echo(f"interrupted: {rollout.ref} stays at {ramp.live} of {rollout.total}", err=True)
        return
    click.echo(f"interrupted: {rollout.ref} goes back to stable", err=True)
    result = ramp.back()
    _tell(ramp.router, result, 0, output, display)
    record.written(result, rollout.split(0))
