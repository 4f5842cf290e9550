"""`make rollout-demo`: a canary under load with the controller, pods that are processes and a live ingress-nginx, to its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import sandbox

pytestmark = pytest.mark.local

PROGRAMS = Path(__file__).resolve().parent.parent / "programs"


def begun(*words: str) -> subprocess.Popen[str]:
    """Start the demo in a sandbox of its own, whose ports nobody else uses."""
    if not sandbox.inside():
        pytest.skip("a live release needs a network of its own: make traffic")
    environment = {name: value for name, value in os.environ.items() if name != sandbox.INSIDE}
    command = [
        sys.executable,
        str(PROGRAMS / "sandbox.py"),
        sys.executable,
        str(PROGRAMS / "rollout_demo.py"),
    ]
    return subprocess.Popen(
        [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def test_a_release_has_the_share_of_each_weight_and_no_request_fails() -> None:
    """From `set image` to healthy, each weight is loaded, requests have its share, and none fails, as the page shows it."""
    with begun("--pause", "2") as demo:
        printed, _ = demo.communicate(timeout=120)
    print(printed)
    assert demo.returncode == 0, printed
    page = (PROGRAMS.parent.parent / "docs" / "controller.md").read_text()
    (shown,) = re.findall(r"^```text\n(Starting .*?)^```", page, re.MULTILINE | re.DOTALL)
    assert settled(printed) == settled(shown)


def settled(text: str) -> str:
    """Leave out what time and chance decide: seconds, requests, and the share of a weight below 100."""
    text = re.sub(r"\d+ s\b", "N s", text)
    text = re.sub(r"\b\d{3,} requests, ", "N requests, ", text)
    return re.sub(r" +\d{3,} +(100|\d+)\.\d%", lambda match: " 100%" if match[1] == "100" else " SHARE", text)


def test_ctrl_c_ends_it_in_order() -> None:
    """Interrupted while it starts, it ends what it has started, and says so without a traceback."""
    with begun() as demo:
        assert demo.stdout
        assert demo.stdout.readline().startswith("Starting")
        time.sleep(2)
        # Ctrl-C reaches the whole group; `unshare` waits for the demo.
        (inside,) = children(demo.pid)
        os.kill(inside, signal.SIGINT)
        rest, _ = demo.communicate(timeout=40)
    assert demo.returncode == 130, rest
    assert rest.endswith("Stopped. Nothing is left.\n"), rest
    assert "Traceback" not in rest


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
