"""Check one Rollout with all that it depends on: what works and what does not, as one list.

Everything is asked of the store; what only a cluster knows is left out where the store is none.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.data_planes import data_plane_probes
from rollway.routers.errors import NotServedError, RollwayError
from rollway.routers.linting import FAULT, NOTE, lint
from rollway.routers.lookup import known_as, read_rollout
from rollway.routers.objects import Access
from rollway.routers.observing import read_together
from rollway.routers.planning import needs_of
from rollway.routers.rbac import rules
from rollway.routers.stores import ClusterAccess
from rollway.routers.writers import Influence, writers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.backends.data_plane import PolicyRule
    from rollway.routers.linting import Problem
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, LiveObject
    from rollway.routers.stores import Store

_ENDPOINT_CODES = ("endpoints-not-ready", "subset-not-ready")
_RBAC = "`rollway rbac {name}` prints the Role that has it"


class CheckResult(enum.Enum):
    """Whether something works, does not, or cannot be known from here."""

    OK = "ok"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


class Check(NamedTuple):
    """One thing that was looked at: the area, what of it, how it is, and what to do about a problem."""

    area: str
    subject: str
    result: CheckResult
    detail: str
    remedy: str = ""


def check_rollout(
    store: Store,
    name: str,
    namespace: str = "",
    *,
    manifests: Store | None = None,
    data_planes: Sequence[str] = (),
) -> list[Check]:
    """Return what works for a Rollout, and what does not, area by area.

    `manifests` holds the Rollout where that is not in the store itself, for example a file (None: the store).
    `data_planes` are the namespaces in which the pods of data planes are looked for (default: in all). What the store
    refuses, or cannot answer, is an entry of the list and raises nothing.
    """
    try:
        rollout = known_as(read_rollout(manifests or store, name, namespace), store)
    except RollwayError as error:
        return [Check("access", f"Rollout {name}", CheckResult.PROBLEM, error.message, error.hint)]
    checks = [Check("access", str(rollout.ref), CheckResult.OK, "can be read")]
    if isinstance(store, ClusterAccess):
        checks += _served(store, rollout)
        checks += _rights(store, rollout)
    try:
        live = read_together(store, [rollout])
        problems = lint(store, rollout.namespace, rollout.name, manifests=manifests)
    except RollwayError as error:
        return [*checks, Check("objects", str(rollout.ref), CheckResult.UNKNOWN, error.message, error.hint)]
    checks += _objects(rollout, live, problems)
    checks += _endpoints(rollout, live, problems)
    if isinstance(store, ClusterAccess):
        checks += _data_planes(store, rollout, data_planes)
    return [*checks, *_writers(store, rollout, live)]


def _served(store: ClusterAccess, rollout: Rollout) -> Iterator[Check]:
    """Yield whether the cluster serves each kind that the Rollout's objects have."""
    # Every API server serves CustomResourceDefinition, which no role needs.
    needed = {
        (need.group, need.kind)
        for need in needs_of(rollout)
        if need.name and need.kind != "CustomResourceDefinition"
    }
    for group, kind in sorted(needed):
        subject = f"{kind}.{group}" if group else kind
        try:
            store.is_served(group, kind, required=True)
        except NotServedError as error:
            yield Check("kinds", subject, CheckResult.PROBLEM, "is not served by the cluster", error.hint)
        except RollwayError as error:
            yield Check("kinds", subject, CheckResult.UNKNOWN, error.message, error.hint)
        else:
            yield Check("kinds", subject, CheckResult.OK, "is served")


def _rights(store: ClusterAccess, rollout: Rollout) -> Iterator[Check]:
    """Yield whether the role has each right that `rollway rbac` prints."""
    for namespace, wanted in rules(rollout).items():
        for rule in wanted:
            names = f" {', '.join(rule.names)}" if rule.names else ""
            subject = f"{rule.resource}{names} in namespace {namespace}"
            try:
                lacking = _lacking(store, namespace, rule)
            except RollwayError as error:
                yield Check("rights", subject, CheckResult.UNKNOWN, error.message, error.hint)
                continue
            if lacking:
                detail, remedy = f"the role lacks {', '.join(lacking)}", _RBAC.format(name=rollout.name)
                yield Check("rights", subject, CheckResult.PROBLEM, detail, remedy)
            else:
                yield Check("rights", subject, CheckResult.OK, ", ".join(rule.verbs))


def _lacking(store: ClusterAccess, namespace: str, rule: PolicyRule) -> list[str]:
    """Return the verbs of a rule that the role does not have for all of its names."""
    return [
        verb
        for verb in rule.verbs
        if not all(
            store.allows(verb, rule.resource, rule.group, namespace=namespace, name=name)
            for name in rule.names or ("",)
        )
    ]


