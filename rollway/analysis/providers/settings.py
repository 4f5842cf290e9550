"""What the settings of several providers share. Pure."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from rollway.analysis.conditions.functions import json_value
from rollway.analysis.providers.protocol import OAuth2, ProviderError
from rollway.analysis.schema import OAUTH2, SIGV4, faults_of
from rollway.routers.backends.stanzas import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.analysis.providers.protocol import Response
    from rollway.routers.backends.stanzas import Schema
    from rollway.routers.objects import Pointer

AUTHENTICATION: Schema = mapping(oauth2=OAUTH2, sigv4=SIGV4)
_MESSAGE = 200
"""How many characters of an answer an error shows."""


def check(settings: Mapping[str, Any], schema: Schema) -> Iterator[tuple[Pointer, str]]:
    """Yield the faults of settings against a schema, and those of headers and authentication."""
    found = [(fault.path, fault.message) for fault in faults_of(schema, dict(settings), ())]
    yield from found
    if found:
        return
    for index, header in enumerate(settings.get("headers") or ()):
        if not header["key"].strip() or set(header["key"] + header["value"]) & set("\r\n\0"):
            yield ("headers", index), "is no header of HTTP"
    authentication = settings.get("authentication") or {}
    if authentication.get("sigv4"):
        yield ("authentication", "sigv4"), "signatures of AWS are not done by rollway yet"
    oauth2 = authentication.get("oauth2") or {}
    missing = [key for key in ("tokenUrl", "clientId", "clientSecret") if not oauth2.get(key)]
    if oauth2 and missing:
        yield ("authentication", "oauth2"), f"needs {', '.join(missing)}"
    if oauth2.get("tokenUrl"):
        yield from (
            (("authentication", "oauth2", "tokenUrl"), message) for message in url_faults(oauth2["tokenUrl"])
        )


def url_faults(text: str) -> Iterator[str]:
    """Yield why a text is no URL of HTTP; the URL itself may have a secret, and is not shown."""
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() or not character.isprintable() for character in text):
        yield "is no URL like https://host/path"


def headers_of(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the headers of some settings; of two with one name the last counts."""
    headers = {
        header["key"].lower(): (header["key"], header["value"]) for header in settings.get("headers") or ()
    }
    return tuple(headers.values())


def oauth2_of(settings: Mapping[str, Any]) -> OAuth2 | None:
    """Return the client credentials of some settings."""
    given = (settings.get("authentication") or {}).get("oauth2")
    if not given:
        return None
    return OAuth2(
        given["tokenUrl"], given["clientId"], given["clientSecret"], tuple(given.get("scopes") or ())
    )


def with_login(url: str, headers: tuple[tuple[str, str], ...]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return a URL without the login in it, and the headers with that login (RFC 7617)."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    if not login:
        return url, headers
    user, _, password = login.partition(":")
    token = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    if not any(name.lower() == "authorization" for name, _ in headers):
        headers = (*headers, ("Authorization", f"Basic {token}"))
    return urlunsplit(parts._replace(netloc=host)), headers


def excerpt(body: bytes) -> str:
    """Return the beginning of an answer, for an error."""
    text = body[:_MESSAGE].decode(errors="replace")
    return repr(text) + ("..." if len(body) > _MESSAGE else "")


def document(response: Response) -> Any:
    """Return the JSON document of an answer.

    Raises:
        ProviderError: another status than 200 to 299, or no JSON.
    """
    if not 200 <= response.status < 300:
        raise refused(response.status, response.body)
    try:
        return json_value(json.loads(response.body))
    except (ValueError, RecursionError):
        raise ProviderError(f"the answer is no JSON: {excerpt(response.body)}") from None


def refused(status: int, body: bytes) -> ProviderError:
    """Return the error of a status that is none of 200 to 299."""
    return ProviderError(f"received non 2xx response code: {status}: {excerpt(body)}")
