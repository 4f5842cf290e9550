"""Header and mirror routes of Gateway API: who gets which requests at istiod's Envoy and at Traefik."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import yaml

from harness import shop as shops
from harness import tools
from harness.process import rollway
from harness.traffic import planes, require_half_copied
from harness.waiting import until
from rollway.routers.backends.gateway.implementations import IMPLEMENTATIONS
from rollway.routers.data_planes import data_plane_probes
from rollway.routers.errors import RefusedError
from rollway.routers.lookup import read_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import Evidence, HeaderRoute, MirrorRoute, RequestMatch, StringMatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from data_planes import DataPlane
    from data_planes.gateway_api import IstioGateway
    from harness.traffic import Shop

    MakeShop = Callable[..., Shop]

ROUTING = {**shops.GATEWAY, "managedRoutes": [{"name": "preview"}, {"name": "copy"}]}
ALLOWED = ("--allow", "gateway-not-supported")
PREVIEW = HeaderRoute("preview", (RequestMatch((("X-Preview", StringMatch("exact", "yes")),)),))


@contextlib.contextmanager
def opened(shop: Shop) -> Iterator[TrafficRouter]:
    """Return a router of the shop that asks its data plane."""
    store = shop.namespace.store()
    rollout = read_rollout(store, "shop", shop.namespace.name)
    yield TrafficRouter(rollout, store, probes=data_plane_probes(rollout, store).probes)
    store.close()


@planes("istio_gateway", "traefik_gateway", kubelets=["traefik_gateway"])
def test_a_header_route_stands_beside_any_weight(plane: DataPlane, make_shop: MakeShop) -> None:
    """Requests with the header go to the canary, all others by the weight; a later weight keeps the route, `switch` ends it."""
    shop = make_shop(plane, routing=ROUTING)
    with opened(shop) as router:
        router.set_header_route(PREVIEW, verify=Evidence.LOADED)
    shop.require_share(0)
    shop.require_share(100, 200, X_Preview="yes")
    shop.require_share(0, 200, X_Preview="no")
    rollway("set-weight", "shop", "20")
    shop.require_share(20)
    shop.require_share(100, 200, X_Preview="yes")
    with opened(shop) as router:
        router.switch("stable", verify=Evidence.LOADED)
    shop.require_share(0, 200, X_Preview="yes")


def test_a_mirror_route_copies_its_percentage(istio_gateway: IstioGateway, make_shop: MakeShop) -> None:
    """At weight 0 users get stable alone, and the canary gets a copy of half of the requests; without the route none."""
    shop = make_shop(istio_gateway, routing=ROUTING)
    with opened(shop) as router:
        router.set_mirror_route(MirrorRoute("copy", percentage=50), verify=Evidence.LOADED)
    require_half_copied(istio_gateway.istio, shop)
    with opened(shop) as router:
        router.remove_mirror_route("copy", verify=Evidence.LOADED)
    before = istio_gateway.istio.requests_to("shop-canary", shop.namespace.name)
    shop.require_share(0, 500)
    assert istio_gateway.istio.requests_to("shop-canary", shop.namespace.name) == before


def test_a_mirror_route_at_traefik_is_refused(traefik_gateway: DataPlane, make_shop: MakeShop) -> None:
    """Traefik does not mirror. With the refusal lifted it accepts the route, and answers its requests with HTTP 500."""
    shop = make_shop(traefik_gateway, routing=ROUTING)
    reason = r"Traefik .*traefik\.io/gateway-controller.* has not passed .* HTTPRouteRequestMirror"
    with opened(shop) as router, pytest.raises(RefusedError, match=reason):
        router.set_mirror_route(MirrorRoute("copy"))
    shop.require_share(0)
    rollway(
        *("mirror-route", "shop", "set", "copy", "--header", "X-Copy: yes"), *ALLOWED, "--verify", "accepted"
    )
    until(lambda: "answers HTTP 500 for rule copy" in _loaded(shop), "Traefik has loaded the route")
    assert dict(shop.sample(200, {"X-Copy": "yes"}).failures) == {"HTTP 500": 200}
    shop.require_share(0, X_Copy="no")


def _loaded(shop: Shop) -> str:
    return rollway("verify", "shop", "0", "--level", "loaded", *ALLOWED, status=5).stderr


def test_traefik_lacks_what_its_own_report_lists() -> None:
    """What rollway refuses at Traefik is what the conformance report in the module of this Traefik calls unsupported."""
    module = tools.module_folder("github.com/traefik/traefik/v3", pinned_by="traefik")
    (file,) = module.glob("integration/gateway-api-conformance-reports/*/*.yaml")
    profiles = yaml.safe_load(file.read_text())["profiles"]
    unsupported = {
        name for profile in profiles for name in profile.get("extended", {}).get("unsupportedFeatures", ())
    }
    features = {name for known in IMPLEMENTATIONS.values() for name in known.lacks}
    assert IMPLEMENTATIONS["traefik.io/gateway-controller"].lacks == unsupported & features
