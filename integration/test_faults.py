"""Networks and servers that fail: a typed error or success, and the next call ends at exactly the wished state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from harness import shop as example
from harness.fault_proxy import WRITES, Fault, fault_proxy
from harness.process import started
from harness.waiting import until
from rollway.routers.errors import RollwayError
from rollway.routers.events import STARTED
from rollway.routers.lookup import read_rollout
from rollway.routers.ramp import Ramp
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import Outcome, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.control_plane import ControlPlane
    from harness.fault_proxy import FaultProxy
    from harness.namespace import Namespace


@pytest.fixture
def shop(namespace: Namespace) -> Namespace:
    """A namespace with a Rollout of three routers, so that a plan has three objects."""
    example.put(namespace, example.ALL)
    return namespace


@pytest.fixture
def proxy(shop: Namespace) -> Iterator[FaultProxy]:
    """A proxy in front of the API server."""
    with fault_proxy(shop.api.connection) as found:
        yield found


def through(proxy: FaultProxy, shop: Namespace) -> TrafficRouter:
    """Return a router whose requests go through the proxy, and take a second at most."""
    kubeconfig = shop.kubeconfig_with("proxied", server=proxy.address)
    store = shop.store(kubeconfig=kubeconfig, timeout=1.0)
    return TrafficRouter(read_rollout(store, "shop", shop.name), store)


FAULTS = {
    "reset before it arrives": Fault("reset"),
    "reset for good": Fault("reset", times=99),
    "stored, then reset": Fault("lost"),
    "stored, then reset, each time": Fault("lost", times=99),
    "stored, then silence": Fault("hang"),
    "429 with Retry-After": Fault("status", status=429, retry_after="1"),
    "429 for good": Fault("status", status=429, retry_after="0", times=99),
    "500 once": Fault("status", status=500),
    "500 for good": Fault("status", status=500, times=99),
    "503 with Retry-After": Fault("status", status=503, retry_after="1"),
    "stored, then 500": Fault("stored-status", status=500),
    "stored, then 504, each time": Fault("stored-status", status=504, times=99),
    "truncated answer": Fault("truncated"),
    "truncated answer, each time": Fault("truncated", times=99),
    "slow answer": Fault("slow"),
}


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("name", FAULTS)
def test_a_write_that_fails_converges(name: str, position: int, proxy: FaultProxy, shop: Namespace) -> None:
    """Whatever happens to the write of each object of a plan, the call succeeds or ends with a typed error, and the next call ends at the wished weight."""
    router = through(proxy, shop)
    router.set_weight(10)
    kind = FAULTS[name]
    proxy.faults = [Fault(kind.kind, kind.times, WRITES, kind.status, kind.retry_after, 1.5, skip=position)]
    failed = ""
    try:
        router.set_weight(60)
    except RollwayError as error:
        failed = str(error)
    assert not failed or kind.times > 1, failed
    proxy.faults = []
    if not failed:
        assert shop.router().verify(60).outcome is Outcome.MATCHES
    router.set_weight(60)
    assert shop.router().observe().traffic == Traffic(Split(60))
    assert router.plan(60) is None


@pytest.mark.parametrize("kind", ["reset", "truncated", "slow", "status"])
def test_a_read_that_fails_is_repeated_or_typed(kind: str, proxy: FaultProxy, shop: Namespace) -> None:
    """One failed read is repeated; reads that always fail end with a typed error, and nothing is written."""
    router = through(proxy, shop)
    proxy.faults = [Fault(kind, 1, ("GET",), 503, seconds=1.5)]
    router.set_weight(10)
    proxy.faults = [Fault(kind, 999, ("GET",), 503, "0", seconds=1.5)]
    with pytest.raises(RollwayError) as caught:
        router.set_weight(60)
    assert caught.value.exit_code == 1
    assert shop.router().observe().traffic == Traffic(Split(10))


def test_retry_after_is_honoured(proxy: FaultProxy, shop: Namespace) -> None:
    """A server that asks for a wait of two seconds gets no request before."""
    router = through(proxy, shop)
    router.set_weight(10)
    proxy.faults = [Fault("status", 1, WRITES, 429, "2")]
    started = time.monotonic()
    router.set_weight(60)
    assert time.monotonic() - started >= 2


def test_a_lost_answer_is_told_with_what_to_do(proxy: FaultProxy, shop: Namespace) -> None:
    """When neither the answer nor a fresh read arrives, the error names the object, whose state is not known."""
    router = through(proxy, shop)
    router.set_weight(10)
    before = len(proxy.requests)
    router.plan(60)
    reads = len(proxy.requests) - before
    proxy.faults = [Fault("lost", 3), Fault("reset", 999, ("GET", *WRITES), skip=reads)]
    with pytest.raises(RollwayError) as caught:
        router.set_weight(60)
    assert f"NOT known whether it was written: Ingress {shop.name}/shop-web-canary" in str(caught.value)
    proxy.faults = []
    router.set_weight(60)
    assert shop.router().observe().traffic == Traffic(Split(60))


@pytest.mark.parametrize("kind", ["lost", "truncated", "stored-status"])
def test_a_stored_write_is_not_sent_again(kind: str, proxy: FaultProxy, shop: Namespace) -> None:
    """After a lost answer a read shows that the write was stored, so each object is written exactly once."""
    router = through(proxy, shop)
    router.set_weight(10)
    proxy.requests.clear()
    proxy.faults = [Fault(kind, 3)]
    router.set_weight(60)
    written = [
        path.partition("?")[0].rpartition("/")[0] for method, path in proxy.requests if method in WRITES
    ]
    assert len(written) == len(set(written)) == 3
    assert shop.router().observe().traffic == Traffic(Split(60))


KILLED = """
import os, signal, sys
from rollway.cli import main
from rollway.routers.stores.cluster import ClusterStore
real, left = ClusterStore.write, [int(sys.argv[1])]
def write(self, change, *, dry_run=False):
    stored = real(self, change, dry_run=dry_run)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return stored
