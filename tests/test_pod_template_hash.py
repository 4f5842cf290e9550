"""The hashes of pod templates and of steps: each rule of Go's JSON as a case, and the hashes that Argo Rollouts published.

`integration/test_hashes.py` compares with Argo's own code.
"""

from __future__ import annotations

from typing import Any

import pytest

from rollway.controller import go_json, hashes
from rollway.controller.hashes import Flavour, pod_template_hash, steps_hash
from rollway.routers.errors import ManifestError


def template(name: str, **pod: Any) -> dict[str, Any]:
    """Return the pod template of an end-to-end test of Argo Rollouts."""
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "containers": [
                {
                    "name": name,
                    "image": "nginx:1.19-alpine",
                    "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
                    "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
                }
            ],
            **pod,
        },
    }


SCALEDOWN_DELAY = template("canary-scaledowndelay")
STABLE_SCALE = template(
    "dynamic-stable-scale", readinessGates=[{"conditionType": "argoproj.io/e2e-readiness"}]
)


@pytest.mark.parametrize(
    ("pod_template", "collisions", "flavour", "expected"),
    [
        (SCALEDOWN_DELAY, None, Flavour.CURRENT, "674d8cf959"),
        (SCALEDOWN_DELAY, None, Flavour.OLD, "66597877b7"),
        (SCALEDOWN_DELAY, 1, Flavour.CURRENT, "dbc977b9d"),
        (STABLE_SCALE, None, Flavour.CURRENT, "6b56c8cdb4"),
        (STABLE_SCALE, None, Flavour.OLD, "868d98995b"),
    ],
)
def test_templates_of_argos_tests_have_their_hashes(
    pod_template: dict[str, Any], collisions: int | None, flavour: Flavour, expected: str
) -> None:
    """The golden hashes of Argo's end-to-end tests, before and after its change of libraries."""
    assert pod_template_hash(pod_template, collisions, flavour=flavour) == expected


def test_a_collision_count_of_zero_is_hashed() -> None:
    """A status with `collisionCount: 0` gives another hash than one without it."""
    assert pod_template_hash(SCALEDOWN_DELAY, 0) != pod_template_hash(SCALEDOWN_DELAY)


