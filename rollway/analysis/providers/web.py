"""Any HTTP server that answers JSON. Pure.

Source: Argo Rollouts, `metricproviders/webmetric/webmetric.go`; JSONPath as in Kubernetes (`{$.data.ok}`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from rollway.analysis.conditions.errors import OperationError
from rollway.analysis.conditions.functions import json_value
from rollway.analysis.conditions.texts import json_text
from rollway.analysis.providers.protocol import NOTHING, ProviderError, Reading, Request
from rollway.analysis.providers.settings import (
    AUTHENTICATION,
    check,
    headers_of,
    oauth2_of,
    refused,
    url_faults,
    with_login,
)
from rollway.analysis.schema import HEADERS, SWITCH, TEXT
from rollway.routers.backends.stanzas import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.analysis.providers.protocol import Credentials, Inputs, Response
    from rollway.routers.backends.stanzas import Schema
    from rollway.routers.objects import Pointer

_TIMEOUT_S = 10
_SCHEMA: Schema = mapping(
    ["url"],
    method={"enum": ["GET", "POST", "PUT"]},
    url=TEXT,
    headers=HEADERS,
    body=TEXT,
    jsonBody={},
    timeoutSeconds={"type": "integer", "maximum": 3600},
    jsonPath=TEXT,
    insecure=SWITCH,
    authentication=AUTHENTICATION,
)


class Web:
    """Ask a URL; the result is the first value at the JSON path, or the text of an answer that is no JSON."""

    name: ClassVar[str] = "web"
    credentials: ClassVar[Credentials | None] = None

    def faults(self, settings: Mapping[str, Any]) -> Iterator[tuple[Pointer, str]]:
        """Yield every fault of the settings."""
        found = list(check(settings, _SCHEMA))
        yield from found
        if any(len(path) < 2 for path, _ in found):
            return
        yield from ((("url",), message) for message in url_faults(settings["url"]))
        bodies = [key for key in ("body", "jsonBody") if settings.get(key) not in (None, "")]
        if len(bodies) == 2:
            yield ("jsonBody",), "and body cannot both be given"
        if bodies and settings.get("method", "GET") == "GET":
            yield (bodies[0],), "needs the method POST or PUT"
        try:
            _path(settings)
        except ProviderError as error:
            yield ("jsonPath",), error.message

    def metadata(self, settings: Mapping[str, Any]) -> Mapping[str, str]:  # noqa: ARG002 - the protocol
        """Return nothing: a URL may have a secret."""
        return NOTHING

    def request(self, settings: Mapping[str, Any], inputs: Inputs) -> Request:  # noqa: ARG002 - the protocol
        """Return the request."""
        url, headers = with_login(settings["url"], headers_of(settings))
        body = settings.get("body") or None
        if settings.get("jsonBody") is not None:
            body = json.dumps(settings["jsonBody"], ensure_ascii=False)
            headers = tuple(each for each in headers if each[0].lower() != "content-type")
            headers = (*headers, ("Content-Type", "application/json"))
        timeout = settings.get("timeoutSeconds") or 0
        return Request(
            settings.get("method") or "GET",
            url,
            headers,
            None if body is None else body.encode(),
            timeout if timeout > 0 else _TIMEOUT_S,
            bool(settings.get("insecure")),
            oauth2_of(settings),
        )

    def read(self, settings: Mapping[str, Any], response: Response) -> Reading:
        """Return the first value at the path."""
        if not 200 <= response.status < 300:
            raise refused(response.status, response.body)
        try:
            document = json_value(json.loads(response.body))
        except (ValueError, RecursionError):
            text = response.body.decode(errors="replace")
            return Reading(text, text)
        try:
            match = _path(settings).match(document)
        except Exception as error:  # noqa: BLE001 - the library documents no tree of what a document can cause
            raise ProviderError(f"Could not find JSONPath in body: {error}") from None
        if match is None:
            raise ProviderError(
                f"Could not find JSONPath in body: {settings.get('jsonPath') or '{$}'} is not found"
            )
        try:
            return Reading(match.obj, json_text(match.obj))
        except (OperationError, RecursionError) as error:
            raise ProviderError(f"the value cannot be written: {error}") from None


def _path(settings: Mapping[str, Any]) -> Any:
    """Return the path: `{$.a.b}` and `{.a.b}` as in Kubernetes, or without the braces."""
    import jsonpath  # noqa: PLC0415 - 50 ms that only this provider costs

    written = (settings.get("jsonPath") or "{$}").strip()
    inner = written[1:-1].strip() if written.startswith("{") and written.endswith("}") else written
    if "{" in inner or "}" in inner:
        raise ProviderError(f"{written!r} has more than one JSONPath, and one value is measured")
    if not inner.startswith("$"):
        inner = f"${inner}" if inner.startswith((".", "[")) else f"$.{inner}"
    try:
        return jsonpath.compile(inner)
    except Exception as error:  # noqa: BLE001 - the library raises more than its documented errors for odd texts
        raise ProviderError(f"{written!r} is no JSONPath: {error}") from None