ClusterStore.write = write
main(sys.argv[2:])
"""


@pytest.mark.parametrize("position", [1, 2, 3])
@pytest.mark.parametrize("command", [["set-weight", "shop", "60"], ["reset", "shop"]])
def test_killed_after_each_write_converges(position: int, command: list[str], shop: Namespace) -> None:
    """Rollway killed with SIGKILL after the k-th write: the same command again ends at exactly the wished state."""
    shop.router().set_weight(10)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(position), *command],
        env=os.environ,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    again = subprocess.run(
        [sys.executable, "-m", "rollway.cli", *command], env=os.environ, capture_output=True, check=False
    )
    assert again.returncode == 0, again.stderr.decode()
    if command[0] == "reset":
        assert not {"shop-web-canary", "shop"} & {
            ref.name for ref in shop.objects() if ref.kind in ("Ingress", "TrafficSplit")
        }
    assert shop.router().observe().traffic == Traffic(Split(60 if command[0] == "set-weight" else 0))


@pytest.mark.local
@pytest.mark.parametrize("victims", [["kube-apiserver"], ["etcd"], ["etcd", "kube-apiserver"]], ids="+".join)
def test_the_control_plane_killed_during_a_ramp(
    victims: list[str], shop: Namespace, control_plane: ControlPlane
) -> None:
    """With API server or etcd killed and started again in between, a ramp waits and ends at its weight."""
    router = shop.router(timeout=3.0)
    reported: list[str] = []
    ramp = Ramp(router, 0, patience=90, waiting=reported.append)
    ramp.advance(20)
    for victim in victims:
        control_plane.kill(victim)
    connection = router.store.connection  # type: ignore[attr-defined] # that of a cluster
    before = connection.requests

    def noticed() -> bool:
        """Whether the ramp has met what was killed; without etcd, a request that hangs needs no report yet."""
        return bool(reported) if "kube-apiserver" in victims else connection.requests > before

    with ThreadPoolExecutor(1) as worker:
        rest = worker.submit(lambda: [ramp.advance(weight) for weight in (40, 60, 80, 100)])
        until(lambda: noticed() or rest.done(), "the ramp meets what was killed", 90)
        control_plane.ensure_running()
        rest.result()
    assert shop.router().observe().traffic == Traffic(Split(100))
    if "kube-apiserver" in victims:
        assert reported


@pytest.mark.local
def test_the_api_server_killed_during_the_command(shop: Namespace, control_plane: ControlPlane) -> None:
    """`rollway ramp` in a process of its own survives the death of the API server and reports what it waits for."""
    words = ["ramp", "shop", "0..100", "--step", "25", "--every", "2s", "--request-timeout", "2s"]
    with started(*words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "verified" not in (line := process.stdout.readline()):
            assert line
        until(
            lambda: {event["reason"] for event in shop.events()} - {STARTED},
            "the Event about the step is written",
        )
        control_plane.kill("kube-apiserver")
        while "waiting: " not in (line := process.stderr.readline()):
            assert line, "the ramp ended without waiting"
        control_plane.ensure_running()
        _, reported = process.communicate(timeout=120)
    assert process.returncode == 0, reported
    assert shop.router().observe().traffic == Traffic(Split(100))
