"""What implementations of Gateway API do not do, by the name of their controller in the status of a route.

Sources, read on 2026-11-25: conformance reports of kubernetes-sigs/gateway-api, `conformance/reports`:

- istiod: v1.4.0, istio-istio/1.28.0-default-report.yaml;
- Traefik v3.6: v1.4.0, traefik-traefik/experimental-v3.6.0-default-report.yaml;
- Envoy Gateway v1.7.0: v1.4.1, envoy-gateway/experimental-v1.7.0-default-report.yaml;
- Contour v1.33.0: v1.3.0, projectcontour-contour/experimental-v1.33.0-default-report.yaml;
- Cilium v1.19.0-pre.2: v1.4.0, cilium/experimental-v1.19.0-pre.2-default-report.yaml;
- Kong Operator v2.1.12: v1.4.1, kong-operator/experimental-v2.1.12-expressions-report.yaml;
- NGINX Gateway Fabric v2.4.0: v1.4.1, nginx-nginx-gateway-fabric/experimental-2.4.0-default-report.yaml;
- Linkerd 2.18: v1.3.0, linkerd-linkerd/standard-2.18-default-report.yaml.

A feature counts as lacking where the report lists it under `unsupportedFeatures`, or lists its test under `skippedTests`.
Feature names are those of the reports. No report covers TCPRoute, session persistence, or patterns of headers.
"""

from __future__ import annotations

from typing import NamedTuple

MIRROR = "HTTPRouteRequestMirror"
PERCENTAGE_MIRROR = "HTTPRouteRequestPercentageMirror"
MULTIPLE_MIRRORS = "HTTPRouteRequestMultipleMirrors"
GRPC_WEIGHT = "GRPCRouteWeight"
GRPC_HEADERS = "GRPCRouteHeaderMatching"
NAMED_RULE = "HTTPRouteNamedRouteRule"


class Implementation(NamedTuple):
    """One implementation in the version that was reported, and which of the features of a release it lacks there."""

    name: str
    lacks: frozenset[str] = frozenset()


IMPLEMENTATIONS = {
    "istio.io/gateway-controller": Implementation("istiod 1.28"),
    "traefik.io/gateway-controller": Implementation(
        "Traefik v3.6", frozenset({MIRROR, PERCENTAGE_MIRROR, MULTIPLE_MIRRORS, NAMED_RULE})
    ),
    "gateway.envoyproxy.io/gatewayclass-controller": Implementation("Envoy Gateway v1.7.0"),
    "projectcontour.io/gateway-controller": Implementation("Contour v1.33.0", frozenset({PERCENTAGE_MIRROR})),
    "io.cilium/gateway-controller": Implementation("Cilium v1.19.0-pre.2"),
    "konghq.com/gateway-operator": Implementation(
        "Kong Operator v2.1.12",
        frozenset({MIRROR, PERCENTAGE_MIRROR, MULTIPLE_MIRRORS, NAMED_RULE, GRPC_WEIGHT, GRPC_HEADERS}),
    ),
    "gateway.nginx.org/nginx-gateway-controller": Implementation(
        "NGINX Gateway Fabric v2.4.0", frozenset({NAMED_RULE})
    ),
    "linkerd.io/policy-controller": Implementation("Linkerd 2.18"),
}
"""By `controllerName`. NAMED_RULE is listed for completeness: a rule name that an implementation ignores does no harm."""
