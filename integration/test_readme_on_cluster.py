"""README's blocks about a cluster show what is printed there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from test_readme import CONSOLES, README, commands, settled

if TYPE_CHECKING:
    from harness.namespace import Namespace

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.local
def test_the_cluster_block_prints_what_it_shows() -> None:
    """README's `make cluster RUN=...` runs, and its output is the one that README shows."""
    (block,) = [block for block in CONSOLES if "make cluster " in block]
    ((command, shown),) = commands(block)
    wanted = re.fullmatch(r"make cluster RUN='([^']+)'", command)
    assert wanted
    play = [sys.executable, str(ROOT / "integration" / "programs" / "play.py"), "--run", wanted[1]]
    done = subprocess.run(play, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert settled(done.stdout) == settled(shown)


def test_the_snippet_for_controllers_runs(namespace: Namespace) -> None:
    """The lines for controllers set the weight in a real cluster."""
    (snippet,) = re.findall(r"^```py\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for file in sorted((ROOT / "examples" / "shop" / "istio").glob("*.yaml")):
        namespace.put(*(item for item in yaml.safe_load_all(file.read_text()) if item))
    exec(compile(snippet.replace('"istio"', repr(namespace.name)), "README.md", "exec"), {})
    weights = [
        entry["weight"]
        for entry in namespace.get("networking.istio.io/v1", "VirtualService", "shop")["spec"]["http"][-1][
            "route"
        ]
    ]
    assert weights == [80, 20]
