"""The sandbox of the traffic tests: user, network, mount and process namespaces that nothing leaves.

`programs/sandbox.py` makes it.
"""

from __future__ import annotations

import os

from harness import unshare

INSIDE = "ROLLWAY_SANDBOX"
"""The variable that is set where a command runs in a sandbox."""
PODS = "10.244.0.0/16"
"""The addresses of pods, all of which are local in a sandbox."""


def unavailable() -> str:
    """Return why there can be no sandbox on this machine; empty when there can."""
    return unshare.unavailable({"ip": "iproute2", "mount": "mount"}, user=True)


def inside() -> bool:
    """Return whether this process is in a sandbox."""
    return INSIDE in os.environ
