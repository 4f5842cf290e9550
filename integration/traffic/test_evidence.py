"""What rollway reports about a data plane is what requests see."""

from __future__ import annotations

import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from data_planes.ingress_nginx import IngressNginx
from data_planes.ingress_nginx_in_cluster import IngressNginxInCluster
from data_planes.istio import Istio
from harness import shop as shops
from harness.process import rollway
from harness.traffic import planes
from harness.waiting import until
from rollway.routers.data_planes import data_plane_probes
from rollway.routers.lookup import read_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes import DataPlane
    from harness.traffic import Shop


@planes("ingress_nginx", "istio")
def test_measured_is_told_with_its_interval(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """`verify --url` reports MATCHES for the weight that is set, and DIFFERS with exit code 5 for a far one."""
    shop = make_shop(plane)
    rollway("set-weight", "shop", "20", *plane.loaded_options)
    words = (*shop.measured_options, "--requests", "2000", "--rate", "0")
    done = rollway("verify", "shop", "20", *words)
    assert "matches (evidence: measured)" in done.stdout
    assert "of 2000 requests" in done.stdout
    # The objects have 20, and so do the requests; a wish for 60 fails on the objects already.
    done = rollway("verify", "shop", "60", *words, status=5)
    assert "differs" in done.stderr


def test_a_data_plane_that_is_gone_is_unknown(make_shop: Callable[..., Shop], istio: DataPlane) -> None:
    """An address where nobody listens makes the verdict UNKNOWN, names the address, and ends with exit code 5."""
    make_shop(istio)
    rollway("set-weight", "shop", "20")
    done = rollway("verify", "shop", "20", "--envoy-admin", "127.0.0.1:1", status=5)
    assert "unknown" in done.stderr
    assert "127.0.0.1:1" in done.stderr


@pytest.mark.kubelets
def test_one_replica_that_lags_means_not_yet(
    two_replicas: IngressNginx, make_shop: Callable[..., Shop]
) -> None:
    """With one of two replicas stopped on the old configuration, nothing is loaded; running again, it is."""
    make_shop(two_replicas)
    rollway("set-weight", "shop", "20", "--verify", "loaded", *two_replicas.loaded_options)
    lagging = two_replicas.replicas[1]
    lagging.pause(signal.SIGSTOP)
    try:
        words = ("--verify", "loaded", "--timeout", "5s", *two_replicas.loaded_options)
        done = rollway("set-weight", "shop", "60", *words, status=5)
        assert "differs" in done.stderr
        assert f"{lagging.status} has weight 20 of 100" in done.stderr
        # The same with `--on-failure=back`: no user stays on a weight that was not proven.
        done = rollway("set-weight", "shop", "70", *words, "--on-failure", "back", status=5)
        assert "all traffic was sent back to stable" in done.stderr
    finally:
        lagging.pause(signal.SIGCONT)
    rollway("set-weight", "shop", "60", "--verify", "loaded", *two_replicas.loaded_options)


@planes(
    *("ingress_nginx", "istio", "smi_mesh", "istio_gateway", "traefik_gateway"),
    kubelets=["ingress_nginx", "traefik_gateway"],
)
def test_no_request_is_lost(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """Under constant load, a ramp to 100, switches there and back, and a reset lose no request."""
    shop = make_shop(plane)
    rollway("set-weight", "shop", "0", *plane.loaded_options)
    with shop.load() as samples:
        rollway("ramp", "shop", "0..100", "--step", "25", "--every", "500ms", *plane.loaded_options)
        rollway("switch", "shop", "stable", *plane.loaded_options)
        rollway("switch", "shop", "canary", *plane.loaded_options)
        rollway("reset", "shop")
    answered, failures = sum(item.answered for _, item in samples), [item.failures for _, item in samples]
    print(f"{plane.name}: {answered} requests during ramp, switches and reset")
    assert not any(failures), failures
    assert answered > 2000


@planes("ingress_nginx", "istio", kubelets=["ingress_nginx"])
def test_a_data_plane_that_is_killed_during_a_ramp(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """A ramp waits for a data plane that is killed and started again, and then completes."""
    assert isinstance(plane, IngressNginx | IngressNginxInCluster | Istio)
    shop = make_shop(plane)
    with ThreadPoolExecutor(1) as worker:
        ramp = worker.submit(
            rollway, "ramp", "shop", "0..100", "--step", "25", "--every", "1s", "--output", "json"
        )
        until(lambda: ("canary", 1) in shop.sample(1).versions, "the ramp has begun")
        plane.kill()
        if not isinstance(plane, IngressNginxInCluster):
            # Only this test starts these again.
            assert shop.sample(10).failed == 10
        time.sleep(1)
        plane.restart()
        steps = ramp.result().stdout
    assert steps.count('"evidence": "loaded"') == 4, steps
    shop.require_share(100)


def test_an_update_that_envoy_rejects(istio: Istio, make_shop: Callable[..., Shop]) -> None:
    """When Envoy rejects the routes because of another one, the verdict is DIFFERS with its message; no traffic moves."""
    shop = make_shop(istio, routing=shops.PRIMARY)
    shop.put(shops.zero_sum())
    words = ("set-weight", "shop", "50", "--allow", "istio-zero-sum", "--verify", "loaded", "--timeout", "6s")
    for addresses in ((), (*istio.loaded_options, "--istiod", istio.debug)):
        done = rollway(*words, *addresses, status=5)
        assert "differs" in done.stderr
        assert "it has rejected" in done.stderr
        assert "WeightedClusterValidationError.Clusters: value must contain at least 1 item" in done.stderr
    shop.require_share(0)


@planes("ingress_nginx", "istio", "istio_gateway", "traefik_gateway")
def test_how_long_loaded_takes_to_be_known(
    plane: DataPlane, make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each switch is on live traffic when `loaded` is reported; the time from the write to both is printed."""
    shop = make_shop(plane)
    store = shop.namespace.store()
    rollout = read_rollout(store, "shop", shop.namespace.name)
    router = TrafficRouter(rollout, store, probes=data_plane_probes(rollout, store).probes)
    write, written = store.write, [0.0]

    def timed(*words: Any, **options: Any) -> Any:
        answer = write(*words, **options)
        written[0] = time.monotonic()
        return answer

    monkeypatch.setattr(store, "write", timed)
    router.set_weight(0, verify=Evidence.LOADED)
    seen, known = [], []
    for to in ("canary", "stable") * 3:
        with ThreadPoolExecutor(1) as worker:
            first = worker.submit(_first, shop, to)
            router.switch(to, verify=Evidence.LOADED)
            known.append(time.monotonic() - written[0])
            seen.append(first.result() - written[0])
        shop.require_share(100 if to == "canary" else 0, requests=200)
        # How long ingress-nginx keeps posts apart is not what is measured.
        time.sleep(1)
    reported = ", ".join(f"{one:.2f}/{other:.2f}" for one, other in zip(seen, known, strict=True))
    store.close()
    medians = f"{statistics.median(seen):.2f} s and {statistics.median(known):.2f} s"
    print(f"{plane.name}: first request on the new share and `loaded` known after {medians} ({reported})")


def _first(shop: Shop, version: str) -> float:
    """Return when the first request was answered by a version."""
    until(lambda: (version, 1) in shop.sample(1).versions, f"{version} answers")
    return time.monotonic()


def test_maximum_traffic_weight_makes_small_shares(
    ingress_nginx: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """5 of `maxTrafficWeight: 1000` is half a percent of 4,000 requests."""
    shop = make_shop(ingress_nginx, routing={**shops.NGINX, "maxTrafficWeight": 1000})
    rollway("set-weight", "shop", "5", *ingress_nginx.loaded_options)
    shop.require_share(5, requests=4000, of=1000)
