"""Providers that need credentials, and Graphite: requests and answers as the public pages of their APIs show them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest

from rollway.analysis.lookup import read_credentials
from rollway.analysis.providers import provider
from rollway.analysis.providers.protocol import Credentials, Inputs, ProviderError, Request, Response
from rollway.routers.errors import NotFoundError
from rollway.routers.testing import MemoryStore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = {"api-key": "a", "app-key": "b"}
NEW_RELIC = {"personal-api-key": "NRAK-1", "account-id": "12345"}
INFLUXDB = {"authToken": "t", "address": "http://influxdb:8086/", "org": "shop & co"}


def request(name: str, settings: dict[str, Any], credentials: dict[str, str] | None = None) -> Request:
    """Return the request of settings that have no fault."""
    asked = provider(name)
    assert list(asked.faults(settings)) == []
    return asked.request(settings, Inputs(NOW, credentials=credentials or {}))


def read(name: str, body: Any, settings: dict[str, Any] | None = None, status: int = 200) -> tuple[Any, str]:
    """Return result and text of an answer: a text, or what is written as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    reading = provider(name).read(settings or {"query": "q"}, Response(status, text.encode()))
    return reading.result, reading.value


def words(url: str) -> dict[str, str]:
    """Return the words of a URL."""
    return dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))


def test_graphite() -> None:
    """The query has no white space, the format is JSON, and the first series has its values without nulls."""
    settings = {
        "address": "http://me:pw@graphite/base/",
        "query": "target=sumSeries( app.* )\n &from=-5min&format=csv",
    }
    sent = request("graphite", settings)
    assert sent.url.startswith("http://graphite/base/render?")
    assert words(sent.url) == {"target": "sumSeries(app.*)", "from": "-5min", "format": "json"}
    assert sent.headers == (("Authorization", "Basic bWU6cHc="),)
    series = {"target": "entries", "datapoints": [[1.0, 1311836008], [None, 1311836009], ["5.5", 1311836010]]}
    assert read("graphite", [series, {"target": "other", "datapoints": [[9, 1]]}]) == (
        [1.0, 5.5],
        "[1.000000,5.500000]",
    )


DATADOG_V1 = {
    "status": "ok",
    "series": [{"metric": "system.cpu.idle", "pointlist": [[1575317847000, 0.5], [1575317848000, 0.75]]}],
}
DATADOG_V2 = {
    "data": {
        "type": "scalar_response",
        "attributes": {"columns": [{"name": "a", "type": "number", "values": [0.25]}]},
    }
}


def test_datadog_v1() -> None:
    """A query goes with its time range and both keys; the result is the last point of the first series."""
    sent = request("datadog", {"query": "avg:system.cpu.idle{*}", "interval": "10m"}, KEYS)
    assert (sent.method, sent.url.partition("?")[0]) == ("GET", "https://api.datadoghq.com/api/v1/query")
    assert words(sent.url) == {"query": "avg:system.cpu.idle{*}", "from": "1772365800", "to": "1772366400"}
    assert ("DD-API-KEY", "a") in sent.headers
    assert ("DD-APPLICATION-KEY", "b") in sent.headers
    assert read("datadog", DATADOG_V1) == (0.75, "0.75")
    assert read("datadog", {"status": "ok", "series": []}) == (None, "[]")


