"""What providers send, and how they read answers: cases from the public documentation of their APIs."""

from __future__ import annotations

import base64
import json
import math
import sys
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

import pytest

from rollway.analysis.conditions import Condition
from rollway.analysis.measuring import VALUE, measure
from rollway.analysis.providers import BUILTIN, ENTRY_POINTS, _installed, known_providers, provider
from rollway.analysis.providers.protocol import Inputs, OAuth2, ProviderError, Request, Response
from rollway.analysis.spec import Metric
from rollway.analysis.status import Phase
from rollway.routers.errors import InvalidBackendError, InvalidInputError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
INPUTS = Inputs(NOW)
QUERY = 'sum(rate(requests{code!~"5.."}[5m]))'


def request(name: str, settings: dict[str, Any], **environment: str) -> Request:
    """Return the request of settings that have no fault."""
    asked = provider(name)
    assert list(asked.faults(settings)) == []
    return asked.request(settings, Inputs(NOW, environment))


def answer(document: Any, status: int = 200) -> Response:
    """Return an answer with a JSON document."""
    return Response(status, json.dumps(document).encode())


def prometheus(kind: str, result: Any, **fields: Any) -> Response:
    """Return a successful answer of Prometheus."""
    return answer({"status": "success", "data": {"resultType": kind, "result": result}, **fields})


def test_prometheus_gets_a_form() -> None:
    """A query is sent as a form, and as a URL where the server does not take that."""
    sent = request("prometheus", {"address": "http://prometheus:9090/", "query": QUERY, "timeout": 40})
    assert (sent.method, sent.url) == ("POST", "http://prometheus:9090/api/v1/query")
    assert sent.body is not None
    words = {"query": [QUERY], "time": ["1772366400"]}
    assert parse_qs(sent.body.decode()) == words
    assert ("Content-Type", "application/x-www-form-urlencoded") in sent.headers
    assert (sent.timeout, sent.insecure) == (40, False)
    assert sent.otherwise is not None
    assert (sent.otherwise.method, sent.otherwise.body) == ("GET", None)
    assert parse_qs(sent.otherwise.url.partition("?")[2]) == words


def test_prometheus_takes_a_range() -> None:
    """The ends of a range are times of the expression language."""
    span = {"start": 'now() - duration("1h")', "end": "now()", "step": "1m"}
    sent = request("prometheus", {"address": "http://p", "query": "up", "rangeQuery": span})
    assert sent.url == "http://p/api/v1/query_range"
    assert sent.body is not None
    assert parse_qs(sent.body.decode()) == {
        "query": ["up"],
        "start": ["1772362800"],
        "end": ["1772366400"],
        "step": ["60"],
    }


def test_a_login_goes_into_a_header() -> None:
    """Login in a URL, headers and client credentials are sent, and the URL of the request has no secret."""
    settings = {
        "address": "https://me:p%40ss@prometheus/base",
        "query": "up",
        "insecure": True,
        "headers": [{"key": "X-Scope-OrgID", "value": "shop"}],
        "authentication": {
            "oauth2": {
                "tokenUrl": "https://login/token",
                "clientId": "id",
                "clientSecret": "secret",
                "scopes": ["a"],
            }
        },
    }
    sent = request("prometheus", settings)
    assert sent.url == "https://prometheus/base/api/v1/query"
    assert sent.headers[:2] == (
        ("X-Scope-OrgID", "shop"),
        ("Authorization", f"Basic {base64.b64encode(b'me:p@ss').decode()}"),
    )
    assert sent.insecure
    assert sent.oauth2 == OAuth2("https://login/token", "id", "secret", ("a",))


def test_the_address_may_be_that_of_the_environment() -> None:
    """A metric without an address asks the one that Argo's variable names, and without that it is an error."""
    name = "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS"
    assert request("prometheus", {"query": "up"}, **{name: "http://env"}).url == "http://env/api/v1/query"
    with pytest.raises(ProviderError, match="address is not configured"):
        request("prometheus", {"query": "up"})
    with pytest.raises(ProviderError, match="is no URL"):
        request("prometheus", {"query": "up"}, **{name: "env:9090"})


