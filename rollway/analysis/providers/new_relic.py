"""New Relic, by NRQL. Pure.

Source: New Relic, "Tutorial: Query your data using NerdGraph"; Argo Rollouts, `metricproviders/newrelic`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from rollway.analysis.conditions.texts import json_text
from rollway.analysis.providers.protocol import Credentials, ProviderError, Reading, Request
from rollway.analysis.providers.settings import check, document, excerpt, url_faults
from rollway.analysis.schema import TEXT
from rollway.routers.backends.stanzas import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.analysis.providers.protocol import Inputs, Response
    from rollway.routers.backends.stanzas import Schema
    from rollway.routers.objects import Pointer

_ADDRESSES = {"us": "https://api.newrelic.com/graphql", "eu": "https://api.eu.newrelic.com/graphql"}
_TIMEOUT_S = 5
_MARGIN_S = 10
"""How much longer than the query its request may take."""
_QUERY = """query($query: Nrql!, $accountId: Int!, $timeout: Seconds!) {
  actor { account(id: $accountId) { nrql(query: $query, timeout: $timeout) { results } } }
}"""
_SCHEMA: Schema = mapping(
    ["query"],
    profile=TEXT,
    query={"type": "string", "minLength": 1},
    timeout={"type": "integer", "minimum": 0, "maximum": 600},
)


class NewRelic:
    """Ask New Relic; the result is a map where there is one row, and else the list of the rows."""

    name: ClassVar[str] = "newRelic"
    credentials: ClassVar[Credentials | None] = Credentials(
        "newrelic", ("profile",), ("personal-api-key", "account-id"), ("region", "base-url-nerdgraph")
    )

    def faults(self, settings: Mapping[str, Any]) -> Iterator[tuple[Pointer, str]]:
        """Yield every fault of the settings."""
        return check(settings, _SCHEMA)

    def metadata(self, settings: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the query, under the key that Argo Rollouts has for it."""
        return {"ResolvedNewRelicQuery": settings["query"]}

    def request(self, settings: Mapping[str, Any], inputs: Inputs) -> Request:
        """Return the request."""
        given = inputs.credentials
        region = (given.get("region") or "us").lower()
        address = given.get("base-url-nerdgraph") or _ADDRESSES.get(region, "")
        if not given["account-id"].strip().isdecimal():
            raise ProviderError("the account-id of New Relic is no number")
        if any(url_faults(address)):
            raise ProviderError(
                f"New Relic has no region {region!r}; there is {', '.join(_ADDRESSES)}"
                if not address
                else "the base-url-nerdgraph of New Relic is no URL like https://host/path"
            )
        timeout = settings.get("timeout", _TIMEOUT_S)
        variables = {"accountId": int(given["account-id"]), "query": settings["query"], "timeout": timeout}
        headers = (("Content-Type", "application/json"), ("Api-Key", given["personal-api-key"]))
        body = json.dumps({"query": _QUERY, "variables": variables}).encode()
        return Request("POST", address, headers, body, timeout + _MARGIN_S)

    def read(self, settings: Mapping[str, Any], response: Response) -> Reading:  # noqa: ARG002 - the protocol
        """Return the rows of the answer."""
        answer = document(response)
        try:
            if answer.get("errors"):
                raise ProviderError("; ".join(str(each["message"]) for each in answer["errors"]))
            rows = answer["data"]["actor"]["account"]["nrql"]["results"]
            if not rows or not all(isinstance(row, dict) for row in rows) or not rows[0]:
                raise ProviderError("no results returned from NRQL query")
        except (AttributeError, TypeError, KeyError):
            raise ProviderError(f"no answer of New Relic: {excerpt(response.body)}") from None
        result = rows[0] if len(rows) == 1 else rows
        return Reading(result, json_text(result))
