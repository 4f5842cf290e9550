"""The words that the schemas of the CRDs share; each field comes with the sentence that `kubectl explain` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.controller.crds.structural import PRESERVE
from rollway.routers.backends.stanzas import TEXT_MAP, array, mapping

if TYPE_CHECKING:
    from rollway.routers.backends.stanzas import Schema

OPEN: Schema = {"type": "object", PRESERVE: True}
"""An object with any fields."""


def text(description: str) -> Schema:
    """Return the schema of a text."""
    return {"type": "string", "description": description}


def number(description: str) -> Schema:
    """Return the schema of a number of 32 bits."""
    return {"type": "integer", "format": "int32", "description": description}


def switch(description: str) -> Schema:
    """Return the schema of a boolean."""
    return {"type": "boolean", "description": description}


def time(description: str) -> Schema:
    """Return the schema of a time, as RFC 3339 writes it."""
    return {"type": "string", "format": "date-time", "description": description}


def number_or_text(description: str) -> Schema:
    """Return the schema of what may be a number, a percentage or a duration."""
    return {"format": "int-or-string", "description": description}


def described(schema: Schema, description: str) -> dict[str, Any]:
    """Return the schema with a description."""
    return {**schema, "description": description}


def texts(description: str) -> Schema:
    """Return the schema of a list of texts."""
    return described(array({"type": "string"}), description)


METADATA: Schema = mapping(
    labels=described(TEXT_MAP, "Labels by their keys."),
    annotations=described(TEXT_MAP, "Annotations by their keys."),
)
"""Labels and annotations."""

SELECTOR: Schema = {
    **mapping(
        matchLabels=described(TEXT_MAP, "Labels that must have these values."),
        matchExpressions=described(
            array(
                mapping(
                    ["key", "operator"],
                    key=text("The key of the label."),
                    operator=text("In, NotIn, Exists or DoesNotExist."),
                    values=texts("The values for In and NotIn."),
                )
            ),
            "Conditions that the labels must meet.",
        ),
    ),
    # Two writers of one selector would select what neither of them wants.
    "x-kubernetes-map-type": "atomic",
}
"""A label selector."""
