"""Header and mirror routes of Istio on live traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import manifests as m
from harness import shop as shops
from harness.traffic import require_half_copied
from rollway.routers.data_planes import data_plane_probes
from rollway.routers.lookup import read_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import (
    Evidence,
    HeaderRoute,
    MirrorRoute,
    Outcome,
    RequestMatch,
    StringMatch,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes.istio import Istio
    from harness.traffic import Shop

BETA = HeaderRoute("beta", (RequestMatch((("x-beta", StringMatch("exact", "yes")),)),))
COPY = MirrorRoute("copy", (RequestMatch((("x-copy", StringMatch("exact", "yes")),)),), 50)
ROUTING = {"managedRoutes": [{"name": "beta"}, {"name": "copy"}], **shops.PRIMARY}


def test_routes_take_their_requests_and_weights_move_beside_them(
    istio: Istio, make_shop: Callable[..., Shop]
) -> None:
    """A header leads every request to the canary, others follow the weight, half of the chosen ones are copied, and no request is lost."""
    shop = make_shop(istio, routing=ROUTING)
    pair = [m.destination("shop-stable", 100), m.destination("shop-canary", 0)]
    primary = {"name": "primary", "route": pair, "timeout": "7s", "retries": {"attempts": 2}}
    shop.put(m.virtual_service(http=[primary]))
    store = shop.namespace.store()
    rollout = read_rollout(store, "shop", shop.namespace.name)
    router = TrafficRouter(rollout, store, probes=data_plane_probes(rollout, store).probes)
    router.set_weight(0, verify=Evidence.LOADED)
    with shop.load() as samples:
        for route in (BETA, COPY):
            setter = router.set_header_route if isinstance(route, HeaderRoute) else router.set_mirror_route
            result = setter(route, verify=Evidence.LOADED)  # type: ignore[arg-type]
            assert result.verdict
            assert result.verdict.outcome is Outcome.MATCHES
        for weight in (20, 50, 0):
            router.set_weight(weight, verify=Evidence.LOADED)
            shop.require_share(100, requests=1000, x_beta="yes")
            shop.require_share(weight, x_beta="no")
            shop.require_share(weight, x_copy="yes")
        require_half_copied(istio, shop, x_copy="yes")
        web = shop.namespace.get("networking.istio.io/v1", "VirtualService", "web")
        assert [(item["name"], item["timeout"]) for item in web["spec"]["http"]] == [
            ("beta", "7s"),
            ("copy", "7s"),
            ("primary", "7s"),
        ]
        router.remove_managed_routes(verify=Evidence.LOADED)
        shop.require_share(0, x_beta="yes")
    store.close()
    failures = [item.failures for _, item in samples]
    assert not any(failures), failures
