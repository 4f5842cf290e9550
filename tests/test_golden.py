"""Golden cases: manifests as users write them, one command, and all that it prints and changes.

A case is `golden/BACKEND/NAME.yaml`: its first line is what it shows, its second the command, the rest is the file.
`NAME.txt` beside it holds the exit code, the output and the changed lines. ROLLWAY_GOLDEN=write writes it anew; read
the difference before you commit it.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
from pathlib import Path

import pytest
import yaml

import manifests as m
from running import rollway

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(GOLDEN.glob("*/*.yaml"))


def contents(folder: Path) -> dict[str, list[str]]:
    """Read every file of a folder as lines."""
    return {
        str(file.relative_to(folder)): file.read_bytes().decode().splitlines(keepends=True)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def changes(before: dict[str, list[str]], after: dict[str, list[str]]) -> str:
    """Write what changed in a folder as a unified diff without context."""
    lines: list[str] = []
    for name in sorted({*before, *after}):
        lines += difflib.unified_diff(
            before.get(name, []), after.get(name, []), f"a/{name}", f"b/{name}", n=0
        )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_golden(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of the case prints and changes exactly what its text file holds."""
    text = case.read_text()
    command = shlex.split(text.splitlines()[1].removeprefix("# $ rollway "))
    folder = tmp_path / "k8s"
    folder.mkdir()
    (folder / "app.yaml").write_text(text)
    if "# without Services\n" not in text:
        services = [m.service("shop-stable"), m.service("shop-canary")]
        (folder / "services.yaml").write_text(yaml.safe_dump_all(services))
    monkeypatch.chdir(tmp_path)
    before = contents(folder)
    ran = rollway(*command, "--dir", "k8s")
    diff = changes(before, contents(folder))
    found = f"exit code {ran.code}\n--- stdout\n{ran.stdout}--- stderr\n{ran.stderr}--- changed\n{diff}"
    golden = case.with_suffix(".txt")
    if os.environ.get("ROLLWAY_GOLDEN") == "write":
        golden.write_text(found)
    assert found == golden.read_text()
    if ran.code:
        assert not diff
        assert "Traceback" not in ran.stderr


def test_there_are_enough_cases() -> None:
    """Every case has its golden file, no golden file is left over, and there are more than thirty."""
    assert {case.stem for case in CASES} == {text.stem for text in GOLDEN.glob("*/*.txt")}
    assert len(CASES) > 30


def test_the_page_for_argo_users_names_cases_that_exist() -> None:
    """Every case that docs/argo-rollouts.md names is a golden case."""
    page = (GOLDEN.parent.parent / "docs" / "argo-rollouts.md").read_text()
    named = re.findall(r"`((?:nginx|istio|smi|gateway|service|several|manifest)/[a-z0-9-]+)`", page)
    assert len(named) > 30
    assert set(named) <= {f"{case.parent.name}/{case.stem}" for case in CASES}
