"""Look at something again whenever an object of its namespace changes, until a time is over or somebody has seen enough."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from rollway.cli import output as out
from rollway.routers.errors import RollwayError
from rollway.routers.stores.watching import WatchingStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rollway.routers.stores import Store
    from rollway.routers.stores.cluster import ClusterStore

_Seen = TypeVar("_Seen")

TICK_S = 1.0
"""How long nothing may change before there is a look without a change: ages and clocks go on."""
PAUSE_S = 0.1
"""The least time between two looks, so that a namespace in which much happens keeps nobody busy."""


def looks(
    cluster: ClusterStore, namespace: str, look: Callable[[Store], _Seen], timeout: float | None = None
) -> Iterator[_Seen]:
    """Yield what `look` sees, at once and again after each change, `timeout` seconds long (None: without an end).

    `look` reads from a store that watches the namespace, so that a look without a change costs no request. An API
    server that does not answer for a while is waited for, with one note.
    """
    changed = threading.Event()
    end = None if timeout is None else time.monotonic() + timeout
    answering = True
    with contextlib.closing(WatchingStore(cluster, namespace, lambda _ref: changed.set())) as store:
        while True:
            changed.clear()
            try:
                seen = look(store)
            except RollwayError as error:
                if not error.retryable:
                    raise
                if answering:
                    out.note(f"waiting for the API server: {error.message}")
                answering = False
            else:
                answering = True
                yield seen
            left = TICK_S if end is None else min(TICK_S, end - time.monotonic())
            if left <= 0:
                return
            time.sleep(min(PAUSE_S, left))
            changed.wait(left)
