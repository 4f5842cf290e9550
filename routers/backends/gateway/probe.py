"""Evidence `loaded` from the implementations of Gateway API that can be asked: istiod with Envoy, and Traefik."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rollway.routers.backends.gateway import (
    ENVOY,
    TRAEFIK,
    loaded_connections,
    loaded_envoy,
    loaded_traefik,
)
from rollway.routers.backends.gateway.loaded_rules import CONNECTIONS, REQUESTS, other_kinds, weighted_rules
from rollway.routers.backends.gateway.routes import find_routes
from rollway.routers.backends.gateway.status import controllers_of
from rollway.routers.probes import worst
from rollway.routers.probes.envoy import EnvoyListenersProbe, EnvoyProbe
from rollway.routers.probes.http import summary, unknown
from rollway.routers.probes.traefik import TraefikProbe
from rollway.routers.traffic import Evidence, ObjectVerdict, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from rollway.routers.backends.gateway.loaded_rules import Rule
    from rollway.routers.model import Context, Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef
    from rollway.routers.probes.envoy import LoadedChain, LoadedRoute
    from rollway.routers.probes.http import Find
    from rollway.routers.probes.traefik import LoadedRouter
    from rollway.routers.traffic import Verdict

_ISTIO = "istio.io/gateway-controller"
_TRAEFIK = "traefik.io/gateway-controller"
OPTIONS = {_ISTIO: ENVOY, _TRAEFIK: TRAEFIK}
"""The option for the data plane of each implementation that can be asked, by the name of its controller."""


@dataclass(frozen=True)
class IstioProbe:
    """Ask the Envoys of istiod for the routes of requests, and for the filter chains of connections, where there are any."""

    routes: EnvoyProbe
    listeners: EnvoyListenersProbe

    def judge(self, context: Context) -> Verdict:
        """Compare what each Envoy has of the Rollout's kinds of routes with them."""
        probes = (self.routes, self.listeners)
        return worst([probe.judge(context) for probe in probes if probe.objects(context)])


@dataclass(frozen=True)
class GatewayProbe:
    """Ask the data planes of every implementation that has reported on a route of the Rollout."""

    probes: Mapping[str, IstioProbe | TraefikProbe]
    """By the name of the implementation's controller."""
    evidence: Evidence = Evidence.LOADED
    backends: frozenset[str] = frozenset({"gateway"})

    def judge(self, context: Context) -> Verdict:
        """Compare what each implementation has loaded with the routes; one that nobody can ask makes it UNKNOWN."""
        claimed = controllers(context.rollout, context.live)
        unasked = sorted(claimed - self.probes.keys())
        if unasked:
            return unknown(_objects(context), f"{', '.join(unasked)} serves it too, and was not asked")
        # Without a status, whoever was given is asked.
        return worst(
            [
                probe.judge(context)
                for controller, probe in self.probes.items()
                if not claimed or controller in claimed
            ]
        )


def gateway_probe(places: Mapping[str, Find]) -> GatewayProbe:
    """Return the probe that asks the Envoys of istiod and the Traefiks that are given."""
    probes: dict[str, IstioProbe | TraefikProbe] = {}
    if ENVOY.name in places:
        find = places[ENVOY.name]
        probes[_ISTIO] = IstioProbe(
            EnvoyProbe(find, "gateway", partial(_objects, kinds=REQUESTS), compare_envoy),
            EnvoyListenersProbe(
                find, "gateway", partial(_objects, kinds=CONNECTIONS), compare_envoy_listeners
            ),
        )
    if TRAEFIK.name in places:
        probes[_TRAEFIK] = TraefikProbe(places[TRAEFIK.name], "gateway", _objects, compare_traefik)
    return GatewayProbe(probes)


def controllers(rollout: Rollout, live: Live) -> set[str]:
    """Return the names of the controllers that report on any route of the Rollout."""
    return {name for route in find_routes(rollout, live) for name in controllers_of(live[route.ref].manifest)}


def compare_envoy(loaded: Sequence[LoadedRoute], context: Context) -> Verdict:
    """Compare the routes that one Envoy has with the HTTPRoutes and GRPCRoutes; needs no network."""
    return _compare(context, REQUESTS, partial(loaded_envoy.differences, loaded, context.rollout))


def compare_envoy_listeners(loaded: Sequence[LoadedChain], context: Context) -> Verdict:
    """Compare the filter chains that one Envoy has with the TLSRoutes and TCPRoutes; needs no network."""
    return _compare(context, CONNECTIONS, partial(loaded_connections.differences, loaded))


def compare_traefik(loaded: Sequence[LoadedRouter], context: Context) -> Verdict:
    """Compare the routers that one Traefik has with the routes of Gateway API; needs no network."""
    return _compare(context, (*REQUESTS, *CONNECTIONS), partial(loaded_traefik.differences, loaded))


def _compare(
    context: Context,
    kinds: Collection[str],
    differences: Callable[[ObjectRef, Manifest, Sequence[Rule]], Iterator[str]],
) -> Verdict:
    rollout, want, live = context
    verdicts: list[ObjectVerdict] = []
    for ref in _objects(context, kinds):
        manifest = live[ref].manifest
        rules = weighted_rules(rollout, ref, manifest)
        foreign = other_kinds(ref, rules)
        if foreign:
            verdicts.append(ObjectVerdict(ref, Outcome.UNKNOWN, f"shows no share of {', '.join(foreign)}"))
            continue
        reasons = list(dict.fromkeys(differences(ref, manifest, rules)))
        outcome = Outcome.DIFFERS if reasons else Outcome.MATCHES
        verdicts.append(ObjectVerdict(ref, outcome, "; ".join(reasons) or f"has canary {want.split}"))
    return summary(verdicts)


def _objects(context: Context, kinds: Collection[str] = (*REQUESTS, *CONNECTIONS)) -> list[ObjectRef]:
    return [route.ref for route in find_routes(context.rollout, context.live) if route.ref.kind in kinds]
