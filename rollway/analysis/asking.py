"""Send the requests of providers. The only module of analysis that does I/O.

An answer is bounded in time and size, certificates are checked, and a redirect to another host is not followed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from rollway import __version__
from rollway.analysis.providers.protocol import ProviderError, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.analysis.providers.protocol import OAuth2

LIMIT = 1 << 20
"""How many bytes an answer may have."""

REDIRECTS = 3
_CHUNK = 1 << 16
_AGENT = ("User-Agent", f"rollway/{__version__}")


def ask(request: Request, *, authorities: str | None = None) -> Response:
    """Send a request, and return its whole answer, whatever its status is.

    `authorities` is a file of certificates to trust instead of those of the system.

    Raises:
        ProviderError: no answer in time, or too large, cut off, from a server without a valid certificate, or a redirect
            to another host. The error names the host, and neither the path nor a header.
    """
    deadline = time.monotonic() + request.timeout
    if request.oauth2:
        token = _token(request, request.oauth2, deadline, authorities)
        request = request._replace(headers=(*_without(request, "authorization"), ("Authorization", token)))
    answer = _followed(request, deadline, authorities)
    if answer.status in (405, 501) and request.otherwise:
        headers = dict(request.headers)
        kept = tuple((name, headers[name]) for name in headers if name.lower() != "content-type")
        answer = _followed(request.otherwise._replace(headers=kept), deadline, authorities)
    return answer


def _without(request: Request, name: str) -> tuple[tuple[str, str], ...]:
    return tuple(header for header in request.headers if header[0].lower() != name)


def _followed(request: Request, deadline: float, authorities: str | None) -> Response:
    """Return the answer behind the redirects to the same host."""
    for _ in range(REDIRECTS + 1):
        answer, location = _exchange(request, deadline, authorities)
        if answer.status not in (301, 302, 303, 307, 308) or not location:
            return answer
        url = urljoin(request.url, location)
        if _origin(url) != _origin(request.url):
            raise ProviderError(
                f"{_origin(request.url)} redirects to {_origin(url)}, and a redirect to another host is not followed",
                hint="give the metric that address, if it is meant",
            )
        if answer.status in (301, 302, 303):
            request = request._replace(method="GET", body=None, headers=_without(request, "content-type"))
        request = request._replace(url=url)
    raise ProviderError(f"{_origin(request.url)} redirects more than {REDIRECTS} times")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return f"{parts.scheme}://{parts.hostname}:{port or (443 if parts.scheme == 'https' else 80)}"


def _exchange(request: Request, deadline: float, authorities: str | None) -> tuple[Response, str]:
    """Send one request; return the answer, and where it redirects to."""
    import urllib3  # noqa: PLC0415 - 30 ms that only a measurement costs

    origin = _origin(request.url)
    left = deadline - time.monotonic()
    if left <= 0:
        raise ProviderError(f"{origin} did not answer in {request.timeout:g} s")
    if request.insecure:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the template asks for it
    try:
        context = _context(authorities, insecure=request.insecure)
        with (
            urllib3.PoolManager(retries=False, timeout=left, ssl_context=context) as pool,
            _closed_at(pool, deadline),
            contextlib.closing(
                pool.request(
                    request.method,
                    request.url,
                    headers=dict((_AGENT, *request.headers)),
                    body=request.body,
                    redirect=False,
                    preload_content=False,
                    decode_content=True,
                )
            ) as answer,
        ):
            body = _body(answer, origin, request.timeout, deadline)
            return Response(answer.status, body), answer.headers.get("Location", "")
    except (urllib3.exceptions.HTTPError, OSError, ValueError, UnicodeError) as error:
        late = time.monotonic() >= deadline
        reason = f"not in {request.timeout:g} s" if late else _reason(error)
        raise ProviderError(f"{origin} did not answer: {reason}") from None


def _body(answer: Any, origin: str, timeout: float, deadline: float) -> bytes:
    """Return the body of an answer, read in pieces, so that neither its size nor a byte now and then holds this up."""
    chunks: list[bytes] = []
    size = 0
    while chunk := answer.read1(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > LIMIT:
            raise ProviderError(f"{origin} answered more than {LIMIT} bytes")
        if time.monotonic() >= deadline:
            break
    if time.monotonic() >= deadline:  # the connection was shut, in the midst of what looks like its end
        raise ProviderError(f"{origin} was not done after {timeout:g} s")
    length = answer.headers.get("Content-Length", "")
    coded = answer.headers.get("Content-Encoding")
    if length.isdecimal() and not coded and int(length) != size:
        raise ProviderError(f"{origin} answered {size} of {length} bytes")
    return b"".join(chunks)


@contextlib.contextmanager
def _closed_at(pool: Any, deadline: float) -> Iterator[None]:
    """Shut the connections of a pool down at a time, so that headers that never end do not hold this up."""
    import urllib3  # noqa: PLC0415

    opened: list[Any] = []

    class Watched(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            opened.append(self)
            super().connect()

    class WatchedTLS(urllib3.connection.HTTPSConnection):
        def connect(self) -> None:
            opened.append(self)
            super().connect()

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Watched

    class PoolTLS(urllib3.HTTPSConnectionPool):
        ConnectionCls = WatchedTLS

    def shut() -> None:
        for connection in opened:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    pool.pool_classes_by_scheme = {"http": Pool, "https": PoolTLS}
    timer = threading.Timer(max(deadline - time.monotonic(), 0), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _context(authorities: str | None, *, insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authorities)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: BaseException) -> str:
    """Return why a request failed, without its URL, which may have a secret."""
    while True:
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException):
            break
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error).rpartition(": ")[2] if "imeout" not in type(error).__name__ else "not in time"


def _token(request: Request, client: OAuth2, deadline: float, authorities: str | None) -> str:
    """Return the header that a token of a server stands in.

    The credentials go into a header, and into the body where a server refuses that (RFC 6749, section 2.3.1).
    """
    words = {"grant_type": "client_credentials"}
    if client.scopes:
        words["scope"] = " ".join(client.scopes)
    login = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
    basic = ("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    form = ("Content-Type", "application/x-www-form-urlencoded")
    asked = Request(
        "POST", client.token_url, (form, basic), urlencode(words).encode(), request.timeout, request.insecure
    )
    answer, _ = _exchange(asked, deadline, authorities)
    if answer.status in (400, 401, 403):
        words |= {"client_id": client.client_id, "client_secret": client.client_secret}
        answer, _ = _exchange(
            asked._replace(headers=(form,), body=urlencode(words).encode()), deadline, authorities
        )
    origin = _origin(client.token_url)
    if not 200 <= answer.status < 300:
        raise ProviderError(f"{origin} gave no token: HTTP {answer.status}")
    try:
        document = json.loads(answer.body)
        token, kind = document["access_token"], document.get("token_type") or "Bearer"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ProviderError(f"{origin} gave no token: its answer has no access_token") from None
    if not isinstance(token, str) or not token.isprintable():
        raise ProviderError(f"{origin} gave no token that a header can hold")
    return f"{'Bearer' if str(kind).lower() == 'bearer' else kind} {token}"
