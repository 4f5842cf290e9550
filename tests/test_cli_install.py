"""`rollway install`: it prints what `rollway.controller.install` returns, and nothing by mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from rollway.controller import rights
from rollway.controller.install import Installation, controller_objects, shared_objects
from rollway.routers.backends import builtin_packages
from running import rollway

PACKAGES = builtin_packages()


def test_the_command_prints_what_kubectl_applies() -> None:
    """`rollway install --print` prints the CRDs and the controller, as YAML and as JSON the same."""
    text, document = rollway("install", "--print"), rollway("install", "--print", "-o", "json")
    assert (text.code, text.stderr) == (0, "")
    printed = list(yaml.safe_load_all(text.stdout))
    assert printed == [*shared_objects(PACKAGES), *controller_objects(Installation(PACKAGES))]
    assert json.loads(document.stdout)["items"] == printed


def test_the_command_prints_a_part() -> None:
    """A part is what a cluster has once, or the controller; --namespaced has the second only, and a note names the first."""
    once, controller = (rollway("install", "--print", "--only", part) for part in ("crds", "controller"))
    assert list(yaml.safe_load_all(once.stdout)) == shared_objects(PACKAGES)
    assert list(yaml.safe_load_all(controller.stdout)) == controller_objects(Installation(PACKAGES))
    words = (
        "--namespaced",
        "-n",
        "team",
        "--instance-id",
        "blue",
        "--image",
        "shop:1",
        "--data-plane",
        "edge",
    )
    ran = rollway("install", "--print", *words)
    wanted = Installation(PACKAGES, "team", True, "blue", "shop:1", ("edge",))
    assert list(yaml.safe_load_all(ran.stdout)) == controller_objects(wanted)
    assert "rollway install --print --only crds" in ran.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "rollway install --print | kubectl apply -f -"),
        (("--print", "--only", "crds", "--namespaced"), "once with --only crds and once with --namespaced"),
        (("--print", "--instance-id", "A_b"), "no instance id"),
    ],
)
def test_the_command_prints_nothing_by_mistake(words: tuple[str, ...], message: str) -> None:
    """Without --print, and with words that contradict each other, it ends with what to do and prints nothing."""
    ran = rollway("install", *words)
    assert (ran.code, ran.stdout, message in ran.stderr) == (2, "", True)


def test_the_page_lists_the_rights_of_the_controller() -> None:
    """The table of docs/install.md has each resource with its verbs, and no other."""
    rules = [*rights.controller_rules(PACKAGES), *rights.LEASES]
    page = (Path(__file__).parent.parent / "docs" / "install.md").read_text()
    rows = re.findall(r"^\| `([\w/]+)` \| ([\w, ]+) \|", page, re.MULTILINE)
    assert [(resource, verbs.split(", ")) for resource, verbs in rows] == [
        (rule.resource, list(rule.verbs)) for rule in rules
    ]
