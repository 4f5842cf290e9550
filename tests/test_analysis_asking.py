"""Requests of providers over real connections: answers are bounded, certificates checked, secrets stay where they belong."""

from __future__ import annotations

import itertools
import json
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
from misbehaving import Server, reply

from rollway.analysis.asking import LIMIT, ask
from rollway.analysis.providers.protocol import OAuth2, ProviderError, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from misbehaving import Behaviour

trustme = pytest.importorskip("trustme")
pytestmark = pytest.mark.enable_socket
SHORT_S = 0.3


@pytest.fixture(scope="module")
def authority() -> Any:
    """An authority that nobody trusts who is not told so."""
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file with the certificate of the authority."""
    file: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


@pytest.fixture
def serve(authority: Any) -> Iterator[Callable[..., Server]]:
    """Start servers, which end with the test; `names` are those of the certificate of one with TLS."""
    started: list[Server] = []

    def start(behaviour: Behaviour, *names: str) -> Server:
        context = None
        if names:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(*names).configure_cert(context)
        started.append(Server(behaviour, context))
        return started[-1]

    yield start
    for server in started:
        server.close()


def always(*pieces: bytes) -> Behaviour:
    """Return a behaviour that sends the same to everybody."""
    return lambda _request: iter(pieces)


def error(request: Request, **settings: Any) -> str:
    """Return the message of a request that fails."""
    with pytest.raises(ProviderError) as caught:
        ask(request, **settings)
    return str(caught.value)


def test_an_answer_comes_whole(serve: Callable[..., Server], trusted: str) -> None:
    """Status and body are those that the server sends, whatever they are, over TLS with a valid certificate."""
    server = serve(always(reply(b'{"a": 1}', "503 Unavailable")), "127.0.0.1")
    sent = Request("POST", f"{server.url}/x?q=1", (("X-Key", "v"),), b"body", timeout=10)
    answer = ask(sent, authorities=trusted)
    assert (answer.status, answer.body) == (503, b'{"a": 1}')
    text = server.text()
    assert text.startswith("POST /x?q=1 HTTP/1.1\r\n")
    assert "X-Key: v\r\n" in text
    assert text.endswith("\r\n\r\nbody")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("127.0.0.1", "its certificate is not valid: "),
        ("other.example", "its certificate is not valid: IP address mismatch"),
    ],
)
def test_a_certificate_is_checked(
    serve: Callable[..., Server], trusted: str, name: str, message: str
) -> None:
    """One of an unknown authority, and one of another name, end the request before anything is sent."""
    server = serve(always(reply(b"{}")), name)
    sent = Request("GET", f"{server.url}/?token=hidden", timeout=10)
    text = error(sent, authorities=None if name == "127.0.0.1" else trusted)
    assert message in text
    assert "hidden" not in text
    assert server.requests == []
    assert ask(sent._replace(insecure=True)).body == b"{}"


def drip(server: list[Server], *before: bytes) -> Behaviour:
    """Return a behaviour that sends a byte now and then, for ever."""

    def behaviour(_request: bytes) -> Iterator[bytes]:
        yield from before
        for _ in itertools.repeat(None):
            if server[0].wait(0.02):
                return
            yield b"x"

    return behaviour


@pytest.mark.parametrize(
    "before", [(), (b"HTTP/1.1 200 OK\r\nX: ",), (reply(length=LIMIT),)], ids=["line", "header", "body"]
)
def test_an_answer_that_never_ends_is_given_up(
    serve: Callable[..., Server], before: tuple[bytes, ...]
) -> None:
    """Bytes that trickle in do not hold a measurement up beyond its timeout, wherever in the answer they stand."""
    server: list[Server] = []
    server.append(serve(drip(server, *before)))
    begin = time.monotonic()
    text = error(Request("GET", server[0].url, timeout=SHORT_S))
    assert f"{SHORT_S:g} s" in text
    assert time.monotonic() - begin < 5


def test_a_server_that_is_silent_is_given_up(serve: Callable[..., Server]) -> None:
    """No answer at all is an error after the timeout."""
    server: list[Server] = []

    def silent(_request: bytes) -> Iterator[bytes]:
        server[0].wait(10)
        yield b""

    server.append(serve(silent))
    assert "did not answer: not in 0.3 s" in error(Request("GET", server[0].url, timeout=SHORT_S))


def test_an_answer_has_a_limit(serve: Callable[..., Server]) -> None:
    """What is too large is not read to its end, also where it unpacks to more than it is."""
    import gzip

    packed = gzip.compress(b"0" * (LIMIT * 20))
    large = serve(always(reply(b"0" * (LIMIT + 1))))
    bomb = serve(always(reply(packed, "200 OK", "Content-Encoding: gzip")))
    for server in (large, bomb):
        assert f"answered more than {LIMIT} bytes" in error(Request("GET", server.url, timeout=10))


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ((reply(b"{", length=100),), "did not answer"),
        ((b"nonsense\r\n\r\n",), "did not answer"),
        ((), "did not answer"),
        ((b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",), "did not answer"),
    ],
    ids=["cut off", "no HTTP", "closed", "headers without end"],
)
def test_nonsense_is_an_error(serve: Callable[..., Server], pieces: tuple[bytes, ...], message: str) -> None:
    """What is no whole answer of HTTP is an error that names the server."""
    server = serve(always(*pieces))
    text = error(Request("GET", f"{server.url}/?token=hidden", timeout=10))
    assert text.startswith(f"{server.url} {message}")
    assert "hidden" not in text


def test_a_closed_port_is_an_error() -> None:
    """A server that is not there is named with the reason."""
    assert error(Request("GET", "http://127.0.0.1:1/x?secret", timeout=10)) == (
        "http://127.0.0.1:1 did not answer: Connection refused"
    )


def test_a_redirect_to_another_host_is_not_followed(serve: Callable[..., Server]) -> None:
    """Credentials never reach a host that the metric does not name; the same host may redirect, three times."""
    other = serve(always(reply(b"{}")))
    near = serve(
        lambda request: iter(
            [reply(b"{}") if b"/end" in request else reply(b"", "302 Found", "Location: /end")]
        )
    )
    far = serve(always(reply(b"", "307 Temporary Redirect", f"Location: {other.url}/x")))
    endless = serve(always(reply(b"", "302 Found", "Location: /again")))
    headers = (("Authorization", "Bearer hidden"),)
    text = error(Request("GET", far.url, headers, timeout=10))
    assert f"{far.url} redirects to {other.url}, and a redirect to another host is not followed" in text
    assert other.requests == []
    assert ask(Request("POST", f"{near.url}/start", headers, b"body", timeout=10)).body == b"{}"
    assert near.text().startswith("GET /end")
    assert "redirects more than 3 times" in error(Request("GET", endless.url, timeout=10))


def test_another_method_is_tried_where_one_is_not_allowed(serve: Callable[..., Server]) -> None:
    """A server that refuses POST gets the same question by GET, without the type of the form."""
    server = serve(
        lambda request: iter([reply(b"{}") if request.startswith(b"GET") else reply(b"", "405 No")])
    )
    get = Request("GET", f"{server.url}/?q=1", (("X", "1"),), timeout=10)
    post = Request("POST", server.url, (("X", "1"), ("Content-Type", "form")), b"q=1", 10, otherwise=get)
    assert ask(post).status == 200
    assert "X: 1\r\n" in server.text()
    assert "Content-Type" not in server.text()


@pytest.mark.parametrize("in_body", [False, True], ids=["header", "body"])
def test_a_token_is_fetched_with_client_credentials(serve: Callable[..., Server], *, in_body: bool) -> None:
    """The server of tokens gets id and secret in a header, or in the body where it wants that; the metric's gets the token."""

    def tokens(request: bytes) -> Iterator[bytes]:
        if in_body and b"client_secret" not in request:
            yield reply(b"", "401 Unauthorized")
        else:
            yield reply(json.dumps({"access_token": "abc", "token_type": "bearer"}).encode())

    login, server = serve(tokens), serve(always(reply(b"{}")))
    client = OAuth2(f"{login.url}/token", "id", "hid/den", ("one", "two"))
    assert (
        ask(Request("GET", server.url, (("authorization", "old"),), timeout=10, oauth2=client)).status == 200
    )
    assert "Authorization: Bearer abc\r\n" in server.text()
    assert "old" not in server.text()
    assert "grant_type=client_credentials&scope=one+two" in login.text()
    assert ("client_id=id&client_secret=hid%2Fden" in login.text()) is in_body
    assert ("Authorization: Basic aWQ6aGlkJTJGZGVu" in login.text()) is not in_body


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply(b"no", "500 Broken"), "gave no token: HTTP 500"),
        (reply(b"{}"), "its answer has no access_token"),
        (reply(b"[]"), "its answer has no access_token"),
        (reply(b'{"access_token": "a\\nb"}'), "gave no token that a header can hold"),
    ],
)
def test_without_a_token_nothing_is_asked(serve: Callable[..., Server], answer: bytes, message: str) -> None:
    """A server of tokens that gives none is an error without the secret, and the metric's server is not asked."""
    login, server = serve(always(answer)), serve(always(reply(b"{}")))
    client = OAuth2(login.url, "id", "hidden")
    text = error(Request("GET", server.url, timeout=10, oauth2=client))
    assert message in text
    assert "hidden" not in text
    assert server.requests == []
