"""A header route of an SMI mesh: what Traefik Mesh makes of `matches`, and what its clients get while they come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import manifests as m
from harness.process import rollway
from harness.traffic import ROUTINGS
from rollway.routers.backends.smi.mesh import Mesh, Request
from rollway.routers.backends.smi.versions import group_ref, split_ref
from rollway.routers.guards import Limits
from rollway.routers.lookup import read_rollout
from rollway.routers.planning import needs_of
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import HeaderRoute, RequestMatch, StringMatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from data_planes import DataPlane
    from harness.traffic import Shop
    from rollway.routers.traffic import MatchKind

ALLOW = "smi-matches-unproven"
VALUES: list[tuple[MatchKind, str, str, str]] = [
    ("exact", "v2.1 (new)", "v2.1 (new)", "v2.1 new"),
    ("prefix", "v2.", "v2.1", "v21"),
    ("regex", "(?i)v[23]|beta", "V3", "beta2"),
]
"""A match, a value that it takes, and one that it does not."""


@pytest.fixture
def shop(smi_mesh: DataPlane, make_shop: Callable[..., Shop]) -> Shop:
    """A shop whose root Service selects the pods of stable alone."""
    made = make_shop(smi_mesh, routing={**ROUTINGS["smi"], "managedRoutes": [{"name": "beta"}]})
    root = m.service("shop")
    root["spec"]["selector"] = m.service("shop-stable")["spec"]["selector"]
    made.put(root)
    return made


@pytest.fixture
def router(shop: Shop) -> Iterator[TrafficRouter]:
    """A router that may write header routes."""
    store = shop.namespace.store()
    rollout = read_rollout(store, "shop", shop.namespace.name)
    yield TrafficRouter(rollout, store, Limits(allow=frozenset({ALLOW})))
    store.close()


def beta(kind: MatchKind, value: str) -> HeaderRoute:
    """Return a header route by the header X-Beta."""
    return HeaderRoute("beta", (RequestMatch((("X-Beta", StringMatch(kind, value)),)),))


def predicted(router: TrafficRouter, value: str) -> int:
    """Return the canary's share in percent that the model gives requests with that value."""
    live = router.store.read(needs_of(router.rollout))
    shares = Mesh().destinations(split_ref(router.rollout), Request({"x-beta": value}), live)
    return int(100 * shares.get("shop-canary", 0))


def test_requests_that_match_get_the_canary_and_no_others(shop: Shop, router: TrafficRouter) -> None:
    """Each kind of match takes what the model predicts; while it comes, changes and goes, nobody else meets the canary."""
    router.set_weight(0)
    shop.settled_share(0)
    with shop.load() as others:
        for kind, value, chosen, left in VALUES:
            router.set_header_route(beta(kind, value))
            shop.settle()
            assert (predicted(router, chosen), predicted(router, left)) == (100, 0)
            shop.require_share(100, 200, X_Beta=chosen)
            shop.require_share(0, 200, X_Beta=left)
            shop.require_share(0, 200)
        router.remove_header_route("beta")
        shop.settle()
        shop.require_share(0, 200, X_Beta=VALUES[-1][2])
    assert others
    assert {version for _, sample in others for version, _ in sample.versions} == {"stable"}
    assert not any(sample.failures for _, sample in others)


def test_a_path_and_a_method_narrow_the_route(shop: Shop, router: TrafficRouter) -> None:
    """Requests for another path, or with another method, stay with stable."""
    headers = (("X-Beta", StringMatch("exact", "yes")),)
    for match, weight in [
        (RequestMatch(headers, StringMatch("prefix", "/"), StringMatch("exact", "GET")), 100),
        (RequestMatch(headers, StringMatch("prefix", "/cart")), 0),
        (RequestMatch(headers, None, StringMatch("exact", "POST")), 0),
    ]:
        router.set_weight(0)
        router.set_header_route(HeaderRoute("beta", (match,)))
        shop.settle()
        shop.require_share(weight, 200, X_Beta="yes")
        shop.require_share(0, 200)


def test_a_group_that_is_gone_leaves_all_to_stable(shop: Shop, router: TrafficRouter) -> None:
    """Traefik Mesh drops a split whose group it does not find, so its root Service answers everybody."""
    router.set_weight(0)
    router.set_header_route(beta("exact", "yes"))
    shop.settle()
    shop.require_share(100, 200, X_Beta="yes")
    name = group_ref(router.rollout).name
    like = shop.namespace.get("specs.smi-spec.io/v1alpha3", "HTTPRouteGroup", name)
    shop.namespace.api.delete(like)
    shop.settle()
    shop.require_share(0, 200, X_Beta="yes")
    shop.require_share(0, 200)
    router.set_weight(0)
    shop.settled_share(0)


def test_the_preview_of_a_switch_is_for_testers(shop: Shop) -> None:
    """With `switch --preview-header` only requests with the header get the canary; the plain switch shows it to everybody."""
    rollway("set-weight", "shop", "0")
    preview = ("--preview-header", "X-Beta: yes", "--preview-route", "beta")
    done = rollway("switch", "shop", "canary", *preview, "--allow", ALLOW)
    assert "verified: written" in done.stdout, done.stdout + done.stderr
    shop.settle()
    shop.require_share(100, 200, X_Beta="yes")
    shop.require_share(0, 200)
    rollway("switch", "shop", "canary")
    shop.settled_share(100)
    rollway("switch", "shop", "stable")
    shop.settled_share(0)
    shop.require_share(0, 200, X_Beta="yes")
