"""The pages of the project: their links and the files that they name exist, and their figures are those of the code."""

from __future__ import annotations

import html
import re
import runpy
import tomllib
from pathlib import Path

import pytest

import manifests as m
from harness import tools
from rollway.routers import rbac
from rollway.routers.backends import BUILTIN, backend
from rollway.routers.rollout import parse_rollout
from running import rollway

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
    {
        "gatewayAPI": {
            **{f"{kind}Route": "web" for kind in ("http", "grpc", "tls", "tcp")},
            "namespace": "routes",
        }
    },
    {"gatewayAPI": {"httpRouteSelector": {"matchLabels": {"release": "shop"}}}},
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


def test_readme_names_parts_of_the_library_that_exist() -> None:
    """Each folder and module in the table of "How it works" exists, and each package of the library is in it."""
    names = re.findall(r"`([^`]+)`", " ".join(row[0] for row in rows(README, "How it works")))
    assert [name for name in names if not (ROOT / name.replace("NAME", "smi")).exists()] == []
    packages = {file.parent.name for file in (ROOT / "routers").glob("*/__init__.py")}
    assert packages <= {name.split("/")[1] for name in names if "/" in name}


README = (ROOT / "README.md").read_text()
VERSIONS = (ROOT / "docs" / "versions.md").read_text()
MODULES = ROOT / "integration" / "tools"
OWN = {"kubelet", "pods"}
"""Modules whose program is ours."""


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading of a page."""
    body = page.split(f"## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_versions_names_the_modules_that_the_tests_pin() -> None:
    """Each pinned program is in the page's table with the version of its go.mod or of pyproject, and no other."""
    listed = rows(VERSIONS, "Modules")
    for file, module, version in ([cell.strip("`") for cell in row] for row in listed):
        separator = "==" if file == "pyproject.toml" else " "
        assert re.search(rf"\b{re.escape(module + separator + version)}\b", (ROOT / file).read_text()), module
    folders = {row[0].strip("`").split("/")[-2] for row in listed if "/" in row[0]}
    assert folders == {folder.name for folder in MODULES.iterdir()} - OWN


def test_versions_names_them_as_people_do() -> None:
    """The tables for people have each version of the table of modules; a commit stands as its tag or its day."""
    text = VERSIONS.split("## Modules")[0]
    for _, module, pinned in rows(VERSIONS, "Modules"):
        version = pinned.strip("`").removeprefix("v")
        commit = re.fullmatch(r"0\.0\.0-(\d{4})(\d\d)(\d\d)\d{6}-\w+", version)
        if commit:
            version = tools.INGRESS_NGINX if "ingress-nginx" in module else "-".join(commit.groups())
        assert re.search(rf"\bv?{re.escape(version)}\b", text), module


def test_versions_names_the_rules_that_are_modelled() -> None:
    """The version of ingress-nginx is the one that the model of its controller follows, and README names the same."""
    model = (ROOT / "routers" / "backends" / "nginx" / "controller.py").read_text()
    followed = re.search(r"kubernetes/ingress-nginx (v[\d.]+)", model)
    assert followed
    assert f"ingress-nginx {followed[1]} |" in VERSIONS
    assert f"those of {followed[1]}, [tested with {tools.INGRESS_NGINX}]" in README
    assert f"ingress-nginx {tools.INGRESS_NGINX}" in README.split("## Install")[0]


def test_versions_lists_each_api_version_once() -> None:
    """Each API version that a backend writes has carried traffic, or is listed as proven on objects only."""
    listed = {name: f"{traffic}, {objects}" for name, _, _, traffic, objects in rows(VERSIONS, "Data planes")}
    for name in BUILTIN:
        written = re.findall(r"\bv\d\w*", " ".join(backend(name).capabilities.versions))
        assert sorted(re.findall(r"\bv\d\w*", listed[name])) == sorted(written)


def test_versions_lists_the_pythons_of_the_package() -> None:
    """The page, README and the package's metadata name the same versions of Python."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    pythons = [item.rpartition(" ")[2] for item in classifiers if " :: Python :: 3." in item]
    assert re.findall(r"\b3\.\d+", VERSIONS.split("## Python")[1]) == pythons
    assert f"Python {pythons[0]} to {pythons[-1]}" in README


def test_the_comparison_names_tests_that_exist() -> None:
    """Each claim of README's comparison names a file of tests that shows it."""
    compared = rows(README, "Compared with Argo Rollouts and Flagger")
    named = re.findall(r"`([^`]*test_\w+\.py)`", " ".join(row[-1] for row in compared))
    assert len(named) >= 8
    assert [
        name for name in named if not any((ROOT / home / name).exists() for home in ("tests", "integration"))
    ] == []


def test_readme_names_every_command() -> None:
    """A reader finds each command of `rollway --help` in README."""
    listed = re.findall(r"^  ([a-z][a-z-]+)  +[A-Z]", rollway("--help").stdout, re.MULTILINE)
    assert len(listed) >= 14
    assert [name for name in listed if f"rollway {name}" not in README] == []


def test_the_picture_shows_what_the_commands_print() -> None:
    """README's picture of a terminal has the present output; `python docs/draw_session.py` draws it again."""
    program = runpy.run_path(str(ROOT / "docs" / "draw_session.py"))
    drawn = re.findall(r"<text[^>]*>(.*?)</text>", program["TARGET"].read_text())
    shown = re.sub(r"\s+", "", html.unescape("".join(drawn)))
    assert shown.removeprefix("rollway") == re.sub(r"\s+", "", program["session"]().plain)
