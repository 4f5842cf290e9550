"""Evidence `measured` from the metrics of real data planes, scraped by a real Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.process import rollway
from harness.shop import SUBSETS
from rollway.routers.data_planes import prometheus_probe
from rollway.routers.lookup import read_rollout
from rollway.routers.model import Context
from rollway.routers.planning import needs_of
from rollway.routers.probes.http import Address
from rollway.routers.traffic import Outcome, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes import DataPlane
    from data_planes.prometheus import Prometheus
    from harness.traffic import Shop

    MakeShop = Callable[..., Shop]


@pytest.fixture(params=["ingress_nginx", "istio", "subsets"])
def counted_shop(request: pytest.FixtureRequest, make_shop: MakeShop, prometheus: Prometheus) -> Shop:
    """Return a shop behind each data plane that has metrics."""
    subsets = request.param == "subsets"
    plane: DataPlane = request.getfixturevalue("istio" if subsets else request.param)
    if not subsets:
        return make_shop(plane)
    shop = make_shop(plane, routing=SUBSETS)
    shop.endpoints("shop", "stable", "canary")
    return shop


def test_the_share_is_counted_from_metrics(counted_shop: Shop, prometheus: Prometheus) -> None:
    """A weight is measured on the shop's own requests, and another weight differs from them."""
    shop = counted_shop
    words = ("--prometheus", prometheus.url, "--requests", "2000", "--within", "60s")
    store = shop.namespace.store()
    rollout = read_rollout(store, "shop", shop.namespace.name)
    probe = prometheus_probe(rollout, Address.parse(prometheus.url), requests=2000)
    with shop.load():
        for weight in (100, 0, 20):
            done = rollway("set-weight", "shop", str(weight), *shop.plane.loaded_options, *words)
            print(f"{shop.plane.name}: {done.stdout.strip()}")
            assert "verified: measured (canary got" in done.stdout
        live = store.read(needs_of(rollout))
        verdict = probe.judge(Context(rollout, Traffic(Split(40, 100)), live))
    assert verdict.outcome is Outcome.DIFFERS, verdict.reason
    quiet = rollway("verify", "shop", *words[:2], "--within", "4s", status=5)
    assert "of 1000 requests were counted in 4 s" in quiet.stdout + quiet.stderr
