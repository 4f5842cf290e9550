"""The spec of a Rollout: its defaults, and its faults, all at once."""

from __future__ import annotations

from typing import Any

import pytest

from rollway.controller.spec import BlueGreen, Canary, ProgressThreshold, scaled_value, selects
from rollway.controller.spec_reader import SpecReader
from rollway.controller.testing.rollouts import blue_green, rollout, routed_canary


def faults(strategy: dict[str, Any] | None = None, **spec: Any) -> list[str]:
    """Return the faults of a Rollout with a strategy and fields of its spec."""
    reader = SpecReader(rollout(routed_canary() if strategy is None else strategy, **spec))
    read = reader.read()
    assert (read is None) == bool(reader.faults), "a spec with faults is not used"
    return reader.faults


def test_a_rollout_has_the_defaults_of_argo_rollouts() -> None:
    """What is not given is as in Argo Rollouts."""
    spec = SpecReader(rollout({"canary": {}}, replicas=10)).read()
    assert spec is not None
    assert (spec.history_limit, spec.progress_deadline, spec.min_ready_seconds, spec.paused) == (
        10,
        600,
        0,
        False,
    )
    assert isinstance(spec.strategy, Canary)
    assert (spec.strategy.max_surge, spec.strategy.max_unavailable, spec.strategy.total) == (3, 2, 100)
    assert (spec.strategy.scale_down_delay, spec.strategy.abort_delay) == (None, None)
    spec = SpecReader(rollout(blue_green())).read()
    assert spec is not None
    assert isinstance(spec.strategy, BlueGreen)
    assert (spec.strategy.auto_promotion, spec.strategy.preview_replicas) == (True, None)


CANARY_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"maxSurge": 0, "maxUnavailable": "0%"}, "MaxSurge and MaxUnavailable both can not be zero"),
    ({"canaryService": "stable"}, "uses the same service for the stable and canary services"),
    ({"dynamicStableScale": True, "scaleDownDelaySeconds": 5}, "cannot be used with scaleDownDelaySeconds"),
    ({"trafficRouting": None, "scaleDownDelaySeconds": 5}, "scaleDownDelaySeconds: needs trafficRouting"),
    ({"trafficRouting": None, "dynamicStableScale": True}, "dynamicStableScale: needs trafficRouting"),
    ({"trafficRouting": None, "steps": [{"setCanaryScale": {"replicas": 1}}]}, "requires TrafficRouting"),
    ({"steps": [{"setCanaryScale": {"replicas": 1, "weight": 2}}]}, "give one of replicas, weight and"),
    ({"steps": [{"setCanaryScale": {"weight": 101}}]}, "weight 101 is not a whole number from 0 to 100"),
    ({"steps": [{"setCanaryScale": "all"}]}, "give one of replicas, weight and"),
    ({"steps": [{"setWeight": 101}]}, "steps[0]"),
    ({"steps": [{"setWeight": 1, "pause": {}}]}, "steps[0]"),
    ({"steps": [{"analysis": {"templates": []}}]}, "is not done by this controller yet"),
    ({"steps": [{"setHeaderRoute": {"name": "unknown"}}]}, "not among the managedRoutes"),
    ({"analysis": {"templates": []}}, "canary.analysis: is not done by this controller yet"),
    ({"abortScaleDownDelaySeconds": -1}, "-1 is not a whole number from 0"),
    ({"minPodsPerReplicaSet": "two"}, "'two' is not a whole number from 0"),
    ({"replicaProgressThreshold": {"type": "Percent", "value": 101}}, "give type Percent or Pods"),
    ({"replicaProgressThreshold": {"type": "Share", "value": 1}}, "give type Percent or Pods"),
    ({"antiAffinity": {}}, "AntiAffinity must have exactly one strategy listed"),
    (
        {"antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 0}}},
        "AntiAffinity weight must be between 1-100",
    ),
]