@pytest.mark.parametrize(
    ("response", "value", "text"),
    [
        (
            prometheus(
                "vector", [{"metric": {}, "value": [1, "0.5"]}, {"metric": {}, "value": [1, "1e-07"]}]
            ),
            [0.5, 1e-07],
            "[0.5,0.0000001]",
        ),
        (prometheus("vector", []), [], "[]"),
        (prometheus("scalar", [1, "10"]), 10.0, "10"),
        (prometheus("vector", [{"metric": {}, "value": [1, "+Inf"]}]), [math.inf], "[+Inf]"),
        (
            prometheus(
                "matrix",
                [{"metric": {}, "values": [[1, "1"], [2, "2"]]}, {"metric": {}, "values": [[1, "3"]]}],
            ),
            [1.0, 2.0, 3.0],
            "[1,2,3]",
        ),
    ],
)
def test_prometheus_answers_values(response: Response, value: Any, text: str) -> None:
    """Vectors and matrices are lists, scalars numbers; the text is that of Argo Rollouts."""
    reading = provider("prometheus").read({"query": "up"}, response)
    assert (reading.result, reading.value) == (value, text)


def test_warnings_are_kept() -> None:
    """What Prometheus warns of is in the metadata of the measurement."""
    reading = provider("prometheus").read({}, prometheus("vector", [], warnings=["slow", "old"]))
    assert reading.metadata == {"warnings": '"slow", "old"'}


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (
            answer({"status": "error", "errorType": "bad_data", "error": "parse error"}, 400),
            "bad_data: parse error",
        ),
        (Response(502, b"<html>"), "HTTP 502: '<html>'"),
        (Response(200, b"<html>"), "no answer of Prometheus: '<html>'"),
        (answer([1]), "no answer of Prometheus"),
        (prometheus("string", [1, "x"]), "metric type not supported: string"),
        (prometheus("vector", [{"metric": {}}]), "no answer of Prometheus"),
        (prometheus("vector", None), "no answer of Prometheus"),
        (prometheus("vector", [{"value": [1, "many"]}]), "no answer of Prometheus"),
        (Response(200, b"[" * 100_000), "no answer of Prometheus"),
    ],
)
def test_prometheus_answers_errors(response: Response, message: str) -> None:
    """Anything but a success with values is an error with its reason."""
    with pytest.raises(ProviderError) as caught:
        provider("prometheus").read({"query": "up"}, response)
    assert message in caught.value.message


def test_a_web_server_gets_what_is_written() -> None:
    """Method, headers and body are those of the metric; a JSON body has its own type."""
    sent = request(
        "web",
        {
            "method": "POST",
            "url": "https://api/x?a=1",
            "headers": [{"key": "content-type", "value": "text/plain"}, {"key": "X", "value": "1"}],
            "jsonBody": {"a": [1, "ü"]},
            "timeoutSeconds": 20,
        },
    )
    assert (sent.method, sent.url, sent.timeout) == ("POST", "https://api/x?a=1", 20)
    assert sent.headers == (("X", "1"), ("Content-Type", "application/json"))
    assert sent.body == '{"a": [1, "ü"]}'.encode()
    assert request("web", {"url": "http://x"}) == Request("GET", "http://x", timeout=10)
    assert request("web", {"url": "http://x", "method": "PUT", "body": "b"}).body == b"b"