def test_datadog_v2() -> None:
    """Several queries go with their formula, in milliseconds; the result is the value of the first column."""
    settings = {
        "apiVersion": "v2",
        "queries": {"a": "sum:hits{*}", "b": "sum:errors{*}"},
        "formula": "b / a",
        "aggregator": "sum",
    }
    sent = request("datadog", settings, {**KEYS, "address": "https://api.datadoghq.eu"})
    assert (sent.method, sent.url) == ("POST", "https://api.datadoghq.eu/api/v2/query/scalar")
    assert sent.body is not None
    data = json.loads(sent.body)["data"]
    assert data["type"] == "scalar_request"
    attributes = data["attributes"]
    assert (attributes["from"], attributes["to"]) == (1772366100000, 1772366400000)
    assert attributes["formulas"] == [{"formula": "b / a"}]
    assert attributes["queries"][1] == {
        "aggregator": "sum",
        "data_source": "metrics",
        "name": "b",
        "query": "sum:errors{*}",
    }
    assert read("datadog", DATADOG_V2, settings) == (0.25, "0.25")
    assert read("datadog", {"data": {"attributes": {"columns": []}}}, settings) == (None, "[]")


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, "or queries must be given"),
        ({"query": "q", "queries": {"a": "q"}, "apiVersion": "v2"}, "cannot both be given"),
        ({"queries": {"a": "q"}}, "needs apiVersion v2"),
        ({"query": "q", "aggregator": "sum"}, "needs apiVersion v2"),
        ({"query": "q", "formula": "a", "apiVersion": "v2"}, "needs queries"),
        ({"queries": {"a": "q", "b": "q"}, "apiVersion": "v2"}, "must be given with several queries"),
        ({"query": "q", "secretRef": {"namespaced": True}}, "must be given with namespaced"),
        ({"query": "q", "interval": "soon"}, "'soon' is no duration"),
        ({"query": "q", "apiVersion": "v3"}, '"v3" is not one of'),
    ],
)
def test_faults_of_datadog(settings: dict[str, Any], wanted: str) -> None:
    """What Datadog would not take, or would take for something else, is a fault."""
    assert [message for _, message in provider("datadog").faults(settings) if wanted in message]


def test_new_relic() -> None:
    """A query goes to the NerdGraph of its region; one row is a map, several rows are a list."""
    sent = request("newRelic", {"query": "FROM Transaction SELECT count(*)"}, {**NEW_RELIC, "region": "EU"})
    assert (sent.method, sent.url) == ("POST", "https://api.eu.newrelic.com/graphql")
    assert ("Api-Key", "NRAK-1") in sent.headers
    assert sent.body is not None
    assert json.loads(sent.body)["variables"] == {
        "accountId": 12345,
        "query": "FROM Transaction SELECT count(*)",
        "timeout": 5,
    }

    def rows(*listed: dict[str, Any]) -> dict[str, Any]:
        return {"data": {"actor": {"account": {"nrql": {"results": list(listed)}}}}}

    assert read("newRelic", rows({"count": 5})) == ({"count": 5.0}, '{"count":5}')
    assert read("newRelic", rows({"count": 5}, {"count": 6}))[0] == [{"count": 5.0}, {"count": 6.0}]
    metadata = provider("newRelic").metadata({"query": "q"})
    assert metadata == {"ResolvedNewRelicQuery": "q"}


CSV = """#datatype,string,long,dateTime:RFC3339,double,string\r
#group,false,false,false,false,true\r
#default,_result,,,,\r
,result,table,_time,_value,host\r
,,0,2026-03-01T12:00:00Z,0.95,a\r
,,0,2026-03-01T12:01:00Z,,a\r
\r
#datatype,string,long,dateTime:RFC3339,long,string\r
#group,false,false,false,false,true\r
#default,_result,,,,\r
,result,table,_time,_value,host\r
,,1,2026-03-01T12:00:00Z,7,b\r
"""


def test_influxdb() -> None:
    """A query goes with its organisation and token; the values of all tables have the types of their columns."""
    sent = request("influxdb", {"query": 'from(bucket: "b")'}, INFLUXDB)
    assert sent.url == "http://influxdb:8086/api/v2/query?org=shop+%26+co"
    assert ("Authorization", "Token t") in sent.headers
    assert sent.body is not None
    assert json.loads(sent.body)["query"] == 'from(bucket: "b")'
    result, text = read("influxdb", CSV)
    assert (result, text) == ([0.95, None, 7], "[0.95 <nil> 7]")
    assert type(result[2]) is int