@pytest.mark.parametrize(("fields", "words"), CANARY_FAULTS)
def test_faults_of_a_canary(fields: dict[str, Any], words: str) -> None:
    """Each fault of a canary strategy is reported with the path of its field."""
    body = routed_canary()["canary"] | fields
    if "analysis" in fields:
        body["analysis"] = {"templates": [{"templateName": "rate"}]}
    if body["trafficRouting"] is None:
        del body["trafficRouting"]
    found = faults({"canary": body})
    assert any(words in fault for fault in found), found
    assert all(fault.startswith("spec.") for fault in found)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ({}, "give canary or blueGreen"),
        ({"canary": {}, "blueGreen": {}}, "Multiple Strategies can not be listed"),
        ({"blueGreen": {}}, "blueGreen.activeService: is required"),
        (blue_green(previewService="stable"), "uses the same service"),
        (blue_green(prePromotionAnalysis={"templates": [{}]}), "prePromotionAnalysis: is not done"),
        (blue_green(postPromotionAnalysis={"templates": [{}]}), "postPromotionAnalysis: is not done"),
        (blue_green(autoPromotionSeconds=-1), "-1 is not a whole number"),
        (blue_green(scaleDownDelayRevisionLimit=5), "revision history limit can not be smaller"),
    ],
)
def test_faults_of_a_strategy(strategy: dict[str, Any], words: str) -> None:
    """Each fault of a blue-green strategy, or of the choice of one, is reported."""
    assert any(words in fault for fault in faults(strategy, revisionHistoryLimit=2))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"replicas": -1}, "-1 is not a whole number"),
        ({"selector": {}}, "missing field '.spec.selector'"),
        ({"selector": {"matchLabels": {}}}, "selecting all pods"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "does not match template `labels`"),
        ({"template": {"metadata": {"labels": {"app": "web"}}}}, "no containers"),
        ({"minReadySeconds": 600}, "must be greater than minReadySeconds"),
        ({"analysis": {"successfulRunHistoryLimit": 1}}, "spec.analysis: is not done"),
        ({"workloadRef": {"kind": "Deployment", "name": "web"}}, "must be empty for workload reference"),
        ({"workloadRef": {"kind": "Deployment", "name": "web"}}, "Deployment web is not found"),
    ],
)
def test_faults_of_a_rollout(spec: dict[str, Any], words: str) -> None:
    """Each fault outside of the strategy is reported."""
    assert any(words in fault for fault in faults(**spec))


def test_every_fault_is_reported_at_once() -> None:
    """Faults in different places come together."""
    strategy = routed_canary({"setWeight": 101}, {"plugin": {"name": "a/b"}}, maxSurge=0, maxUnavailable=0)
    assert len(faults(strategy, replicas=-1, minReadySeconds=700)) == 5


@pytest.mark.parametrize(
    ("value", "up", "expected"),
    [(3, True, 3), ("25%", True, 2), ("25%", False, 1), ("50", False, 2), ("many", True, 0), (True, True, 0)],
)
def test_numbers_of_pods(value: object, up: bool, expected: int) -> None:
    """A number is itself, a text is a percentage of five pods, and what cannot be read is 0."""
    assert scaled_value(value, 5, round_up=up) == expected


def test_the_threshold_of_progress() -> None:
    """A threshold is a share of the pods, rounded up, or a number of them."""
    assert [ProgressThreshold(percent=50).needed(5), ProgressThreshold(pods=9).needed(5)] == [3, 5]
    assert ProgressThreshold(pods=2).needed(5) == 2


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"key": "app", "operator": "In", "values": ["web", "api"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["web"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "Exists"}, False),
        ({"key": "tier", "operator": "DoesNotExist"}, True),
        ({"key": "tier", "operator": "NotIn", "values": ["x"]}, True),
        ({"key": "app", "operator": "Near", "values": ["web"]}, False),
    ],
)
def test_selectors(expression: dict[str, Any], expected: bool) -> None:
    """Expressions select as in Kubernetes; an operator that is not known selects nothing."""
    assert selects({"matchExpressions": [expression]}, {"app": "web"}) is expected
