"""Header routes and cookie affinity of ingress-nginx: what rollway writes and reports is what requests see."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import pytest

import manifests as m
from harness import shop as shops
from harness.process import rollway
from harness.waiting import until
from rollway.routers.backends.nginx.stanza import DEFAULT_PREFIX
from rollway.routers.data_planes import data_plane_probes
from rollway.routers.lookup import read_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import Evidence, HeaderRoute, RequestMatch, StringMatch, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes import DataPlane
    from harness.traffic import Shop
    from rollway.routers.traffic import MatchKind

BETA = {**shops.NGINX, "managedRoutes": [{"name": "beta"}]}
COOKIE = "INGRESSCOOKIE"


def set_traffic(shop: Shop, weight: int, *matches: tuple[MatchKind, str]) -> None:
    """Write a weight with a header route for each match of `X-Beta`, and wait until it is loaded."""
    store = shop.namespace.store()
    rollout = read_rollout(store, "shop", shop.namespace.name)
    router = TrafficRouter(rollout, store, probes=data_plane_probes(rollout, store).probes)
    routes = tuple(
        HeaderRoute("beta", (RequestMatch((("X-Beta", StringMatch(kind, value)),)),))
        for kind, value in matches
    )
    router.set_traffic(Traffic(Split(weight), routes), verify=Evidence.LOADED)
    store.close()


@pytest.mark.kubelets
def test_a_header_route_stands_beside_any_weight(
    ingress_nginx: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """Requests with the header go to the canary, all others by the weight, also at 0; without the route nobody is chosen."""
    shop = make_shop(ingress_nginx, routing=BETA)
    for weight in (20, 0):
        set_traffic(shop, weight, ("exact", "yes"))
        shop.require_share(weight)
        shop.require_share(100, 200, X_Beta="yes")
        for other in ("no", "always"):
            shop.require_share(weight, X_Beta=other)
    set_traffic(shop, 20)
    shop.require_share(20, X_Beta="yes")


VALUES: list[tuple[MatchKind, str, str, str]] = [
    ("exact", "never", "never", "always"),
    ("exact", "two words", "two words", "two"),
    ("prefix", "v2.", "v2.1", "v21"),
    ("regex", "(?i)v[23]|beta", "V3", "beta2"),
    ("regex", "[[:digit:]]+", "42", "4 2"),
]
"""A match, a value that it takes, and one that it does not."""


def test_values_and_patterns_choose_what_the_route_asks_for(
    ingress_nginx: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """Each kind of match takes the values that it means and no other; `never` is a value like any other."""
    shop = make_shop(ingress_nginx, routing=BETA)
    for kind, value, chosen, left in VALUES:
        set_traffic(shop, 0, (kind, value))
        shop.require_share(100, 200, X_Beta=chosen)
        shop.require_share(0, 200, X_Beta=left)
    shop.require_share(0, 200)


def sticky(shop: Shop) -> None:
    """Let the shop's Ingress ask for cookie affinity."""
    words = {"annotations": {f"{DEFAULT_PREFIX}/affinity": "cookie"}}
    shop.put(m.ingress("web", shop.host, metadata=words))


def visit(shop: Shop) -> tuple[str, str]:
    """Return which version answers a new user, and the affinity cookie that it gives."""
    request = urllib.request.Request(shop.plane.url, headers={"Host": shop.host})
    with urllib.request.urlopen(request, timeout=5) as answer:
        cookies = answer.headers.get_all("Set-Cookie") or []
        cookie = next((line for line in cookies if line.startswith(f"{COOKIE}=")), "")
        return answer.headers["X-Version"], cookie.partition(";")[0]


def users(shop: Shop) -> dict[str, str]:
    """Return the cookie of a user of each version."""
    found: dict[str, str] = {}

    def both() -> bool:
        version, cookie = visit(shop)
        found[version] = cookie
        return {"stable", "canary"} <= set(found)

    until(both, "both versions have answered")
    return found


def test_users_stay_where_the_note_says(ingress_nginx: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """With cookie affinity nobody who was answered moves, at weight 100, at weight 0, or by a header; the reset moves all."""
    shop = make_shop(ingress_nginx, routing=BETA)
    sticky(shop)
    done = rollway("set-weight", "shop", "50", *ingress_nginx.loaded_options)
    assert "[session-affinity]" in done.stderr
    assert "stays with it, also at weight 0" in rollway("status", "shop").stderr
    cookies = users(shop)
    shop.require_share(50)
    for weight in (100, 0):
        set_traffic(shop, weight, ("exact", "yes"))
        shop.require_share(weight)
        shop.require_share(0, 200, Cookie=cookies["stable"])
        shop.require_share(0, 200, Cookie=cookies["stable"], X_Beta="yes")
        shop.require_share(100, 200, Cookie=cookies["canary"])
    rollway("reset", "shop")
    shop.settle()
    shop.require_share(0, 200, Cookie=cookies["canary"])


def test_legacy_affinity_keeps_users_with_stable_alone(
    ingress_nginx: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """With `affinity-canary-behavior: legacy` the canary gives no cookie, and only users of stable stay."""
    stanza = {"stableIngress": "web", "additionalIngressAnnotations": {"affinity-canary-behavior": "legacy"}}
    shop = make_shop(ingress_nginx, routing={"nginx": stanza})
    sticky(shop)
    done = rollway("set-weight", "shop", "50", *ingress_nginx.loaded_options)
    assert "whom a request to the canary gives no cookie" in done.stderr
    cookies = users(shop)
    assert cookies["canary"] == ""
    rollway("set-weight", "shop", "100", *ingress_nginx.loaded_options)
    shop.require_share(0, 200, Cookie=cookies["stable"])
    shop.require_share(100)


def test_a_hash_keeps_nobody_with_a_version(ingress_nginx: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """`upstream-hash-by` chooses a pod after the version is chosen: one client's requests are split by the weight."""
    shop = make_shop(ingress_nginx)
    words = {"annotations": {f"{DEFAULT_PREFIX}/upstream-hash-by": "$remote_addr"}}
    shop.put(m.ingress("web", shop.host, metadata=words))
    done = rollway("set-weight", "shop", "50", *ingress_nginx.loaded_options)
    assert "a user can get another version with each" in done.stderr
    shop.require_share(50)
