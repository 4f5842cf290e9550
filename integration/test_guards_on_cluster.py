"""Weight never goes to a destination that could not serve it: readiness read from a real API server."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pexpect
import pytest

import manifests as m
from harness import shop
from harness.process import started
from running import rollway

if TYPE_CHECKING:
    from harness.namespace import Namespace


@pytest.mark.parametrize("name", shop.ROUTINGS)
def test_an_unready_canary_gets_no_weight(name: str, namespace: Namespace) -> None:
    """Without a ready canary endpoint every router refuses, with all reasons; --allow lifts this, and so does an endpoint."""
    shop.put(namespace, shop.ROUTINGS[name])
    code = "subset-not-ready" if name == "subsets" else "endpoints-not-ready"
    if name == "subsets":
        for index in range(2):
            namespace.api.put(m.pod(f"shop-{index}", namespace.name, version="stable"))
    else:
        namespace.ready("shop-canary", 0, 2)
    before = namespace.objects()
    ran = rollway("set-weight", "shop", "20")
    assert (ran.code, f"--allow {code}" in ran.stderr) == (4, True)
    assert namespace.objects() == before
    assert rollway("set-weight", "shop", "0").code == 0
    assert rollway("set-weight", "shop", "20", "--allow", code).code == 0
    assert f"[{code}]" in rollway("status", "shop").stderr


def test_named_ports_are_resolved(namespace: Namespace) -> None:
    """An Ingress that names a port is ready only where the slice has that port."""
    web = m.ingress("web", "shop.example.com", m.path("shop-stable", port="http"))
    namespace.put(m.service("shop-stable"), m.service("shop-canary"), web, m.rollout(shop.NGINX))
    assert rollway("set-weight", "shop", "20").code == 0
    namespace.ready("shop-canary", 1, ports=[{"name": "metrics"}])
    ran = rollway("set-weight", "shop", "30")
    assert (ran.code, "no ready endpoint for port http" in ran.stderr) == (4, True)


def test_ingress_nginx_needs_a_ready_stable(namespace: Namespace) -> None:
    """At weight 100 ingress-nginx still answers 503 without a stable endpoint, so the switch is refused; Istio allows it."""
    shop.put(namespace, shop.NGINX)
    namespace.ready("shop-stable", 0, 1)
    ran = rollway("switch", "shop", "canary")
    assert (ran.code, "answers 503 to all" in ran.stderr) == (4, True)


def test_istio_does_not_need_stable_at_the_end(namespace: Namespace) -> None:
    """Behind Istio stable may have no endpoints when the canary has all traffic."""
    shop.put(namespace, shop.ISTIO)
    namespace.ready("shop-stable", 0, 1)
    assert rollway("set-weight", "shop", "50").code == 4
    assert rollway("switch", "shop", "canary").code == 0


def test_going_back_to_a_dead_stable(namespace: Namespace) -> None:
    """Back to a stable without endpoints is refused while the canary serves, and allowed when no user loses by it."""
    shop.put(namespace, shop.ISTIO)
    assert rollway("switch", "shop", "canary").code == 0
    namespace.ready("shop-stable", 0)
    assert rollway("switch", "shop", "stable").code == 4
    namespace.ready("shop-canary", 0)
    assert rollway("switch", "shop", "stable").code == 0


def test_a_missing_service_is_not_ready(namespace: Namespace) -> None:
    """In a cluster a Service that does not exist is a refusal and not a note."""
    namespace.put(m.service("shop-stable"), m.virtual_service(), m.rollout(shop.ISTIO))
    ran = rollway("set-weight", "shop", "20")
    assert (ran.code, "Service" in ran.stderr, "does not exist" in ran.stderr) == (4, True, True)


def test_canary_capacity_is_a_note(namespace: Namespace) -> None:
    """Half of the traffic for one endpoint, while stable has five for all of it, is a note and no refusal."""
    shop.put(namespace, shop.ISTIO)
    namespace.ready("shop-stable", 5)
    ran = rollway("set-weight", "shop", "20")
    assert "canary-capacity" not in ran.stderr
    ran = rollway("set-weight", "shop", "50")
    assert (ran.code, "go to 1 ready endpoints, and stable has 5" in ran.stderr) == (0, True)


def test_wait_waits_for_readiness(namespace: Namespace) -> None:
    """--wait continues as soon as the canary is ready, reports once what it waits for, and refuses when the time is over."""
    shop.put(namespace, shop.ISTIO)
    namespace.ready("shop-canary", 0, 1)
    ran = rollway("set-weight", "shop", "20", "--wait", "1s")
    assert ran.code == 4
    with started("set-weight", "shop", "20", "--wait", "60s") as process:
        assert process.stderr is not None
        while "waiting:" not in (line := process.stderr.readline()):
            assert line
        namespace.ready("shop-canary", 1)
        _, further = process.communicate(timeout=120)
    assert (process.returncode, "waiting:" in further) == (0, False)


def test_the_nginx_check_sees_the_whole_cluster(namespace: Namespace) -> None:
    """An older Ingress of another namespace that serves the same host and path is found, and the canary refused."""
    other = f"{namespace.name}-other"
    namespace.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    host = f"{namespace.name}.example.com"
    foreign = m.placed(m.ingress("theirs", host, m.path("their-service")), other)
    namespace.api.put(foreign)
    time.sleep(1.1)  # ages are counted in whole seconds
    mine = m.ingress("web", host)
    namespace.put(m.service("shop-stable"), m.service("shop-canary"), mine, m.rollout(shop.NGINX))
    ran = rollway("set-weight", "shop", "20")
    namespace.api.delete(foreign)
    assert (ran.code, "nginx-path-taken" in ran.stderr) == (4, True)
    assert other in ran.stderr


def test_wait_shows_a_spinner_on_a_terminal(namespace: Namespace) -> None:
    """On a terminal --wait shows for how long it has waited and for what, until the canary is ready."""
    shop.put(namespace, shop.ISTIO)
    namespace.ready("shop-canary", 0, 1)
    words = ["-m", "rollway.cli", "set-weight", "shop", "20", "--wait", "60s"]
    terminal = pexpect.spawn(sys.executable, words, encoding="utf-8", timeout=30, dimensions=(40, 200))
    terminal.expect(r"waiting for \d+ s: Service .*/shop-canary: has no ready endpoint")
    namespace.ready("shop-canary", 1)
    terminal.expect("verified: written")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
