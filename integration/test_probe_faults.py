"""Probes against servers that answer late, halfway, or something else: the outcome is never MATCHES, and the time is bounded."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness import shop
from rollway.routers.probes.http import TIMEOUT_S, Address, NoAnswerError, fetch
from rollway.routers.probes.requests import Identity, measure
from running import rollway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD = json.dumps([{"name": "a"}]).encode()


@contextlib.contextmanager
def server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Serve one way of answering on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                answer(self)

        def log_message(self, *words: Any) -> None:
            """Print nothing."""

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.daemon_threads = True
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{found.server_port}/"
    finally:
        found.shutdown()
        thread.join()
        found.server_close()


def plain(
    body: bytes, status: int = 200, length: int | None = None
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with a body, and perhaps with another length than it has."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Answer nothing for longer than the client waits."""
    time.sleep(TIMEOUT_S + 1)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(300):
        handler.wfile.write(b"[")
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (plain(b"<html>"), "no JSON"),
        (plain(GOOD[:9]), "no JSON"),
        (plain(GOOD, length=len(GOOD) + 5), "did not answer|bytes"),
        (plain(b""), "no JSON"),
        (plain(b"[" * 100_000), "no JSON"),
        (plain(GOOD, status=500), "HTTP 500"),
        (plain(GOOD, status=302), "HTTP 302"),
        (hang, "not in time"),
        (drip, "not done after"),
    ],
)
def test_an_answer_that_cannot_be_believed_is_none(
    answer: Callable[[BaseHTTPRequestHandler], None], words: str
) -> None:
    """An answer that hangs, lies, is cut off or is no JSON raises within the time, and names the address."""
    begin = time.monotonic()
    with server(answer) as url, pytest.raises(NoAnswerError, match=words) as caught:
        fetch(Address.parse(url), timeout=1.5)
    assert url.rstrip("/") in str(caught.value)
    assert time.monotonic() - begin < 20  # the server drips for 30 s


def test_a_whole_answer_is_read() -> None:
    """A document in several pieces is put together."""
    body = json.dumps([{"name": "x" * 300_000}]).encode()
    with server(plain(body)) as url:
        assert fetch(Address.parse(url)) == json.loads(body)


def test_status_names_a_data_plane_that_cannot_be_asked(tmp_path: Path) -> None:
    """Whether it is loaded is unknown, the place is named, and the evidence stays `written`."""
    manifests = shop.objects(shop.NGINX)
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump_all(manifests))
    with server(plain(b"null")) as url:
        words = ("status", "shop", "--dir", str(tmp_path), "--nginx-status", url)
        ran = rollway(*words)
        assert ran.code == 0
        row = ran.stdout.splitlines()[2]
        assert re.search(r" - +0 \(no such object\) +unknown +written +now$", row), row
        assert f"ingress-nginx at {url} answered something else than its backends" in ran.stdout
        (reported,) = json.loads(rollway(*words, "-o", "json").stdout)
    assert [found["outcome"] for found in reported["loaded"]] == ["unknown"]


RANGE = {"status": "success", "data": {"resultType": "matrix", "result": []}}
CLOCK = {"status": "success", "data": {"resultType": "scalar", "result": [1000, "1000"]}}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (plain(json.dumps(RANGE).encode()), "answered no scalar"),
        (plain(json.dumps(RANGE).encode()[:9]), "no JSON"),
        (plain(b"<html>"), "no JSON"),
        (plain(b"", status=401), "answered HTTP 401"),
        (plain(json.dumps(CLOCK | {"warnings": ["half of the stores"]}).encode()), "half of the stores"),
        (plain(json.dumps(CLOCK).encode()), "answered no matrix"),
        (plain(json.dumps({**CLOCK, "data": {"resultType": "scalar", "result": []}}).encode()), "no time"),
        (plain(json.dumps({**CLOCK, "data": {"resultType": "scalar", "result": "9"}}).encode()), "no time"),
        (hang, "not in time"),
    ],
)
def test_a_prometheus_that_cannot_be_believed_is_unknown(
    answer: Callable[[BaseHTTPRequestHandler], None], words: str, tmp_path: Path
) -> None:
    """A server that hangs, lies or stops halfway makes the verdict UNKNOWN, with the reason and exit code 5."""
    manifests = shop.objects(shop.ISTIO)
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump_all(manifests))
    with server(answer) as url:
        ran = rollway("verify", "shop", "0", "--dir", str(tmp_path), "--prometheus", url)
    assert ran.code == 5
    assert re.search(f"unknown: Prometheus: .*{words}", ran.stderr), ran.stderr


def test_prometheus_is_asked_with_headers_until_it_has_counted(tmp_path: Path) -> None:
    """The queries carry the headers; too few requests in the time are reported with their count."""
    asked: list[tuple[str, str | None]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append((handler.path, handler.headers["X-Scope-OrgID"]))
        plain(json.dumps(CLOCK if "time" in handler.path else RANGE).encode())(handler)

    manifests = shop.objects(shop.ISTIO)
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump_all(manifests))
    words = ("--requests", "7", "--within", "1s", "-H", "X-Scope-OrgID: shop")
    with server(answer) as url:
        ran = rollway("verify", "shop", "0", "--dir", str(tmp_path), "--prometheus", url, *words)
    assert ran.code == 5
    assert "0 of 7 requests were counted in 1 s by istio_requests_total{" in ran.stderr
    assert {tenant for _, tenant in asked} == {"shop"}
    assert all(path.startswith("/api/v1/query?query=") for path, _ in asked)


def test_a_traefik_without_its_api_is_named(tmp_path: Path) -> None:
    """A Traefik that answers, but not on its API, is UNKNOWN, and the flag that it lacks is named."""
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump_all(shop.objects(shop.GATEWAY)))
    with server(plain(b"404 page not found", status=404)) as url:
        ran = rollway("verify", "shop", "0", "--dir", str(tmp_path), "--gateway-traefik", url)
    assert ran.code == 5
    assert re.search("unknown: Traefik at .*its API is off", ran.stderr), ran.stderr


def test_a_sample_counts_failures_apart() -> None:
    """Errors and redirects to nowhere are failures; redirects are not followed; the rate and the deadline hold."""
    numbers = iter(range(1000))

    def answer(handler: BaseHTTPRequestHandler) -> None:
        plain(b"canary" if next(numbers) % 2 else b"stable", status=503 if next(numbers) % 10 == 7 else 200)(
            handler
        )

    with server(answer) as url:
        sample = measure(url, Identity.parse("body:canary"), requests=40, rate=0, connections=1)
        assert sample.answered + sample.failed == 40
        assert dict(sample.failures).keys() == {"HTTP 503"}
        slow = measure(url, Identity.parse("body:canary"), requests=1000, rate=50, deadline_s=0.5)
        assert 1 <= slow.answered + slow.failed <= 40  # 25 of them on a machine with nothing else to do
    gone = measure(url, Identity.parse("body:canary"), requests=3, rate=0)
    assert (gone.answered, gone.failed) == (0, 3)
