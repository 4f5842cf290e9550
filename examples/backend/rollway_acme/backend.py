"""The translation: stable and canary are two entries of `spec.backends`, each with a weight out of the total."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from rollway.routers.backends.endpoints import check_services, endpoint_needs
from rollway.routers.backends.services import service_needs, unknown_services
from rollway.routers.errors import ManifestError, NotFoundError
from rollway.routers.objects import Access, Need, ObjectRef, dig, duplicate, item_field
from rollway.routers.traffic import Capabilities, Reading, Traffic
from rollway.routers.weights import nearest_split
from rollway_acme.routes import routes_of, with_routes
from rollway_acme.stanza import AcmeTrafficRouting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.findings import Finding
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest

GROUP, KIND = "acme.example.com", "WeightedRoute"


class AcmeBackend:
    """Carry weights in a WeightedRoute of the user's."""

    name: ClassVar[str] = "acme"
    capabilities: ClassVar[Capabilities] = Capabilities(
        KIND, (f"{GROUP}/v1",), Access.SHARED, header_routes=True, mirror_routes=True
    )

    def needs(self, rollout: Rollout) -> Sequence[Need]:
        """Share the WeightedRoute; read the Services and their endpoints."""
        ref = route_ref(rollout)
        route = Need(
            *(GROUP, KIND, ref.name, ref.namespace, Access.SHARED),
            fields=(
                "/spec/backends/*/weight",
                *(item_field("/spec/routes", name) for name in rollout.managed_routes),
            ),
            relies=("/spec/backends",),
        )
        return [route, *service_needs(rollout), *endpoint_needs(rollout)]

    def render(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return a copy of the WeightedRoute with the wanted weights and routes."""
        wanted: Manifest = duplicate(live[route_ref(rollout)].manifest)
        weights = {rollout.stable_service: want.split.stable, rollout.canary_service: want.split.canary}
        pair_weights(rollout, live)
        for entry in wanted["spec"]["backends"]:
            if entry["service"] in weights and entry.get("weight") != weights[entry["service"]]:
                entry["weight"] = weights[entry["service"]]
        with_routes(wanted, route_ref(rollout), rollout, want)
        return [wanted]

    def observe(self, rollout: Rollout, live: Live) -> Sequence[Reading]:
        """Read the two weights, and the routes beside them."""
        weights = pair_weights(rollout, live)
        stable, canary = (
            Fraction(weights[name]) for name in (rollout.stable_service, rollout.canary_service)
        )
        nearest = nearest_split(stable, canary, rollout.total)
        listed = tuple((name, str(weight)) for name, weight in weights.items())
        ref = route_ref(rollout)
        routes = routes_of(live[ref].manifest, ref, rollout)
        traffic = Traffic(nearest[0], *routes) if nearest else None
        return [Reading(ref, "", listed, traffic, nearest is None or nearest[1])]

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Finding]:
        """Report destinations that nobody serves."""
        return [*unknown_services(rollout, live), *check_services(rollout, want, live, {})]


def route_ref(rollout: Rollout) -> ObjectRef:
    """Name the WeightedRoute."""
    return ObjectRef(GROUP, KIND, rollout.namespace, rollout.stanza(AcmeTrafficRouting).route)


def pair_weights(rollout: Rollout, live: Live) -> dict[str, int]:
    """Return the weight of the stable and of the canary Service, as they stand in the WeightedRoute.

    Raises:
        NotFoundError: one of them is not in it.
        ManifestError: it is not of the shape that the API has.
    """
    ref = route_ref(rollout)
    backends = dig(live[ref].manifest, "spec", "backends")
    entries = backends if isinstance(backends, list) else []
    weights: dict[str, int] = {}
    for name in (rollout.stable_service, rollout.canary_service):
        entry = next((item for item in entries if dig(item, "service") == name), None)
        if entry is None:
            raise NotFoundError(
                f"{ref} has no backend {name}", hint="add it to spec.backends (the canary with weight 0)"
            )
        weight = entry.get("weight", 0)
        if type(weight) is not int or weight < 0:
            raise ManifestError(str(ref), [f"spec.backends: weight {weight!r} of {name} is no weight"])
        weights[name] = weight
    return weights


BACKEND = AcmeBackend()