def _objects(rollout: Rollout, live: Live, problems: Sequence[Problem]) -> Iterator[Check]:
    """Yield what `lint` reports of the objects, and those that are as they should be."""
    wrong = [problem for problem in problems if problem.severity != NOTE]
    for problem in wrong:
        if problem.code not in _ENDPOINT_CODES:
            what = "is wrong" if problem.severity == FAULT else "a weight would be refused"
            yield Check(
                "objects",
                problem.place,
                CheckResult.PROBLEM,
                f"{what}: {problem.message}",
                f"see {problem.code}",
            )
    if not wrong:
        # Before the first weight there may be nothing yet that rollway writes.
        for ref in [item.ref for item in _written(rollout, live)] or [rollout.ref]:
            yield Check("objects", str(ref), CheckResult.OK, "takes every weight of the Rollout")


def _endpoints(rollout: Rollout, live: Live, problems: Sequence[Problem]) -> Iterator[Check]:
    """Yield whether the destinations have ready endpoints."""
    unready = [problem for problem in problems if problem.code in _ENDPOINT_CODES]
    for problem in unready:
        yield Check("endpoints", problem.place, CheckResult.PROBLEM, problem.message)
    services = ", ".join(filter(None, (rollout.stable_service, rollout.canary_service)))
    subject = f"Services {services}" if services else "subsets"
    if not live.running:
        yield Check(
            "endpoints", subject, CheckResult.UNKNOWN, "only a cluster knows which endpoints are ready"
        )
    elif not unready:
        yield Check("endpoints", subject, CheckResult.OK, "are ready where a weight would send traffic")


def _data_planes(store: Store, rollout: Rollout, namespaces: Sequence[str]) -> Iterator[Check]:
    """Yield whether each data plane can be asked what it has loaded; without that a weight is known as written only."""
    try:
        obstacles = data_plane_probes(rollout, store, namespaces=namespaces).obstacles
    except RollwayError as error:
        yield Check(
            "data planes", ", ".join(rollout.backends), CheckResult.UNKNOWN, error.message, error.hint
        )
        return
    for backend in rollout.backends:
        if backend in obstacles:
            yield Check("data planes", backend, CheckResult.UNKNOWN, f"cannot be asked: {obstacles[backend]}")
        else:
            yield Check("data planes", backend, CheckResult.OK, "can be asked what it has loaded")


def _writers(store: Store, rollout: Rollout, live: Live) -> Iterator[Check]:
    """Yield who else owns or writes the Rollout's objects."""
    for item in _written(rollout, live):
        try:
            managers = store.field_managers(item.ref) if isinstance(store, ClusterAccess) else ()
        except RollwayError as error:
            yield Check("writers", str(item.ref), CheckResult.UNKNOWN, error.message, error.hint)
            continue
        writers = writers_of(item.manifest, managers)
        for writer in writers:
            result = {Influence.WEIGHTS: CheckResult.PROBLEM, Influence.SYNC: CheckResult.UNKNOWN}[
                writer.influence
            ]
            remedy = writer.remedy.format(name=rollout.name)
            yield Check("writers", str(item.ref), result, writer.detail, remedy)
        if not writers:
            others = (
                f"written by {', '.join(managers)} too" if managers else "nobody else is known to write it"
            )
            yield Check("writers", str(item.ref), CheckResult.OK, others)
    if rollout.status.phase:
        yield _controller(rollout)


def _controller(rollout: Rollout) -> Check:
    """Report a controller that reports on the Rollout, and so may move its traffic."""
    status = rollout.status
    step = "" if status.current_step is None else f", step {status.current_step}"
    detail = f"a controller reports phase {status.phase}{step}"
    if status.phase in ("Progressing", "Paused") and status.current_step is not None:
        remedy = "let one of the two move the traffic"
        return Check(
            "writers",
            str(rollout.ref),
            CheckResult.PROBLEM,
            f"{detail}, and writes its own weight back",
            remedy,
        )
    return Check(
        "writers",
        str(rollout.ref),
        CheckResult.UNKNOWN,
        f"{detail}, and may move the traffic with the next release",
    )


def _written(rollout: Rollout, live: Live) -> list[LiveObject]:
    """Return the objects that rollway writes for the Rollout, as far as they exist and are known by name or to a cluster."""
    needs = [need for need in needs_of(rollout) if need.access is not Access.READ]
    named = [live[need.ref] for need in needs if need.name and need.ref in live]
    # Only an API server applies a label selector.
    selected = [need for need in needs if not need.name] if live.running else []
    matching = (
        item for need in selected for item in live.of(need.group, need.kind) if need.matches(item.ref)
    )
    return list({item.ref: item for item in (*named, *matching)}.values())
