"""JSON Schemas as a CustomResourceDefinition takes them: structural, and open for what they do not name.

A structural schema gives each value one type at one place, without `$ref` (Kubernetes, "Extend the Kubernetes API with
CustomResourceDefinitions", section "Specifying a structural schema"). What a JSON Schema says beyond shape and type is
left out: an API server then takes every object that it has already, and the controller reports all faults of it at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollway.routers.backends.stanzas import Schema

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
_KEPT = ("description", "format", "default", "required", "nullable")
_ALTERNATIVES = ("anyOf", "oneOf")
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def structural(
    schema: Schema, definitions: Mapping[str, Schema] | None = None, *, closed: bool = False
) -> dict[str, Any]:
    """Return the structural schema of the same shape and types, which keeps fields that it does not name.

    `definitions` are what a `$ref` may name by its last part. With `closed`, the outermost object loses unknown fields.
    What has no structural form (values of several types, keys by pattern) is left open.

    Raises:
        LookupError: a `$ref` names no definition.
    """
    known = definitions or {}
    schema = _resolved(schema, known)
    kind = _type(schema)
    extensions = {key: value for key, value in schema.items() if key.startswith("x-kubernetes-")}
    kept = {key: schema[key] for key in _KEPT if schema.get(key) not in (None, [])}
    if kind == "int-or-string":
        return _without(kept, "format") | {INT_OR_STRING: True}
    if kind == "":
        return _without(kept, "format", "required", "default") | {PRESERVE: True}
    found: dict[str, Any] = {**kept, "type": kind, **extensions}
    if kind == "array":
        found["items"] = structural(schema.get("items", {}), known)
    if kind == "object":
        found |= _content(schema, known)
        if closed:
            found.pop(PRESERVE, None)
    return found


def _content(schema: Schema, definitions: Mapping[str, Schema]) -> dict[str, Any]:
    """Return what an object has: named fields and others, one schema for each value of a map, or anything."""
    properties = schema.get("properties", {})
    values = schema.get("additionalProperties")
    if properties:
        fields = {name: structural(field, definitions) for name, field in properties.items()}
        return {"properties": fields, PRESERVE: True}
    if isinstance(values, dict) and "patternProperties" not in schema:
        return {"additionalProperties": structural(values, definitions)}
    return {PRESERVE: True}


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in definitions:
            raise LookupError(f"there is no definition {name}")
        schema = {**definitions[name], **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _type(schema: Schema) -> str:
    """Return the only type of a value, `int-or-string`, or nothing where it has several or does not say."""
    if schema.get("format") == "int-or-string":
        return "int-or-string"
    given = schema.get("type")
    if isinstance(given, str):
        return given
    if given:
        return _common(given)
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if choices:
        return _common([_TYPES.get(type(choice), "") for choice in choices])
    alternatives = next((schema[key] for key in _ALTERNATIVES if key in schema), ())
    if alternatives:
        return _common([_type(each) for each in alternatives])
    return "object" if "properties" in schema else ""


def _common(types: Sequence[str]) -> str:
    several = set(types) - {"null"}
    if several == {"integer", "string"}:
        return "int-or-string"
    return several.pop() if len(several) == 1 else ""


def _without(schema: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keys}