DOCUMENT = {
    "data": {"ok": True, "percent": 0.95, "count": 12345678, "no-name": "x", "none": None},
    "rows": [{"name": "a", "v": 1}, {"name": "b", "v": 2}],
}


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("{$.data.ok}", True, "true"),
        ("{.data.percent}", 0.95, "0.95"),
        ("{$.data.count}", 12345678.0, "12345678"),
        ("$.rows[1].name", "b", '"b"'),
        ("{$.rows[*].v}", 1.0, "1"),
        ('{$.rows[?(@.name=="b")].v}', 2.0, "2"),
        ("{$.rows[-1].v}", 2.0, "2"),
        ("{$.data['no-name']}", "x", '"x"'),
        ("{$.data.none}", None, "null"),
        ("{$.rows[0]}", {"name": "a", "v": 1.0}, '{"name":"a","v":1}'),
        ("", {**DOCUMENT, "data": {**DOCUMENT["data"], "count": 12345678.0}}, None),  # type: ignore[dict-item]
    ],
)
def test_a_web_server_answers_the_value_at_a_path(path: str, value: Any, text: str | None) -> None:
    """The result is the first value at the JSON path, with every number as a float, as Argo Rollouts has it."""
    reading = provider("web").read({"url": "http://x", "jsonPath": path}, answer(DOCUMENT))
    assert reading.result == value
    assert text in (None, reading.value)


def test_a_web_server_may_answer_text() -> None:
    """What is no JSON is a text, on which conditions are decided."""
    reading = provider("web").read({"url": "http://x"}, Response(200, b"all is well"))
    assert (reading.result, reading.value) == ("all is well", "all is well")


@pytest.mark.parametrize(
    ("settings", "response", "message"),
    [
        ({}, Response(500, b"broken"), "received non 2xx response code: 500: 'broken'"),
        ({"jsonPath": "{$.missing.deeper}"}, answer(DOCUMENT), "{$.missing.deeper} is not found"),
    ],
)
def test_a_web_server_answers_errors(settings: dict[str, str], response: Response, message: str) -> None:
    """Another status, or nothing at the path, is an error."""
    with pytest.raises(ProviderError) as caught:
        provider("web").read({"url": "http://x", **settings}, response)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("name", "settings", "wanted"),
    [
        ("prometheus", {}, {"query": "is required"}),
        ("prometheus", {"query": "up", "adress": "x"}, {"adress": "unknown key"}),
        (
            "prometheus",
            {"query": "up", "address": "host:9090"},
            {"address": "is no URL like https://host/path"},
        ),
        ("prometheus", {"query": "up", "timeout": -1}, {"timeout": "-1 is less than the minimum of 0"}),
        (
            "prometheus",
            {"query": "up", "rangeQuery": {"start": "now(", "end": "5", "step": "0s"}},
            {
                "rangeQuery.start": "the expression ends too early",
                "rangeQuery.end": "the expression is int, not time",
                "rangeQuery.step": "must be longer than 0s",
            },
        ),
        (
            "prometheus",
            {"query": "up", "authentication": {"sigv4": {"region": "x"}}},
            {"authentication.sigv4": "signatures of AWS are not done by rollway yet"},
        ),
        (
            "prometheus",
            {"query": "up", "authentication": {"oauth2": {"tokenUrl": "x"}}},
            {
                "authentication.oauth2": "needs clientId, clientSecret",
                "authentication.oauth2.tokenUrl": "is no URL",
            },
        ),
        (
            "prometheus",
            {"query": "up", "headers": [{"key": "X", "value": "a\r\nY: b"}]},
            {"headers.0": "is no header of HTTP"},
        ),
        ("web", {"url": "http://x y"}, {"url": "is no URL"}),
        ("web", {"url": "http://x", "method": "PATCH"}, {"method": '"PATCH" is not one of'}),
        (
            "web",
            {"url": "http://x", "method": "POST", "body": "a", "jsonBody": {}},
            {"jsonBody": "and body cannot both be given"},
        ),
        ("web", {"url": "http://x", "body": "a"}, {"body": "needs the method POST or PUT"}),
        ("web", {"url": "http://x", "jsonPath": "{.a} {.b}"}, {"jsonPath": "more than one JSONPath"}),
    ],
)
def test_faults_of_settings(name: str, settings: dict[str, Any], wanted: dict[str, str]) -> None:
    """Settings that a request cannot be made of are faults, each with its path."""
    found = {".".join(map(str, path)): message for path, message in provider(name).faults(settings)}
    assert found.keys() == wanted.keys()
    assert [key for key, text in wanted.items() if text not in found[key]] == []


