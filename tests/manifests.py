"""Manifests that many tests use, written as users write them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest


def read(text: str) -> Manifest:
    """Read one manifest."""
    manifest: Manifest = yaml.safe_load(text)
    return manifest


def placed(manifest: Manifest, namespace: str) -> Manifest:
    """Return a copy of a manifest in another namespace."""
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}


def endpoint_slice(
    service_name: str, namespace: str = "default", *, ready: int = 1, unready: int = 0, **words: Any
) -> Manifest:
    """Return the EndpointSlice of a Service: so many ready endpoints, so many others, behind pods named by number."""
    endpoints = [
        {
            "addresses": [f"10.244.0.{index + 1}"],
            "conditions": {"ready": index < ready},
            "targetRef": {"kind": "Pod", "name": f"{service_name}-{index}", "namespace": namespace},
        }
        for index in range(ready + unready)
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service_name}-slice",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service_name},
        },
        "addressType": "IPv4",
        "ports": words.get("ports", [{"name": "http", "port": 8080}]),
        "endpoints": endpoints,
    }


def pod(name: str, namespace: str = "default", **labels: str) -> Manifest:
    """Return a Pod with labels; it has what a cluster would fill in, and no scheduler takes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "containers": [{"name": "app", "image": "app"}],
            "schedulerName": "nobody",
            "serviceAccountName": "default",
            "automountServiceAccountToken": False,
        },
    }


def service(name: str, namespace: str = "default", port: int = 80) -> Manifest:
    """Return a Service with the port `http`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port}]},
    }


def path(service_name: str, at: str | None = "/", port: Any = 80, kind: str = "Prefix") -> dict[str, Any]:
    """Return one path of an Ingress rule."""
    found: dict[str, Any] = {"path": at} if at is not None else {}
    backend = {
        "service": {
            "name": service_name,
            "port": {"number": port} if isinstance(port, int) else {"name": port},
        }
    }
    return {**found, "pathType": kind, "backend": backend}


def ingress(
    name: str = "web", host: str | None = "shop.example.com", *paths: dict[str, Any], **extra: Any
) -> Manifest:
    """Return an Ingress of class nginx with one rule; its paths lead to shop-stable unless given."""
    rule: dict[str, Any] = {"http": {"paths": list(paths) or [path("shop-stable")]}}
    if host is not None:
        rule = {"host": host, **rule}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "default", **extra.pop("metadata", {})},
        "spec": {"ingressClassName": "nginx", "rules": [rule], **extra},
    }


def destination(host: str, weight: Any = None, **words: Any) -> dict[str, Any]:
    """Return a route destination of a VirtualService."""
    found: dict[str, Any] = {"destination": {"host": host, **words}}
    return found if weight is None else {**found, "weight": weight}


def virtual_service(name: str = "web", **sections: Any) -> Manifest:
    """Return a VirtualService; with no section given, one http route with stable 100 and canary 0."""
    if not sections:
        sections = {
            "http": [
                {"name": "primary", "route": [destination("shop-stable", 100), destination("shop-canary", 0)]}
            ]
        }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"hosts": ["shop.example.com"], **sections},
    }


def backend_ref(name: str, weight: int | None = None, port: int = 80, **more: Any) -> dict[str, Any]:
    """Return one backendRef of a route of Gateway API."""
    weighted = {} if weight is None else {"weight": weight}
    return {"name": name, "port": port, **weighted, **more}


def pair_rule(stable: Any = 100, canary: Any = 0, **fields: Any) -> dict[str, Any]:
    """Return a rule that holds both Services."""
    return {**fields, "backendRefs": [backend_ref("shop-stable", stable), backend_ref("shop-canary", canary)]}


def http_route(
    name: str = "web", *rules: Any, kind: str = "HTTPRoute", version: str = "v1", **spec: Any
) -> Manifest:
    """Return a route of Gateway API; with no rule given, one with stable 100 and canary 0."""
    return {
        "apiVersion": f"gateway.networking.k8s.io/{version}",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "parentRefs": [{"name": "gateway"}],
            "rules": list(rules) or [pair_rule()],
            **spec,
        },
    }


def destination_rule(name: str = "shop", host: str = "shop", subsets: Any = None) -> Manifest:
    """Return a DestinationRule with the subsets stable and canary."""
    default = [{"name": role, "labels": {"version": role}} for role in ("stable", "canary")]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"host": host, "subsets": default if subsets is None else subsets},
    }


def traffic_split(
    version: str = "v1alpha2", name: str = "shop", root: str = "shop-stable", **weights: Any
) -> Manifest:
    """Return a TrafficSplit; the backends are named by keyword, with `_` for `-`."""
    backends = [{"service": key.replace("_", "-"), "weight": value} for key, value in weights.items()]
    return {
        "apiVersion": f"split.smi-spec.io/{version}",
        "kind": "TrafficSplit",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"service": root, "backends": backends},
    }


def selecting(name: str, pod_hash: str = "", **labels: str) -> Manifest:
    """Return a Service that selects the pods of a shop by a pod-template hash, if one is given."""
    selected = {"rollouts-pod-template-hash": pod_hash} if pod_hash else {}
    manifest = service(name)
    manifest["spec"]["selector"] = {"app": "shop", **labels, **selected}
    return manifest


def switched(name: str = "shop", *, preview: bool = True, status: Any = None, **body: Any) -> Manifest:
    """Return a blue-green Rollout that has no router, with a status if one is given."""
    manifest = rollout(None, strategy="blueGreen", name=name, **body)
    del manifest["spec"]["strategy"]["blueGreen"]["trafficRouting"]
    if not preview:
        del manifest["spec"]["strategy"]["blueGreen"]["previewService"]
    return {**manifest, **({"status": status} if status else {})}


def rollout(routing: Any = None, *, strategy: str = "canary", name: str = "shop", **body: Any) -> Manifest:
    """Return a Rollout with the services shop-stable and shop-canary and the given trafficRouting."""
    services = {"stableService": "shop-stable", "canaryService": "shop-canary"}
    if strategy == "blueGreen":
        services = {"activeService": "shop-stable", "previewService": "shop-canary"}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"strategy": {strategy: {**services, "trafficRouting": copy.deepcopy(routing), **body}}},
    }
