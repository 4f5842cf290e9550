"""Run README's block about `make lab` as a reader would, and compare what it prints with what README shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def settled(text: str) -> str:
    """Leave out what chance decides: how many of the requests the canary got."""
    text = re.sub(r"canary got .*", "canary got its share", text)
    return "\n".join(re.sub(r" {2,}", "  ", line).rstrip() for line in text.strip().splitlines())


def main() -> None:
    """Run it, and end with the difference if there is one."""
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"^\$ (make lab RUN='.*?'\n)(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert block, "README shows `make lab`"
    # With the flags of the outer make, the inner one would print more.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    command = ["bash", "-c", block.group(1)]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(f"$ {block.group(1)}{ran.stdout}", end="")
    if ran.returncode or settled(ran.stdout) != settled(block.group(2)):
        sys.exit(f"README shows something else (exit status {ran.returncode}):\n{block.group(2)}{ran.stderr}")


if __name__ == "__main__":
    main()
