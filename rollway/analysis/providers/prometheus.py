"""Prometheus, and what speaks its HTTP API: Thanos, Mimir, VictoriaMetrics. Pure.

Source: Prometheus, "HTTP API" (`/api/v1/query`, `/api/v1/query_range`); Argo Rollouts,
`metricproviders/prometheus/prometheus.go`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from rollway.analysis.conditions import ConditionError, TimeExpression
from rollway.analysis.conditions.errors import OperationError
from rollway.analysis.conditions.texts import plain
from rollway.analysis.conditions.times import parse_duration
from rollway.analysis.providers.protocol import NOTHING, ProviderError, Reading, Request
from rollway.analysis.providers.settings import (
    AUTHENTICATION,
    check,
    excerpt,
    headers_of,
    oauth2_of,
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

ADDRESS = "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS"
"""The variable of the environment with the address for metrics that have none."""

_TIMEOUT_S = 30
_SCHEMA: Schema = mapping(
    ["query"],
    address=TEXT,
    query={"type": "string", "minLength": 1},
    authentication=AUTHENTICATION,
    timeout={"type": "integer", "minimum": 0, "maximum": 3600},
    insecure=SWITCH,
    headers=HEADERS,
    rangeQuery=mapping(["start", "end", "step"], start=TEXT, end=TEXT, step=TEXT),
)


class Prometheus:
    """Ask a Prometheus; the result of a vector or a matrix is the list of its values, that of a scalar one number."""

    name: ClassVar[str] = "prometheus"
    credentials: ClassVar[Credentials | None] = None

    def faults(self, settings: Mapping[str, Any]) -> Iterator[tuple[Pointer, str]]:
        """Yield every fault of the settings."""
        found = list(check(settings, _SCHEMA))
        yield from found
        if any(len(path) < 2 for path, _ in found):
            return
        if settings.get("address"):
            yield from ((("address",), message) for message in url_faults(settings["address"]))
        span = settings.get("rangeQuery") or {}
        for key in ("start", "end") if span else ():
            try:
                TimeExpression(span[key])
            except ConditionError as error:
                yield ("rangeQuery", key), error.message
        try:
            if span and parse_duration(span["step"]).total_seconds() <= 0:
                yield ("rangeQuery", "step"), "must be longer than 0s"
        except OperationError as error:
            yield ("rangeQuery", "step"), str(error)

    def metadata(self, settings: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the query, under the key that Argo Rollouts has for it."""
        return {"ResolvedPrometheusQuery": settings["query"]}

    def request(self, settings: Mapping[str, Any], inputs: Inputs) -> Request:
        """Return the request of one query: POST, as a query may be long; GET where that is not allowed."""
        address = settings.get("address") or inputs.environment.get(ADDRESS, "")
        if not address:
            raise ProviderError(
                "prometheus address is not configured", hint=f"give the metric an address, or set {ADDRESS}"
            )
        if any(url_faults(address)):
            raise ProviderError(f"the prometheus address in {ADDRESS} is no URL like https://host/path")
        path, words = "query", {"query": settings["query"], "time": _seconds(inputs.now.timestamp())}
        if span := settings.get("rangeQuery"):
            path = "query_range"
            start, end = (TimeExpression(span[key]).time(inputs.now) for key in ("start", "end"))
            step = parse_duration(span["step"]).total_seconds()
            words = {"query": settings["query"], "start": _seconds(start.timestamp())}
            words |= {"end": _seconds(end.timestamp()), "step": _seconds(step)}
        url, headers = with_login(f"{address.rstrip('/')}/api/v1/{path}", headers_of(settings))
        timeout = settings.get("timeout")
        get = Request(
            "GET",
            f"{url}?{urlencode(words)}",
            headers,
            timeout=_TIMEOUT_S if timeout is None else timeout,
            insecure=bool(settings.get("insecure")),
            oauth2=oauth2_of(settings),
        )
        form = ("Content-Type", "application/x-www-form-urlencoded")
        return get._replace(
            method="POST", url=url, headers=(*headers, form), body=urlencode(words).encode(), otherwise=get
        )

    def read(self, settings: Mapping[str, Any], response: Response) -> Reading:  # noqa: ARG002 - the protocol
        """Return the values of an answer, in its order."""
        document = _document(response)
        data = document.get("data") or {}
        kind = data.get("resultType")
        found: Any = data.get("result")
        warnings = ", ".join(f'"{warning}"' for warning in document.get("warnings") or ())
        metadata = {"warnings": warnings} if warnings else NOTHING
        try:
            if kind == "scalar":
                value = float(found[1])
                return Reading(value, plain(value), metadata)
            if kind == "vector":
                values = [float(series["value"][1]) for series in found]
            elif kind == "matrix":
                values = [float(sample[1]) for series in found for sample in series["values"]]
            else:
                raise ProviderError(f"Prometheus metric type not supported: {kind}")
        except (TypeError, ValueError, KeyError, IndexError):
            raise ProviderError(f"no answer of Prometheus: {excerpt(response.body)}") from None
        return Reading(values, f"[{','.join(map(plain, values))}]", metadata)


def _document(response: Response) -> dict[str, Any]:
    """Return the document of an answer that reports success."""
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict) and document.get("status") == "error":
        raise ProviderError(f"{document.get('errorType')}: {document.get('error')}")
    if not 200 <= response.status < 300:
        raise ProviderError(f"Prometheus answered HTTP {response.status}: {excerpt(response.body)}")
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        raise ProviderError(f"no answer of Prometheus: {excerpt(response.body)}")
    return document


def _seconds(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".")
