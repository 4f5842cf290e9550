"""The Go types that Argo Rollouts hashes, as the file of rollway's package that has their fields.

The types are those of the modules that `../tools/hashes` pins: `go.mod` for the flavour `current`, `old.mod` for `old`. Of
the old ones, only the structs that differ are written.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from harness import tools

FILE = Path(__file__).resolve().parent.parent.parent / "rollway" / "controller" / "go_types.json"


def generated() -> str:
    """Return the text of the file, with one line for each struct."""
    current, old = _table("current"), _table("old")
    differing = {
        section: {
            name: fields
            for name, fields in structs.items()
            if list(fields.items()) != list(current[section].get(name, {}).items())
        }
        for section, structs in old.items()
    }
    flavours = {"current": current, "old": differing}
    return "{\n" + ",\n".join(f'"{name}": {_lines(table)}' for name, table in flavours.items()) + "\n}\n"


def _table(flavour: str) -> dict[str, Any]:
    command = [str(tools.hashes(flavour).path()), "table"]
    table: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return table


def _lines(table: dict[str, Any]) -> str:
    sections = []
    for section, structs in table.items():
        lines = ",\n".join(f'  "{name}": {json.dumps(fields)}' for name, fields in structs.items())
        sections.append(f' "{section}": {{\n{lines}\n }}')
    return "{\n" + ",\n".join(sections) + "\n}"
