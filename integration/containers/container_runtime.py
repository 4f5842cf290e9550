"""Run runc without the capabilities that this machine does not have.

    python container_runtime.py RUNC WORDS...

`docker run --privileged`, which kind needs, asks for all capabilities, and runc ends where one of them is missing.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

# The numbers of linux/capability.h; only the capabilities that some machines do not give to their guests.
_KEPT_BACK = {
    16: "CAP_SYS_MODULE",
    22: "CAP_SYS_BOOT",
    24: "CAP_SYS_RESOURCE",
    25: "CAP_SYS_TIME",
    36: "CAP_BLOCK_SUSPEND",
    38: "CAP_PERFMON",
    39: "CAP_BPF",
    40: "CAP_CHECKPOINT_RESTORE",
}


def missing() -> set[str]:
    """Return the capabilities that no process of this machine can get."""
    lines = Path("/proc/self/status").read_text().splitlines()
    has = int(next(line.split()[1] for line in lines if line.startswith("CapBnd:")), 16)
    return {name for number, name in _KEPT_BACK.items() if not has >> number & 1}


def main() -> None:
    """Remove them from the container's configuration, or from that of a process that starts in a container."""
    runc, *words = sys.argv[1:]
    absent = missing()
    for flag, value in itertools.pairwise(words):
        bundle = Path(value, "config.json") if flag in {"--bundle", "-b"} else None
        file = Path(value) if flag in {"--process", "-p"} else bundle
        if absent and file and file.exists():
            document: dict[str, Any] = json.loads(file.read_text())
            granted = document.get("process", document).get("capabilities") or {}
            for name, held in granted.items():
                granted[name] = [item for item in held if item not in absent]
            file.write_text(json.dumps(document))
    os.execv(runc, [runc, *words])


if __name__ == "__main__":
    main()