def written(value: Any, kind: str = "PodTemplateSpec", flavour: str = "current") -> str:
    """Return what Go writes of a value of a kind."""
    section = "steps" if kind == "[]CanaryStep" else "template"
    reading = go_json.Reading(go_json.types(section, flavour))
    tree = reading.read(kind, value)
    assert not reading.faults
    return go_json.text(tree)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        # The order is that of the Go source, whatever order the manifest has.
        ("Container", {"image": "i", "name": "n"}, '{"name":"n","image":"i","resources":{}}'),
        (
            "VolumeMount",
            {"mountPath": "/", "subPath": "s", "readOnly": True, "name": "n"},
            '{"name":"n","readOnly":true,"mountPath":"/","subPath":"s"}',
        ),
        # The fields of an embedded struct stand where it stands.
        ("Volume", {"emptyDir": {}, "name": "n"}, '{"name":"n","emptyDir":{}}'),
        ("SecretKeySelector", {"key": "k", "name": "n"}, '{"name":"n","key":"k"}'),
        # Zero values of optional fields are left out.
        (
            "Container",
            {"name": "n", "env": [], "image": "", "stdin": False, "args": None},
            '{"name":"n","resources":{}}',
        ),
        ("EnvVar", {"name": "n", "value": ""}, '{"name":"n"}'),
        ("PodSpec", {"containers": [], "hostNetwork": False, "nodeSelector": {}}, '{"containers":[]}'),
        # Pointers stay when they are there, also to a zero value.
        (
            "PodSpec",
            {"containers": [], "terminationGracePeriodSeconds": 0, "securityContext": {}},
            '{"containers":[],"terminationGracePeriodSeconds":0,"securityContext":{}}',
        ),
        ("PodSpec", {"containers": [], "terminationGracePeriodSeconds": None}, '{"containers":[]}'),
        # What is required is always written, and so are structs.
        ("PodSpec", {}, '{"containers":null}'),
        ("ContainerPort", {}, '{"containerPort":0}'),
        (
            "PersistentVolumeClaimTemplate",
            {},
            '{"metadata":{},"spec":{"resources":{}}}',
        ),
        ("ResourceFieldSelector", {"resource": "r"}, '{"resource":"r","divisor":"0"}'),
        ("HTTPGetAction", {}, '{"port":0}'),
        # Unknown fields are dropped.
        ("EnvVar", {"name": "n", "color": "red"}, '{"name":"n"}'),
        # Numbers or names.
        ("HTTPGetAction", {"port": "http"}, '{"port":"http"}'),
        ("HTTPGetAction", {"port": 80.0}, '{"port":80}'),
        # Keys are sorted by their bytes, empty values stay, and null is the zero value.
        (
            "ObjectMeta",
            {"labels": {"b": "", "a": None, "\U0001f680": "r", "\uffee": "h"}},
            '{"labels":{"a":"","b":"","\uffee":"h","\U0001f680":"r"}}',
        ),
        # Texts: HTML and line separators are escaped, other characters are not.
        (
            "EnvVar",
            {"name": "<&>\u2028\u2029", "value": 'é"\\/\n\t\b\f\x01\x7f'},
            '{"name":"\\u003c\\u0026\\u003e\\u2028\\u2029","value":"é\\"\\\\/\\n\\t\\b\\f\\u0001\x7f"}',
        ),
        ("EnvVar", {"name": "half \ud83d"}, '{"name":"half \ufffd"}'),
        # Times are in UTC and whole seconds.
        (
            "ObjectMeta",
            {"creationTimestamp": "2026-01-31T12:00:00.9+02:00"},
            '{"creationTimestamp":"2026-01-31T10:00:00Z"}',
        ),
        ("ObjectMeta", {"creationTimestamp": "0001-01-01T00:00:00Z"}, "{}"),
        ("ObjectMeta", {"deletionTimestamp": "0001-01-01T00:00:00Z"}, "{}"),
        # Raw JSON keeps its order and its empty values.
        ("ManagedFieldsEntry", {"fieldsV1": {"b": {}, "a": "<"}}, '{"fieldsV1":{"b":{},"a":"\\u003c"}}'),
    ],
)
def test_values_are_written_as_go_does(kind: str, value: dict[str, Any], expected: str) -> None:
    """Each rule of encoding/json with the types of core/v1."""
    assert written(value, kind) == expected


def test_older_libraries_write_the_time_of_creation() -> None:
    """The old flavour has `creationTimestamp: null` in each metadata, and lacks fields that came later."""
    value = {"metadata": {"labels": {}}, "spec": {"containers": [], "resources": {}}}
    assert written(value) == '{"metadata":{},"spec":{"containers":[],"resources":{}}}'
    assert written(value, flavour="old") == '{"metadata":{"creationTimestamp":null},"spec":{"containers":[]}}'


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (None, "5ffbfbbd64"),
        ([], "5f8cb5778f"),
        ([{"pause": {}}], "6b9b86fbd5"),
        ([{"pause": {}}, {"pause": {}}], "79c9b9f6bf"),
        ([{"setWeight": 20}, {"pause": {}}], "54649b9f5c"),
        (
            [
                {"setWeight": 20},
                {"pause": {"duration": "10s"}},
                {"setWeight": 50},
                {"pause": {"duration": 60}},
            ],
            "6c987fcb5d",
        ),
        ([{"plugin": {"name": "a/b", "config": {"b": 1, "a": "x<y"}}}], "d58f8f89c"),
        (
            [
                {
                    "experiment": {
                        "templates": [{"name": "a", "specRef": "stable", "metadata": {}}],
                        "duration": "5m",
                        "analysisRunMetadata": {},
                    }
                }
            ],
            "5d5955fbdc",
        ),
        ([{"analysis": {"templates": [{"templateName": "t"}]}}], "55865f6c55"),
    ],
)
def test_steps_have_the_hashes_of_argo_rollouts(steps: list[Any] | None, expected: str) -> None:
    """Hashes that Argo's own code computed."""
    assert steps_hash(steps) == expected


