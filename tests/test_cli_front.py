"""The shape of the command line: verbs that load when they are called, options before and behind them, help."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
import yaml

import manifests as m
from rollway.cli import VERBS, cli
from running import rollway

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Return a folder with a Rollout of the same name in two namespaces."""
    objects = []
    for namespace in ("blue", "green"):
        for manifest in (m.rollout({"smi": {}}), m.service("shop-stable"), m.service("shop-canary")):
            manifest["metadata"]["namespace"] = namespace
            objects.append(manifest)
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    return tmp_path


def rollouts(stdout: str) -> list[str]:
    """Return the namespaces of the Rollouts in a JSON status."""
    return [entry["rollout"]["namespace"] for entry in json.loads(stdout)]


def test_options_may_stand_before_the_verb(two: Path) -> None:
    """What stands before the verb counts as if it stood behind it."""
    ran = rollway("-n", "blue", "--dir", str(two), "-o", "json", "status")
    assert (ran.code, rollouts(ran.stdout)) == (0, ["blue"])


def test_the_option_behind_the_verb_wins(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an option that stands before and behind the verb, the one behind counts; either counts more than ROLLWAY_DIR."""
    monkeypatch.setenv("ROLLWAY_DIR", "/nowhere")
    ran = rollway("-n", "blue", "--dir", str(two), "status", "-n", "green", "-o", "json")
    assert (ran.code, rollouts(ran.stdout)) == (0, ["green"])


def test_a_verb_without_a_store_has_no_use_for_its_options(two: Path) -> None:
    """An alias with a namespace and a directory works for every verb; behind such a verb they are refused."""
    assert rollway("-n", "blue", "--dir", str(two), "completion", "bash").code == 0
    assert rollway("backends", "-n", "blue").code == 2


def test_wrong_options_before_the_verb_are_usage_errors() -> None:
    """An unknown option, a missing value and an unknown verb say what is wrong."""
    for words, text in (
        (("--namspace", "x", "status"), "--namespace"),
        (("-n",), "requires an argument"),
        (("-n", "x", "stauts"), "Did you mean 'status'"),
        (("-n", "x"), "Missing command"),
    ):
        ran = rollway(*words)
        assert (ran.code, text in ran.stderr) == (2, True), ran


def test_debug_before_the_verb(two: Path) -> None:
    """--debug shows the traceback wherever it stands."""
    with pytest.raises(Exception, match="not found"):
        rollway("--debug", "--dir", str(two), "status", "cart")


@pytest.mark.parametrize("name", list(VERBS))
def test_the_list_of_the_verbs_says_what_they_say(name: str) -> None:
    """The summary of a verb in the list is the first sentence of its own help, and each has the two common options."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help is not None
    assert command.help.startswith(VERBS[name].summary)
    shown = rollway(name, "--help").stdout
    assert all(word in shown for word in ("--debug", "--help", f"Usage: rollway {name}"))


def test_help_is_whole_at_eighty_columns() -> None:
    """The list of the verbs is wrapped at the width of the terminal, and never cut off."""
    text = rollway("--help").stdout
    assert "..." not in text.replace("[ARGS]...", "")
    flat = " ".join(text.split())
    assert all(verb.summary in flat for verb in VERBS.values())
    assert max(map(len, text.splitlines())) <= 80


def test_options_that_belong_together_stand_together() -> None:
    """The help of a verb has its options under headings, those of every verb at the end."""
    text = rollway("set-weight", "--help").stdout
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Rollout:", "Guards:", "Writing:", "Evidence:", "Store:", "Output:"]
    assert text.index("Guards:") < text.index("--max-step") < text.index("Writing:") < text.index("--dry-run")


def test_the_list_of_the_verbs_imports_none_of_them() -> None:
    """`rollway --help` and the completion of verbs stay fast, because they import no library."""
    for environment in (
        {},
        {"_ROLLWAY_COMPLETE": "bash_complete", "COMP_WORDS": "rollway s", "COMP_CWORD": "1"},
    ):
        code = (
            "import sys, atexit\n"
            "atexit.register(lambda: print([name for name in sys.modules if name.startswith(('rollway.cli.commands', 'rollway.routers.model'))]))\n"
            "from rollway.cli import main\n"
            "main(['--help'])"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert ran.stdout.splitlines()[-1] == "[]"
        assert "set-weight" in ran.stdout


def test_a_negative_value_is_the_value_of_its_option(two: Path) -> None:
    """`--max-step -5` is a limit that is refused, and not a weight that is missing an option."""
    ran = rollway("-n", "blue", "set-weight", "shop", "20", "--max-step", "-5", "--dir", str(two))
    assert (ran.code, "outside 0..100" in ran.stderr) == (2, True), ran
