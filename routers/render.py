"""Render whole objects from `templates/<backend>/*.yaml.j2`; the only module that knows Jinja2.

Every value in a template goes through `tojson`, which writes a sign in its place. The text is parsed, and the values are
put where the signs are, so that `"no"`, `1e3`, colons and newlines stay what they are. An undefined variable is an error.
"""

from __future__ import annotations

import functools
import json
import os.path
from typing import TYPE_CHECKING, Any

from rollway.routers import yaml_loader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import jinja2

    from rollway.routers.objects import Manifest


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
        autoescape=False,  # noqa: S701 - YAML, not HTML; no value comes into the text
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tojson"] = jinja2.pass_context(_put_aside)
    return environment


_SIGN = "\ue000"
"""What begins the text that stands for a value, followed by the value's number. No template has this character."""
_VALUES = "values put aside"


def _put_aside(context: Mapping[str, Any], value: Any) -> str:
    """Keep a value of a template, and return what stands for it in the text."""
    values: list[Any] = context[_VALUES]
    values.append(value)
    return f'"{_SIGN}{len(values) - 1}"'


@functools.lru_cache(maxsize=256)
def _parse(text: str) -> Any:
    """Parse a text in which signs stand for values: it is the same for all values of one shape."""
    return yaml_loader.load(text)


def _filled(shape: Any, values: Sequence[Any]) -> Any:
    """Return a copy of what was parsed, with the values in place of their signs."""
    if isinstance(shape, str):
        return _as_json(values[int(shape[1:])]) if shape.startswith(_SIGN) else shape
    if isinstance(shape, dict):
        return {_filled(key, values): _filled(value, values) for key, value in shape.items()}
    if isinstance(shape, list):
        return [_filled(item, values) for item in shape]
    return shape


def _as_json(value: Any) -> Any:
    """Return a copy of a value as JSON would bring it: a tuple as a list, and all keys as text."""
    return value if isinstance(value, str | int | None) else json.loads(json.dumps(value))


def render(template: str, **values: Any) -> Manifest:
    """Render `templates/<template>` with the values and return the object that it describes."""
    aside: list[Any] = []
    text = _environment().get_template(template).render({**values, _VALUES: aside})
    manifest: Manifest = _filled(_parse(text), aside)
    return manifest
