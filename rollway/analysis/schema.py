"""The JSON Schemas of templates and runs, and the faults of manifests against one. Pure."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from rollway.analysis.spec import Fault
from rollway.routers.backends.stanzas import array, mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.backends.stanzas import Schema
    from rollway.routers.objects import Manifest, Pointer

TEXT: Schema = {"type": "string"}
SWITCH: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
_COUNT: Schema = {"type": ["integer", "string"]}
"""A number, or a text that has one once its arguments are known."""

HEADERS: Schema = array(mapping(["key", "value"], key=TEXT, value=TEXT))
OAUTH2: Schema = mapping(tokenUrl=TEXT, clientId=TEXT, clientSecret=TEXT, scopes=array(TEXT))
SIGV4: Schema = mapping(region=TEXT, profile=TEXT, roleArn=TEXT)

_METRIC: Schema = mapping(
    ["name", "provider"],
    name={"type": "string", "minLength": 1},
    interval=TEXT,
    initialDelay=TEXT,
    count=_COUNT,
    successCondition=TEXT,
    failureCondition=TEXT,
    failureLimit=_COUNT,
    inconclusiveLimit=_COUNT,
    consecutiveErrorLimit=_COUNT,
    consecutiveSuccessLimit=_COUNT,
    provider={"type": "object"},
)
_ARGUMENT: Schema = mapping(
    ["name"],
    name={"type": "string", "minLength": 1},
    value=TEXT,
    valueFrom=mapping(
        secretKeyRef=mapping(["name", "key"], name=TEXT, key=TEXT),
        fieldRef=mapping(["fieldPath"], fieldPath=TEXT),
    ),
)
_SHARED: dict[str, Schema] = {
    "metrics": array(_METRIC),
    "args": array(_ARGUMENT),
    "dryRun": array(mapping(["metricName"], metricName=TEXT)),
    "measurementRetention": array(
        mapping(["metricName", "limit"], metricName=TEXT, limit={"type": "integer", "minimum": 1})
    ),
}
TEMPLATE_SPEC: Schema = mapping(
    (),
    **_SHARED,
    templates=array(mapping(["templateName"], templateName=TEXT, clusterScope=SWITCH)),
)
RUN_SPEC: Schema = mapping(
    (),
    **_SHARED,
    terminate=SWITCH,
    ttlStrategy=mapping(secondsAfterCompletion=WHOLE, secondsAfterFailure=WHOLE, secondsAfterSuccess=WHOLE),
)


def faults_of(schema: Schema, value: Manifest, path: Pointer) -> Iterator[Fault]:
    """Yield what does not fit a schema; a value that is null counts as not given."""
    kinds = jsonschema_rs.ValidationErrorKind
    for error in _validator(json.dumps(schema)).iter_errors(without_nulls(value)):
        place = (*path, *error.instance_path)
        kind = error.kind
        if isinstance(kind, kinds.AdditionalProperties):
            yield from (Fault((*place, key), "unknown key") for key in kind.unexpected)
        elif isinstance(kind, kinds.Required):
            yield Fault((*place, kind.property), "is required")
        else:
            quote = " (put it in quotes)" if error.message.endswith('type "string"') else ""
            yield Fault(place, error.message + quote)


@functools.lru_cache(maxsize=64)
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(schema))


def without_nulls(value: Any) -> Any:
    """Return a manifest without the fields that are null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
