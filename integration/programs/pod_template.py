"""Write the types of a pod template for the CRD of Rollouts, from the API of the Kubernetes that the tests pin.

Only shapes, types, defaults and how lists merge; `rollway/controller/crds/` makes a schema of them. Volumes are left open,
as the CRD of Argo Rollouts leaves them: their thirty kinds would be half of the text.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "integration")]

from harness import tools  # noqa: E402 - found through the line above

TARGET = ROOT / "rollway" / "controller" / "crds" / "pod_template.json"
_PREFIXES = ("io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.")
_OPEN = {"volumes"}
_LEAVES: dict[str, dict[str, Any]] = {
    "api.resource.Quantity": {"format": "int-or-string"},
    "util.intstr.IntOrString": {"format": "int-or-string"},
    "apis.meta.v1.Time": {"type": "string", "format": "date-time"},
}


def text() -> str:
    """Return the file: one type on each line."""
    source = tools.module_folder("k8s.io/kubernetes", f"kubernetes-{tools.KUBERNETES[0]}")
    schemas = json.loads((source / "api/openapi-spec/v3/api__v1_openapi.json").read_text())
    types = {_short(name): schema for name, schema in schemas["components"]["schemas"].items()}
    known: dict[str, Any] = {}
    _collect("PodSpec", types, known)
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
    return f"{{\n{lines}\n}}\n"


def _collect(name: str, types: dict[str, Any], known: dict[str, Any]) -> None:
    known[name] = {}
    required = types[name].get("required", [])
    fields = {}
    for field, schema in types[name].get("properties", {}).items():
        fields[field] = {} if field in _OPEN else _trimmed(schema, types, known)
        # A required field always has a value, and an empty object is no default.
        if "default" in schema and field not in required and schema["default"] != {}:
            fields[field]["default"] = schema["default"]
    known[name] = {
        "type": "object",
        **({"required": required} if required else {}),
        **_extensions(types[name]),
        "properties": fields,
    }


def _trimmed(schema: dict[str, Any], types: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf", ())), "")
    if reference:
        name = _short(reference.rpartition("/")[2])
        if name in _LEAVES:
            return dict(_LEAVES[name])
        if name not in known:
            _collect(name, types, known)
        return {"$ref": name, **_extensions(schema)}
    found = {key: schema[key] for key in ("type", "format") if key in schema} | _extensions(schema)
    if "items" in schema:
        found["items"] = _trimmed(schema["items"], types, known)
    if "additionalProperties" in schema:
        values = schema["additionalProperties"]
        # Numbers are quantities too, and a CRD has no type for both.
        quantity = "Quantity" in json.dumps(values)
        if not quantity:
            found["additionalProperties"] = _trimmed(values, types, known)
    return found


def _extensions(schema: dict[str, Any]) -> dict[str, Any]:
    wanted = ("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")
    return {key: schema[key] for key in wanted if key in schema}


def _short(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


if __name__ == "__main__":
    TARGET.write_text(text())
