"""The CRDs: what becomes of a JSON Schema, and that each is a structural schema that takes what users have."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from rollway.controller.crds import definitions
from rollway.controller.crds.structural import INT_OR_STRING, PRESERVE, structural
from rollway.routers.backends import BackendPackage, builtin_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN = {PRESERVE: True}
TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "pattern": "^a$", "minLength": 1, "maxLength": 9}, TEXT),
        ({"type": "integer", "minimum": 1, "format": "int32"}, {"type": "integer", "format": "int32"}),
        ({"enum": ["In", "NotIn"]}, TEXT),
        ({"const": 3}, {"type": "integer"}),
        ({"enum": [1, "a"]}, {INT_OR_STRING: True}),
        ({"enum": [1, True]}, OPEN),
        ({"type": ["integer", "string"]}, {INT_OR_STRING: True}),
        ({"type": ["string", "null"]}, TEXT),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, {INT_OR_STRING: True}),
        ({"oneOf": [{"type": "object"}, {"type": "string"}]}, OPEN),
        ({"format": "int-or-string", "description": "Some."}, {INT_OR_STRING: True, "description": "Some."}),
        ({}, OPEN),
        ({"type": "array"}, {"type": "array", "items": OPEN}),
        ({"type": "array", "items": TEXT, "minItems": 1}, {"type": "array", "items": TEXT}),
        ({"type": "object"}, {"type": "object", PRESERVE: True}),
        (
            {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
            {"type": "object", "additionalProperties": TEXT},
        ),
        (
            {"type": "object", "additionalProperties": False, "required": ["a"], "properties": {"a": TEXT}},
            {"type": "object", "required": ["a"], "properties": {"a": TEXT}, PRESERVE: True},
        ),
        (
            {"properties": {"a": TEXT}, "additionalProperties": TEXT, "required": []},
            {"type": "object", "properties": {"a": TEXT}, PRESERVE: True},
        ),
        (
            {"type": "object", "patternProperties": {"^x": TEXT}, "additionalProperties": TEXT},
            {"type": "object", PRESERVE: True},
        ),
        (
            {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": TEXT},
            {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": TEXT},
        ),
    ],
    ids=json.dumps,
)
def test_what_a_crd_can_say_stays_and_the_rest_is_left_open(schema: Any, expected: Any) -> None:
    """Shapes and types stay, bounds and choices go, unknown fields are kept, and what has no structural form is open."""
    assert structural(schema) == expected


def test_references_are_written_out() -> None:
    """A `$ref` becomes what it names, with what stands beside it, and one that names nothing is an error."""
    known = {"Name": {"type": "string", "description": "A name."}, "Alias": {"$ref": "#/definitions/Name"}}
    schema = {"type": "array", "items": {"$ref": "#/definitions/Alias", "description": "Another."}}
    assert structural(schema, known)["items"] == {"type": "string", "description": "Another."}
    with pytest.raises(LookupError, match="Nothing"):
        structural({"$ref": "Nothing"}, known)


def test_an_object_that_is_closed_loses_unknown_fields_and_its_parts_do_not() -> None:
    """With `closed` the outermost object has its own fields alone; what is inside stays open."""
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": TEXT}}}}
    found = structural(schema, closed=True)
    assert PRESERVE not in found
    assert found["properties"]["a"][PRESERVE]


def parts(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every schema inside a schema with the way to it."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from parts(field, f"{path}.{name}")
    if "items" in schema:
        yield from parts(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from parts(schema["additionalProperties"], f"{path}{{}}")


def schema_of(definition: Any) -> Any:
    """Return the schema of a CRD."""
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


CRDS = {crd["spec"]["names"]["kind"]: crd for crd in definitions(builtin_packages())}
ROLLOUT = dict(parts(schema_of(CRDS["Rollout"])))
ALLOWED = {
    *("type", "description", "format", "default", "required", "properties", "items", "additionalProperties"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"),
    *("x-kubernetes-validations", PRESERVE, INT_OR_STRING),
}


@pytest.mark.parametrize("kind", CRDS)
def test_every_schema_is_structural(kind: str) -> None:
    """Each value has a type, or may be anything or a number or text; no schema has words that a CRD does not take."""
    for path, schema in parts(schema_of(CRDS[kind])):
        assert set(schema) <= ALLOWED, path
        assert schema.get("type") or schema.get(PRESERVE) or schema.get(INT_OR_STRING), path
        assert ("items" in schema) == (schema.get("type") == "array"), path
        assert not {"properties", "additionalProperties"} <= set(schema), path
        assert set(schema.get("required", ())) <= set(schema.get("properties", ())), path
        keys = schema.get("x-kubernetes-list-map-keys", ())
        fields = schema.get("items", {})
        for key in keys:
            assert key in fields.get("required", ()) or "default" in fields["properties"][key], path


def test_no_field_of_a_rollout_is_lost() -> None:
    """Every object of spec and status keeps unknown fields, but for the metadata of pods, which Argo's CRD prunes too."""
    closed = [
        path
        for path, schema in ROLLOUT.items()
        if "properties" in schema and not schema.get(PRESERVE) and path not in ("", ".metadata")
    ]
    assert closed == [".spec.template.metadata"]


