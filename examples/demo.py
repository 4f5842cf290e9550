"""Move traffic with each backend in a scratch copy of examples/shop, and show the plan, the changed lines and the status.

`make demo` runs this. It writes nothing outside the scratch folder, which it names at the end.
"""

from __future__ import annotations

import difflib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SHOP = Path(__file__).parent / "shop"
ROLLWAY = Path(sys.executable).with_name("rollway")


def run(folder: Path, *words: str) -> None:
    """Show a command and run it."""
    command = ["rollway", *words, "--dir", folder.name]
    print(f"$ {' '.join(command)}", flush=True)
    subprocess.run([ROLLWAY, *command[1:]], cwd=folder.parent, check=False)
    print(flush=True)


def contents(folder: Path) -> dict[str, list[str]]:
    """Read every file of a folder as lines."""
    return {
        str(file.relative_to(folder)): file.read_text().splitlines(keepends=True)
        for file in folder.rglob("*.yaml")
    }


def main() -> None:
    """Play the demo."""
    scratch = Path(tempfile.mkdtemp(prefix="rollway-demo-")) / "shop"
    shutil.copytree(SHOP, scratch)
    for backend in sorted(entry.name for entry in scratch.iterdir()):
        folder = scratch / backend
        # A Service alone selects one release, so it gives the canary all or nothing.
        weight = "100" if backend == "service" else "20"
        print(f"=== {backend}: {weight} % of the traffic to the canary\n", flush=True)
        run(folder, "plan", "shop", weight)
        before = contents(folder)
        run(folder, "set-weight", "shop", weight)
        after = contents(folder)
        print("changed lines:")
        for name in sorted(after):
            sys.stdout.writelines(difflib.unified_diff(before.get(name, []), after[name], name, name, n=0))
        print()
        run(folder, "status", "shop")
    print(f"The files are in {scratch}.")


if __name__ == "__main__":
    main()
