"""One holder of a Lease at a time, whatever fails and however many compete."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from api_server import ApiServer, Fault

from rollway.routers.errors import StoreError
from rollway.routers.kube.lease import Lease

if TYPE_CHECKING:
    from rollway.routers.kube.client import Client

pytestmark = pytest.mark.enable_socket
LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/leader"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


def test_taken_renewed_and_taken_over(server: ApiServer, client: Client) -> None:
    """The first one gets it and keeps it while it renews; a second one gets it when it has run out."""
    clock = Clock()
    first = Lease(client, "default", "leader", "a", clock=clock)
    second = Lease(client, "default", "leader", "b", clock=clock)
    assert first.acquire()
    assert not second.acquire()
    assert second.holder == "a"
    for _ in range(5):
        clock.now += 10
        assert first.acquire()
        assert not second.acquire()
    clock.now += 14
    assert not second.acquire()
    assert (first.holder, first.held) == ("a", True)
    clock.now += 1
    assert (first.holder, first.held) == ("a", False)
    assert second.acquire()
    assert not first.acquire()
    spec = server.objects[LEASE]["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"], spec["leaseDurationSeconds"]) == ("b", 1, 15)


def test_a_clock_that_differs_takes_nothing(server: ApiServer, client: Client) -> None:
    """A Lease that says that it was renewed long ago is only free when nobody has renewed it for its duration."""
    Lease(client, "default", "leader", "a").acquire()
    server.objects[LEASE]["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z"
    clock = Clock()
    second = Lease(client, "default", "leader", "b", clock=clock)
    assert not second.acquire()
    clock.now += 14
    assert not second.acquire()
    clock.now += 1
    assert second.acquire()


def test_released_it_is_free_at_once(server: ApiServer, client: Client) -> None:
    """Who gives it up leaves it to the next one; who does not hold it gives up nothing."""
    first = Lease(client, "default", "leader", "a")
    second = Lease(client, "default", "leader", "b")
    first.release()
    assert LEASE not in server.objects
    first.acquire()
    second.release()
    assert first.acquire()
    first.release()
    assert not first.held
    assert second.acquire()


def test_a_renewal_is_one_request(server: ApiServer, client: Client) -> None:
    """Who holds it writes with the version that it has; when another has written meanwhile, it reads whose it is."""
    first = Lease(client, "default", "leader", "a")
    assert first.acquire()
    server.requests.clear()
    assert first.acquire()
    assert [method for method, _ in server.requests] == ["PUT"]
    lease = server.objects[LEASE]
    server.put({**lease, "spec": {**lease["spec"], "holderIdentity": "b"}}, "leases")
    assert not first.acquire()
    assert not first.held


def test_of_many_one_gets_it(client: Client) -> None:
    """Eight that ask at once: one holds it, and the others know that they do not."""
    rivals = [Lease(client, "default", "leader", f"{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            list(threads.map(Lease.acquire, rivals))
    assert [rival.held for rival in rivals].count(True) == 1


def test_a_renewal_whose_answer_got_lost(server: ApiServer, client: Client) -> None:
    """It is read and written once more; without an answer to that, what was held is held until it runs out, and no longer."""
    clock = Clock()
    lease = Lease(client, "default", "leader", "a", clock=clock)
    assert lease.acquire()
    clock.now += 10
    server.faults = [Fault("lost")]
    assert lease.acquire()
    clock.now += 10
    server.faults = [Fault("lost", times=2)]
    assert lease.acquire()
    clock.now += 5
    assert not lease.held
    assert lease.acquire()


def test_a_server_that_fails_is_an_error_and_no_loss(server: ApiServer, client: Client) -> None:
    """While the API server fails the Lease is held for its duration, and no longer."""
    clock = Clock()
    lease = Lease(client, "default", "leader", "a", clock=clock)
    assert lease.acquire()
    server.faults = [Fault("status", 401, methods=("GET", "PUT"), times=99)]
    with pytest.raises(StoreError):
        lease.acquire()
    assert [lease.held, clock.now] == [True, 1000]
    clock.now += 15
    assert [lease.held, clock.now] == [False, 1015]
