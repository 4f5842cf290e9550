"""The example of the tests: a Rollout `shop` behind each kind of router, in a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import manifests as m

if TYPE_CHECKING:
    from harness.namespace import Namespace
    from rollway.routers.objects import Manifest

NGINX: dict[str, Any] = {"nginx": {"stableIngress": "web"}}
ISTIO: dict[str, Any] = {"istio": {"virtualService": {"name": "web"}}}
SMI: dict[str, Any] = {"smi": {}}
GATEWAY: dict[str, Any] = {"plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "web"}}}
"""The place of Argo's plugin; `rollouts/extensions.yaml` has the other one."""
SUBSETS: dict[str, Any] = {
    "istio": {
        "virtualService": {"name": "web"},
        "destinationRule": {"name": "shop", "stableSubsetName": "stable", "canarySubsetName": "canary"},
    }
}
PRIMARY: dict[str, Any] = {"istio": {"virtualService": {"name": "web", "routes": ["primary"]}}}
ALL: dict[str, Any] = {**NGINX, **ISTIO, **SMI}
ROUTINGS = {"nginx": NGINX, "istio": ISTIO, "subsets": SUBSETS, "smi": SMI, "gateway": GATEWAY, "all": ALL}


def objects(routing: dict[str, Any], host: str = "shop.example.com") -> list[Manifest]:
    """Return the user's objects for a routing, the Rollout last; one host belongs to one Ingress of a cluster."""
    found = [m.service("shop-stable"), m.service("shop-canary")]
    if "nginx" in routing:
        found.append(m.ingress("web", host))
    if routing == SUBSETS:
        pair = [m.destination("shop", 100, subset="stable"), m.destination("shop", 0, subset="canary")]
        found += [m.virtual_service(http=[{"name": "primary", "route": pair}]), m.destination_rule()]
    elif "istio" in routing:
        found.append(m.virtual_service())
    if "plugins" in routing:
        found.append(m.http_route())
    return [*found, m.rollout(routing)]


def zero_sum() -> Manifest:
    """Return the VirtualService `web` of `PRIMARY` with a route of somebody's beside it, whose weights are all 0."""
    zeros = [m.destination("shop-stable", 0), m.destination("shop-canary", 0)]
    pair = [m.destination("shop-stable", 100), m.destination("shop-canary", 0)]
    vip = {"name": "vip", "match": [{"uri": {"prefix": "/vip"}}], "route": zeros}
    return m.virtual_service(http=[vip, {"name": "primary", "route": pair}])


def put(namespace: Namespace, routing: dict[str, Any], host: str = "shop.example.com") -> None:
    """Create them, with ready endpoints."""
    namespace.put(*objects(routing, host))
