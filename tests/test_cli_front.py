"""The shape of the command line: verbs that load when they are called, options before and behind them, help."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
import yaml

import manifests as m
from rollway import __version__
from rollway.cli import VERBS, cli
from rollway.cli.group import Command
from rollway.cli.report import workflow_command
from rollway.routers.backends import BUILTIN
from rollway.routers.linting import Problem
from running import on_terminal, rollway, schema

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
    """An unknown option, a missing value and an unknown verb are reported."""
    for words, text in (
        (("--namspace", "x", "status"), "--namespace"),
        (("-n",), "requires an argument"),
        (("-n", "x", "stauts"), "'status'"),
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
    assert all(word in shown for word in ("--debug", "--help", f"Usage: rollway {name}", "Examples:"))


@pytest.mark.parametrize("name", list(VERBS))
def test_the_examples_of_the_help_are_commands_that_exist(name: str) -> None:
    """Each example names only verbs and options that are there."""
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, Command)
    calls = re.findall(r"rollway ([^|#>)]*)", command.examples.replace("\\", ""))
    assert calls
    for call in calls:
        verb, *words = shlex.split(call)
        used = cli.get_command(click.Context(cli), verb)
        assert used is not None
        known = {spelling for parameter in used.params for spelling in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known


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
    assert headings == [
        "Examples:",
        "Rollout:",
        "Guards:",
        "Writing:",
        "Evidence:",
        "Controller:",
        "Store:",
        "Output:",
    ]
    assert (
        text.index("Guards:") < text.index("  --max-step") < text.index("Writing:") < text.index("  --adopt")
    )


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


# -- names, forms and headers


@pytest.mark.parametrize(
    "name", ["shop", "rollout/shop", "rollouts/shop", "ro/shop", "rollouts.argoproj.io/shop", "Rollout/shop"]
)
def test_a_rollout_is_named_as_for_kubectl(name: str, two: Path) -> None:
    """NAME may have the kind before it, as kubectl takes and prints it."""
    for words in (("status", name), ("set-weight", name, "20", "--dry-run"), ("lint", name)):
        assert rollway("-n", "blue", *words, "--dir", str(two)).code == 0


@pytest.mark.parametrize("name", ["deployment/shop", "rollouts.example.com/shop", "rollout/", "/shop"])
def test_another_kind_is_a_usage_error(name: str, two: Path) -> None:
    """What is no Rollout is refused by name."""
    ran = rollway("-n", "blue", "status", name, "--dir", str(two))
    assert (ran.code, name in ran.stderr) == (2, True)


def test_names_complete_with_their_kind(two: Path) -> None:
    """What stands before the slash stays when a name is completed."""
    environment = {
        "_ROLLWAY_COMPLETE": "bash_complete",
        "COMP_WORDS": f"rollway --dir {two} -n blue status rollout/s",
        "COMP_CWORD": "6",
    }
    ran = subprocess.run(
        [sys.executable, "-c", "from rollway.cli import main; main()"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.split() == ["plain,rollout/shop"]


def test_forms_of_status(two: Path) -> None:
    """-o wide adds the weights, -o name prints names, and --no-headers leaves the header line out."""
    where = ("--dir", str(two))
    plain, wide = rollway("status", *where).stdout, rollway("status", *where, "-o", "wide").stdout
    assert plain.splitlines()[0].split() == ["NAMESPACE", "NAME", "OBJECT", "PART", "CANARY"]
    assert wide.splitlines()[0].split() == ["NAMESPACE", "NAME", "OBJECT", "PART", "WEIGHTS", "CANARY"]
    assert rollway("status", *where, "-o", "name").stdout == "rollout.argoproj.io/shop\n" * 2
    bare = rollway("status", *where, "--no-headers").stdout
    assert [line.split()[0] for line in bare.splitlines()] == ["blue", "green"]
    one = rollway("-n", "blue", "status", "shop", *where, "--no-headers").stdout
    assert one.splitlines()[0].startswith("TrafficSplit shop")
    assert "WEIGHTS" in rollway("-n", "blue", "status", "shop", *where, "-o", "wide").stdout
    assert rollway("backends", "-o", "name").stdout.split() == list(BUILTIN)
    assert len(rollway("backends", "--no-headers").stdout.splitlines()) == len(BUILTIN)


def test_status_fits_a_hundred_columns(tmp_path: Path) -> None:
    """With names of usual length, no line of status is wider than 100 columns; details are in -o wide."""
    objects = [
        m.rollout({"istio": {"virtualService": {"name": "checkout-service"}}}, name="checkout-service"),
        m.virtual_service("checkout-service"),
    ]
    for manifest in objects:
        manifest["metadata"]["namespace"] = "production"
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    for words in (("status",), ("status", "checkout-service")):
        ran = rollway(*words, "--dir", str(tmp_path))
        assert max(map(len, ran.stdout.splitlines())) <= 100, ran


def test_status_of_a_rollout_in_a_file(two: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """-f gives the Rollout; without a name it is the only one in the file, and several need one."""
    file = tmp_path_factory.mktemp("other") / "rollout.yaml"
    rollout = m.rollout({"smi": {}}, name="extra")
    file.write_text(yaml.safe_dump(rollout))
    assert "Rollout default/extra" in rollway("status", "-f", str(file), "--dir", str(two)).stdout
    file.write_text(yaml.safe_dump_all([rollout, m.rollout({"smi": {}}, name="other")]))
    several = rollway("status", "-f", str(file), "--dir", str(two))
    assert (several.code, "extra, other: give the NAME" in several.stderr) == (2, True)
    assert rollway("status", "other", "-f", str(file), "--dir", str(two)).code == 0
    file.write_text("a: 1\n")
    assert rollway("status", "-f", str(file), "--dir", str(two)).code == 1


def test_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a cluster only the client has a version; a cluster that is asked for by name must be there."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    document = json.loads(rollway("version", "-o", "json").stdout)
    schema("version", document)
    assert (document["client"]["version"], document["server"]) == (__version__, None)
    assert rollway("version", "--client").stdout.startswith(f"rollway {__version__} ")
    assert rollway("version", "--context", "prod").code == 1


# -- errors and streams


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (("status", "cart"), "NotFoundError", 1),
        (("set-weight", "shop", "200"), "WeightError", 2),
        (("set-weight", "shop"), "MissingParameter", 2),
        (("set-weight", "shop", "20", "--max-step", "10"), "RefusedError", 4),
        (("verify", "shop", "20"), "NotVerifiedError", 5),
    ],
)
@pytest.mark.parametrize("form", [("-o", "json"), ("-ojson",), ("--output=json",), ("-o", "yaml")])
def test_errors_are_documents(
    words: tuple[str, ...], kind: str, code: int, form: tuple[str, ...], two: Path
) -> None:
    """With -o json and yaml, the last thing on stderr is the error as a document, with the usual exit code."""
    ran = rollway("--dir", str(two), "-n", "blue", *words, *form)
    text = ran.stderr.rpartition("---\n")[2] if "yaml" in form else ran.stderr.splitlines()[-1]
    document = yaml.safe_load(text)
    schema("error", document)
    assert (ran.code, document["error"]["exitCode"], document["error"]["type"]) == (code, code, kind)
    assert bool(document["error"]["reasons"]) == (kind == "RefusedError")
    assert "\n" not in document["error"]["message"]


def test_status_of_all_reports_each_error_as_a_document(two: Path) -> None:
    """A Rollout that cannot be observed is a document of its own, which names it."""
    (two / "broken.yaml").write_text(yaml.safe_dump(m.rollout({"alb": {}}, name="broken")))
    ran = rollway("status", "--dir", str(two), "-o", "json")
    document = json.loads(ran.stderr.splitlines()[-1])
    schema("error", document)
    assert (ran.code, document["error"]["object"]["name"], len(json.loads(ran.stdout))) == (1, "broken", 2)


@pytest.mark.parametrize(
    "words", [("status",), ("render", "shop", "20", "-n", "blue"), ("--help",), ("set-weight", "--help")]
)
def test_a_full_disk_is_no_bug_in_rollway(words: tuple[str, ...], two: Path) -> None:
    """An answer that stdout does not take is an error with this reason, with exit code 1."""
    where = () if "--help" in words else ("--dir", str(two))
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "rollway.cli", *words, *where],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ran.returncode, "No space left on device" in ran.stderr) == (1, True), ran
    assert not any(word in ran.stderr for word in ("bug", "Traceback", "Exception ignored"))


def test_a_closed_pipe_is_no_bug_in_rollway(two: Path) -> None:
    """A reader that went away is an error with this reason, and the weight is set all the same."""
    reader, writer = os.pipe()
    os.close(reader)
    words = ["-m", "rollway.cli", "-n", "blue", "set-weight", "shop", "20", "--dir", str(two)]
    ran = subprocess.run(
        [sys.executable, *words], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (ran.returncode, "Broken pipe" in ran.stderr, "bug" in ran.stderr) == (1, True, False), ran
    assert rollway("-n", "blue", "verify", "shop", "20", "--dir", str(two)).code == 0


# -- terminals


def test_colours_as_the_environment_wants_them(two: Path) -> None:
    """Colours are for terminals; NO_COLOR forbids them there, and FORCE_COLOR wants them everywhere."""
    words = ("-n", "blue", "set-weight", "shop", "20", "--dry-run", "--dir", str(two))
    assert "\x1b[" in on_terminal(*words)[1]
    assert "\x1b[" not in on_terminal(*words, environment={"NO_COLOR": "1"})[1]
    assert "\x1b[" not in on_terminal("status", "none", "--dir", str(two), environment={"NO_COLOR": "1"})[1]
    for environment, coloured in (({"FORCE_COLOR": "1"}, True), ({}, False)):
        ran = subprocess.run(
            [sys.executable, "-m", "rollway.cli", *words], env=environment, capture_output=True, check=True
        )
        assert (b"\x1b[" in ran.stdout) is coloured


def test_snippets_of_several_lines_stay_readable(tmp_path: Path) -> None:
    """What `render` prints has texts of several lines as block scalars with the same content."""
    snippet = "more_set_headers 'A: b';\nproxy_buffering off;\n"
    stanza = {"stableIngress": "web", "canaryIngressAnnotations": {"example.com/snippet": snippet}}
    objects = [m.rollout({"nginx": stanza}), m.ingress(), m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    text = rollway("render", "shop", "20", "--dir", str(tmp_path)).stdout
    assert "example.com/snippet: |\n      more_set_headers 'A: b';\n      proxy_buffering off;\n" in text
    assert yaml.safe_load(text)["metadata"]["annotations"]["example.com/snippet"] == snippet


def test_results_of_a_ramp_have_lines_of_their_own(two: Path) -> None:
    """On one terminal, the bar is taken away before a result is printed, and notes come once."""
    words = ("-n", "blue", "ramp", "shop", "0..60", "--step", "20", "--every", "300ms", "--dir", str(two))
    code, written = on_terminal(*words)
    assert (code, "next: 40 in" in written) == (0, True)
    lines = [line.removesuffix("\r").rpartition("\r")[2] for line in written.split("\n")]
    shown = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in lines]
    for weight in (20, 40, 60):
        assert shown.count(f"Rollout blue/shop: canary {weight} of 100, {weight} %") == 1, shown
    assert written.count("files-only") == 1
    assert not any("of 100 " in line and "Rollout" in line for line in shown)


def test_results_of_a_ramp_go_to_stdout(two: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With a bar on the terminal and stdout in a file, the results are in the file."""
    answers = tmp_path_factory.mktemp("answers") / "answers.txt"
    words = ("-n", "blue", "ramp", "shop", "0..20", "--step", "20", "--every", "0", "--dir", str(two))
    code, written = on_terminal(*words, stdout=answers)
    assert (code, "verified: written" in answers.read_text(), "verified" in written) == (0, True, False)


