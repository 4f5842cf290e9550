"""Graphite. Pure.

Source: Graphite, "The Render URL API"; Argo Rollouts, `metricproviders/graphite`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urlencode

from rollway.analysis.providers.protocol import NOTHING, ProviderError, Reading, Request
from rollway.analysis.providers.settings import check, document, excerpt, url_faults, with_login
from rollway.analysis.schema import TEXT
from rollway.routers.backends.stanzas import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.analysis.providers.protocol import Credentials, Inputs, Response
    from rollway.routers.backends.stanzas import Schema
    from rollway.routers.objects import Pointer

_TIMEOUT_S = 10
_SCHEMA: Schema = mapping(["address", "query"], address=TEXT, query={"type": "string", "minLength": 1})


class Graphite:
    """Ask a Graphite; the query has the words of its render API, and the result is the list of the first series."""

    name: ClassVar[str] = "graphite"
    credentials: ClassVar[Credentials | None] = None

    def faults(self, settings: Mapping[str, Any]) -> Iterator[tuple[Pointer, str]]:
        """Yield every fault of the settings."""
        found = list(check(settings, _SCHEMA))
        yield from found
        if found:
            return
        yield from ((("address",), message) for message in url_faults(settings["address"]))
        if not any(key == "target" for key, _ in _words(settings)):
            yield ("query",), "has no target; target=METRIC&from=-5min, for example, is a query"

    def metadata(self, settings: Mapping[str, Any]) -> Mapping[str, str]:  # noqa: ARG002 - the protocol
        """Return nothing, as Argo Rollouts."""
        return NOTHING

    def request(self, settings: Mapping[str, Any], inputs: Inputs) -> Request:  # noqa: ARG002 - the protocol
        """Return the request."""
        words = [(key, value) for key, value in _words(settings) if key != "format"]
        url, headers = with_login(f"{settings['address'].rstrip('/')}/render", ())
        return Request("GET", f"{url}?{urlencode([*words, ('format', 'json')])}", headers, timeout=_TIMEOUT_S)

    def read(self, settings: Mapping[str, Any], response: Response) -> Reading:  # noqa: ARG002 - the protocol
        """Return the values of the first series, without those that are null."""
        series = document(response)
        try:
            points = series[0]["datapoints"] if series else []
            values = [float(value) for value, _ in points if value is not None]
        except (TypeError, ValueError, KeyError, IndexError):
            raise ProviderError(f"no answer of Graphite: {excerpt(response.body)}") from None
        if not values:
            raise ProviderError("no values found")
        return Reading(values, f"[{','.join(f'{value:f}' for value in values)}]")


def _words(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the words of the query; white space in it has no meaning."""
    return parse_qsl(re.sub(r"\s+", "", settings["query"]), keep_blank_values=True)
