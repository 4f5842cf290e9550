"""Gateway API on two implementations: istiod with Envoy, and Traefik."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from harness.process import rollway
from harness.traffic import IDENTITY, planes
from harness.waiting import until
from rollway.routers.data_planes import data_plane_probes, status_probes
from rollway.routers.lookup import read_rollout
from rollway.routers.probes.requests import measure
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import Evidence, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes import DataPlane
    from harness.traffic import Shop

    MakeShop = Callable[..., Shop]

both = planes("istio_gateway", "traefik_gateway")
both_and_kubelets = planes("istio_gateway", "traefik_gateway", kubelets=["traefik_gateway"])
WRITES = 40


def three_ways(stable: int, canary: int, other: int) -> Any:
    """Return the HTTPRoute `web` with a third destination that is somebody else's."""
    refs = [m.backend_ref("shop-stable", stable), m.backend_ref("shop-canary", canary)]
    return m.http_route("web", {"backendRefs": [*refs, m.backend_ref("shop-other", other)]})


@both_and_kubelets
def test_the_official_conformance_test_of_weights_passes(plane: DataPlane, make_shop: MakeShop) -> None:
    """With 70/30/0, 500 requests, 10 at a time, show the weights within 5 points, in one of ten tries.

    The numbers are those of Gateway API, conformance/tests/httproute-weight.go. The weights are rollway's.
    """
    shop = make_shop(plane)
    shop.put(m.service("shop-other"), three_ways(100, 0, 0))
    rollway("set-weight", "shop", "30", "--verify", "loaded")
    for _ in range(10):
        sample = measure(
            plane.url, IDENTITY, requests=500, rate=0, connections=10, headers={"Host": shop.host}
        )
        print(f"{plane.name}: {sample}")
        counts = dict(sample.versions)
        assert not sample.failures
        assert "other" not in counts
        if abs(counts["canary"] - 150) <= 25 and abs(counts["stable"] - 350) <= 25:
            return
    pytest.fail("in ten tries, no sample was within 5 points")


@both
def test_somebody_elses_share_stays(plane: DataPlane, make_shop: MakeShop) -> None:
    """Beside a foreign 10, 20 % of the Rollout's own traffic are 18 of 100, and the foreign destination keeps its 10."""
    shop = make_shop(plane)
    shop.put(m.service("shop-other"), three_ways(90, 0, 10))
    rollway("set-weight", "shop", "20")
    sample = shop.sample()
    print(f"{plane.name}: {sample}")
    assert not sample.failures
    counts = dict(sample.versions)
    # Four standard deviations of 2,000 independent requests.
    assert abs(counts["canary"] - 360) <= 69
    assert abs(counts["other"] - 200) <= 54


@planes("traefik_gateway")
def test_traefik_is_exact(plane: DataPlane, make_shop: MakeShop) -> None:
    """Traefik does not draw lots: each weight is the exact share of 2,000 requests, but for the one that is cut off."""
    shop = make_shop(plane)
    for weight in (20, 50):
        rollway("set-weight", "shop", str(weight))
        assert abs(dict(shop.sample().versions)["canary"] - 20 * weight) <= 1


@both_and_kubelets
def test_accepted_is_never_taken_for_loaded(plane: DataPlane, make_shop: MakeShop) -> None:
    """The status of a route can have the new generation before any data plane has the new weights; the evidence says so.

    It may be caught at the first write, or only at a later one where the machine is busy.
    """
    shop = make_shop(plane)
    store = shop.namespace.store()
    rollout = read_rollout(store, "shop", shop.namespace.name)
    probes = (*status_probes(rollout, store), *data_plane_probes(rollout, store).probes)
    router = TrafficRouter(rollout, store, probes=probes)
    early = 0
    for write in range(WRITES):
        weight = 10 + write
        router.set_weight(weight, verify=Evidence.WRITTEN)
        until(lambda: _shown(router, weight, Evidence.ACCEPTED), "the route is accepted")  # noqa: B023
        early += not _shown(router, weight, Evidence.LOADED)
        until(lambda: _shown(router, weight, Evidence.LOADED), "the weight is loaded")  # noqa: B023
        if early and write >= 9:
            break
    store.close()
    print(f"{plane.name}: in {early} of {write + 1} writes the status came before the split was loaded")
    assert early


def _shown(router: TrafficRouter, weight: int, level: Evidence) -> bool:
    """Look once whether a level of evidence is reached; when it is, the verdict is of that level."""
    verdict = router.verify(weight, level=level)
    assert verdict.outcome is not Outcome.MATCHES or verdict.evidence is level
    return verdict.outcome is Outcome.MATCHES


@both
def test_a_broken_reference_is_not_accepted(plane: DataPlane, make_shop: MakeShop) -> None:
    """With a backendRef to no Service the route is Accepted, but ResolvedRefs is False: DIFFERS, with the reason."""
    shop = make_shop(plane)
    rollway("set-weight", "shop", "20", "--verify", "accepted")
    route = three_ways(72, 18, 10)
    route["spec"]["rules"][0]["backendRefs"][2]["name"] = "shop-gone"
    shop.put(route)
    until(lambda: "BackendNotFound" in _accepted(shop), "the status shows the broken reference")
    assert "differs" in _accepted(shop)


def _accepted(shop: Shop) -> str:
    return rollway("verify", "shop", "20", "--level", "accepted", status=5).stderr


@both
def test_a_grpc_route_is_accepted_and_loaded(plane: DataPlane, make_shop: MakeShop) -> None:
    """The weights of a GRPCRoute are written, accepted, and loaded."""
    shop = make_shop(plane)
    rule = {
        "matches": [{"method": {"service": "shop.Shop"}}],
        "backendRefs": m.http_route()["spec"]["rules"][0]["backendRefs"],
    }
    shop.put(
        m.http_route("rpc", rule, kind="GRPCRoute", hostnames=[f"rpc.{shop.host}"]),
        m.rollout({"plugins": {"argoproj-labs/gatewayAPI": {"grpcRoute": "rpc"}}}),
    )
    for weight in (20, 100, 0):
        done = rollway("set-weight", "shop", str(weight))
        assert "verified: loaded (" in done.stdout, done.stdout + done.stderr


def test_a_route_that_no_controller_has_seen_is_unknown(
    istio_gateway: DataPlane, make_shop: MakeShop
) -> None:
    """At a Gateway of a class without a controller nobody reports, so neither `accepted` nor `loaded` is known."""
    shop = make_shop(istio_gateway)
    nobody = m.http_route("nobody", parentRefs=[{"name": "nobodys"}])
    shop.namespace.put(nobody, m.rollout({"plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "nobody"}}}))
    done = rollway("set-weight", "shop", "20", "--verify", "accepted", "--timeout", "1s", status=5)
    assert "unknown" in done.stderr
    assert "no controller reports on the route" in done.stderr
    done = rollway("set-weight", "shop", "20")
    assert "verified: written" in done.stdout
    assert "no controller reports on the routes" in done.stderr
