"""The JSON Schema of what rollway reads from a Rollout; `docs/schema/rollout.json` is this, written out.

Unknown keys inside a router's stanza are faults. Everywhere else they are somebody else's business.
Field names and types: Argo Rollouts, `pkg/apis/rollouts/v1alpha1/types.go`.
"""

from __future__ import annotations

from typing import Any

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_OBJECT_NAME = {"type": "string", "pattern": rf"^{_LABEL}(\.{_LABEL})*$", "maxLength": 253}
_OPTIONAL_NAME = {"type": "string", "pattern": rf"^({_LABEL}(\.{_LABEL})*)?$", "maxLength": 253}
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
_TEXT = {"type": "string", "minLength": 1}
_ANNOTATIONS = {"type": "object", "additionalProperties": {"type": "string"}}


def _stanza(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_VIRTUAL_SERVICE = _stanza(
    ("name",),
    name=_OBJECT_NAME,
    routes=_list(_TEXT),
    tlsRoutes=_list({**_stanza(port=_PORT, sniHosts={**_list(_TEXT), "minItems": 1}), "minProperties": 1}),
    tcpRoutes=_list(_stanza(("port",), port=_PORT)),
)

ROUTERS: dict[str, Any] = {
    "nginx": _stanza(
        stableIngress=_OPTIONAL_NAME,
        stableIngresses=_list(_OBJECT_NAME),
        annotationPrefix={"type": "string"},
        additionalIngressAnnotations=_ANNOTATIONS,
        canaryIngressAnnotations=_ANNOTATIONS,
    ),
    "istio": _stanza(
        virtualService=_VIRTUAL_SERVICE,
        virtualServices=_list(_VIRTUAL_SERVICE),
        destinationRule=_stanza(
            ("name", "canarySubsetName", "stableSubsetName"),
            name=_OBJECT_NAME,
            canarySubsetName=_TEXT,
            stableSubsetName=_TEXT,
            additionalSubsetNames=_list(_TEXT),
        ),
    ),
    "smi": _stanza(rootService=_OPTIONAL_NAME, trafficSplitName=_OPTIONAL_NAME),
}

_TRAFFIC_ROUTING = {
    "type": "object",
    "properties": {
        "maxTrafficWeight": {"type": "integer", "minimum": 1, "maximum": 2147483647},
        "managedRoutes": _list({"type": "object", "required": ["name"], "properties": {"name": _TEXT}}),
        **ROUTERS,
    },
}

ROLLOUT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "What rollway reads from an argoproj.io/v1alpha1 Rollout",
    "type": "object",
    "required": ["metadata", "spec"],
    "properties": {
        "apiVersion": {"type": "string"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": _OBJECT_NAME, "namespace": _OPTIONAL_NAME, "uid": {"type": "string"}},
        },
        "spec": {
            "type": "object",
            "required": ["strategy"],
            "properties": {
                "strategy": {
                    "type": "object",
                    "properties": {
                        "canary": {
                            "type": "object",
                            "properties": {
                                "stableService": _OPTIONAL_NAME,
                                "canaryService": _OPTIONAL_NAME,
                                "pingPong": {
                                    "type": "object",
                                    "required": ["pingService", "pongService"],
                                    "properties": {"pingService": _OBJECT_NAME, "pongService": _OBJECT_NAME},
                                },
                                "trafficRouting": _TRAFFIC_ROUTING,
                            },
                        },
                        "blueGreen": {
                            "type": "object",
                            "required": ["activeService", "previewService"],
                            "properties": {
                                "activeService": _OBJECT_NAME,
                                "previewService": _OBJECT_NAME,
                                "trafficRouting": _TRAFFIC_ROUTING,
                            },
                        },
                    },
                }
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "canary": {
                    "type": "object",
                    "properties": {"stablePingPong": {"enum": ["", "ping", "pong"]}},
                }
            },
        },
    },
}
