"""The harness itself: what a person starts by hand, and clusters that cannot be started."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.docker import docker
from harness import sampling
from harness.waiting import until

if TYPE_CHECKING:
    from harness.providers import Cluster

ROOT = Path(__file__).resolve().parent.parent
PLAY = [sys.executable, str(ROOT / "integration" / "programs" / "play.py")]


def listening(port: str) -> bool:
    """Return whether something listens on a port of loopback."""
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", int(port))) == 0


class _Answers(BaseHTTPRequestHandler):
    """Answer in each of the ways in which a body can end; every fourth request is refused by the canary."""

    protocol_version = "HTTP/1.1"
    asked = itertools.count()

    def do_GET(self) -> None:
        number = next(self.asked)
        refused = number % 4 == 3
        self.send_response(503 if refused else 200)
        self.send_header("X-Version", "canary" if refused else self.headers["Host"])
        if number % 3 == 0:
            self.send_header("Transfer-Encoding", "chunked")
        elif number % 3 == 1:
            self.send_header("Content-Length", "6")
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"6\r\nstable\r\n0\r\n\r\n" if number % 3 == 0 else b"stable")

    def log_message(self, *_words: object) -> None:
        """Print nothing."""


@pytest.mark.local
def test_a_sample_counts_every_answer_once() -> None:
    """Whatever way a body ends in: the versions, the failures with their status, and those that nothing answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        found = sampling.sample(url, 240, {"Host": "stable"})
    finally:
        server.shutdown()
        server.server_close()
    assert (found.versions, found.failures) == ((("stable", 180),), (("HTTP 503", 60),))
    assert found.failed_versions == (("canary", 60),)
    assert dict(sampling.sample(url, 7, {}).failures) == {"ConnectionRefusedError": 7}


@pytest.mark.local
def test_one_command_against_a_cluster_of_its_own() -> None:
    """`make cluster RUN=...` runs the command with rollway and KUBECONFIG ready, and its exit status is the command's."""
    command = "rollway status -A && rollway set-weight shop 20 -n nginx && rollway status shop -n smi; exit 7"
    done = subprocess.run([*PLAY, "--run", command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 7, done.stderr
    for name in ("nginx", "istio", "smi", "gateway"):
        assert re.search(rf"^{name} +shop ", done.stdout, re.MULTILINE)
    assert "created Ingress nginx/shop-shop-canary" in done.stdout


@pytest.mark.local
def test_a_cluster_to_play_with_ends_with_ctrl_c() -> None:
    """`make cluster` prints its KUBECONFIG, stays, and leaves no process behind after Ctrl-C."""
    process = subprocess.Popen(PLAY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines: list[str] = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1]
        port = lines[0].split("127.0.0.1:")[1].partition(",")[0]
        assert listening(port)
        path = next(line for line in lines if "KUBECONFIG=" in line).strip().partition("=")[2]
        words = [sys.executable, "-m", "rollway.cli", "status", "-A"]
        done = subprocess.run(words, env={**os.environ, "KUBECONFIG": path}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()
    until(lambda: not listening(port), "the port is free again", 60)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--cluster=existing"], "--cluster-kubeconfig FILE"),
        (["--cluster=existing", "--cluster-kubeconfig=/none"], "/none does not exist"),
        (["--kubernetes=1.2"], "Kubernetes 1.2 is not one of 1.35, 1.34"),
        (["--cluster=kind"], "--cluster=kind cannot run here: Docker "),
    ],
)
def test_a_cluster_that_cannot_be_started_ends_the_run(words: list[str], reason: str) -> None:
    """A provider that was asked for and cannot run here ends the run at once, with the reason."""
    command = [sys.executable, "-m", "pytest", "integration", "-q", "--collect-only", *words]
    environment = {**os.environ, "DOCKER_HOST": "unix:///nowhere.sock"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert reason in done.stdout + done.stderr


def test_an_existing_cluster_that_is_named_is_used(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The same tests run on a cluster that a kubeconfig names."""
    cluster = request.getfixturevalue("cluster")
    words = ["--cluster=existing", f"--cluster-kubeconfig={cluster.kubeconfig}", "--force-enable-socket"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "integration/test_store.py",
        "-q",
        "-p",
        "no:xdist",
        "-k",
        "what_is_ours",
    ]
    # No assertion about coverage here: that of the outer run measures this one too.
    done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the tests ran on: existing" in done.stdout


@pytest.mark.kubelets
def test_a_kind_cluster_goes_after_ctrl_c_as_well(cluster: Cluster) -> None:
    """A run that is interrupted while its cluster is created leaves no container and no volume."""
    if cluster.provider != "kind":
        pytest.skip("Docker is not used by this run: make integration-kind")

    def left() -> set[str]:
        listings = (["ps", "--all", "--quiet"], ["volume", "ls", "--quiet"])
        return {word for words in listings for word in docker(*words).split()}

    before = left()
    command = [sys.executable, "-m", "pytest", "integration/test_port_forward.py", "-q", "-p", "no:xdist"]
    process = subprocess.Popen(
        [*command, "--cluster=kind", "--force-enable-socket"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A test run in the background ignores this signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads are forked here
    )
    try:
        until(lambda: left() - before, "a node is created", 120)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 2
    finally:
        process.kill()
    assert left() == before
