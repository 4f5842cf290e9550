"""The options of every call that writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollway.routers.findings import Finding
    from rollway.routers.plan import DryRun
    from rollway.routers.traffic import Evidence


class WriteOptions(TypedDict, total=False):
    """What every writing call takes by keyword."""

    adopt: bool
    """Take over an object that belongs to somebody else."""
    expect: str
    """The fingerprint of the reviewed plan; refuse when the plan is another one now."""
    dry_run: DryRun
    """Plan and check, and write nothing; `"server"` lets the store check the writes as well (admission)."""
    verify: Evidence | None
    """The evidence to reach (default: the highest that the store has)."""
    timeout: float
    """How many seconds the data plane may take to show the evidence (default: 30)."""
    on_failure: Literal["stop", "back"]
    """When it was written and the evidence is not reached: leave it (default), or send all traffic to stable."""
    wait: float
    """How many seconds to wait for destinations that are not ready yet, instead of refusing at once."""
    waiting: Callable[[Sequence[Finding]], None]
    """Called with what is waited for, each time that it was looked at."""
