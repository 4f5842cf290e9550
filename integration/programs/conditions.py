"""Write `tests/condition_answers.json` anew, after cases came or other modules were pinned in `../tools/conditions`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ANSWERS = HERE.parent.parent / "tests" / "condition_answers.json"
sys.path.insert(0, str(ANSWERS.parent))
sys.path.insert(0, str(HERE.parent))

from harness.conditions import decisions  # noqa: E402

if __name__ == "__main__":
    records = {release: decisions(release) for release in ("1.9", "1.10")}
    ANSWERS.write_text(json.dumps(records, indent=0) + "\n")