def test_the_fields_of_a_release_say_what_they_are() -> None:
    """`kubectl explain` has a sentence for each field of spec and status; pods and stanzas have theirs elsewhere."""
    silent = [
        path
        for path, schema in ROLLOUT.items()
        if path.startswith((".spec.", ".status."))
        and not path.endswith(("[]", "{}"))
        and not re.search(r"\.(template|trafficRouting)\.", path)
        and not schema.get("description", "").endswith(".")
    ]
    assert silent == []


def test_each_stanza_stands_at_its_place_in_both_strategies() -> None:
    """The schema of a backend's stanza is that of its package, in `canary` and in `blueGreen`, and plugins are open."""
    for package in builtin_packages():
        for place in package.places:
            for strategy in ("canary", "blueGreen"):
                routing = f".spec.strategy.{strategy}.trafficRouting"
                if place[0] == "plugins":
                    assert ROLLOUT[f"{routing}.plugins"].keys() == {"type", "description", PRESERVE}
                    continue
                stanza = ROLLOUT[".".join((routing, *place))]
                assert set(stanza["properties"]) == set(package.stanza.schema["properties"])


def test_a_stanza_of_another_distribution_is_in_the_crd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that is installed beside rollway has its stanza in the CRD; what it must have is its own to check."""
    monkeypatch.syspath_prepend("examples/backend")
    acme = BackendPackage("acme", "rollway_acme")
    schema = dict(parts(schema_of(definitions([acme])[0])))
    assert schema[".spec.strategy.canary.trafficRouting.acme"]["properties"] == {"route": TEXT}
    assert "required" not in schema[".spec.strategy.canary.trafficRouting.acme"]


def test_the_scale_of_a_rollout_is_what_autoscalers_read() -> None:
    """The subresources, the short name and the columns of a Rollout are those that clients of Argo Rollouts know."""
    names, version = CRDS["Rollout"]["spec"]["names"], CRDS["Rollout"]["spec"]["versions"][0]
    assert (names["shortNames"], names["categories"], version["name"]) == (["ro"], ["all"], "v1alpha1")
    assert version["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.HPAReplicas",
            "labelSelectorPath": ".status.selector",
        },
    }
    columns = [column["name"] for column in version["additionalPrinterColumns"]]
    assert columns == ["Desired", "Current", "Up-to-date", "Available", "Age"]


def test_the_status_of_other_kinds_is_written_with_the_object() -> None:
    """Argo Rollouts patches the status of runs and experiments on the objects themselves, so there is no subresource."""
    for kind in ("AnalysisRun", "AnalysisTemplate", "ClusterAnalysisTemplate", "Experiment"):
        assert "subresources" not in CRDS[kind]["spec"]["versions"][0]
    scopes = {kind: crd["spec"]["scope"] for kind, crd in CRDS.items()}
    assert [kind for kind, scope in scopes.items() if scope == "Cluster"] == ["ClusterAnalysisTemplate"]


def test_kubectl_can_apply_each_crd() -> None:
    """`kubectl apply` keeps an object in an annotation, which has at most 262,144 bytes (ValidateAnnotationsSize)."""
    assert max(len(json.dumps(crd)) for crd in CRDS.values()) < 200_000
