"""Ask data planes over HTTP: where their instances are, and the JSON that each answers, bounded in time and size."""

from __future__ import annotations

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rollway.routers.errors import InvalidInputError, RollwayError
from rollway.routers.probes import worst, worst_outcome
from rollway.routers.traffic import Evidence, ObjectVerdict, Outcome, Verdict

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from rollway.routers.model import Context, Rollout
    from rollway.routers.objects import Live, ObjectRef

TIMEOUT_S = 3.0
LIMIT = 256 * 1024 * 1024
"""The largest document that is read, in bytes: Envoy's routes of a large mesh are tens of MiB."""
_CHUNK = 64 * 1024


class NoAnswerError(Exception):
    """The data plane could not be asked, or its answer is not of the expected form; never leaves a probe."""


def base_url(text: str) -> str:
    """Return the URL that an address means: `10.0.0.7:10246` is `http://10.0.0.7:10246`.

    Raises:
        InvalidInputError: it is neither an address nor an http or https URL.
    """
    url = text if "://" in text else f"http://{text}"
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest.strip("/") or any(letter.isspace() for letter in rest):
        raise InvalidInputError(f"{text!r} is no address", hint="give HOST:PORT or an http URL")
    return url.rstrip("/")


class Address(NamedTuple):
    """Where one instance of a data plane answers.

    `name` is how people know it. `dial` opens a connection (its argument is how many seconds that may take) where the
    URL's host and port are not reached from here, as through a port-forward.
    """

    name: str
    url: str
    dial: Callable[[float], socket.socket] | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT` or an http or https URL.

        Raises:
            InvalidInputError: it is neither.
        """
        return cls(text, base_url(text))


class Find(Protocol):
    """Return where the instances of the data plane that serves a Rollout are now."""

    def __call__(self, rollout: Rollout, live: Live) -> Sequence[Address]:
        """Return all that have to do as asked.

        Raises:
            NoAnswerError: they cannot be found.
        """
        ...


def fixed(addresses: Sequence[str]) -> Find:
    """Return the addresses that a person gave, whatever the Rollout.

    Raises:
        InvalidInputError: there is none, or one is no address.
    """
    if not addresses:
        raise InvalidInputError(
            "no address of the data plane was given", hint="give HOST:PORT or an http URL"
        )
    parsed = tuple(map(Address.parse, addresses))
    return lambda _rollout, _live: parsed


def summary(objects: Sequence[ObjectVerdict]) -> Verdict:
    """Return what one place shows about all objects together."""
    outcome, reasons = worst_outcome(objects)
    evidence = Evidence.UNKNOWN if outcome is Outcome.UNKNOWN else Evidence.LOADED
    # Several objects can miss the same thing, like an upstream that they share.
    reason = "; ".join(dict.fromkeys(reasons.split("; ")))
    return Verdict(outcome, evidence, reason=reason, objects=tuple(objects))


def unknown(objects: Sequence[ObjectRef], reason: str) -> Verdict:
    """Return the verdict of a place that shows nothing about any of the objects."""
    verdicts = tuple(ObjectVerdict(ref, Outcome.UNKNOWN, reason) for ref in objects)
    return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason=reason, objects=verdicts)


def ask_each(
    product: str,
    find: Find,
    context: Context,
    objects: Sequence[ObjectRef],
    look: Callable[[Address], Verdict],
) -> Verdict:
    """Look at every address at once, and return the worst verdict; reasons name product and address.

    `objects` are those that the probe judges, for an address that shows nothing about them.
    """

    def ask(address: Address) -> Verdict:
        try:
            verdict = look(address)
        except NoAnswerError as error:
            return unknown(objects, f"{product} at {error}")
        where = f"{product} at {address.name}"
        verdicts = tuple(one._replace(reason=f"{where} {one.reason}") for one in verdict.objects)
        return verdict._replace(reason=f"{where} {verdict.reason}", objects=verdicts)

    try:
        addresses = find(context.rollout, context.live)
    except NoAnswerError as error:
        return unknown(objects, f"{product}: {error}")
    if not addresses:
        return unknown(objects, f"{product}: no instance of it is known")
    with ThreadPoolExecutor(len(addresses)) as pool:
        return worst(list(pool.map(ask, addresses)))


def fetch(
    address: Address, path: str = "", timeout: float = TIMEOUT_S, headers: Mapping[str, str] | None = None
) -> Any:
    """Return the JSON document at a path of an address; it must be whole after `timeout` seconds.

    Raises:
        NoAnswerError: no answer in time, another status than 200, too large, cut off, or not JSON.
    """
    import urllib3  # noqa: PLC0415 - 30 ms that only a probe costs

    deadline = time.monotonic() + timeout
    chunks: list[bytes] = []
    size = 0
    where = f"{address.name.rstrip('/')}{path.partition('?')[0]}"
    pool, url = _pool(address, path, timeout)
    with pool:
        try:
            with contextlib.closing(
                pool.request("GET", url, headers=headers, redirect=False, preload_content=False)
            ) as answer:
                if answer.status != 200:
                    raise NoAnswerError(f"{where} answered HTTP {answer.status}")
                # read1: a byte now and then must not hold the answer back for ever.
                while chunk := answer.read1(_CHUNK):
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > LIMIT:
                        raise NoAnswerError(f"{where} answered more than {LIMIT} bytes")
                    if time.monotonic() > deadline:
                        raise NoAnswerError(f"{where} was not done after {timeout:g} s")
                length = answer.headers.get("Content-Length")
        except RollwayError as error:
            raise NoAnswerError(f"{where} cannot be asked: {error.message}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NoAnswerError(f"{where} did not answer: {_reason(error)}") from error
    content = b"".join(chunks)
    if length is not None and length.isdecimal() and int(length) != size:
        raise NoAnswerError(f"{where} answered {size} of {length} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise NoAnswerError(f"{where} answered no JSON: {content[:60].decode(errors='replace')!r}") from None


def _pool(address: Address, path: str, timeout: float) -> tuple[Any, str]:
    """Return what sends requests to an address, and what to ask it for."""
    import urllib3  # noqa: PLC0415

    dial = address.dial
    if dial is None:
        return urllib3.PoolManager(retries=False, timeout=timeout), address.url + path

    class Dialled(urllib3.connection.HTTPConnection):
        """A connection that somebody else opens."""

        def connect(self) -> None:
            assert dial is not None, "it was looked at above"
            self.sock = dial(timeout)
            self.sock.settimeout(timeout)

    class DialledPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Dialled

    host, _, port = address.url.partition("://")[2].partition(":")
    return DialledPool(host, int(port or 80), retries=False, timeout=timeout), path


def _reason(error: BaseException) -> str:
    if "imeout" in type(error).__name__:
        return "not in time"
    return str(error).rpartition(": ")[2] or type(error).__name__
