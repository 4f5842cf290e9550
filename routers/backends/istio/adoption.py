"""The stanza for the VirtualServices that lead to a Service, and those with the canary beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.routers.backends.adoption import Adoption, Proposal, refusal, routes_in
from rollway.routers.backends.istio.virtual_service import (
    GROUP,
    SECTIONS,
    destination_of,
    host_name,
    routes_of,
)
from rollway.routers.objects import dig, duplicate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.findings import Finding
    from rollway.routers.objects import Live, LiveObject, Manifest, ObjectRef


def propose(service: ObjectRef, canary: str, live: Live) -> Proposal:
    """Propose every VirtualService of the namespace with a route to the Service, with the canary in each of those routes."""
    entries: list[Manifest] = []
    found: list[ObjectRef] = []
    wanted: list[Manifest] = []
    findings: list[Finding] = []
    for item in routes_in(live, GROUP, "VirtualService", service.namespace):
        leading = list(_leading(item, service))
        if not leading:
            continue
        changed: Manifest = duplicate(item.manifest)
        for section, index, position in leading:
            _add(changed["spec"][section][index]["route"], position, service, canary)
        found.append(item.ref)
        if changed != item.manifest:
            wanted.append(changed)
        findings += _findings(item, leading)
        entries.append({"name": item.ref.name, **_names(item, leading)})
    stanza = {"virtualService": entries[0]} if len(entries) == 1 else {"virtualServices": entries}
    return Proposal(stanza if found else None, tuple(found), tuple(wanted), tuple(findings))


_Place = tuple[str, int, int]
"""A section, the index of a route in it, and the position of a destination in that."""


def _leading(item: LiveObject, service: ObjectRef) -> Iterator[_Place]:
    """Yield the routes that lead to the Service."""
    ref, host = item.ref, host_name(service.name, service.namespace)
    for section in SECTIONS:
        for index, entry in enumerate(routes_of(ref, item.manifest, section)):
            destinations = entry.get("route")
            for position, each in enumerate(destinations if isinstance(destinations, list) else ()):
                if dig(each, "destination", "host") and destination_of(each, ref.namespace).host == host:
                    yield section, index, position
                    break


def _add(route: list[Any], position: int, service: ObjectRef, canary: str) -> None:
    """Put the canary behind the other destinations; a lone one gets a weight, without which it would have none beside it."""
    host = str(route[position]["destination"]["host"])
    other = canary + host.removeprefix(service.name)
    if any(dig(each, "destination", "host") == other for each in route):
        return
    if len(route) == 1:
        route[position]["weight"] = 100
    route.append({"destination": {**duplicate(route[position]["destination"]), "host": other}, "weight": 0})


def _names(item: LiveObject, leading: list[_Place]) -> Manifest:
    """Return which http routes carry the weights; a lone one is found by its destinations."""
    http = [index for section, index, _ in leading if section == "http"]
    names = [dig(item.manifest, "spec", "http", index, "name") for index in http]
    return {"routes": names} if len(names) > 1 and all(names) else {}


def _findings(item: LiveObject, leading: list[_Place]) -> Iterator[Finding]:
    for section in SECTIONS:
        places = [index for each, index, _ in leading if each == section]
        names = [dig(item.manifest, "spec", section, index, "name") for index in places]
        if len(places) > 1 and (section != "http" or not all(names) or len(set(names)) < len(names)):
            listed = ", ".join(f"spec.{section}[{index}]" for index in places)
            remedy = "give each http route a name of its own, or write the stanza by hand"
            yield refusal("adopt-unnamed-route", item.ref, f"{listed} all lead to the Service", remedy)
    for section, index, position in leading:
        subset = dig(item.manifest, "spec", section, index, "route", position, "destination", "subset")
        if subset:
            message = f"spec.{section}[{index}] leads to subset {subset}"
            yield refusal("adopt-subset", item.ref, message, "route to the Service as a whole")


ADOPTION = Adoption(((GROUP, "VirtualService"),), propose)
