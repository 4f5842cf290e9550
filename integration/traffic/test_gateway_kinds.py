"""GRPCRoutes, TLSRoutes and TCPRoutes: which calls and connections they lead where, at istiod's Envoy and at Traefik."""

from __future__ import annotations

import functools
import http.client
import itertools
import ssl
from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from data_planes import echo
from data_planes.gateway_api import IstioGateway, TraefikGateway
from harness import calls
from harness.answers import load, require_share, sample
from harness.process import rollway
from harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.traffic import Shop

    MakeShop = Callable[..., Shop]

LOCAL = "the pods of a cluster with kubelets speak neither gRPC nor TLS"


@pytest.fixture(params=["istio_gateway", "traefik_gateway"])
def plane(request: pytest.FixtureRequest) -> IstioGateway | TraefikGateway:
    """Each implementation beside the local API server."""
    found = request.getfixturevalue(request.param)
    if not isinstance(found, IstioGateway | TraefikGateway):
        pytest.skip(LOCAL)
    return found


def shop_with(make_shop: MakeShop, plane: Any, stanza: dict[str, Any], *routes: Any) -> Shop:
    """Return a shop whose Services have ports for requests, calls and TLS, with these routes."""
    shop = make_shop(plane)
    services = [m.service("shop-stable"), m.service("shop-canary")]
    for service in services:
        service["spec"]["ports"] += [
            {"name": "grpc", "port": 90, "targetPort": calls.PORT},
            {"name": "tls", "port": 443, "targetPort": echo.TLS_PORT},
        ]
    routing = {"plugins": {"argoproj-labs/gatewayAPI": stanza}, "managedRoutes": [{"name": "beta"}]}
    shop.put(*services, *routes, m.rollout(routing))
    return shop


def pair(port: int, **rule: Any) -> dict[str, Any]:
    """Return a rule with both Services at a port, and all for stable."""
    refs = [m.backend_ref("shop-stable", 100, port), m.backend_ref("shop-canary", 0, port)]
    return {**rule, "backendRefs": refs}


def test_calls_follow_the_weight_and_their_metadata(plane: Any, make_shop: MakeShop) -> None:
    """Each weight of a GRPCRoute is the share of real gRPC calls, metadata leads to the canary, and no call fails meanwhile."""
    route = m.http_route("rpc", pair(90, matches=[{"method": {"service": calls.SERVICE}}]), kind="GRPCRoute")
    shop = shop_with(make_shop, plane, {"grpcRoute": "rpc"}, route)
    with calls.serving(shop.number, "stable", "canary"):
        client = calls.Client(plane.url.removeprefix("http://"), shop.host)
        until(lambda: client.ask() == "stable", "calls are answered")
        beta = functools.partial(client.ask, x_beta="yes")
        with load(client.ask) as answers:
            loaded("header-route", "shop", "set", "beta", "--header", "X-Beta: yes")
            for weight in (100, 20):
                loaded("set-weight", "shop", str(weight))
                counted = sample(client.ask, 1000)
                print(f"{plane.name}, GRPCRoute at {weight} %: {dict(counted)}")
                require_share(counted, weight)
                require_share(sample(beta, 100), 100)
            loaded("header-route", "shop", "remove", "beta")
            require_share(sample(beta, 500), 20)
    print(f"{plane.name}, gRPC calls while weights and routes changed: {dict(answers)}")
    assert set(answers) == {"stable", "canary"}


def loaded(*words: str) -> None:
    """Run rollway, which has to show that the data plane has loaded what it wrote."""
    done = rollway(*words)
    assert "verified: loaded (" in done.stdout, done.stdout + done.stderr


def test_connections_follow_the_weight(plane: Any, make_shop: MakeShop) -> None:
    """Each weight of a TLSRoute and of a TCPRoute is the share of real connections, TLS ends at the pods, and none fails."""
    shop = shop_with(
        make_shop,
        plane,
        {"tlsRoute": "secure", "tcpRoute": "raw"},
        m.http_route("secure", pair(443), kind="TLSRoute"),
        m.http_route("raw", pair(80), kind="TCPRoute"),
    )
    asks = {
        "TLSRoute": functools.partial(connect, plane.ports["tls"], shop.host),
        "TCPRoute": functools.partial(connect, plane.ports["tcp"]),
    }
    for kind, ask in asks.items():
        until(lambda: ask() == "stable", f"the {kind} is served")  # noqa: B023
    turns = (ask() for ask in itertools.cycle(asks.values()))
    with load(turns.__next__) as answers:
        for weight in (100, 20):
            loaded("set-weight", "shop", str(weight))
            for kind, ask in asks.items():
                counted = sample(ask, 500)
                print(f"{plane.name}, {kind} at {weight} %: {dict(counted)}")
                require_share(counted, weight)
    print(f"{plane.name}, connections while the weight moved: {dict(answers)}")
    assert set(answers) == {"stable", "canary"}
    assert connect(plane.ports["tls"], f"other.{shop.host}") not in ("stable", "canary")


@functools.cache
def tls() -> ssl.SSLContext:
    """Return how a client trusts the pods alone, whose certificate has one name for all shops."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    echo.authority().configure_trust(context)
    return context


def connect(port: int, server_name: str = "") -> str:
    """Open one connection, with TLS to a server of that name if one is given; return the version that answers, or what went wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.connect()
        if server_name:
            connection.sock = tls().wrap_socket(connection.sock, server_hostname=server_name)
        connection.request("GET", "/", headers={"Connection": "close"})
        return connection.getresponse().read().decode().strip()
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()
