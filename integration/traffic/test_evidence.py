"""What rollway says about a data plane is what requests see."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from data_planes.ingress_nginx import IngressNginx
from harness import shop as shops
from harness.process import rollway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from data_planes import DataPlane
    from harness.traffic import Shop
    from harness.traffic_plugin import RunPlane


asked = pytest.mark.parametrize("plane", ["ingress_nginx", "istio"], indirect=True)
"""Each data plane that can be asked what it has loaded."""


@pytest.fixture
def two_replicas(run_plane: RunPlane) -> Iterator[DataPlane]:
    """An ingress-nginx with two replicas beside the one of the other tests."""
    with run_plane(IngressNginx(replicas=2, first=5)) as plane:
        yield plane


@asked
def test_loaded_means_that_the_next_request_is_on_the_new_share(
    plane: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """Without any pause after `--verify loaded`, 2,000 requests show the weight."""
    shop = make_shop(plane)
    for weight in (100, 0, 20, 50, 0, 100):
        done = rollway("set-weight", "shop", str(weight), "--verify", "loaded", *plane.loaded_options)
        assert "verified: loaded" in done.stdout
        shop.require_share(weight)


@asked
def test_measured_is_told_with_its_interval(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """`verify --url` says MATCHES for the weight that is set, and DIFFERS with exit code 5 for a far one."""
    shop = make_shop(plane)
    rollway("set-weight", "shop", "20", *plane.loaded_options)
    words = (*shop.measured_options, "--requests", "2000", "--rate", "0")
    done = rollway("verify", "shop", "20", *words)
    assert "matches (evidence: measured)" in done.stdout
    assert "of 2000 requests" in done.stdout
    # The objects say 20, and so do the requests; a wish for 60 fails on the objects already.
    done = rollway("verify", "shop", "60", *words, status=5)
    assert "differs" in done.stderr


@asked
def test_switch_leaves_nobody_on_the_old_colour(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """After `switch` has returned with `loaded`, no request is answered by the old colour, and none fails."""
    shop = make_shop(plane)
    for to, version in (("canary", "canary"), ("stable", "stable"), ("canary", "canary")):
        rollway("switch", "shop", to, "--verify", "loaded", *plane.loaded_options)
        sample = shop.sample()
        assert sample.versions == ((version, 2000),), str(sample)
        assert not sample.failures


def test_a_data_plane_that_is_gone_is_unknown(make_shop: Callable[..., Shop], istio: DataPlane) -> None:
    """An address where nobody listens makes the verdict UNKNOWN, names the address, and ends with exit code 5."""
    make_shop(istio)
    rollway("set-weight", "shop", "20")
    done = rollway("verify", "shop", "20", "--envoy-admin", "127.0.0.1:1", status=5)
    assert "unknown" in done.stderr
    assert "127.0.0.1:1" in done.stderr


def test_one_replica_that_lags_means_not_yet(
    two_replicas: IngressNginx, make_shop: Callable[..., Shop]
) -> None:
    """With one of two replicas stopped on the old configuration, nothing is loaded; running again, it is."""
    make_shop(two_replicas)
    rollway("set-weight", "shop", "20", "--verify", "loaded", *two_replicas.loaded_options)
    lagging = two_replicas.replicas[1]
    lagging.pause(signal.SIGSTOP)
    try:
        words = ("--verify", "loaded", "--timeout", "3s", *two_replicas.loaded_options)
        done = rollway("set-weight", "shop", "60", *words, status=5)
        assert "differs" in done.stderr
        assert f"{lagging.status} has weight 20 of 100" in done.stderr
        # The same with `--on-failure=back`: nobody is left on a weight that was not proven.
        done = rollway("set-weight", "shop", "70", *words, "--on-failure", "back", status=5)
        assert "all traffic was sent back to stable" in done.stderr
    finally:
        lagging.pause(signal.SIGCONT)
    rollway("set-weight", "shop", "60", "--verify", "loaded", *two_replicas.loaded_options)


def test_no_request_is_lost(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """Under constant load, a ramp to 100, switches there and back, and a reset lose no request."""
    shop = make_shop(plane)
    rollway("set-weight", "shop", "0", *plane.loaded_options)
    with shop.load() as samples:
        rollway("ramp", "shop", "0..100", "--step", "25", "--every", "500ms", *plane.loaded_options)
        rollway("switch", "shop", "stable", *plane.loaded_options)
        rollway("switch", "shop", "canary", *plane.loaded_options)
        rollway("reset", "shop")
    answered, failures = sum(item.answered for item in samples), [item.failures for item in samples]
    print(f"{plane.name}: {answered} requests during ramp, switches and reset")
    assert not any(failures), failures
    assert answered > 2000


def test_maximum_traffic_weight_makes_small_shares(
    ingress_nginx: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """5 of `maxTrafficWeight: 1000` is half a percent of 4,000 requests."""
    shop = make_shop(ingress_nginx, routing={**shops.NGINX, "maxTrafficWeight": 1000})
    rollway("set-weight", "shop", "5", *ingress_nginx.loaded_options)
    shop.require_share(5, requests=4000, of=1000)