def test_another_provider_is_refused_by_name() -> None:
    """A provider that Argo Rollouts has and rollway has not is told from one that nobody knows."""
    for name, message in (("cloudWatch", "does not have yet"), ("clowdWatch", "no known provider")):
        with pytest.raises(InvalidInputError, match=message):
            provider(name)
    assert all(provider(name).name == name for name in BUILTIN)


def taken(response: Response | Exception, secrets: tuple[str, ...] = (), **fields: Any) -> Any:
    """Return the measurement of a metric whose provider answers so."""
    settings = {"url": "http://x/?token=hidden", "jsonPath": "{$.v}"}
    metric = Metric("m", "web", settings, **fields)

    def ask(_request: Request) -> Response:
        if isinstance(response, Exception):
            raise response
        return response

    return measure(metric, ask, INPUTS, lambda: NOW, secrets).measurement


def test_a_measurement_has_what_decided_it() -> None:
    """Value, phase and message are those of the answer; whatever goes wrong is the phase Error with its reason."""
    condition = Condition("result > 1")
    good = taken(answer({"v": 2}), success=condition)
    assert (good.phase, good.value, good.message) == (Phase.SUCCESSFUL, "2", "")
    undecided = taken(answer({"v": "text"}), success=condition)
    assert (undecided.phase, undecided.value) == (Phase.ERROR, '"text"')
    assert "string > int is not defined, at character 8 of `result > 1`" in undecided.message
    failed = taken(ProviderError("http://x:80 did not answer: refused"))
    assert (failed.phase, failed.message) == (Phase.ERROR, "http://x:80 did not answer: refused")
    assert len(taken(answer({"v": "x" * 50_000})).value) == VALUE + 3


def echo(text: str, _request: Request) -> Response:
    """Answer a text."""
    return answer({"v": text})


def test_no_secret_shows_in_a_measurement() -> None:
    """A server that answers with the secret that it was asked with does not bring it into value or message."""
    measured = taken(answer({"v": "token hidden"}), ("hidden",))
    assert measured.value == '"token *****"'
    written = {"headers": [{"key": "Authorization", "value": "Bearer abc.def"}]}
    settings = {"url": "http://me:word@x", "jsonPath": "{$.v}"}
    for further, token in ((written, "abc.def"), ({}, "bWU6d29yZA==")):
        metric = Metric("m", "web", {**settings, **further})
        echoed = measure(metric, partial(echo, token), INPUTS, lambda: NOW)
        assert echoed.measurement.value == '"*****"'
    measured = taken(Response(403, b"no access with hidden"), ("hidden",))
    assert measured.message == "received non 2xx response code: 403: 'no access with *****'"


class Acme:
    """A provider of another distribution."""

    name = "acme"
    credentials = None


def test_another_distribution_may_bring_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group is found by its name; one that cannot be used is an error that names it."""
    points = {
        "acme": EntryPoint("acme", f"{__name__}:Acme", ENTRY_POINTS),
        "broken": EntryPoint("broken", "rollway.nothing:Here", ENTRY_POINTS),
        "web": EntryPoint("web", f"{__name__}:Acme", ENTRY_POINTS),
    }
    listed = ["acme"]
    module = ModuleType(__name__)
    vars(module)["Acme"] = Acme
    monkeypatch.setitem(sys.modules, __name__, module)

    def installed(*, group: str) -> list[EntryPoint]:
        return [points[name] for name in listed if group == ENTRY_POINTS]

    monkeypatch.setattr("importlib.metadata.entry_points", installed)
    _installed.cache_clear()
    assert provider("acme").name == "acme"
    assert known_providers()[-1] == "acme"
    for name, message in (("broken", "cannot be imported"), ("web", "has the name of another provider")):
        listed[:] = [name]
        _installed.cache_clear()
        with pytest.raises(InvalidBackendError, match=message):
            known_providers()
    _installed.cache_clear()
