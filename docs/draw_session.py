"""Draw `docs/session.svg`: a terminal in which rollway runs on a copy of examples/shop. Each line is real output.

make picture
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "session.svg"
WIDTH = 112
COMMANDS = (
    "rollway plan shop 20 -n istio",
    "rollway set-weight shop 20 -n istio",
    "rollway set-weight shop 20 -n nginx",
)
_SECOND_CANARY = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: other-canary
  namespace: nginx
  annotations:
    nginx.ingress.kubernetes.io/canary: "true"
    nginx.ingress.kubernetes.io/canary-weight: "5"
spec:
  ingressClassName: nginx
  rules:
    - host: shop.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: other, port: {number: 80}}}
"""
"""Somebody else's canary on the same path: ingress-nginx would silently ignore ours beside it."""


def main() -> None:
    """Run the session, and write the picture."""
    TARGET.write_text(picture(session()))


def session() -> Text:
    """Return what the commands print on a terminal, with their colours."""
    shown = Text()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shop"
        shutil.copytree(ROOT / "examples" / "shop", folder)
        (folder / "nginx" / "other-canary.yaml").write_text(_SECOND_CANARY)
        for command in COMMANDS:
            shown.append("$ ", "bold green").append(f"{command}\n", "bold")
            shown.append_text(Text.from_ansi(printed(shlex.split(command), folder)))
            shown.append("\n")
    shown.rstrip()
    return shown


def printed(command: list[str], folder: Path) -> str:
    """Return what a command writes to a terminal."""
    program = Path(sys.executable).with_name(command[0])
    terminal, its_side = pty.openpty()
    environment = {
        **os.environ,
        "ROLLWAY_DIR": str(folder),
        "TERM": "xterm-256color",
        "COLUMNS": str(WIDTH),
    }
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [program, *command[1:]], stdin=its_side, stdout=its_side, stderr=its_side, env=environment, cwd=folder
    ):
        os.close(its_side)
        written = bytearray()
        # On Linux, reading from a terminal whose other side has ended is an error.
        while chunk := _read(terminal):
            written += chunk
    os.close(terminal)
    return written.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def picture(shown: Text) -> str:
    """Return the picture of a terminal."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(shown, soft_wrap=False)
        drawn = console.export_svg(title="rollway", unique_id="rollway")
    # A picture in a page may not load fonts from elsewhere; without them the reader's own monospace font is used.
    return re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    main()
