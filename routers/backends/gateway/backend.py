"""Gateway API: the weights of stable and canary inside the user's routes, and nothing else in them.

Source: https://gateway-api.sigs.k8s.io/reference/spec/. Every rule that holds both Services carries the weights; a rule
that its owner wrote for one of them alone is left as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rollway.routers.backends.endpoints import endpoint_needs
from rollway.routers.backends.gateway.checks import GRANT, findings
from rollway.routers.backends.gateway.managed import (
    clone_names,
    refuse_unroutable,
    routes_in,
    with_routes,
)
from rollway.routers.backends.gateway.routes import (
    GROUP,
    MAX_WEIGHT,
    VERSIONS,
    find_routes,
    find_targets,
    route_ref,
    stanza_of,
)
from rollway.routers.backends.services import service_needs
from rollway.routers.errors import RollwayError, UnsupportedError, together
from rollway.routers.model import CANARY, STABLE, Context
from rollway.routers.objects import Access, Need, duplicate, item_field
from rollway.routers.traffic import Capabilities

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.backends.gateway.routes import Target
    from rollway.routers.findings import Finding
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef
    from rollway.routers.traffic import HeaderRoute, MirrorRoute, Reading, Traffic
    from rollway.routers.weights import Split

_WEIGHTS = "/spec/rules/*/backendRefs/*/weight"
_CLONES = 32
"""So many clones of one route at most: there are 16 rules, and numbers that others use are left out."""
_RELIES = ("/spec/rules/*",)
"""The whole rule: without a name, nothing less tells it from a clone that was put in before it meanwhile."""


class GatewayBackend:
    """Carry weights in HTTPRoutes, GRPCRoutes, TLSRoutes and TCPRoutes."""

    name: ClassVar[str] = "gateway"
    capabilities: ClassVar[Capabilities] = Capabilities(
        objects=", ".join(VERSIONS),
        versions=tuple(
            f"{GROUP}/{version}" for version in dict.fromkeys(v for known in VERSIONS.values() for v in known)
        ),
        access=Access.SHARED,
        header_routes=True,
        mirror_routes=True,
    )

    def needs(self, rollout: Rollout) -> Sequence[Need]:
        """Share the routes that the Rollout names or selects; read its Services, and what lets other namespaces use them."""
        stanza = stanza_of(rollout)
        refs = [route_ref(rollout, name.kind, name.name) for name in stanza.routes]
        fields = (_WEIGHTS, *(item_field("/spec/rules", name) for name in clone_names(rollout, _CLONES)))
        needs = [
            Need(
                *(GROUP, ref.kind, ref.name, ref.namespace, Access.SHARED),
                fields=fields,
                relies=_RELIES,
            )
            for ref in refs
        ]
        needs += [
            Need(
                *(GROUP, selector.kind, "", stanza.namespace, Access.SHARED),
                required=False,
                fields=fields,
                relies=_RELIES,
                selector=str(selector),
            )
            for selector in stanza.selectors
        ]
        if stanza.namespace != rollout.namespace:
            needs.append(Need(GROUP, GRANT, namespace=rollout.namespace, required=False))
        return [*needs, *service_needs(rollout), *endpoint_needs(rollout)]

    def render(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return a copy of each route with the wanted weights in every rule that carries them, and with the wanted clones."""
        wanted: list[Manifest] = []
        errors: list[RollwayError] = []
        routes = find_routes(rollout, live)
        refuse_unroutable(routes, want)
        for route in routes:
            try:
                weighted = _weighted(rollout, route.ref, want.split, live)
                with_routes(rollout, route, weighted, want, live)
                wanted.append(weighted)
            except RollwayError as error:
                errors.append(error)
        if errors:
            raise together(errors)
        return wanted

    def observe(self, rollout: Rollout, live: Live) -> Sequence[Reading]:
        """Read the weights of each rule that carries them, and the header and mirror routes of each object."""
        return [
            reading
            for ref, _ in find_routes(rollout, live)
            for reading in _with_routes(
                [target.reading(rollout.total) for target in find_targets(rollout, ref, live)],
                routes_in(rollout, ref, live),
            )
        ]

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Finding]:
        """Report what implementations ignore or reject, and shares that come out differently."""
        return list(findings(Context(rollout, want, live)))


def _weighted(rollout: Rollout, ref: ObjectRef, split: Split, live: Live) -> Manifest:
    changed: Manifest = duplicate(live[ref].manifest)
    for target in find_targets(rollout, ref, live):
        entries = changed["spec"]["rules"][target.index]["backendRefs"]
        for role, weight in _shares(target, split).items():
            position = getattr(target, role)
            if target.weights[position] != weight:
                entries[position]["weight"] = weight
    return changed


def _with_routes(readings: list[Reading], routes: Sequence[HeaderRoute | MirrorRoute]) -> Iterator[Reading]:
    for reading in readings:
        traffic = reading.traffic
        for route in routes if traffic else ():
            traffic = traffic.with_route(route) if traffic else None
        yield reading._replace(traffic=traffic)


def _shares(target: Target, split: Split) -> dict[str, int]:
    shares = target.shares(split)
    if max(shares.values()) > MAX_WEIGHT and not target.foreign:
        shares = {STABLE: split.stable, CANARY: split.canary}
    if max(shares.values()) > MAX_WEIGHT:
        raise UnsupportedError(
            f"{target.ref}, {target.part}: the share needs a weight of {max(shares.values()):,}, and Gateway API allows "
            f"{MAX_WEIGHT:,}",
            hint="write the weights of the rule, or maxTrafficWeight, out of a smaller sum",
        )
    return shares


BACKEND = GatewayBackend()
