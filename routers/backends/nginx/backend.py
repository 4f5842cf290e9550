"""ingress-nginx: one canary Ingress of ours beside each stable Ingress of the user's.

Annotations: https://kubernetes.github.io/ingress-nginx, "Canary". What the controller makes of them is in `controller` and
`policy`, and what it would ignore in `checks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rollway.routers.backends.endpoints import check_services, endpoint_needs
from rollway.routers.backends.nginx import checks, controller, header_route
from rollway.routers.backends.nginx.ingresses import GROUP, pairs, stable_paths, stanza_of
from rollway.routers.backends.nginx.policy import read_canary
from rollway.routers.backends.services import service_needs, unknown_services
from rollway.routers.errors import ManifestError, NotFoundError
from rollway.routers.findings import Severity
from rollway.routers.model import CANARY, STABLE
from rollway.routers.objects import Access, Need
from rollway.routers.render import render
from rollway.routers.traffic import Capabilities, Reading, Traffic
from rollway.routers.weights import nearest_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.findings import Finding
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef

_OWN_KEYS = ("canary", "canary-weight", "canary-weight-total")


class NginxBackend:
    """Carry weights in the canary annotations of ingress-nginx."""

    name: ClassVar[str] = "nginx"
    capabilities: ClassVar[Capabilities] = Capabilities(
        objects="canary Ingress",
        versions=("networking.k8s.io/v1",),
        access=Access.MANAGED,
        smallest_total=100,
        header_routes=True,
        obstacles={
            "mirror routes": "mirror-target copies every request of a location to one URL, and most controllers do not allow it"
        },
    )

    def needs(self, rollout: Rollout) -> Sequence[Need]:
        """Read the stable Ingresses, every other Ingress and both Services; manage the canary Ingresses."""
        stanza = stanza_of(rollout)
        needs: list[Need] = []
        for stable, canary in pairs(rollout):
            needs.append(Need(GROUP, "Ingress", stable.name, stable.namespace))
            prefixed = (f"{stanza.annotation_prefix}/{key}" for key in _OWN_KEYS)
            own = (*prefixed, header_route.ROUTE_ANNOTATION)
            managed = Need(GROUP, "Ingress", canary.name, canary.namespace, Access.MANAGED, required=False)
            needs.append(managed._replace(own_keys=own, derived_from=stable))
        needs.append(Need(GROUP, "Ingress", required=False))
        return [*needs, *service_needs(rollout), *endpoint_needs(rollout)]

    def render(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return one canary Ingress for each stable Ingress, with the paths that lead to the stable Service.

        Raises:
            UnsupportedError: the header routes are more than one header with an exact value, a prefix or a regex.
            RefusedError: the stanza, or somebody else on the canary Ingress, chooses by a header already.
        """
        return [_render(rollout, want, stable, canary, live) for stable, canary in pairs(rollout)]

    def observe(self, rollout: Rollout, live: Live) -> Sequence[Reading]:
        """Read the weight and the header route of each canary Ingress as the controller does; an absent one has none."""
        return [_observe(rollout, canary, live.manifest(canary)) for _, canary in pairs(rollout)]

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Finding]:
        """Report every case in which the controller would ignore a canary, merge it wrongly or refuse it."""
        findings: dict[Finding, None] = {}
        refusal = Severity.NOTE if want.is_all_stable else Severity.REFUSAL
        for stable, canary in pairs(rollout):
            for finding in [
                *checks.check_pair(rollout, want, stable, canary, live, refusal),
                *checks.check_ports(rollout, stable, live, refusal),
                *unknown_services(rollout, live),
            ]:
                findings[finding] = None
        # Without a ready stable endpoint ingress-nginx answers 503 also to what would go to the canary (measured).
        ports = dict.fromkeys((STABLE, CANARY), _ports(rollout, live))
        return [*findings, *check_services(rollout, want, live, ports, keep_stable=True)]


def _ports(rollout: Rollout, live: Live) -> list[int | str]:
    """Return the ports of the stable Service that its Ingresses use."""
    used = (path.port for stable, _ in pairs(rollout) for path in stable_paths(rollout, stable, live))
    return list(dict.fromkeys(port.get("name") or port.get("number") or "" for port in used))


def _render(rollout: Rollout, want: Traffic, stable: ObjectRef, canary: ObjectRef, live: Live) -> Manifest:
    paths = stable_paths(rollout, stable, live)
    if not paths:
        raise NotFoundError(
            f"{stable} has no path that leads to Service {rollout.stable_service}, so there is nothing to split",
            hint="name the Ingress that serves the stable Service in nginx.stableIngress, or add such a path to this one",
        )
    stanza, ingress = stanza_of(rollout), live[stable].manifest
    prefix = stanza.annotation_prefix
    annotations = dict(stanza.annotations)
    for route in want.header_routes:
        header_route.refuse_conflict(route, annotations, canary, live.manifest(canary), prefix)
    old_class = controller.annotations_of(stable, ingress).get(controller.CLASS_ANNOTATION)
    if old_class is not None:
        annotations.setdefault(controller.CLASS_ANNOTATION, old_class)
    annotations |= {f"{prefix}/canary": "true", f"{prefix}/canary-weight": str(want.split.canary)}
    annotations.pop(f"{prefix}/canary-weight-total", None)
    if want.split.total != 100:
        annotations[f"{prefix}/canary-weight-total"] = str(want.split.total)
    annotations |= header_route.annotations_of(want.header_routes, prefix)
    rules: dict[int, dict[str, Any]] = {}
    for path in paths:
        rule = rules.setdefault(path.rule, {"host": path.host, "paths": []})
        # An omitted path is served as "/", which is clearer written out.
        rule["paths"].append({"path": path.path or "/", "path_type": path.path_type, "port": path.port})
    return render(
        "nginx/ingress.yaml.j2",
        name=canary.name,
        namespace=canary.namespace,
        annotations=annotations,
        ingress_class=ingress["spec"].get("ingressClassName"),
        tls=ingress["spec"].get("tls"),
        rules=list(rules.values()),
        service=rollout.canary_service,
    )


def _observe(rollout: Rollout, canary: ObjectRef, manifest: Manifest | None) -> Reading:
    if manifest is None:
        return Reading(canary)
    prefix = stanza_of(rollout).annotation_prefix
    annotations = controller.annotations_of(canary, manifest)
    enabled, policy, problems = read_canary(annotations, prefix)
    if not enabled:
        return Reading(canary)
    garbage = [problem for problem in problems if problem.startswith("canary-weight")]
    if garbage:
        raise ManifestError(canary, [f"metadata.annotations: {problem}" for problem in garbage])
    total = max(policy.total, 100)
    weight = min(max(policy.weight, 0), total)
    split = nearest_split(total - weight, weight, rollout.total)
    assert split is not None, "the total is at least 100"
    weights = ((rollout.canary_service, str(weight)), (rollout.stable_service, str(total - weight)))
    route = header_route.route_of(annotations, policy, rollout.managed_routes, prefix)
    return Reading(canary, "", weights, Traffic(split[0], (route,) if route else ()), split[1])


BACKEND = NginxBackend()
