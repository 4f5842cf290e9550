"""The stanza for the Ingresses of ingress-nginx that lead to a Service: they stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.adoption import Adoption, Proposal, routes_in
from rollway.routers.backends.nginx.controller import annotations_of, class_of, read_paths
from rollway.routers.backends.nginx.ingresses import GROUP
from rollway.routers.backends.nginx.policy import read_canary
from rollway.routers.backends.nginx.stanza import DEFAULT_PREFIX
from rollway.routers.findings import Finding, Severity

if TYPE_CHECKING:
    from rollway.routers.objects import Live, Manifest, ObjectRef


def propose(service: ObjectRef, _canary: str, live: Live) -> Proposal:
    """Propose every Ingress with a path to the Service whose class is one of nginx, or not given."""
    found: list[ObjectRef] = []
    findings: list[Finding] = []
    for ref, manifest, *_ in routes_in(live, GROUP, "Ingress", service.namespace):
        leads = any(path.service == service.name for path in read_paths(ref, manifest))
        if not leads or read_canary(annotations_of(ref, manifest), DEFAULT_PREFIX)[0]:
            continue
        name = class_of(ref, manifest)
        if name is None or "nginx" in name:
            found.append(ref)
        else:
            message = f"is of class {name}, so weights do not divide what it gets"
            findings.append(Finding("adopt-other-ingress", Severity.NOTE, ref, message))
    names = [ref.name for ref in found]
    stanza: Manifest = {"stableIngress": names[0]} if len(names) == 1 else {"stableIngresses": names}
    return Proposal(stanza if found else None, tuple(found), findings=tuple(findings))


ADOPTION = Adoption(((GROUP, "Ingress"),), propose)
