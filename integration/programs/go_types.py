"""Write `rollway/controller/go_types.json` anew, after other modules were pinned in `../tools/hashes`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import go_types

if __name__ == "__main__":
    go_types.FILE.write_text(go_types.generated())
