"""InfluxDB, by Flux. Pure.

Source: InfluxData, "InfluxDB API v2" (`/api/v2/query`) and "Annotated CSV"; Argo Rollouts, `metricproviders/influxdb`.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from rollway.analysis.conditions.texts import general
from rollway.analysis.providers.protocol import NOTHING, Credentials, ProviderError, Reading, Request
from rollway.analysis.providers.settings import check, excerpt, refused, url_faults
from rollway.analysis.schema import TEXT
from rollway.routers.backends.stanzas import mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rollway.analysis.providers.protocol import Inputs, Response
    from rollway.routers.backends.stanzas import Schema
    from rollway.routers.objects import Pointer

_TIMEOUT_S = 30
_VALUE = "_value"
_SCHEMA: Schema = mapping(["query"], profile=TEXT, query={"type": "string", "minLength": 1})
_DIALECT = {"annotations": ["datatype", "group", "default"], "delimiter": ",", "header": True}
_TYPES: dict[str, Callable[[str], Any]] = {
    "double": float,
    "long": int,
    "unsignedLong": int,
    "boolean": lambda text: text == "true",
}


class InfluxDB:
    """Ask an InfluxDB; the result is the list of the values of all tables."""

    name: ClassVar[str] = "influxdb"
    credentials: ClassVar[Credentials | None] = Credentials(
        "influxdb", ("profile",), ("authToken", "address", "org")
    )

    def faults(self, settings: Mapping[str, Any]) -> Iterator[tuple[Pointer, str]]:
        """Yield every fault of the settings."""
        return check(settings, _SCHEMA)

    def metadata(self, settings: Mapping[str, Any]) -> Mapping[str, str]:  # noqa: ARG002 - the protocol
        """Return nothing, as Argo Rollouts."""
        return NOTHING

    def request(self, settings: Mapping[str, Any], inputs: Inputs) -> Request:
        """Return the request."""
        given = inputs.credentials
        if any(url_faults(given["address"])):
            raise ProviderError("the address of InfluxDB is no URL like https://host")
        headers = (
            ("Authorization", f"Token {given['authToken']}"),
            ("Content-Type", "application/json"),
            ("Accept", "application/csv"),
        )
        body = json.dumps({"query": settings["query"], "type": "flux", "dialect": _DIALECT}).encode()
        url = f"{given['address'].rstrip('/')}/api/v2/query?{urlencode({'org': given['org']})}"
        return Request("POST", url, headers, body, _TIMEOUT_S)

    def read(self, settings: Mapping[str, Any], response: Response) -> Reading:  # noqa: ARG002 - the protocol
        """Return the values of the answer, each of the type that its table has."""
        if not 200 <= response.status < 300:
            raise refused(response.status, response.body)
        try:
            values = list(_values(response.body.decode()))
        except (ValueError, IndexError, csv.Error):
            raise ProviderError(f"no answer of InfluxDB: {excerpt(response.body)}") from None
        if not values:
            raise ProviderError("no results returned from flux query")
        return Reading(values, general(values))


def _values(text: str) -> Iterator[Any]:
    """Yield the value of each row of annotated CSV: tables begin with annotations (`#datatype`) and a header."""
    types: list[str] = []
    defaults: list[str] = []
    header: list[str] | None = None
    for row in csv.reader(text.splitlines()):
        if not row:
            header = None
        elif row[0].startswith("#"):
            header = None
            types = row if row[0] == "#datatype" else types
            defaults = row if row[0] == "#default" else defaults
        elif header is None:
            header = row
        elif _VALUE not in header and "error" in header:
            raise ProviderError(f"InfluxDB: {row[header.index('error')]}")
        else:
            place = header.index(_VALUE)
            cell = row[place] or (defaults[place] if len(defaults) > place else "")
            kind = types[place] if len(types) > place else "string"
            yield None if not cell and kind != "string" else _TYPES.get(kind, str)(cell)
