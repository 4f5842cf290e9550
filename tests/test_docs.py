"""The pages of the project: their links and the files that they name exist, and their figures are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("", "docs", "integration", "integration/containers")
PAGES = [page for folder in FOLDERS for page in sorted((ROOT / folder).glob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_to_files(page: Path) -> None:
    """Each link of a page to another file of the project leads to one."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("folder", ["integration", "integration/containers"])
def test_tables_name_files_that_exist(folder: str) -> None:
    """Each file in the tables of the integration tests' pages exists; the files of a row are in one folder."""
    for row in re.findall(r"^\| (`.*?) \|", (ROOT / folder / "README.md").read_text(), re.MULTILINE):
        names = [name for name in re.findall(r"`([^`]+)`", row) if re.search(r"[./]", name)]
        home = (ROOT / folder / names[0]).parent if names else ROOT
        assert [name for name in names if not any(home.glob(name)) and not any(home.parent.glob(name))] == []


def test_each_integration_test_is_in_a_table() -> None:
    """A newcomer finds each file of tests in the page of the folder."""
    listed = re.findall(r"`([^`]*test_\w+\.py)`", (ROOT / "integration" / "README.md").read_text())
    tests = [
        str(file.relative_to(ROOT / "integration")) for file in (ROOT / "integration").rglob("test_*.py")
    ]
    assert sorted(listed) == sorted(tests)
