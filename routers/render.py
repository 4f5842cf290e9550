"""Render whole objects from `templates/<backend>/*.yaml.j2`; the only module that knows Jinja2.

Every value in a template goes through `tojson`, so that `"no"`, `1e3`, colons and newlines stay what they are.
An undefined variable is an error. The rendered text is parsed at once.
"""

from __future__ import annotations

import functools
import json
import os.path
import re
from typing import TYPE_CHECKING, Any

from rollway.routers import yaml_loader

if TYPE_CHECKING:
    import jinja2

    from rollway.routers.objects import Manifest

_encode = json.JSONEncoder(ensure_ascii=False).encode

# Characters that JSON leaves as they are and YAML does not: they are no part of its printable set (YAML 1.1, 5.1)
# or break the line.
_UNPRINTABLE = "[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]"


def to_json(value: Any) -> str:
    """Write a value as JSON that YAML reads as the same value."""
    text = _encode(value)
    if text.isascii() and "\x7f" not in text:
        return text
    return re.sub(_UNPRINTABLE, lambda match: f"\\u{ord(match.group()):04x}", text)


def template_folder() -> str:
    """Return the folder of the templates: in the wheel `rollway/routers/_templates`, in a source tree `templates` beside `routers`."""
    package = os.path.dirname(os.path.realpath(__file__))
    shipped = os.path.join(package, "_templates")
    return shipped if os.path.isdir(shipped) else os.path.join(os.path.dirname(package), "templates")


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - 25 ms that backends without templates do not pay

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_folder()),
        undefined=jinja2.StrictUndefined,
        optimized=False,  # a template is rendered a few times at most
        autoescape=False,  # noqa: S701 - YAML, not HTML; tojson quotes every value
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tojson"] = to_json  # Jinja2's own escapes for HTML
    return environment


@functools.lru_cache(maxsize=256)
def _parse(text: str) -> str:
    """Keep the parsed form as JSON text: a fresh copy from it costs a twentieth of parsing the YAML again."""
    return json.dumps(yaml_loader.load(text))


def render(template: str, **values: Any) -> Manifest:
    """Render `templates/<template>` with the values and return the object that it describes."""
    text = _environment().get_template(template).render(values)
    manifest: Manifest = json.loads(_parse(text))
    return manifest
