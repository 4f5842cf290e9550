"""The live display of what takes a while: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from rollway.cli.interrupt import Interrupt
    from rollway.routers.findings import Finding
    from rollway.routers.weights import Split


class Waiting:
    """Report what a call waits for: a spinner with the time on a terminal, each reason once elsewhere."""

    def __init__(self) -> None:
        self._shown: set[str] = set()
        self._status: Any = None
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        """Start; nothing is shown before there is something to wait for."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the line back."""
        if self._status:
            self._status.stop()

    def __call__(self, pending: Sequence[Finding]) -> None:
        """Report what is waited for now."""
        if sys.stderr.isatty():
            if self._status is None:
                from rich.console import Console  # noqa: PLC0415 - only a terminal needs it

                self._status = Console(stderr=True).status("")
                self._status.start()
            seconds = time.monotonic() - self._started
            more = f" (and {len(pending) - 1} more)" if pending[1:] else ""
            self._status.update(f"waiting for {seconds:.0f} s: {pending[0].ref}: {pending[0].message}{more}")
            return
        for finding in pending:
            if str(finding) not in self._shown:
                self._shown.add(str(finding))
                click.echo(f"{click.style('waiting:', fg='cyan')} {finding}", err=True)


class RampDisplay:
    """A bar with the weight, the evidence and what is waited for; on no terminal nothing but waiting lines."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._progress: Any = None
        self._task: Any = None
        self._shown = ""

    def __enter__(self) -> Self:
        """Start it."""
        if sys.stderr.isatty():
            from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
            from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

            columns = (
                TextColumn("canary {task.completed:.0f} of {task.total:.0f}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[evidence]}"),
                TextColumn("{task.description}"),
            )
            # What is printed meanwhile stays on its own stream, and `aside` makes room for it.
            self._progress = Progress(
                *columns,
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._progress.start()
            self._task = self._progress.add_task("", total=self._total, evidence="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it and give the line back."""
        self.stop()

    def stop(self) -> None:
        """End it, so that a question can be asked."""
        if self._progress:
            self._progress.stop()
            self._progress = None

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar away while something is printed, which may go to the same terminal."""
        if self._progress:
            self._progress.stop()
        try:
            yield
        finally:
            if self._progress:
                self._progress.start()

    def reached(self, split: Split, evidence: str) -> None:
        """Show a weight that was set."""
        if self._progress:
            self._progress.update(
                self._task, completed=split.canary, evidence=f"({evidence})", description=""
            )

    def waits(self, text: str) -> None:
        """Show what is waited for."""
        if self._progress:
            self._progress.update(self._task, description=text)
        elif text and text != self._shown:
            click.echo(f"waiting: {text}", err=True)
        self._shown = text

    def pause(self, interrupt: Interrupt, seconds: float, following: int | None) -> bool:
        """Wait for the next step, and return whether that was cut short."""
        left = seconds
        following_text = "end" if following is None else f"next: {following}"
        while left > 0:
            if self._progress:
                self._progress.update(self._task, description=f"{following_text} in {left:.0f} s")
            part = min(1.0, left)
            if interrupt.sleep(part):
                return True
            left -= part
        return interrupt.called