def analysis(**reference: Any) -> list[Any]:
    """Return one step with one analysis template."""
    return [{"analysis": {"templates": [{"templateName": "t", **reference}]}}]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            [{"pause": {"duration": "1h"}, "setWeight": 0}],
            '[{"setWeight":0,"pause":{"duration":"1h"}}]',
        ),
        (
            [{"setCanaryScale": {"matchTrafficWeight": False, "replicas": 0, "weight": 5}}],
            '[{"setCanaryScale":{"weight":5,"replicas":0}}]',
        ),
        (
            [
                {
                    "setHeaderRoute": {
                        "match": [{"headerValue": {"regex": ".*"}, "headerName": "h"}],
                        "name": "r",
                    }
                }
            ],
            '[{"setHeaderRoute":{"name":"r","match":[{"headerName":"h","headerValue":{"regex":".*"}}]}}]',
        ),
        (
            [{"setMirrorRoute": {"percentage": 0, "match": [{"path": {"exact": "/"}}], "name": "r"}}],
            '[{"setMirrorRoute":{"name":"r","match":[{"path":{"exact":"/"}}],"percentage":0}}]',
        ),
        (
            [{"experiment": {"templates": [{"name": "a", "specRef": "stable"}]}}],
            '[{"experiment":{"templates":[{"name":"a","specRef":"stable","metadata":{}}],"analysisRunMetadata":{}}}]',
        ),
        (
            [{"plugin": {"name": "p", "config": {"b": [1e-7, 1.5, 1e16, 1e21, 2.0, 0.0, 1e-5], "a": None}}}],
            '[{"plugin":{"name":"p","config":{"b":[1e-7,1.5,10000000000000000,1e+21,2,0,0.00001],"a":null}}}]',
        ),
        ([{"plugin": {"name": "p", "config": None}}], '[{"plugin":{"name":"p","config":null}}]'),
        ([{"plugin": {"config": {}}}], '[{"plugin":{"name":"","config":{}}}]'),
        ([None, {}], "[{},{}]"),
    ],
)
def test_steps_are_written_as_go_does(steps: list[Any], expected: str) -> None:
    """Each kind of step, with the fields that stay."""
    assert written(steps, "[]CanaryStep") == expected


def test_a_false_cluster_scope_counts_since_argo_1_9() -> None:
    """The field became a pointer, so that an explicit false changed the hash."""
    assert steps_hash(analysis(clusterScope=False)) != steps_hash(analysis())
    assert steps_hash(analysis(clusterScope=False), flavour=Flavour.OLD) == steps_hash(
        analysis(), flavour=Flavour.OLD
    )


def test_all_faults_of_a_template_are_reported_together() -> None:
    """What Go cannot hold has no hash; the error names each place, the value, and what belongs there."""
    container = {
        "image": 5,
        "env": {"a": "b"},
        "stdin": "yes",
        "ports": [{"containerPort": 2**31}, {"containerPort": "80"}],
        "resources": {"limits": {"cpu": "fast", "memory": True}},
        "securityContext": [],
    }
    metadata = {"creationTimestamp": "today", "labels": ["a"], "deletionTimestamp": "2026-13-01T00:00:00Z"}
    with pytest.raises(ManifestError) as raised:
        pod_template_hash({"metadata": metadata, "spec": {"containers": [container]}})
    assert sorted(str(fault) for fault in raised.value.faults) == [
        "metadata.creationTimestamp: 'today' is not a time like 2026-01-31T12:00:00Z",
        "metadata.deletionTimestamp: month must be in 1..12",
        "metadata.labels: ['a'] is not a map",
        "spec.containers[0].env: {'a': 'b'} is not a list",
        "spec.containers[0].image: 5 is not a text; quote it",
        "spec.containers[0].ports[0].containerPort: 2147483648 is not an integer of 32 bits",
        "spec.containers[0].ports[1].containerPort: '80' is not an integer",
        "spec.containers[0].resources.limits[cpu]: 'fast' is not a quantity",
        "spec.containers[0].resources.limits[memory]: True is not a quantity",
        "spec.containers[0].securityContext: [] is not an object",
        "spec.containers[0].stdin: 'yes' is not true or false",
    ]


def test_fields_that_no_hash_sees_are_listed() -> None:
    """A misspelled or newer field changes no hash, so a controller can report it."""
    changed = {**SCALEDOWN_DELAY, "spec": {**SCALEDOWN_DELAY["spec"], "hostNetwrok": True}}
    assert pod_template_hash(changed) == pod_template_hash(SCALEDOWN_DELAY)
    assert hashes.unknown_fields(changed) == ["spec.hostNetwrok"]
    assert hashes.unknown_fields(SCALEDOWN_DELAY) == []
