"""What a backend defines about its stanza in `trafficRouting`: where it stands, its JSON Schema, and how it is read.

Beside that, the words that the schemas share. Unknown keys inside a stanza are faults, so every mapping is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from rollway.routers.objects import Manifest  # noqa: TC001 - a type alias is a value

Schema: TypeAlias = Mapping[str, Any]
Fault: TypeAlias = Callable[[Sequence[str | int], str], None]
"""Reports what is wrong at a path below the stanza."""

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
OBJECT_NAME: Schema = {"type": "string", "pattern": rf"^{_LABEL}(\.{_LABEL})*$", "maxLength": 253}
OPTIONAL_NAME: Schema = {"type": "string", "pattern": rf"^({_LABEL}(\.{_LABEL})*)?$", "maxLength": 253}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
TEXT: Schema = {"type": "string", "minLength": 1}
TEXT_MAP: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def mapping(required: Sequence[str] = (), **properties: Schema) -> dict[str, Any]:
    """Return the schema of a mapping that has no other keys."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def array(items: Schema) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def _always(_stanza: Any) -> bool:
    return True


class Stanza(NamedTuple):
    """How the stanza of one backend is checked and read."""

    schema: Schema
    read: Callable[[Manifest, str, Fault], Any]
    """From the stanza, which fits the schema, the Rollout's namespace and a place for faults: an immutable value."""
    needs_services: Callable[[Any], bool] = _always
    """Whether a Rollout with this value, and no other backend, must name the stable and the canary Service."""
