"""What controllers report in the status of a route: for each parent, whether they have accepted it as it is now.

Source: Gateway API v1.4, apis/v1/shared_types.go (`RouteParentStatus`, `RouteConditionType`). A route has no condition that
shows that a data plane has loaded it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.objects import dig
from rollway.routers.traffic import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.routers.objects import Manifest

ACCEPTED, RESOLVED, PARTIAL = "Accepted", "ResolvedRefs", "PartiallyInvalid"


class Condition(NamedTuple):
    """One condition, and whether it is about the route as it is now; `generation` 0 means that it does not show that."""

    status: str
    reason: str
    message: str
    generation: int
    current: bool

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.reason, self.message)))


class ParentReport(NamedTuple):
    """What one controller reports of a route at one of its parents."""

    parent: str
    controller: str
    conditions: Mapping[str, Condition]


class Parent(NamedTuple):
    """One parent that a route names, and what each controller that claims it reports."""

    name: str
    reports: tuple[ParentReport, ...]


def parents_of(manifest: Manifest) -> list[Parent]:
    """Return the parents that a route names now; a status about any other one is left out."""
    statuses = dig(manifest, "status", "parents")
    listed = statuses if isinstance(statuses, list) else []
    refs = dig(manifest, "spec", "parentRefs")
    parents: list[Parent] = []
    for parent_ref in refs if isinstance(refs, list) else ():
        key = _key(parent_ref, manifest)
        name = _name(key)
        reports = [
            ParentReport(name, str(dig(entry, "controllerName")), _conditions(entry, manifest))
            for entry in listed
            if _key(dig(entry, "parentRef"), manifest) == key
        ]
        parents.append(Parent(name, tuple(reports)))
    return parents


def controllers_of(manifest: Manifest) -> list[str]:
    """Return the names of the controllers that report on a route at one of its parents."""
    reports = (report for parent in parents_of(manifest) for report in parent.reports)
    return list(dict.fromkeys(report.controller for report in reports))


def acceptance(parent: Parent) -> list[tuple[Outcome, str]]:
    """Return for each controller of a parent whether it has accepted the route as it is now, and the reason."""
    if not parent.reports:
        return [(Outcome.UNKNOWN, f"no controller reports on the route at {parent.name}")]
    return [_acceptance(report) for report in parent.reports]


def _acceptance(report: ParentReport) -> tuple[Outcome, str]:
    who = f"{report.controller} at {report.parent}"
    partial = report.conditions.get(PARTIAL)
    if partial and partial.status == "True":
        return Outcome.DIFFERS, f"{who} has not taken over the whole route ({partial})"
    for kind in (ACCEPTED, RESOLVED):
        condition = report.conditions.get(kind)
        if condition is None:
            return Outcome.UNKNOWN, f"{who} does not report {kind}"
        if not condition.generation:
            return Outcome.UNKNOWN, f"{who} does not report which generation of the route it has seen"
        if not condition.current:
            return Outcome.DIFFERS, f"{who} has not seen the change yet (generation {condition.generation})"
        if condition.status != "True":
            outcome = Outcome.DIFFERS if condition.status == "False" else Outcome.UNKNOWN
            return outcome, f"{who} reports {kind} {condition.status} ({condition})"
    return Outcome.MATCHES, f"{who} has accepted it"


def _conditions(entry: Any, manifest: Manifest) -> dict[str, Condition]:
    generation = dig(manifest, "metadata", "generation")
    latest = generation if type(generation) is int else 0
    conditions: dict[str, Condition] = {}
    for item in dig(entry, "conditions") or ():
        observed = dig(item, "observedGeneration")
        seen = observed if type(observed) is int else 0
        conditions[str(dig(item, "type"))] = Condition(
            str(dig(item, "status")),
            str(dig(item, "reason") or ""),
            str(dig(item, "message") or ""),
            seen,
            0 < latest <= seen,
        )
    return conditions


def _key(parent_ref: Any, manifest: Manifest) -> tuple[str, str, str, str, str, int]:
    """Return what a parentRef means, with the defaults of the API filled in."""
    group = dig(parent_ref, "group")
    return (
        "gateway.networking.k8s.io" if group is None else str(group),
        str(dig(parent_ref, "kind") or "Gateway"),
        str(dig(parent_ref, "namespace") or manifest["metadata"].get("namespace", "")),
        str(dig(parent_ref, "name")),
        str(dig(parent_ref, "sectionName") or ""),
        dig(parent_ref, "port") or 0,
    )


def _name(key: tuple[str, str, str, str, str, int]) -> str:
    _, kind, namespace, name, section, port = key
    place = "".join([f" listener {section}" if section else "", f" port {port}" if port else ""])
    return f"{kind} {namespace}/{name}{place}"
