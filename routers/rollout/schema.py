"""The JSON Schema of what rollway reads from a Rollout; `docs/schema/rollout.json` is that of the backends built in.

Unknown keys inside a backend's stanza are faults. Everywhere else they are somebody else's business.
Field names and types: Argo Rollouts, `pkg/apis/rollouts/v1alpha1/types.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.routers.backends.stanzas import OBJECT_NAME, OPTIONAL_NAME, TEXT, array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.backends import BackendPackage

COMMON_KEYS = ("maxTrafficWeight", "managedRoutes")
"""The keys of `trafficRouting` that are no backend's stanza."""

_STEPS: dict[str, Any] = {
    "items": {
        "properties": {
            "setWeight": {},
            "pause": {"properties": {"duration": {}}},
            "setHeaderRoute": {},
            "setMirrorRoute": {},
        }
    },
}
"""The keys of steps that move traffic; their values count in `lint` and where they are followed, and other steps never."""


def rollout_schema(packages: Sequence[BackendPackage]) -> dict[str, Any]:
    """Return the schema of a Rollout that may have the stanzas of these backends."""
    routing = traffic_routing(packages)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What rollway reads from an argoproj.io/v1alpha1 Rollout",
        "type": "object",
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": OBJECT_NAME, "namespace": OPTIONAL_NAME, "uid": {"type": "string"}},
            },
            "spec": {
                "type": "object",
                "required": ["strategy"],
                "properties": {"strategy": _strategy(routing)},
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


def traffic_routing(packages: Sequence[BackendPackage]) -> dict[str, Any]:
    """Return the schema of `trafficRouting` with the stanzas of these backends."""
    properties: dict[str, Any] = {
        "maxTrafficWeight": {"type": "integer", "minimum": 1, "maximum": 2147483647},
        "managedRoutes": array({"type": "object", "required": ["name"], "properties": {"name": TEXT}}),
    }
    for package in packages:
        for *above, key in package.places:
            inner = properties
            for step in above:
                inner = inner.setdefault(step, {"type": "object", "properties": {}})["properties"]
            inner[key] = package.stanza.schema
    return {"type": "object", "properties": properties}


def _strategy(routing: dict[str, Any]) -> dict[str, Any]:
    ping_pong = {
        "type": "object",
        "required": ["pingService", "pongService"],
        "properties": {"pingService": OBJECT_NAME, "pongService": OBJECT_NAME},
    }
    canary = {
        "stableService": OPTIONAL_NAME,
        "canaryService": OPTIONAL_NAME,
        "pingPong": ping_pong,
        "trafficRouting": routing,
        "steps": _STEPS,
    }
    blue_green = {"activeService": OBJECT_NAME, "previewService": OBJECT_NAME, "trafficRouting": routing}
    return {
        "type": "object",
        "properties": {
            "canary": {"type": "object", "properties": canary},
            "blueGreen": {
                "type": "object",
                "required": ["activeService"],
                "properties": blue_green,
            },
        },
    }
