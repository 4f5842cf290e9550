"""One API server: kubeconfig in, requests and answers as JSON, and every failure as a typed error.

Objects stay plain JSON: the generated models of the Kubernetes client library would drop fields that they do not know.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlencode

from rollway.routers.errors import CredentialsError, RollwayError, UnreachableError
from rollway.routers.kube.failures import RequestInfo, failure, lost
from rollway.routers.kube.kubeconfig import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import urllib3

    from rollway.routers.kube.kubeconfig import Credentials, Identity

TIMEOUT_S = 15.0
"""How long one request may take. The first request for a new CRD's objects blocks about 2 s, so not much less."""

_SILENCE_S = 90.0
"""How long a watch may be silent: the server sends a bookmark about every minute."""

_TOKEN_AGE_S = 1.0
_CONNECTIONS = 16
_ATTEMPTS = 5
_BODY_ATTEMPTS = 3
_WAIT_MAX_S = 30
_CHUNK = 65536


class Answer(NamedTuple):
    """The status and the JSON body of a request that succeeded."""

    status: int
    body: dict[str, Any]


class Connection:
    """Requests to one API server, with its credentials; safe to use from many threads.

    `namespace` is that of the kubeconfig's context (or of the pod), `host` the server's address.
    """

    def __init__(
        self,
        kubeconfig: str | None = None,
        context: str | None = None,
        identity: Identity | None = None,
        timeout: float = TIMEOUT_S,
    ) -> None:
        """Load the credentials: the kubeconfig given, else the one of the environment, else those of the pod.

        Raises:
            CredentialsError: there are none, or they cannot be read.
        """
        self._credentials = load(kubeconfig, context)
        self.timeout = timeout
        self.namespace, self.host = self._credentials.namespace, self._credentials.host
        given = identity and (identity.user or identity.groups)
        self._identity = identity if identity and given else self._credentials.identity
        self._pool = _pool(self._credentials)
        self._retries = {reads: _retries(reads=reads) for reads in (True, False)}
        self._token, self._token_at = "", float("-inf")
        self.requests = 0

    def request(
        self,
        method: str,
        path: str,
        info: RequestInfo,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """Send one request; see `RequestInfo.reads` for which are sent again when the network or the server fails.

        Raises:
            UncertainError: a write was sent, and no answer shows whether it was stored; only a read can find out.
            StoreError, RefusedError, NotFoundError: a leaf of the tree with the reason; see `failures`.
        """
        url = f"{self.host}{path}{'?' + urlencode(query) if query else ''}"
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if content else {}
        attempt = 1
        while True:
            try:
                status, raw, wait = self._exchange(method, url, content, {**headers, "Accept": accept}, info)
            except _BrokenBodyError as error:
                problem = str(error)
            else:
                answer = _json_object(raw)
                if status >= 300:
                    raise failure(info, status, answer, self.host, wait)
                if answer:
                    return Answer(status, answer)
                problem = "its answer is no JSON object"
            if not info.reads or attempt == _BODY_ATTEMPTS:
                raise lost(info, self.host, problem)
            time.sleep(0.05 * 2**attempt)
            attempt += 1

    def stream(
        self, path: str, info: RequestInfo, *, query: Mapping[str, str], stop: Stop, accept: str
    ) -> Iterator[dict[str, Any]]:
        """Open a watch, and return its events, which end when the server ends it or `stop` is called.

        Raises:
            ExpiredError: the version to start from is gone (410).
            StoreError: the watch cannot be opened, or (while it is read) broke off.
        """
        from urllib3 import Timeout  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        url = f"{self.host}{path}?{urlencode({**query, 'watch': 'true'})}"
        limit = Timeout(connect=self.timeout, read=_SILENCE_S)
        headers = self._headers({"Accept": accept})
        try:
            answer = self._pool.request(
                "GET", url, headers=headers, timeout=limit, preload_content=False, retries=False
            )
            if answer.status >= 300:
                problem = failure(info, answer.status, _json_object(answer.data), self.host)
                answer.close()
                raise problem
        except (HTTPError, OSError) as error:
            raise UnreachableError(f"{info}: the watch cannot be opened: {_cause(error)}") from error
        stop.attach(answer)
        return self._events(answer, info)

    def _events(self, answer: urllib3.BaseHTTPResponse, info: RequestInfo) -> Iterator[dict[str, Any]]:
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            for line in _lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise failure(info, int(event["object"].get("code", 500)), event["object"], self.host)
                yield event
        except (HTTPError, OSError, ValueError, KeyError) as error:
            raise UnreachableError(f"{info}: the watch broke off: {_cause(error)}") from error
        finally:
            answer.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    @property
    def credentials(self) -> Credentials:
        """Where the server is, whom to trust, and who asks: for a connection of another kind to it."""
        return self._credentials

    def headers(self) -> Sequence[tuple[str, str]]:
        """Return what every request carries: who asks, and as whom."""
        return tuple(self._headers({}).iteritems())

    def _headers(self, headers: Mapping[str, str]) -> Any:
        from urllib3 import HTTPHeaderDict  # noqa: PLC0415

        complete = HTTPHeaderDict(headers)
        complete["User-Agent"] = "rollway"
        if time.monotonic() - self._token_at > _TOKEN_AGE_S:
            # Exec plugins and mounted tokens are renewed by asking, which reads a file.
            self._token = self._credentials.authorization()
            self._token_at = time.monotonic()
        if self._token:
            complete["Authorization"] = self._token
        for name, value in self._identity.headers:
            complete.add(name, value)
        return complete

    def _exchange(
        self, method: str, url: str, content: bytes | None, headers: Mapping[str, str], info: RequestInfo
    ) -> tuple[int, bytes, str]:
        """Return status, body and Retry-After of one request.

        Raises:
            _BrokenBodyError: the body ended early or took too long.
        """
        from urllib3 import Timeout  # noqa: PLC0415
        from urllib3.exceptions import HTTPError, MaxRetryError  # noqa: PLC0415

        self.requests += 1
        try:
            answer = self._pool.request(
                method,
                url,
                body=content,
                headers=self._headers(headers),
                timeout=Timeout(connect=self.timeout, read=self.timeout),
                retries=self._retries[info.reads],
                preload_content=False,
            )
        except MaxRetryError as error:
            raise _unanswered(info, self.host, error) from error
        except (HTTPError, OSError) as error:
            raise lost(info, self.host, _cause(error)) from error
        chunks: list[bytes] = []
        deadline = time.monotonic() + self.timeout
        try:
            while chunk := answer.read1(_CHUNK):
                chunks.append(chunk)
                if time.monotonic() > deadline:
                    answer.close()
                    raise _BrokenBodyError(f"its answer took more than {self.timeout:g} s")
        except (HTTPError, OSError) as error:
            answer.close()
            raise _BrokenBodyError(f"its answer broke off: {_cause(error)}") from error
        answer.release_conn()
        return answer.status, b"".join(chunks), answer.headers.get("Retry-After", "")


class Stop:
    """End a watch from another thread, also one that is opened later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answer: urllib3.BaseHTTPResponse | None = None
        self._called = False

    def attach(self, answer: urllib3.BaseHTTPResponse) -> None:
        """Name the answer to end."""
        with self._lock:
            self._answer = answer
            if self._called:
                self._shut_down()

    def __call__(self) -> None:
        """End it now."""
        with self._lock:
            self._called = True
            self._shut_down()

    def _shut_down(self) -> None:
        # A thread that waits for the next line does not see a closed file, but a socket that was shut down.
        if self._answer:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # it has ended already
                self._answer.shutdown()


class _BrokenBodyError(Exception):
    """The body of an answer could not be read to its end."""


def _pool(credentials: Credentials) -> urllib3.PoolManager:
    """Return the connections to a server, through its proxy where there is one."""
    import urllib3  # noqa: PLC0415 - 50 ms that only a cluster costs

    options: dict[str, Any] = {"maxsize": _CONNECTIONS}
    if credentials.tls:
        options["ssl_context"] = credentials.tls
    if credentials.server_name:
        options["server_hostname"] = credentials.server_name
    if credentials.proxy.startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager  # noqa: PLC0415

        return SOCKSProxyManager(credentials.proxy, **options)
    if credentials.proxy:
        login = urllib3.util.parse_url(credentials.proxy).auth
        headers = urllib3.util.make_headers(proxy_basic_auth=unquote(login)) if login else None
        return urllib3.ProxyManager(credentials.proxy, proxy_headers=headers, **options)
    return urllib3.PoolManager(**options)


def _retries(*, reads: bool) -> Any:
    """Return how a request is repeated, as Retry-After asks, else with jitter.

    A read is repeated after a failed connection, 429 and 5xx. A write is repeated only when it is sure that nothing was
    done: no connection was made, or the answer is 429, which an API server gives before it handles a request
    (Kubernetes, "API Priority and Fairness"). Every 5xx leaves it open: a proxy may give 502, 503 and 504 after the
    server had the request, and the server itself 500 and 504 when etcd answered too late.
    """
    from urllib3 import Retry  # noqa: PLC0415
    from urllib3.exceptions import MaxRetryError  # noqa: PLC0415

    class Remembering(Retry):
        """Return, when giving up, whether a request may have reached the server."""

        RETRY_AFTER_STATUS_CODES = frozenset()
        """Only `status_forcelist` decides; without this a 503 with Retry-After is always repeated."""

        def increment(self, *args: Any, **words: Any) -> Remembering:
            try:
                return super().increment(*args, **words)
            except MaxRetryError as error:
                error.history = self.history  # type: ignore[attr-defined]
                raise

    return Remembering(
        total=_ATTEMPTS - 1,
        read=2 if reads else 0,
        other=None if reads else 0,
        redirect=False,
        allowed_methods=None,
        status_forcelist=(429, 500, 502, 503, 504) if reads else (429,),
        backoff_factor=0.1,
        backoff_jitter=0.1,
        backoff_max=5,
        retry_after_max=_WAIT_MAX_S,
        raise_on_status=False,
    )


def _unanswered(info: RequestInfo, host: str, error: Any) -> RollwayError:
    """Return the error for a request that no attempt got an answer to."""
    from urllib3.exceptions import ConnectTimeoutError as NoConnectionError  # noqa: PLC0415
    from urllib3.exceptions import NewConnectionError, SSLError  # noqa: PLC0415

    # An entry without an error is a 429, after which nothing was done either.
    causes = [error.reason, *(entry.error for entry in getattr(error, "history", ()) if entry.error)]
    never_sent = all(isinstance(cause, (NewConnectionError, NoConnectionError)) for cause in causes)
    if isinstance(error.reason, SSLError):
        return CredentialsError(
            f"{host} cannot be trusted: {_cause(error.reason)}",
            hint="check certificate-authority in the kubeconfig",
        )
    if never_sent or info.reads:
        return UnreachableError(
            f"{host} does not answer ({info.verb} {info}): {_cause(error.reason)}",
            hint="check the cluster, the context and the network; --request-timeout sets how long one request may take",
        )
    return lost(info, host, _cause(error.reason))


def _cause(error: BaseException) -> str:
    # urllib3 wraps the error that counts, and writes its own objects into its messages.
    inner = next((item for item in error.args if isinstance(item, BaseException)), None)
    text = str(inner or error)
    text = re.sub(r"^\w+\(host=[^)]*\): ", "", text)
    return text.rpartition(">: ")[2] or type(error).__name__


def _json_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object; empty for what is none, like the page of a proxy."""
    try:
        content = json.loads(raw)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Return the lines of an answer as they arrive; what has no line end yet is held back."""
    rest = b""
    while chunk := answer.read1(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
