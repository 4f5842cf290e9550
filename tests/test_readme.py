"""Every command and snippet of README is executed, and what README shows is what is printed."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rollway.cli.report import capabilities
from rollway.routers.backends import BUILTIN
from running import rollway

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONSOLES = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
MAKE = {"demo", "test", "gates", "integration-kind", "tests", "cluster-tests", "cluster", "bench", "traffic"}


def commands(block: str) -> list[tuple[str, str]]:
    """Split a console block into (command, output)."""
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in block.split("$ ")[1:]]


def settled(text: str) -> str:
    """Make output comparable: no trailing blanks, columns a single gap apart, no fingerprint."""
    text = re.sub(r"fingerprint \w+", "fingerprint FINGERPRINT", text)
    return "\n".join(re.sub(r" {2,}", "  ", line).rstrip() for line in text.strip().splitlines())


@pytest.mark.parametrize("block", [block for block in CONSOLES if block.startswith("$ rollway")])
def test_console_blocks_print_what_they_show(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rollway command of a block runs in a fresh copy of the examples, and shown output is the real one."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    for command, shown in commands(block):
        ran = rollway(*shlex.split(command)[1:])
        assert ran.code in ((3,) if " plan " in command else (4,) if "0.5%" in command else (0,)), ran
        if shown.strip():
            found = ran.stdout or ran.stderr
            assert settled(found) == settled(shown), command


def test_python_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ten lines for controllers run and print what a reader expects."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert snippets
    for snippet in snippets:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(snippet, "README.md", "exec"), {})
        assert printed.getvalue().startswith("True Traffic(split=Split(canary=20, total=100)")


def test_make_targets_exist() -> None:
    """Every make target that README names exists and is made of the commands that make prints."""
    named = {
        command.split()[1]
        for block in CONSOLES
        for command, _ in commands(block)
        if command.startswith("make ")
    }
    assert named == MAKE
    for target in sorted(named):
        shown = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert ".venv/bin" in shown


@pytest.mark.slow
@pytest.mark.uncovered
def test_the_demo_shows_plan_changed_lines_and_status(tmp_path: Path) -> None:
    """`make demo` runs for every backend and leaves the examples alone."""
    before = {file: file.read_bytes() for file in (ROOT / "examples").rglob("*.yaml")}
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        ["make", "demo"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    for backend in BUILTIN:
        weight = "100" if backend == "service" else "20"
        assert f"=== {backend}: {weight} % of the traffic to the canary" in ran.stdout
        assert f"Plan for Rollout {backend}/shop: canary {weight} of 100, {weight} %" in ran.stdout
        assert re.search(
            rf"(shop|canary|primary) +- +{weight} of 100, {weight} % +- +written +now", ran.stdout
        )
    assert ran.stdout.count("changed lines:\n---") == len(BUILTIN)
    assert "+          weight: 20" in ran.stdout
    assert "Traceback" not in ran.stderr
    assert {file: file.read_bytes() for file in (ROOT / "examples").rglob("*.yaml")} == before


@pytest.mark.slow
@pytest.mark.uncovered
def test_the_benchmarks_run() -> None:
    """What `make bench` runs works and prints its three tables."""
    command = [sys.executable, "benchmarks/bench.py", "--quick"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for title in ("start-up", "10 rollouts, 50 objects", "no-change reconcile in memory"):
        assert title in ran.stdout


@pytest.mark.slow
@pytest.mark.uncovered
def test_the_install_block_works_in_a_fresh_environment(tmp_path: Path) -> None:
    """The commands of README's Install section, run one by one in a new virtual environment."""
    block = next(block for block in CONSOLES if "pip install" in block)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    environment = {**os.environ, "PATH": f"{tmp_path / 'venv' / 'bin'}:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    source = tmp_path / "source"
    kept = ("rollway", "routers", "templates", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE")
    source.mkdir()
    for name in kept:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    for command, _ in commands(block):
        ran = subprocess.run(
            command, cwd=source, env=environment, shell=True, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert "pip" in command or "rollway" in ran.stdout


def test_the_backends_table_is_the_one_of_the_cli() -> None:
    """The table in README is what `rollway backends` prints."""
    shown = README.split("compared by a test -->\n```\n")[1].split("```")[0]
    assert settled(shown) == settled(rollway("backends").stdout)
    assert len(capabilities()[1]) == len(BUILTIN)


def test_exit_codes_are_those_of_the_errors() -> None:
    """The codes in README, in the help text and in the tree of errors are the same."""
    from rollway.routers import errors

    listed = {int(code) for code in re.findall(r"^\| (\d) \|", README, re.MULTILINE)}
    raised = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.RollwayError)
    }
    assert raised < listed == {0, 1, 2, 3, 4, 5}
    text = " ".join(rollway("--help").stdout.split())
    assert all(f"{code} " in text for code in listed)
