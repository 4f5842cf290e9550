"""The stanza for the routes of Gateway API that lead to a Service, and those with the canary beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.adoption import Adoption, Proposal, routes_in
from rollway.routers.backends.gateway.routes import GROUP, backend_refs, rules_of
from rollway.routers.backends.gateway.stanza import KEYS
from rollway.routers.objects import duplicate

if TYPE_CHECKING:
    from rollway.routers.objects import Live, LiveObject, Manifest, ObjectRef


def propose(service: ObjectRef, canary: str, live: Live) -> Proposal:
    """Propose every route of the namespace with a rule for the Service, with the canary in each of those rules."""
    stanza: Manifest = {}
    found: list[ObjectRef] = []
    wanted: list[Manifest] = []
    for key, kind in KEYS.items():
        names: list[str] = []
        for item in routes_in(live, GROUP, kind, service.namespace):
            changed = _changed(item, service, canary)
            if changed is None:
                continue
            names.append(item.ref.name)
            found.append(item.ref)
            if changed != item.manifest:
                wanted.append(changed)
        if len(names) == 1:
            stanza[f"{key}Route"] = names[0]
        elif names:
            stanza[f"{key}Routes"] = [{"name": name} for name in names]
    return Proposal(stanza or None, tuple(found), tuple(wanted))


def _changed(item: LiveObject, service: ObjectRef, canary: str) -> Manifest | None:
    """Return a route with the canary in each rule for the Service; None where no rule is for it."""
    changed: Manifest = duplicate(item.manifest)
    leads = False
    for index, rule in enumerate(rules_of(item.ref, changed)):
        entries = backend_refs(item.ref, index, rule)
        ours = next((entry for entry in entries if _names(entry, item.ref, service.name)), None)
        if ours is None:
            continue
        leads = True
        if any(_names(entry, item.ref, canary) for entry in entries):
            continue
        if len(entries) == 1:
            ours["weight"] = 100
        entries.append({**duplicate(ours), "name": canary, "weight": 0})
    return changed if leads else None


def _names(entry: Manifest, ref: ObjectRef, service: str) -> bool:
    """Return whether a backendRef is a Service of the route's own namespace with this name."""
    group, kind = entry.get("group") or "", entry.get("kind") or "Service"
    namespace = entry.get("namespace") or ref.namespace
    return (group, kind, namespace, entry.get("name")) == ("", "Service", ref.namespace, service)


ADOPTION = Adoption(tuple((GROUP, kind) for kind in KEYS.values()), propose)
