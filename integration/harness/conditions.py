"""What Argo Rollouts' own code decides for conditions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from condition_cases import CASES

from harness import tools

ANSWERS = Path(__file__).parent.parent.parent / "tests" / "condition_answers.json"
"""The decisions that the unit tests compare with."""


def decisions(release: str) -> dict[str, bool | str]:
    """Return the decision of each case, `error` where it has none; the release is `1.9` or `1.10`."""
    questions = [{"condition": case.condition, "result": case.result, "type": case.type} for case in CASES]
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    program = str(tools.conditions(release).path())
    done = subprocess.run([program], input=lines.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {case.key: answer.get("decision", "error") for case, answer in zip(CASES, answers, strict=True)}
