"""Write `tests/condition_answers.json` anew, after cases came or other modules were pinned in `../tools/conditions`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from harness.conditions import (
    ANSWERS,
    decisions,
)

if __name__ == "__main__":
    records = {release: decisions(release) for release in ("1.9", "1.10")}
    ANSWERS.write_text(json.dumps(records, indent=0) + "\n")
