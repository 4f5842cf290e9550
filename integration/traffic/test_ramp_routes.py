"""`ramp --steps` with header and mirror routes on live traffic: what users and testers get at each of its pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from data_planes.gateway_api import IstioGateway
from harness import shop as shops
from harness.process import rollway
from harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes.istio import Istio
    from harness.traffic import Shop

STEPS: list[dict[str, Any]] = [
    {"setWeight": 20},
    {
        "setHeaderRoute": {
            "name": "beta",
            "match": [{"headerName": "X-Beta", "headerValue": {"exact": "yes"}}],
        }
    },
    {"pause": {}},
    {
        "setMirrorRoute": {
            "name": "copy",
            "percentage": 50,
            "match": [{"method": {"exact": "GET"}, "headers": {"X-Copy": {"exact": "yes"}}}],
        }
    },
    {"pause": {}},
    {"setHeaderRoute": {"name": "beta"}},
    {"setWeight": 60},
]
MANAGED = {"managedRoutes": [{"name": "beta"}, {"name": "copy"}]}
PAUSED = 3


@pytest.mark.parametrize(
    ("plane", "routing"),
    [("istio", shops.PRIMARY), ("istio_gateway", shops.GATEWAY)],
    indirect=["plane"],
)
def test_steps_with_routes_reach_the_requests_they_name(
    plane: Istio | IstioGateway, make_shop: Callable[..., Shop], routing: dict[str, Any]
) -> None:
    """Testers get the canary and half of the marked requests are copied while the steps say so; no request is lost."""
    shop = make_shop(plane, routing={**routing, **MANAGED})
    shop.put(m.rollout({**routing, **MANAGED}, steps=STEPS))

    ramp(shop, PAUSED)
    shop.require_share(20, 1000)
    shop.require_share(100, 200, X_Beta="yes")

    ramp(shop, PAUSED, "--resume")
    shop.require_share(100, 200, X_Beta="yes")
    require_copies(plane, shop, 50, X_Copy="yes")
    require_copies(plane, shop, 0, X_Copy="no")

    # A route stays until a step removes it, or all traffic goes back to stable.
    ramp(shop, 0, "--resume")
    shop.require_share(60, 1000, X_Beta="yes")
    require_copies(plane, shop, 50, X_Copy="yes")
    rollway("switch", "shop", "stable")
    require_copies(plane, shop, 0, X_Copy="yes")
    shop.require_share(0, 200, X_Beta="yes")


def ramp(shop: Shop, status: int, *words: str) -> None:
    """Follow the steps up to the next pause or the end, under load; each has to be shown as loaded."""
    with shop.load() as samples:
        done = rollway("ramp", "shop", "--steps", *words, status=status)
    assert "verified: loaded (" in done.stdout, done.stdout + done.stderr
    assert not any(sample.failures for _, sample in samples), samples


def require_copies(plane: Istio | IstioGateway, shop: Shop, percentage: int, **headers: str) -> None:
    """Require that this share of 1,000 requests with such headers (`_` for `-`) is sent to the canary a second time."""
    envoy = plane.istio if isinstance(plane, IstioGateway) else plane
    before = envoy.requests_to("shop-canary", shop.namespace.name)
    sample = shop.sample(1000, {name.replace("_", "-"): value for name, value in headers.items()})
    assert not sample.failures
    served = dict(sample.versions).get("canary", 0)

    def copied() -> int:
        return envoy.requests_to("shop-canary", shop.namespace.name) - before - served

    # Envoy counts a copy when it sends it, which may be after the answer. Four standard deviations of 1,000 requests.
    allowed = 63 if percentage else 0
    until(lambda: abs(copied() - 10 * percentage) <= allowed, f"{percentage} % of the requests are copied")
    print(f"{plane.name}, {headers}: {copied()} of 1000 requests copied, {served} answered by the canary")
