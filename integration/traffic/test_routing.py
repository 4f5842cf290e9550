"""More than one plain route: headers and cookies, several objects of one Rollout, subsets, and blue-green."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import manifests as m
from data_planes.istio import GATEWAY
from harness import shop as shops
from harness.process import rollway
from rollway.routers.data_planes import data_plane_probes
from rollway.routers.lookup import read_rollout
from rollway.routers.model import HASH_LABEL
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import Evidence, SubsetHashes, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes import DataPlane
    from harness.traffic import Shop


def test_a_header_goes_before_a_cookie_and_a_cookie_before_the_weight(
    ingress_nginx: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """ingress-nginx asks the header, then the cookie, and only then the weight; a value other than its two has no effect."""
    annotations = {"canary-by-header": "X-Canary", "canary-by-cookie": "canary"}
    stanza = {"stableIngress": "web", "additionalIngressAnnotations": annotations}
    shop = make_shop(ingress_nginx, routing={"nginx": stanza})
    rollway("set-weight", "shop", "20")
    shop.require_share(20)
    shop.require_share(100, X_Canary="always")
    shop.require_share(0, X_Canary="never")
    shop.require_share(20, X_Canary="perhaps")
    shop.require_share(100, Cookie="canary=always")
    shop.require_share(0, Cookie="canary=never")
    shop.require_share(100, X_Canary="always", Cookie="canary=never")
    shop.require_share(0, X_Canary="never", Cookie="canary=always")


def test_a_route_that_rollway_does_not_manage_keeps_its_requests(
    istio: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """A header match of the user's own goes on to the canary whatever the weight of the managed route is."""
    shop = make_shop(istio, routing=shops.PRIMARY)
    pair = [m.destination("shop-stable", 100), m.destination("shop-canary", 0)]
    match = [{"headers": {"x-vip": {"exact": "yes"}}}]
    vip = {"name": "vip", "match": match, "route": [m.destination("shop-canary")]}
    shop.put(m.virtual_service(http=[vip, {"name": "primary", "route": pair}]))
    for weight in (20, 0):
        rollway("set-weight", "shop", str(weight))
        shop.require_share(weight)
        shop.require_share(100, x_vip="yes")


def test_matches_that_somebody_adds_to_a_split_choose_its_requests(
    smi_mesh: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """As the note reports, the weight is then the share of the requests that match, and the root Service gets all others."""
    shop = make_shop(smi_mesh)
    rollway("set-weight", "shop", "20")
    match = {"name": "beta", "headers": [{"x-beta": "^yes$"}]}
    version = "specs.smi-spec.io/v1alpha3"
    group = {"apiVersion": version, "kind": "HTTPRouteGroup", "metadata": {"name": "beta"}}
    shop.put({**group, "spec": {"matches": [match]}})
    split = shop.namespace.get("split.smi-spec.io/v1alpha3", "TrafficSplit", "shop")
    reference = {"kind": "HTTPRouteGroup", "name": "beta"}
    shop.namespace.api.merge(split, {"spec": {"matches": [reference]}})
    done = rollway("set-weight", "shop", "50")
    assert "has matches: the weight is the share of the requests that match" in done.stderr
    shop.settle()
    shop.require_share(50, x_beta="yes")
    shop.require_share(0)


def test_several_ingresses_move_together(ingress_nginx: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """Two Ingresses of one Rollout get the same share, each at its own host."""
    shop = make_shop(ingress_nginx)
    second = f"second.{shop.host}"
    shop.put(m.ingress("second", second), m.rollout({"nginx": {"stableIngresses": ["web", "second"]}}))
    shop.wait_until_served(second)
    for weight in (20, 100, 0):
        rollway("set-weight", "shop", str(weight))
        shop.require_share(weight)
        shop.require_share(weight, Host=second)


def test_several_virtual_services_move_together(istio: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """Two VirtualServices of one Rollout get the same share, each at its own host."""
    shop = make_shop(istio)
    second = f"second.{shop.host}"
    other = m.virtual_service("second")
    other["spec"] |= {"hosts": [second], "gateways": [GATEWAY]}
    shop.namespace.put(
        other, m.rollout({"istio": {"virtualServices": [{"name": "web"}, {"name": "second"}]}})
    )
    for weight in (20, 100, 0):
        rollway("set-weight", "shop", str(weight))
        shop.require_share(weight)
        shop.require_share(weight, Host=second)


def test_subsets_of_one_service_are_split(istio: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """The pods of one Service, in subsets of a DestinationRule, get the share of their subset."""
    shop = make_shop(istio, routing=shops.SUBSETS)
    shop.endpoints("shop", "stable", "canary")
    for weight in (1, 20, 50, 100, 0):
        rollway("set-weight", "shop", str(weight))
        shop.require_share(weight)


@pytest.mark.parametrize("plane", ["ingress_nginx", "istio"], indirect=True)
def test_switch_of_blue_green(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """After each `switch` of a blue-green Rollout no request is answered by the old colour, and none fails."""
    shop = make_shop(plane)
    routing = shops.NGINX if plane.name == "nginx" else shops.ISTIO
    shop.put(m.rollout(routing, strategy="blueGreen"))
    for to, version in (("canary", "canary"), ("stable", "stable"), ("canary", "canary")):
        done = rollway("switch", "shop", to)
        assert "verified: loaded (" in done.stdout, done.stdout + done.stderr
        sample = shop.sample()
        assert (sample.versions, sample.failures) == (((version, 2000),), ()), str(sample)


def test_subsets_move_by_hash_without_a_failed_request(
    istio: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """What a controller asks of subsets in one release, each wish loaded before the next: no request of its users fails."""
    shop = make_shop(istio, routing=shops.SUBSETS)
    both = [{"name": role, "labels": {HASH_LABEL: "stable"}} for role in ("stable", "canary")]
    shop.endpoints("shop", "stable", "canary")
    shop.put(m.destination_rule(subsets=both))
    store = shop.namespace.store()
    rollout = read_rollout(store, "shop", shop.namespace.name)
    probes = data_plane_probes(rollout, store).probes

    def ask(weight: int, stable: str, canary: str) -> None:
        asking = replace(rollout, subsets=SubsetHashes(stable, canary))
        wish = Traffic(Split(weight, 100))
        TrafficRouter(asking, store, probes=probes).set_traffic(wish, verify=Evidence.LOADED, timeout=30)

    shop.wait_until_served()
    with shop.load() as samples:
        for weight in (0, 20, 100):
            ask(weight, "stable", "canary")
        ask(100, "canary", "canary")
        ask(0, "canary", "canary")
    assert not [sample.failures for _, sample in samples if sample.failures]
    assert shop.sample().versions == (("canary", 2000),)