@pytest.mark.parametrize(
    ("name", "body", "status", "message"),
    [
        ("graphite", [], 200, "no values found"),
        ("graphite", [{"target": "x", "datapoints": [[None, 1]]}], 200, "no values found"),
        ("graphite", {"a": 1}, 200, "no answer of Graphite"),
        ("graphite", "bad target", 400, "received non 2xx response code: 400: 'bad target'"),
        ("graphite", "<html>", 200, "the answer is no JSON: '<html>'"),
        ("datadog", {"errors": ["Forbidden"]}, 403, "received non 2xx response code: 403"),
        ("datadog", [1], 200, "no answer of Datadog"),
        ("datadog", {"series": [{"pointlist": [["x"]]}]}, 200, "no answer of Datadog"),
        ("newRelic", {"errors": [{"message": "NRQL Syntax Error"}]}, 200, "NRQL Syntax Error"),
        ("newRelic", {"data": None}, 200, "no answer of New Relic"),
        ("newRelic", {"data": {"actor": {"account": {"nrql": {"results": []}}}}}, 200, "no results returned"),
        ("influxdb", "", 200, "no results returned"),
        ("influxdb", ",result,table,_time\n,,0,2026", 200, "no answer of InfluxDB"),
        ("influxdb", "#datatype,string,double\n,result,_value\n,,many", 200, "no answer of InfluxDB"),
        (
            "influxdb",
            "#datatype,string,string\n,error,reference\n,failed to parse query,897",
            200,
            "InfluxDB: failed to parse query",
        ),
        ("influxdb", '{"code":"unauthorized"}', 401, "received non 2xx response code: 401"),
    ],
)
def test_answers_without_a_value_are_errors(name: str, body: Any, status: int, message: str) -> None:
    """An error, an empty answer and nonsense each have their reason."""
    with pytest.raises(ProviderError) as caught:
        read(name, body, status=status)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("name", "credentials", "message"),
    [
        ("datadog", {**KEYS, "address": "datadog"}, "the address of Datadog is no URL"),
        ("newRelic", {**NEW_RELIC, "region": "mars"}, "New Relic has no region 'mars'; there is us, eu"),
        ("newRelic", {**NEW_RELIC, "account-id": "me"}, "the account-id of New Relic is no number"),
        ("newRelic", {**NEW_RELIC, "base-url-nerdgraph": "x"}, "base-url-nerdgraph of New Relic is no URL"),
        ("influxdb", {**INFLUXDB, "address": "influxdb:8086"}, "the address of InfluxDB is no URL"),
    ],
)
def test_credentials_that_lead_nowhere_are_errors(
    name: str, credentials: dict[str, str], message: str
) -> None:
    """What a Secret has must be usable, and the error shows nothing secret."""
    with pytest.raises(ProviderError) as caught:
        request(name, {"query": "q"}, credentials)
    assert message in caught.value.message


def secret(namespace: str, name: str, **data: str) -> dict[str, Any]:
    """Return a Secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {key.replace("_", "-"): value for key, value in data.items()},
    }


STORE = MemoryStore(
    [
        secret("argo", "datadog", api_key="1", app_key="2", other="x"),
        secret("argo", "mine", api_key="3", app_key="4", address="https://dd"),
        secret("shop", "mine", api_key="5", app_key="6"),
        secret("argo", "half", api_key="7"),
    ]
)


@pytest.mark.parametrize(
    ("settings", "environment", "wanted"),
    [
        ({}, {}, {"api-key": "1", "app-key": "2"}),
        (
            {"secretRef": {"name": "mine"}},
            {"DD_API_KEY": "e", "DD_APP_KEY": "f"},
            {"api-key": "3", "app-key": "4", "address": "https://dd"},
        ),
        ({"secretRef": {"name": "mine", "namespaced": True}}, {}, {"api-key": "5", "app-key": "6"}),
        ({}, {"DD_API_KEY": "e", "DD_APP_KEY": "f"}, {"api-key": "e", "app-key": "f"}),
        ({}, {"DD_API_KEY": "e"}, {"api-key": "1", "app-key": "2"}),
        ({"secretRef": {"name": "half"}}, {}, "Secret argo/half has no app-key"),
        ({"secretRef": {"name": "none"}}, {}, "Secret argo/none"),
    ],
)
def test_credentials_are_found(
    settings: dict[str, Any], environment: dict[str, str], wanted: dict[str, str] | str
) -> None:
    """They are in the Secret that the settings name, in the environment, or in the Secret of the default name."""
    credentials = provider("datadog").credentials
    assert isinstance(credentials, Credentials)

    def found() -> dict[str, str]:
        return read_credentials(STORE, credentials, settings, ("shop", "argo"), environment)

    if isinstance(wanted, dict):
        assert found() == wanted
    else:
        with pytest.raises(NotFoundError, match=wanted):
            found()
