"""The codes of findings: each described once, and the page about them written from the code."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from rollway.routers.errors import InvalidInputError
from rollway.routers.finding_codes import finding_codes, refuse_unknown, sections

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "findings.md"
HEAD = """\
# Findings

Everything that rollway refuses or notes has a code: `plan`, `set-weight` and the other verbs print it in brackets behind
the message, `lint` too, and `-o json` gives it as `code`. `--allow CODE` turns a refusal with that code into a note.

This page is written from the code: `ROLLWAY_GOLDEN=write pytest tests/test_findings.py` writes it anew.
"""


def page() -> str:
    """Write the page: one table row for each code, under the part of rollway that finds it."""
    parts = [HEAD]
    for title, entries in sections():
        parts.append(
            f"\n## {title}\n\n| code | meaning | without the refusal | what to do |\n|---|---|---|---|\n"
        )
        parts += [
            f"| `{entry.code}` | {entry.meaning} | {entry.otherwise} | {entry.remedy} |\n"
            for entry in entries
        ]
    return "".join(parts)


def test_the_page_says_what_the_code_says() -> None:
    """docs/findings.md has every code, with the words of the code."""
    if os.environ.get("ROLLWAY_GOLDEN") == "write":
        PAGE.write_text(page())
    assert PAGE.read_text() == page()


def test_every_code_is_described_once() -> None:
    """No code is described twice, and every description is whole sentences that fit into a table."""
    entries = [entry for _, listed in sections() for entry in listed]
    assert max(Counter(entry.code for entry in entries).values()) == 1
    for entry in entries:
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+|ambiguous|unsupported", entry.code)
        for text in entry[1:]:
            assert re.fullmatch(r"[A-Z`][^|\n]*[.]", text), text


def test_every_code_in_the_sources_is_described() -> None:
    """Every code that the library gives to a finding stands in the register, and nothing else does."""
    folders = (ROOT / "routers", ROOT / "rollway" / "adoption")
    sources = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    given = set(re.findall(r'\bFinding\(\s*"([a-z-]+)"', sources))
    given |= set(re.findall(r'code: str = "([a-z-]+)"', sources))
    assert given - set(finding_codes()) == set()
    shared = tuple(re.findall(r'\bFinding\(\s*f"\{backend\}(-[a-z-]+)"', sources))
    once = {code for code in finding_codes() if sources.count(f'"{code}"') < 2}
    assert {code for code in once if not code.endswith(shared)} == set()


def test_a_code_that_does_not_exist_is_refused() -> None:
    """An unknown code is an error that names the one alike; known ones pass."""
    refuse_unknown(["nginx-second-canary", "files-only"])
    with pytest.raises(InvalidInputError, match="did you mean nginx-second-canary"):
        refuse_unknown(["nginx-second-canry"])
