"""Datadog, by either version of its API. Pure.

Source: Datadog, "Query timeseries points" (v1) and "Query scalar data across multiple products" (v2); Argo Rollouts,
`metricproviders/datadog`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from rollway.analysis.conditions.errors import OperationError
from rollway.analysis.conditions.texts import json_text, plain
from rollway.analysis.conditions.times import parse_duration
from rollway.analysis.providers.protocol import NOTHING, Credentials, ProviderError, Reading, Request
from rollway.analysis.providers.settings import check, document, excerpt, url_faults
from rollway.analysis.schema import SWITCH, TEXT
from rollway.routers.backends.stanzas import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.analysis.providers.protocol import Inputs, Response
    from rollway.routers.backends.stanzas import Schema
    from rollway.routers.objects import Pointer

_ADDRESS = "https://api.datadoghq.com"
_INTERVAL = "5m"
_TIMEOUT_S = 10
_AGGREGATORS = ("avg", "min", "max", "sum", "last", "percentile", "mean", "l2norm", "area")
_SCHEMA: Schema = mapping(
    (),
    interval=TEXT,
    query=TEXT,
    queries={"type": "object", "additionalProperties": TEXT},
    formula=TEXT,
    apiVersion={"enum": ["v1", "v2"]},
    aggregator={"enum": list(_AGGREGATORS)},
    secretRef=mapping(name=TEXT, namespaced=SWITCH),
)


class Datadog:
    """Ask Datadog; the result is one number, and nil where there is none."""

    name: ClassVar[str] = "datadog"
    credentials: ClassVar[Credentials | None] = Credentials(
        "datadog",
        ("secretRef", "name"),
        ("api-key", "app-key"),
        ("address",),
        ("secretRef", "namespaced"),
        "DD_",
    )

    def faults(self, settings: Mapping[str, Any]) -> Iterator[tuple[Pointer, str]]:
        """Yield every fault of the settings."""
        found = list(check(settings, _SCHEMA))
        yield from found
        if found:
            return
        query, queries = settings.get("query"), settings.get("queries") or {}
        first = settings.get("apiVersion", "v1") == "v1"
        if bool(query) == bool(queries):
            yield ("query",), "and queries cannot both be given" if query else "or queries must be given"
        if first and queries:
            yield ("queries",), "needs apiVersion v2"
        if first and settings.get("aggregator"):
            yield ("aggregator",), "needs apiVersion v2"
        if settings.get("formula") and not queries:
            yield ("formula",), "needs queries"
        if len(queries) > 1 and not settings.get("formula"):
            yield ("formula",), "must be given with several queries"
        reference = settings.get("secretRef") or {}
        if reference.get("namespaced") and not reference.get("name"):
            yield ("secretRef", "name"), "must be given with namespaced"
        try:
            parse_duration(settings.get("interval") or _INTERVAL)
        except OperationError as error:
            yield ("interval",), str(error)

    def metadata(self, settings: Mapping[str, Any]) -> Mapping[str, str]:  # noqa: ARG002 - the protocol
        """Return nothing, as Argo Rollouts."""
        return NOTHING

    def request(self, settings: Mapping[str, Any], inputs: Inputs) -> Request:
        """Return the request of the version that the settings name."""
        given = inputs.credentials
        address = (given.get("address") or _ADDRESS).rstrip("/")
        if any(url_faults(address)):
            raise ProviderError("the address of Datadog is no URL like https://api.datadoghq.com")
        headers = (
            ("Content-Type", "application/json"),
            ("DD-API-KEY", given["api-key"]),
            ("DD-APPLICATION-KEY", given["app-key"]),
        )
        end = int(inputs.now.timestamp())
        start = end - int(parse_duration(settings.get("interval") or _INTERVAL).total_seconds())
        if settings.get("apiVersion", "v1") == "v1":
            words = urlencode({"query": settings["query"], "from": start, "to": end})
            return Request("GET", f"{address}/api/v1/query?{words}", headers, timeout=_TIMEOUT_S)
        body = json.dumps(_scalar_request(settings, start, end)).encode()
        return Request("POST", f"{address}/api/v2/query/scalar", headers, body, _TIMEOUT_S)

    def read(self, settings: Mapping[str, Any], response: Response) -> Reading:
        """Return the last point of the first series (v1), or the first value of the first column (v2)."""
        answer = document(response)
        first = settings.get("apiVersion", "v1") == "v1"
        try:
            if first:
                listed = answer.get("series") or []
                points = listed[0].get("pointlist") if listed else None
                value = points[-1][1] if points else None
            else:
                data = answer.get("data") or {}
                if data.get("errors"):
                    raise ProviderError(f"There were errors in your query: {data['errors']}")
                listed = (data.get("attributes") or {}).get("columns") or []
                value = ((listed[0].get("values") or [None]) if listed else [None])[0]
            if value is None:
                return Reading(None, json_text(listed))
            return Reading(float(value), plain(float(value)))
        except (AttributeError, TypeError, ValueError, KeyError, IndexError, OperationError):
            raise ProviderError(f"no answer of Datadog: {excerpt(response.body)}") from None


def _scalar_request(settings: Mapping[str, Any], start: int, end: int) -> dict[str, Any]:
    queries = settings.get("queries") or {"query": settings["query"]}
    formula = settings.get("formula")
    attributes = {
        "from": start * 1000,
        "to": end * 1000,
        "queries": [
            {
                "aggregator": settings.get("aggregator") or "last",
                "data_source": "metrics",
                "name": name,
                "query": query,
            }
            for name, query in queries.items()
        ],
        "formulas": [{"formula": formula}] if formula else [],
    }
    return {"data": {"type": "scalar_request", "attributes": attributes}}