def test_hints_fit_blue_green(tmp_path: Path) -> None:
    """For a blue-green Rollout, a weight that is not possible points to switch, and not to shares."""
    stanza = {"activeService": "shop-stable", "previewService": "shop-canary", "trafficRouting": {"smi": {}}}
    rollout = m.rollout({"smi": {}})
    rollout["spec"]["strategy"] = {"blueGreen": stanza}
    objects = [rollout, m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    for weight in ("0.5%", "half", "20", "300"):
        ran = rollway("set-weight", "shop", weight, "--dir", str(tmp_path))
        assert (ran.code, "rollway switch shop stable|canary" in ran.stderr) == (2, True), ran
        assert "maxTrafficWeight" not in ran.stderr


# -- pipelines


def test_a_plan_as_markdown(two: Path) -> None:
    """-o markdown has the weights in a table, the diff in a fence, the findings and the fingerprint."""
    where = ("-n", "blue", "--dir", str(two))
    ran = rollway("plan", "shop", "20", *where, "-o", "markdown")
    lines = ran.stdout.splitlines()
    assert (ran.code, lines[0]) == (3, "### Rollout blue/shop: canary 20 of 100, 20 %")
    assert "| TrafficSplit blue/shop |  | - | shop-canary 20, shop-stable 80 |" in lines
    assert lines.count("```diff") == lines.count("```") == 1
    assert any(line.startswith("+") and line.endswith("weight: 20") for line in lines)
    assert any(line.startswith("- **note** ") for line in lines)
    plan = json.loads(rollway("plan", "shop", "20", *where, "-o", "json").stdout)
    assert lines[-1] == f"Fingerprint `{plan['fingerprint']}`"
    rollway("set-weight", "shop", "20", *where)
    again = rollway("plan", "shop", "20", *where, "-o", "markdown")
    assert (again.code, "Nothing to change." in again.stdout) == (0, True)


def test_a_fence_holds_what_has_fences(tmp_path: Path) -> None:
    """Backticks in a manifest do not end the fence of the diff."""
    stanza = {"stableIngress": "web", "canaryIngressAnnotations": {"example.com/text": "```\n````\n```\n"}}
    objects = [m.rollout({"nginx": stanza}), m.ingress(), m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    text = rollway("plan", "shop", "20", "--dir", str(tmp_path), "-o", "markdown").stdout
    assert text.count("\n`````") == 2


def test_lint_as_workflow_commands(two: Path) -> None:
    """-o github prints one command for each problem, with file and line, and escapes what would end a value."""
    (two / "a,b.yaml").write_text(yaml.safe_dump(m.rollout({"alb": {}}, name="broken")))
    ran = rollway("lint", "--dir", str(two), "-o", "github")
    errors = [line for line in ran.stdout.splitlines() if line.startswith("::error ")]
    assert (ran.code, len(errors)) == (4, 1)
    settings, _, message = errors[0].removeprefix("::error ").partition("::")
    given = dict(pair.split("=", 1) for pair in settings.split(","))
    assert given["file"].endswith("a%2Cb.yaml")
    assert given["line"].isdigit()
    assert given["title"].startswith("rollway ")
    assert "default/broken: " in message
    assert all(line.startswith("::") for line in ran.stdout.splitlines())


def test_workflow_commands_escape_line_ends() -> None:
    """A message of several lines stays one command, and an object stands where there is no file."""
    problem = Problem("Ingress shop/web", "note", "shop/web", "code", "50 %\nof all")
    assert (
        workflow_command(problem)
        == "::notice title=rollway code::Ingress shop/web: shop/web: 50 %25%0Aof all"
    )
