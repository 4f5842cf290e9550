"""Fetch what a data plane tells of itself: JSON over HTTP, bounded in time and size."""

from __future__ import annotations

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from routers.errors import InvalidInputError
from routers.model import Evidence, Outcome, Verdict
from routers.probes import worst

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMEOUT_S = 3.0
LIMIT = 256 * 1024 * 1024
"""The largest document that is read, in bytes: Envoy's routes of a large mesh are tens of MiB."""
_CHUNK = 64 * 1024


class NoAnswerError(Exception):
    """The data plane could not be asked, or what it said is not what it should say; never leaves a probe."""


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


def ask_each(product: str, addresses: Sequence[str], look: Callable[[str], Verdict]) -> Verdict:
    """Look at every address at once, by its URL, and return the worst verdict; reasons name product and address."""

    def ask(address: str) -> Verdict:
        try:
            verdict = look(base_url(address))
        except NoAnswerError as error:
            return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason=f"{product} at {error}")
        return verdict._replace(reason=f"{product} at {address} {verdict.reason}")

    with ThreadPoolExecutor(len(addresses)) as pool:
        return worst(list(pool.map(ask, addresses)))


def fetch(url: str, timeout: float = TIMEOUT_S) -> Any:
    """Return the JSON document at a URL; it must be whole after `timeout` seconds.

    Raises:
        NoAnswerError: no answer in time, another status than 200, too large, cut off, or not JSON.
    """
    import urllib3  # noqa: PLC0415 - 30 ms that only a probe costs

    deadline = time.monotonic() + timeout
    chunks: list[bytes] = []
    size = 0
    with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
        try:
            with contextlib.closing(
                pool.request("GET", url, redirect=False, preload_content=False)
            ) as answer:
                if answer.status != 200:
                    raise NoAnswerError(f"{url} answered HTTP {answer.status}")
                # read1: a byte now and then must not hold the answer back for ever.
                while chunk := answer.read1(_CHUNK):
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > LIMIT:
                        raise NoAnswerError(f"{url} answered more than {LIMIT} bytes")
                    if time.monotonic() > deadline:
                        raise NoAnswerError(f"{url} was not done after {timeout:g} s")
                length = answer.headers.get("Content-Length")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NoAnswerError(f"{url} did not answer: {_words(error)}") from error
    content = b"".join(chunks)
    if length is not None and length.isdecimal() and int(length) != size:
        raise NoAnswerError(f"{url} answered {size} of {length} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise NoAnswerError(f"{url} answered no JSON: {content[:60].decode(errors='replace')!r}") from None


def _words(error: BaseException) -> str:
    if "imeout" in type(error).__name__:
        return "not in time"
    return str(error).rpartition(": ")[2] or type(error).__name__
