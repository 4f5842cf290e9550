"""Look at one Rollout with all that belongs to it, and show it: once, or again whenever it changes."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.cli import output as out
from rollway.cli.live import LiveLook, LiveTraffic
from rollway.cli.release_documents import tree_document
from rollway.cli.tree import lines
from rollway.releases.looking import read_related
from rollway.releases.tree import Tree, tree_of
from rollway.routers.lookup import find_rollout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rollway.cli.probes import DataPlaneOptions
    from rollway.routers.objects import Manifest
    from rollway.routers.stores import Store

LIVE_INTERVAL_S = 2.0
"""How often the data planes are asked at most while a Rollout is watched."""


class Seen(NamedTuple):
    """One look."""

    tree: Tree
    manifest: Manifest
    live: LiveTraffic | None


class TreeLook:
    """Look at one Rollout of a namespace."""

    def __init__(self, name: str, namespace: str, planes: DataPlaneOptions) -> None:
        self._name = name
        self._namespace = namespace
        self._planes = planes
        self._live: LiveLook | None = None
        self._last: tuple[float, LiveTraffic | None] = (0.0, None)
        self._noted: set[str] = set()

    def __call__(self, store: Store) -> Seen:
        """Look now.

        Raises:
            NotFoundError: there is no such Rollout, or no more.
            StoreError: it cannot be read.
        """
        item = find_rollout(store, self._name, self._namespace)
        tree = tree_of(item.manifest, read_related(store, item, self._note))
        at, live = self._last
        if self._live is None or time.monotonic() - at >= LIVE_INTERVAL_S:
            self._live = self._live or LiveLook(store, self._planes)
            live = self._live(item)
            self._last = time.monotonic(), live
        return Seen(tree, item.manifest, live)

    def _note(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            out.note(text)


def show(seen: Seen, output: str) -> None:
    """Print one look."""
    if output in ("json", "yaml"):
        out.document(tree_document(*seen), output)
    elif output == "name":
        out.echo(f"rollout.argoproj.io/{seen.tree.name}")
    else:
        for line in lines(seen.tree, seen.live, datetime.now(UTC), wide=output == "wide"):
            out.echo(line)
        if seen.live and seen.live.seen:
            out.findings(seen.live.seen.findings)


def follow(seen: Iterable[Seen], output: str) -> None:
    """Show each look: drawn over the last one on a terminal, and elsewhere what is new, line by line or as documents."""
    if output in ("text", "wide") and sys.stdout.isatty():
        _draw(seen, wide=output == "wide")
        return
    printed: Any = None
    for each in seen:
        content: Any = tree_document(*each) if output in ("json", "yaml") else summary(each)
        if content == printed:
            continue
        printed = content
        if output == "name":
            out.echo(f"rollout.argoproj.io/{each.tree.name}")
        elif output in ("json", "yaml"):
            if output == "yaml":
                out.echo("---")
            out.document(content, output)
        else:
            out.echo(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {content}")
        # Whoever reads a pipe gets each change as it comes.
        out.finish()


def summary(seen: Seen) -> str:
    """Write where a Rollout is in one line."""
    tree = seen.tree
    parts = [str(tree.phase)]
    if tree.position:
        parts.append(f"step {tree.position}")
    if tree.strategy == "Canary":
        parts.append(f"weight {tree.set_weight}")
    if seen.live:
        parts.append(f"live {' '.join(seen.live.lines)}")
    counts = (f"{count} {name}" for name, count in tree.replicas._asdict().items())
    return "; ".join([*parts, f"pods: {', '.join(counts)}"])


def _draw(seen: Iterable[Seen], *, wide: bool) -> None:
    """Draw each look over the last one; ages go on without a change."""
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(no_color=out.colour() is False)
    with Live(console=console, auto_refresh=False) as display:
        for each in seen:
            text = "\n".join(lines(each.tree, each.live, datetime.now(UTC), wide=wide))
            display.update(Text.from_ansi(text, no_wrap=True, overflow="ellipsis"), refresh=True)
