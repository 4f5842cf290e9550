"""The strategies of a Rollout: canary with its steps, and blue-green."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.controller.crds.analysis import ANALYSIS, BACKGROUND_ANALYSIS, EXPERIMENT
from rollway.controller.crds.fields import (
    METADATA,
    OPEN,
    described,
    number,
    number_or_text,
    switch,
    text,
)
from rollway.routers.backends.stanzas import array, mapping
from rollway.routers.rollout.schema import traffic_routing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.backends import BackendPackage
    from rollway.routers.backends.stanzas import Schema

_MATCH = mapping(
    exact=text("The whole value."),
    prefix=text("What the value begins with."),
    regex=text("A regular expression that the value fits."),
)
_HEADER_ROUTE = mapping(
    name=text("The name of the route; it is in trafficRouting.managedRoutes."),
    match=described(
        array(
            mapping(
                ["headerName", "headerValue"],
                headerName=text("The name of the header."),
                headerValue=described(_MATCH, "What its value is; one of the three."),
            )
        ),
        "Requests that go to the canary; without any the route is removed.",
    ),
)
_MIRROR_ROUTE = mapping(
    ["name"],
    name=text("The name of the route; it is in trafficRouting.managedRoutes."),
    percentage=number("The share of the requests that is copied; all by default."),
    match=described(
        array(
            mapping(
                method=described(_MATCH, "What the method of a request is."),
                path=described(_MATCH, "What its path is."),
                headers=described(
                    {"type": "object", "additionalProperties": _MATCH},
                    "What its headers are, by their names.",
                ),
            )
        ),
        "Requests that are copied to the canary; without any the route is removed.",
    ),
)
STEP: Schema = mapping(
    setWeight=number("The share of the traffic that the canary gets."),
    pause=described(
        mapping(
            duration=number_or_text("Seconds, or a duration such as 5m; without one until it is promoted.")
        ),
        "Wait.",
    ),
    setCanaryScale=described(
        mapping(
            replicas=number("So many pods."),
            weight=number("So many percent of the pods of the spec."),
            matchTrafficWeight=switch("As many as the weight asks for."),
        ),
        "The size of the canary, apart from its weight; one of the three.",
    ),
    setHeaderRoute=described(_HEADER_ROUTE, "Send requests with certain headers to the canary."),
    setMirrorRoute=described(_MIRROR_ROUTE, "Copy requests to the canary, whose answers nobody gets."),
    analysis=described(ANALYSIS, "Measure, and go on when that was successful."),
    experiment=described(EXPERIMENT, "Run versions beside each other for a while."),
    plugin=described(
        mapping(
            ["name"],
            name=text("The name of the plugin."),
            config=described(OPEN, "Whatever the plugin reads."),
        ),
        "A step that a plugin carries out.",
    ),
)
"""One step of a canary release; it has one of the fields."""

_ANTI_AFFINITY = described(
    mapping(
        requiredDuringSchedulingIgnoredDuringExecution=described(OPEN, "No node has pods of both versions."),
        preferredDuringSchedulingIgnoredDuringExecution=described(
            mapping(["weight"], weight=number("From 1 to 100.")), "A node has pods of both if it must be."
        ),
    ),
    "Keep pods of the new version off the nodes of the stable one.",
)
_DELAYS: dict[str, Schema] = {
    "scaleDownDelaySeconds": number(
        "How long the pods of the old version stay after it got no more traffic."
    ),
    "scaleDownDelayRevisionLimit": number("How many old versions may wait for that at once."),
    "abortScaleDownDelaySeconds": number("How long the pods of an aborted version stay; 0: until the next."),
}


def _routing(packages: Sequence[BackendPackage]) -> dict[str, Any]:
    """Return the schema of `trafficRouting`: each stanza is that of its backend; plugins have their own words."""
    schema = _without_required(traffic_routing(packages))
    properties = {
        **schema["properties"],
        "plugins": described(OPEN, "The stanza of each plugin, by its name."),
    }
    return described({**schema, "properties": properties}, "What moves the traffic; several may be named.")


def _without_required(schema: Any) -> Any:
    """Leave out which fields a stanza must have: Argo Rollouts takes some without, and the controller reports them."""
    if isinstance(schema, dict):
        return {
            key: _without_required(value)
            for key, value in schema.items()
            if key != "required" or not isinstance(value, list)
        }
    return [_without_required(item) for item in schema] if isinstance(schema, list) else schema


def _canary(packages: Sequence[BackendPackage]) -> Schema:
    return mapping(
        (),
        stableService=text("The Service of the stable pods."),
        canaryService=text("The Service of the canary's pods."),
        pingPong=described(
            mapping(
                ["pingService", "pongService"],
                pingService=text("One of the two Services."),
                pongService=text("The other."),
            ),
            "Two Services that are stable and canary in turn, so that no selector of a stable Service changes.",
        ),
        steps=described(array(STEP), "The way from the first weight to all traffic, in order."),
        trafficRouting=_routing(packages),
        maxSurge=number_or_text("How many pods there may be above replicas: a number or a percentage."),
        maxUnavailable=number_or_text("How many pods may be missing of replicas: a number or a percentage."),
        minPodsPerReplicaSet=number("The least size of a version that gets traffic."),
        dynamicStableScale=switch("Whether the stable version shrinks as the canary grows."),
        replicaProgressThreshold=described(
            mapping(
                ["type", "value"],
                type=text("Percent or Pods."),
                value=number("How much of the canary must be available before a step is done."),
            ),
            "When a version counts as large enough.",
        ),
        canaryMetadata=described(METADATA, "Labels and annotations of pods while they are the canary's."),
        stableMetadata=described(METADATA, "Labels and annotations of pods while they are stable."),
        antiAffinity=_ANTI_AFFINITY,
        analysis=described(BACKGROUND_ANALYSIS, "What is measured during the whole update."),
        **_DELAYS,
    )


def _blue_green(packages: Sequence[BackendPackage]) -> Schema:
    return mapping(
        ["activeService"],
        activeService=text("The Service of the pods that serve the users."),
        previewService=text("The Service of the new pods, before they serve the users."),
        previewReplicaCount=number("The size of the new version until it is promoted."),
        previewMetadata=described(METADATA, "Labels and annotations of pods before the switch."),
        activeMetadata=described(METADATA, "Labels and annotations of pods after it."),
        autoPromotionEnabled=switch("Whether the switch needs nobody; true by default."),
        autoPromotionSeconds=number("How long the new version waits before the switch."),
        maxUnavailable=number_or_text(
            "How many pods may be missing during a restart: a number or a percentage."
        ),
        prePromotionAnalysis=described(ANALYSIS, "What is measured before the switch."),
        postPromotionAnalysis=described(ANALYSIS, "What is measured after it, while the old pods are there."),
        antiAffinity=_ANTI_AFFINITY,
        trafficRouting=described(
            _routing(packages), "What moves the traffic beside the Services. An extension of rollway."
        ),
        **_DELAYS,
    )


def strategy(packages: Sequence[BackendPackage]) -> Schema:
    """Return the schema of `spec.strategy` for Rollouts that may have the stanzas of these backends."""
    return described(
        mapping(
            canary=described(_canary(packages), "Move the traffic in steps."),
            blueGreen=described(_blue_green(packages), "Move all traffic at once."),
        ),
        "How a new version replaces the stable one; one of the two.",
    )
