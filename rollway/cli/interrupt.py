"""Ctrl-C and SIGTERM during a ramp, as a question that is answered between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType


class Interrupt:
    """Turn Ctrl-C and SIGTERM into a question asked between two steps; the second one ends the program at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._known: dict[int, Any] = {}
        self.number = 0

    def __enter__(self) -> Self:
        """Take over the two signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._known[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._known.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt
        self.number = number
        self._asked.set()

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Let Ctrl-C end the program at once while a question is asked."""
        self._asked.set()
        try:
            yield
        finally:
            self._asked.clear()

    def clear(self) -> None:
        """Forget it, so that what answers it can be interrupted in turn."""
        self._asked.clear()

    @property
    def called(self) -> bool:
        """Whether somebody wants it to end."""
        return self._asked.is_set()

    def sleep(self, seconds: float) -> bool:
        """Wait, and return whether that was cut short."""
        return self._asked.wait(seconds)
