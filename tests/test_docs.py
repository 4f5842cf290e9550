"""The pages of the project: their links and the files that they name exist, and their figures are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import manifests as m
from rollway.routers import rbac
from rollway.routers.rollout import parse_rollout

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


ROUTINGS = [
    {"nginx": {"stableIngress": "web"}},
    {"istio": {"virtualService": {"name": "web"}}},
    {
        "istio": {
            "virtualService": {"name": "web"},
            "destinationRule": {"name": "web", "stableSubsetName": "stable", "canarySubsetName": "canary"},
        }
    },
    {"smi": {}},
]


def test_security_lists_the_rights_that_rbac_prints() -> None:
    """SECURITY's table has each resource of the printed Roles with its verbs, no other, and none of them is Secrets."""
    printed: dict[str, set[str]] = {}
    for routing in ROUTINGS:
        rollout = parse_rollout(m.rollout(routing))
        for role in rbac.manifests(rollout, data_planes=["ingress-nginx"]):
            for rule in role["rules"]:
                for resource in rule["resources"]:
                    printed.setdefault(resource, set()).update(rule["verbs"])
    page = (ROOT / "SECURITY.md").read_text()
    rows = re.findall(r"^\| `([\w/]+)` \| ([\w, ]+) \|", page, re.MULTILINE)
    assert {resource: set(verbs.split(", ")) for resource, verbs in rows} == printed
    assert "secrets" not in printed
