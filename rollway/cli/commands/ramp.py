"""`rollway ramp`: a weight that moves in steps, in a terminal or a pipeline."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from rollway.cli import answers, documents
from rollway.cli import output as out
from rollway.cli.evidence import EvidenceOptions, evidence_level, with_probes
from rollway.cli.group import Command
from rollway.cli.interrupt import Interrupt
from rollway.cli.options import GuardOptions, RolloutOptions, adopt_option, events_option, output_option
from rollway.cli.parameters import Options, option, options
from rollway.cli.progress import RampDisplay
from rollway.cli.stores import open_router, read_manifest
from rollway.cli.values import DURATION
from rollway.routers.errors import NotVerifiedError
from rollway.routers.events import STARTED, Recorder
from rollway.routers.guards import canary_weight
from rollway.routers.model import Context
from rollway.routers.ramp import (
    MIN_REQUESTS,
    PATIENCE_S,
    ErrorLimit,
    ErrorWatch,
    Ramp,
    failures_text,
    refuse_routes,
    weights,
)
from rollway.routers.route_steps import RemoveRoute, SetRoute
from rollway.routers.steps import Pause, SetWeight, even_steps, remaining, steps_of
from rollway.routers.traffic import Evidence, Outcome, Traffic, Verdict
from rollway.routers.weights import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.applying import Result
    from rollway.routers.findings import Finding
    from rollway.routers.router import TrafficRouter
    from rollway.routers.steps import Step
    from rollway.routers.weights import Split
    from rollway.routers.write_options import WriteOptions

STEPS = "Steps"
PENDING = 3
"""The exit code of a ramp that stands at a pause without an end: steps are still to come."""


class StepOptions(Options):
    """How the ramp goes from step to step."""

    step: str | None = option("--step", heading=STEPS, metavar="WEIGHT", help="How much to move each time.")
    every: float | None = option(
        "--every",
        heading=STEPS,
        type=DURATION,
        metavar="TIME",
        help="How long to stay at each weight: 30s, 5m.",
    )
    follow: bool = option(
        "--steps",
        heading=STEPS,
        is_flag=True,
        help="Follow the steps of the Rollout's manifest (setWeight, pause, setHeaderRoute, setMirrorRoute) instead of "
        "FROM..TO.",
    )
    resume: bool = option(
        "--resume",
        heading=STEPS,
        is_flag=True,
        help="With --steps: the pause at which the weight stands is over.",
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
    max_error_rate: str | None = option(
        "--max-error-rate",
        heading=STEPS,
        metavar="SHARE",
        help="Go back to stable when a larger share (1%) of the canary's requests fails, counted by --url or "
        "--prometheus at each weight, and again before the next one.",
    )
    min_requests: int = option(
        "--min-requests",
        heading=STEPS,
        type=int,
        default=MIN_REQUESTS,
        show_default=True,
        help="Judge the share from so many requests of the canary on.",
    )
    adopt: bool = adopt_option()
    events: bool = events_option()


@click.command(
    cls=Command,
    examples="""
    rollway ramp shop 0..100 --step 10 --every 5m
    rollway ramp shop 0..50 --step 10 --every 1m --verify loaded --on-failure back
    rollway ramp shop --steps                         # those of the manifest
    rollway ramp shop --steps --resume                # go on behind a pause
    rollway ramp shop 0..100 --step 10 --every 5m --max-error-rate 1% --prometheus http://prometheus:9090
    """,
)
@options(target=RolloutOptions, steps=StepOptions, guards=GuardOptions, evidence=EvidenceOptions)
@click.argument("span", metavar="FROM..TO", required=False)
@output_option()
def ramp(
    target: RolloutOptions,
    steps: StepOptions,
    guards: GuardOptions,
    evidence: EvidenceOptions,
    *,
    span: str | None,
    output: str,
) -> None:
    """Move the weight from FROM to TO in steps, with time between them; run again, it goes on from what is live.

    A pause of the manifest without a duration is asked about on a terminal, and elsewhere ends the ramp with exit code 3.
    Header and mirror routes of its steps stay until a step removes them, or all traffic goes back to stable.
    """
    _check_words(steps, evidence, span)
    router = with_probes(open_router(target, guards), evidence.probes, evidence.verify)
    # Objects that do not agree are brought to one weight by the first step; the largest is where it goes on from.
    observation = router.observe()
    live = max((canary_weight(reading) for reading in observation.readings), default=0)
    total = router.rollout.total
    if span:
        start, _, end = span.partition("..")
        assert steps.step is not None, "checked above"
        assert steps.every is not None, "checked above"
        coming = even_steps(weights(start, end, steps.step, total, live), steps.every)
    else:
        listed = steps_of(read_manifest(target, router), total)
        refuse_routes(router.rollout, listed)
        routes = observation.nearest_traffic.routes
        coming = remaining(listed, live, total, routes=routes, resume=steps.resume)
    code = _Run(router, steps, evidence, output).run(coming, live)
    if code:
        raise click.exceptions.Exit(code)


def _check_words(steps: StepOptions, evidence: EvidenceOptions, span: str | None) -> None:
    """Refuse words that do not go together, before anything is read."""
    if steps.follow == (span is not None):
        raise click.UsageError("give FROM..TO with --step and --every, or --steps")
    if steps.follow and (steps.step is not None or steps.every is not None):
        raise click.UsageError("--step and --every are for FROM..TO; --steps has its own")
    if steps.resume and not steps.follow:
        raise click.UsageError("--resume is for --steps; FROM..TO goes on from what is live anyway")
    if span is not None:
        start, dots, end = span.partition("..")
        if not (start and dots and end):
            raise click.UsageError(f"{span!r} is not of the form FROM..TO, like 0..100")
        absent = [name for name, value in (("--step", steps.step), ("--every", steps.every)) if value is None]
        if absent:
            raise click.UsageError(f"FROM..TO needs {' and '.join(absent)}")
    if steps.max_error_rate is not None:
        ErrorLimit.parse(steps.max_error_rate, steps.min_requests)
        if evidence.probes.sample.url is None and evidence.probes.sample.prometheus is None:
            raise click.UsageError("--max-error-rate needs --url or --prometheus, which count requests")
        if evidence.verify == "measured":
            raise click.UsageError("--verify measured allows no failed request: leave out --max-error-rate")


class _Run:
    """One ramp with what it shows: steps, display, interruption, Events."""

    def __init__(
        self, router: TrafficRouter, steps: StepOptions, evidence: EvidenceOptions, output: str
    ) -> None:
        self._watch: ErrorWatch | None = None
        if steps.max_error_rate is not None:
            limit = ErrorLimit.parse(steps.max_error_rate, steps.min_requests)
            counting = [probe for probe in router.probes if probe.evidence is Evidence.MEASURED]
            # They count for the limit; as evidence they would not allow a single failure.
            router = replace(router, probes=tuple(p for p in router.probes if p not in counting))
            self._watch = ErrorWatch(limit, tuple(counting))
        self._router = router
        self._steps = steps
        self._evidence = evidence
        self._output = output
        self._record = Recorder(router, enabled=steps.events, note=self._note)
        self._display = RampDisplay(router.rollout.total)
        self._shown: set[Finding] = set()

    def run(self, coming: Sequence[Step], live: int) -> int:
        """Take every step; return the exit code."""
        rollout, display = self._router.rollout, self._display
        following = [step.weight for step in coming if isinstance(step, SetWeight)]
        listed = ", ".join(
            str(step.weight) if isinstance(step, SetWeight) else str(step)
            for step in coming
            if not isinstance(step, Pause)
        )
        self._record(STARTED, f"{rollout.ref}: canary {live} of {rollout.total} now, then {listed}")
        with Interrupt() as interrupt, display:
            ramp = Ramp(self._router, live, self._steps.patience, display.waits)
            result: Result | None = None
            for step in coming:
                if isinstance(step, SetWeight):
                    result = self._advance(ramp, following.pop(0))
                    continue
                if isinstance(step, SetRoute | RemoveRoute):
                    result = self._change_route(ramp, step)
                    continue
                if step.seconds is None:
                    code = self._stand(ramp, interrupt)
                elif display.pause(interrupt, step.seconds, following[0] if following else None):
                    display.stop()
                    interrupt.clear()
                    self._interrupted(ramp)
                    code = 128 + interrupt.number
                else:
                    code = None
                if code is not None:
                    return code
                if result and self._watch:
                    # What failed only after a while is seen before the next weight.
                    self._judge(ramp, replace(result, plan=None, written=()), rollout.split(ramp.live))
        return 0

    def _advance(self, ramp: Ramp, weight: int) -> Result:
        wanted = self._router.rollout.split(weight)
        with self._record.failures(wanted):
            result = ramp.advance(weight, **self._options())
        self._record.written(result)
        self._judge(ramp, result, wanted)
        return result

    def _change_route(self, ramp: Ramp, step: SetRoute | RemoveRoute) -> Result:
        wanted = self._router.rollout.split(ramp.live)
        with self._record.failures(wanted):
            result = ramp.change_route(step, **self._options())
        self._record.written(result)
        if self._output == "text":
            with self._display.aside():
                out.echo(f"{self._router.rollout.ref}: {step}")
        self._judge(ramp, result, wanted)
        return result

    def _options(self) -> WriteOptions:
        """Return how each step is written."""
        return {
            "adopt": self._steps.adopt,
            "verify": evidence_level(self._evidence.verify),
            "timeout": self._evidence.timeout,
            "on_failure": self._evidence.on_failure,
            "wait": self._evidence.wait,
            "waiting": lambda pending: self._display.waits(str(pending[0])),
        }

    def _judge(self, ramp: Ramp, result: Result, wanted: Split) -> None:
        """Show a result with the requests that were counted at its weight; go back to stable when too many failed.

        Raises:
            NotVerifiedError: too many failed, or they cannot be counted.
        """
        if not self._watch or not wanted.canary:
            self._show(result, wanted)
            return
        with self._record.failures(wanted):
            self._display.waits("counting requests of the canary")
            try:
                samples = self._watch.count(Context(self._router.rollout, Traffic(wanted), result.live))
            except NotVerifiedError as error:
                self._show(result, wanted)
                if self._evidence.on_failure == "back":
                    raise self._back(ramp, error.message) from error
                raise
            verdict = result.verdict or Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN)
            self._show(replace(result, verdict=verdict._replace(samples=samples)), wanted)
            if self._watch.limit.judge(samples) is Outcome.DIFFERS:
                rate = percent(*self._watch.limit.rate.as_integer_ratio())
                raise self._back(
                    ramp, f"{self._router.rollout.ref}: {failures_text(samples)}, more than {rate}"
                )

    def _back(self, ramp: Ramp, reason: str) -> NotVerifiedError:
        """Send all traffic to stable, and return the reason with what came of that."""
        self._go_back(ramp)
        return NotVerifiedError(f"{reason}; all traffic was sent back to stable")

    def _show(self, result: Result, wanted: Split) -> None:
        with self._display.aside():
            if self._output == "text":
                answers.result(result)
                for sample in result.verdict.samples if result.verdict and self._watch else ():
                    out.echo(f"  counted: {answers.sample_text(sample)}")
                out.findings(finding for finding in result.findings if finding not in self._shown)
                self._shown.update(result.findings)
            else:
                if self._output == "yaml":
                    out.echo("---")
                out.document(documents.result_document(result), self._output)
            # A pipeline reads the steps as they come.
            out.finish()
            self._display.reached(
                wanted, result.verdict.evidence.name.lower() if result.verdict else "unknown"
            )

    def _note(self, text: str) -> None:
        with self._display.aside():
            out.note(text)

    def _stand(self, ramp: Ramp, interrupt: Interrupt) -> int | None:
        """Ask at a pause without an end what to do; return the exit code, or None to go on."""
        rollout = self._router.rollout
        where = f"{rollout.ref} stands at {ramp.live} of {rollout.total}, at a pause without an end"
        if not _on_terminal():
            click.echo(
                f"paused: {where}\n  go on with `rollway ramp {rollout.name} --steps --resume`", err=True
            )
            return PENDING
        with self._display.aside(), interrupt.answering():
            choices = click.Choice(["go", "stay", "back"])
            answer = click.prompt(f"{where}: go on, stay, or go back to stable?", type=choices, err=True)
        if answer == "back":
            self._go_back(ramp)
            return 0
        return None if answer == "go" else PENDING

    def _interrupted(self, ramp: Ramp) -> None:
        """Ask whether to stay or to go back to stable, and do it."""
        rollout, answer = self._router.rollout, self._steps.on_interrupt
        if _on_terminal():
            question = f"interrupted: stay at {ramp.live} of {rollout.total}, or go back to stable?"
            choices = click.Choice(["stay", "back"])
            answer = click.prompt(question, type=choices, default=answer, err=True)
        if answer == "stay":
            click.echo(f"interrupted: {rollout.ref} stays at {ramp.live} of {rollout.total}", err=True)
            return
        click.echo(f"interrupted: {rollout.ref} goes back to stable", err=True)
        self._go_back(ramp)

    def _go_back(self, ramp: Ramp) -> None:
        result, wanted = ramp.back(), self._router.rollout.split(0)
        self._record.written(result)
        self._show(result, wanted)


def _on_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
