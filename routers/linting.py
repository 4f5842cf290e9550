"""Check Rollouts and their objects before any weight is asked for: manifests, and what the data planes say to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.errors import InvalidInputError, ManifestError, RollwayError
from rollway.routers.model import Context, Traffic
from rollway.routers.observing import is_routed, read_together, require
from rollway.routers.planning import check, observe
from rollway.routers.router import read_rollout, read_rollouts
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.model import Live, LiveObject, Rollout
    from rollway.routers.stores import Store


class Problem(NamedTuple):
    """One thing that is wrong, or that a reader should know: where, how bad (fault, refusal, note), of which Rollout."""

    place: str
    severity: str
    rollout: str
    message: str


def lint(store: Store, namespace: str = "", name: str = "") -> list[Problem]:
    """Check one Rollout, or all of a namespace (empty: of the store).

    Raises:
        NotFoundError: there is no Rollout of that name.
        StoreError: the store cannot be read.
    """
    rollouts = read_rollouts(store, namespace, name)
    if name and not rollouts:
        read_rollout(store, name, namespace)
    live = read_together(store, [rollout for _, rollout in rollouts if not isinstance(rollout, RollwayError)])
    return [problem for item, rollout in rollouts for problem in _lint(store, item, rollout, live)]


def _lint(store: Store, item: LiveObject, rollout: Rollout | RollwayError, live: Live) -> Iterator[Problem]:
    name = f"{item.ref.namespace}/{item.ref.name}"
    place = item.locate(()) or str(item.ref)
    if not is_routed(item):
        yield Problem(place, "note", name, "has no trafficRouting, so rollway has nothing to do for it")
        return
    try:
        if isinstance(rollout, RollwayError):
            raise rollout
        require(store, rollout, live)
        want = observe(rollout, live).traffic or Traffic(Split(0, rollout.total))
        for finding in check(Context(rollout, want, live)):
            if finding.code != "files-only":
                there = live[finding.ref].locate(()) if finding.ref and finding.ref in live else ""
                yield Problem(there or place, finding.severity.value, name, str(finding))
    except RollwayError as error:
        severity = "fault" if isinstance(error, InvalidInputError) or error.exit_code == 1 else "refusal"
        parts = error.faults if isinstance(error, ManifestError) else getattr(error, "reasons", ())
        for part in parts:
            there, colon, rest = part.partition(": ")
            located = bool(colon) and there.rpartition(":")[2].isdigit()
            yield Problem(there if located else place, severity, name, rest if located else part)
        if parts:
            return
        yield Problem(place, severity, name, str(error).replace("\n  ", "; "))
