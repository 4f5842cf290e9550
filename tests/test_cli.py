"""The command line: words in, exit codes and documents out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import manifests as m
from rollway import cli
from running import rollway, schema

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "shop"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a folder with a Rollout of two backends."""
    routing = {"nginx": {"stableIngress": "web"}, "istio": {"virtualService": {"name": "web"}}}
    services = [m.service("shop-stable"), m.service("shop-canary")]
    text = yaml.safe_dump_all([m.rollout(routing), m.ingress(), m.virtual_service(), *services])
    (tmp_path / "app.yaml").write_text(text)
    return tmp_path


def run(folder: Path, *words: str) -> Any:
    """Run rollway on a folder and return its JSON document."""
    ran = rollway(*words, "--dir", str(folder), "-o", "json")
    return json.loads(ran.stdout)


def test_a_session_with_every_verb(shop: Path) -> None:
    """plan, set-weight, status, verify, switch, render and reset follow each other, each with its exit code."""
    where = ("--dir", str(shop))
    planned = rollway("plan", "shop", "20", *where)
    assert planned.code == 3
    fingerprint = planned.stdout.split("fingerprint ")[1].strip()
    assert "+  name: shop-web-canary" in planned.stdout
    assert rollway("set-weight", "shop", "20", *where, "--expect", fingerprint).code == 0
    repeated = rollway("set-weight", "shop", "20", *where, "--expect", fingerprint)
    assert (repeated.code, "nothing to change" in repeated.stdout) == (0, True)
    assert (
        rollway("plan", "shop", "20", *where).stdout
        == "Rollout default/shop: canary 20 of 100, 20 %; nothing to change\n"
    )
    again = rollway("set-weight", "shop", "20", *where)
    assert (again.code, again.stdout.splitlines()[0]) == (
        0,
        "Rollout default/shop: canary 20 of 100, 20 %; nothing to change",
    )
    assert "20 of 100, 20 %" in rollway("status", "shop", *where).stdout
    assert rollway("verify", "shop", "20", *where).code == 0
    differs = rollway("verify", "shop", "30", *where)
    assert (differs.code, "differs" in differs.stderr) == (5, True)
    assert rollway("switch", "shop", "canary", *where, "--dry-run").stdout.endswith(
        "dry run: nothing was written\n"
    )
    assert rollway("switch", "shop", "canary", *where).code == 0
    assert next(yaml.safe_load_all(rollway("render", "shop", "1/4", *where).stdout))["kind"] == "Ingress"
    assert rollway("reset", "shop", *where).code == 0
    assert "nothing is left to delete" in rollway("reset", "shop", *where).stdout
    assert rollway("plan", "shop", "0", *where, "--no-create").code == 4


def test_documents_follow_their_schemas(shop: Path) -> None:
    """Every JSON document of the CLI validates against its schema in docs/schema."""
    schema("plan", run(shop, "plan", "shop", "20"))
    schema("result", run(shop, "set-weight", "shop", "20", "--dry-run"))
    schema("result", run(shop, "set-weight", "shop", "20"))
    schema("result", run(shop, "set-weight", "shop", "20"))
    schema("plan", run(shop, "plan", "shop", "20"))
    schema("status", run(shop, "status"))
    schema("status", run(shop, "status", "shop"))
    schema("verdict", run(shop, "verify", "shop"))
    schema("verdict", run(shop, "verify", "shop", "30"))
    schema("result", run(shop, "switch", "shop", "stable"))
    schema("lint", run(shop, "lint"))
    schema("reset", run(shop, "reset", "shop"))
    schema("reset", run(shop, "reset", "shop"))
    listed = run(shop, "render", "shop", "20")
    assert [item["kind"] for item in listed["items"]] == ["Ingress", "VirtualService"]
    schema("backends", json.loads(rollway("backends", "-o", "json").stdout))


def test_yaml_says_the_same_as_json(shop: Path) -> None:
    """-o yaml is the JSON document in another form."""
    for words in (("status",), ("plan", "shop", "20"), ("lint",)):
        text = rollway(*words, "--dir", str(shop), "-o", "yaml").stdout
        assert yaml.safe_load(text) == run(shop, *words)


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        ((), 2, "Usage"),
        (("frobnicate",), 2, "No such command"),
        (("set-weight", "shop"), 2, "Missing argument 'WEIGHT'"),
        (("set-weight", "shop", "20", "--max-stp", "3"), 2, "--max-step"),
        (("set-weight", "shop", "-1"), 2, "outside 0..100"),
        (("set-weight", "shop", "-0.5%"), 2, "outside 0..100"),
        (("set-weight", "shop", "101"), 2, "outside 0..100"),
        (("set-weight", "shop", "0.5%"), 4, "maxTrafficWeight"),
        (("set-weight", "cart", "20"), 1, "Rollout cart not found"),
        (("set-weight", "shop", "20", "--max-step", "10"), 4, "(--max-step 20)"),
        (("set-weight", "shop", "20", "--max-step", "ten"), 2, "cannot be read"),
        (("set-weight", "shop", "0", "--max-step=-5"), 2, "outside 0..100"),
        (("status", "shop", "-f", "none.yaml"), 1, "none.yaml does not exist"),
        (("set-weight", "shop", "20", "--expect", "0"), 4, "fingerprint"),
        (("set-weight", "shop", "20", "--verify", "loaded"), 4, "the highest here is 'written'"),
        (("plan", "shop", "100", "--keep-stable"), 4, "leave out --keep-stable"),
        (
            ("set-weight", "shop", "20", "--allow", "nginx-second-canry"),
            2,
            "did you mean nginx-second-canary",
        ),
        (("verify", "shop", "--level", "measured"), 4, "measured"),
        (("switch", "shop", "blue"), 2, "'blue' is not one of"),
        (("status", "cart"), 1, "not found"),
    ],
)
def test_errors_have_their_exit_codes(shop: Path, words: Sequence[str], code: int, shown: str) -> None:
    """Each kind of error ends with its code, reports what is wrong on stderr, and writes nothing."""
    before = (shop / "app.yaml").read_bytes()
    ran = rollway(*words, "--dir", str(shop)) if len(words) > 1 else rollway(*words)
    assert (ran.code, shown in ran.stderr) == (code, True), ran
    assert "Traceback" not in ran.stderr
    assert [path.name for path in shop.iterdir()] == ["app.yaml"]
    assert (shop / "app.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ("status", "shp"),
        ("plan", "shp", "20"),
        ("set-weight", "shp", "20"),
        ("switch", "shp", "canary"),
        ("ramp", "shp", "0..100", "--step", "10", "--every", "0s"),
        ("verify", "shp"),
        ("render", "shp", "20"),
        ("reset", "shp"),
        ("lint", "shp"),
        ("rbac", "shp"),
        ("gitops", "shp", "--for", "flux"),
    ],
    ids=lambda words: words[0],
)
def test_a_rollout_that_is_not_there(shop: Path, words: Sequence[str]) -> None:
    """Every verb ends with exit code 1, and names the Rollout that is alike and those that are there."""
    ran = rollway(*words, "--dir", str(shop))
    assert (ran.code, "did you mean shop? Rollout here: shop" in ran.stderr) == (1, True), ran
    checked = rollway("check", "shp", "--dir", str(shop))
    assert (checked.code, "did you mean shop?" in checked.stdout) == (1, True)


def test_a_refused_level_is_told_before_anything_is_written(shop: Path) -> None:
    """A level of evidence that the store cannot show is refused before the write, not after it."""
    assert rollway("set-weight", "shop", "20", "--dir", str(shop), "--verify", "measured").code == 4
    assert len(list(shop.iterdir())) == 1


def test_without_a_cluster_the_error_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --dir, and with no kubeconfig anywhere, the error names every way to a store."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    ran = rollway("status")
    assert ran.code == 1
    assert all(word in ran.stderr for word in ("--dir PATH", "--kubeconfig", "--context", "KUBECONFIG"))


def test_the_directory_can_come_from_the_environment(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROLLWAY_DIR stands in for --dir."""
    monkeypatch.setenv("ROLLWAY_DIR", str(shop))
    assert rollway("status", "shop").code == 0


def test_the_rollout_can_come_from_a_file_of_its_own(
    shop: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """-f gives the Rollout, --dir the routing objects."""
    other = tmp_path_factory.mktemp("other") / "rollout.yaml"
    other.write_text(yaml.safe_dump(m.rollout({"smi": {}}, name="extra")))
    assert rollway("set-weight", "extra", "5", "-f", str(other), "--dir", str(shop)).code == 0
    assert (shop / "trafficsplit-extra.yaml").exists()


def test_status_of_all_tells_what_it_cannot_read(shop: Path) -> None:
    """A Rollout with faults or missing objects is reported on stderr, the others are shown, and the exit code is 1."""
    broken = [
        m.rollout({"alb": {}}, name="broken"),
        m.rollout({"nginx": {"stableIngress": "none"}}, name="lost"),
        m.rollout(None, name="plain"),
    ]
    (shop / "more.yaml").write_text(yaml.safe_dump_all(broken))
    ran = rollway("status", "--dir", str(shop))
    assert ran.code == 1
    assert "backend 'alb' is not supported" in ran.stderr
    assert "Ingress default/none not found" in ran.stderr
    assert "plain" not in ran.stderr
    assert [line.split()[:2] for line in ran.stdout.splitlines()[1:]] == [["default", "shop"]] * 2
    assert rollway("status", "--dir", str(EXAMPLES)).code == 0
    (shop / "app.yaml").unlink()
    (shop / "more.yaml").write_text("a: 1\n")
    assert rollway("status", "--dir", str(shop)).stdout == "no Rollout with traffic routing\n"


def test_status_tells_objects_that_disagree(shop: Path) -> None:
    """When the objects of a Rollout carry different weights, status shows it."""
    rollway("set-weight", "shop", "20", "--dir", str(shop))
    text = (
        (shop / "app.yaml")
        .read_text()
        .replace("weight: 20", "weight: 30")
        .replace("weight: 80", "weight: 70")
    )
    (shop / "app.yaml").write_text(text)
    ran = rollway("status", "shop", "--dir", str(shop))
    assert "Rollout default/shop: its objects do not agree" in ran.stdout
    assert rollway("verify", "shop", "--dir", str(shop)).code == 5


def test_status_of_one_tells_what_the_data_plane_would_say(shop: Path) -> None:
    """The status of one Rollout has the findings of its data planes, also where its weights cannot be carried."""
    (shop / "old.yaml").write_text(yaml.safe_dump(m.ingress("old", "shop.example.com", m.path("legacy"))))
    assert "nginx-path-taken" in rollway("status", "shop", "--dir", str(shop)).stderr
    http = [
        {"route": [m.destination("shop-stable", 0), m.destination("shop-canary", 0), m.destination("x", 9)]}
    ]
    istio = m.rollout({"istio": {"virtualService": {"name": "odd"}}, "maxTrafficWeight": 100}, name="odd")
    (shop / "odd.yaml").write_text(yaml.safe_dump_all([istio, m.virtual_service("odd", http=http)]))
    assert rollway("status", "odd", "--dir", str(shop)).code == 0


def test_status_marks_shares_that_are_not_exact(shop: Path) -> None:
    """A live share between two weights is shown as `about`; a route without traffic is shown as such."""
    text = (
        (shop / "app.yaml")
        .read_text()
        .replace("weight: 100", "weight: 2000")
        .replace("weight: 0", "weight: 33")
    )
    (shop / "app.yaml").write_text(text)
    assert "about 2 of 100, 2 %" in rollway("status", "shop", "--dir", str(shop)).stdout
    (shop / "app.yaml").write_text(
        text.replace("weight: 2000", "weight: 0").replace("weight: 33", "weight: 0")
    )
    assert "0 (no traffic)" in rollway("status", "shop", "--dir", str(shop)).stdout


def test_lint_tells_every_finding_with_its_place(shop: Path) -> None:
    """Lint covers every Rollout, with file and line, and its exit code is that of the worst finding."""
    assert rollway("lint", "--dir", str(EXAMPLES)).code == 0
    (shop / "old.yaml").write_text(yaml.safe_dump(m.ingress("old", "shop.example.com", m.path("legacy"))))
    rollway("set-weight", "shop", "0", "--dir", str(shop))
    rollway("set-weight", "shop", "5", "--dir", str(shop), "--allow", "nginx-path-taken")
    refused = rollway("lint", "--dir", str(shop))
    assert refused.code == 4
    assert (
        "ingress-shop-web-canary.yaml:1: refusal: default/shop: Ingress default/shop-web-canary: "
        in refused.stdout
    )
    broken = [
        m.rollout({"alb": {}, "nginx": {}}, name="a"),
        m.rollout({"istio": {"virtualService": {"name": "none"}}}, name="b"),
        m.rollout({"ambassador": {}}, name="c"),
        m.rollout(None, name="d"),
    ]
    (shop / "broken.yaml").write_text(yaml.safe_dump_all(broken))
    ran = rollway("lint", "--dir", str(shop))
    assert ran.code == 2
    for line in (
        "broken.yaml:12: fault: default/a: spec.strategy.canary.trafficRouting.alb: backend 'alb'",
        "fault: default/b: VirtualService default/none not found",
        "broken.yaml:41: refusal: default/c: spec.strategy.canary.trafficRouting.ambassador: backend 'ambassador' is not supported",
        "note: default/d: has no trafficRouting",
    ):
        assert line in ran.stdout, ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("3 faults, 2 refusals, ")


def test_completion_scripts_are_printed_and_work(shop: Path) -> None:
    """Each shell gets its script, and the names of Rollouts complete."""
    for shell in ("bash", "zsh", "fish"):
        assert "_ROLLWAY_COMPLETE" in rollway("completion", shell).stdout
    environment = {
        "_ROLLWAY_COMPLETE": "bash_complete",
        "COMP_WORDS": f"rollway status --dir {shop} s",
        "COMP_CWORD": "4",
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-c", "from rollway.cli import main; main()"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "shop" in ran.stdout
    environment["COMP_WORDS"] = "rollway status s"
    environment["COMP_CWORD"] = "2"
    assert (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout.strip()
        == ""
    )
    environment["ROLLWAY_DIR"] = "/nowhere"
    assert (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout.strip()
        == ""
    )


def test_kubectl_finds_the_plugin() -> None:
    """The same program is installed as kubectl-rollway and calls itself by that name."""
    scripts = Path(sys.executable).parent
    ran = subprocess.run(
        [scripts / "kubectl-rollway", "set-weight"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "Usage: kubectl rollway set-weight" in ran.stderr
    version = subprocess.run([scripts / "rollway", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("rollway ")


def test_debug_shows_the_traceback(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--debug lets an error through; without it, even a bug is one line."""
    with pytest.raises(Exception, match="not found"):
        cli.run(["status", "cart", "--dir", str(shop), "--debug"])

    def bug(*_: Any) -> Any:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("rollway.cli.commands.status.observe_all", bug)
    ran = rollway("status", "--dir", str(shop))
    assert (ran.code, "this is a bug in rollway" in ran.stderr, "Traceback" in ran.stderr) == (1, True, False)
    with pytest.raises(ZeroDivisionError):
        cli.run(["status", "--dir", str(shop), "--debug"])

    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("rollway.cli.commands.status.observe_all", interrupt)
    assert rollway("status", "--dir", str(shop)).code == 130


def test_results_and_errors_go_to_their_streams(shop: Path) -> None:
    """Results are on stdout, notes and errors on stderr, so that a pipe gets only results."""
    ran = rollway("set-weight", "shop", "20", "--dir", str(shop), "-o", "json")
    assert json.loads(ran.stdout)["changed"] is True
    assert rollway("set-weight", "shop", "300", "--dir", str(shop), "-o", "json").stdout == ""


def test_cluster_options_do_not_go_with_a_directory(shop: Path) -> None:
    """An option that only a cluster has is refused beside --dir, instead of being accepted and ignored."""
    for words in (("--context", "x"), ("--kubeconfig", "x"), ("--as", "x"), ("--as-group", "x")):
        ran = rollway("status", "--dir", str(shop), *words)
        assert (ran.code, f"{words[0]} is for a cluster" in ran.stderr) == (2, True)


def test_addresses_of_data_planes_go_where_they_are_asked(shop: Path) -> None:
    """An address that nothing would ask is a usage error: without a Rollout, or istiod without an Envoy."""
    where = ("--dir", str(shop))
    for words, reason in (
        (("status", "--nginx-status", "10.0.0.7:10246"), "need the NAME of a Rollout"),
        (("verify", "shop", "20", "--istiod", "10.0.0.7:8080"), "--istiod needs --envoy-admin"),
        (("status", "shop", "--istiod", "10.0.0.7:8080"), "--istiod needs --envoy-admin"),
    ):
        ran = rollway(*words, *where)
        assert (ran.code, reason in ran.stderr) == (2, True), ran


def test_a_server_side_dry_run_needs_a_server(shop: Path) -> None:
    """--dry-run alone and =client plan only; =server is refused for files, which have no admission to ask."""
    place = ("--dir", str(shop))
    for words in (("--dry-run", "shop", "20"), ("shop", "20", "--dry-run=client")):
        ran = rollway("set-weight", *words, *place)
        assert (ran.code, "dry run: nothing was written" in ran.stdout) == (0, True)
    ran = rollway("set-weight", "shop", "20", "--dry-run=server", *place)
    assert (ran.code, "no admission to ask" in ran.stderr) == (4, True)
    assert rollway("set-weight", "shop", "20", "--dry-run=none", *place).code == 0


@pytest.mark.parametrize("word", ["1x", "-5s", "soon", ""])
def test_a_time_that_cannot_be_read_is_refused(word: str, shop: Path) -> None:
    """Times are written as for kubectl; anything else is a usage error."""
    ran = rollway("set-weight", "shop", "20", f"--wait={word}", "--dir", str(shop))
    assert (ran.code, "Traceback" in ran.stderr) == (2, False)


@pytest.mark.parametrize("word", ["0", "5", "1m30s", "250ms"])
def test_times_are_seconds_or_as_go_writes_them(word: str, shop: Path) -> None:
    """A plain number of seconds and Go's notation are both taken."""
    assert rollway("set-weight", "shop", "20", "--wait", word, "--dir", str(shop)).code == 0


def test_lint_of_one_rollout(shop: Path) -> None:
    """`lint NAME` looks at that Rollout alone, and it is an error when there is none."""
    ran = rollway("lint", "shop", "--dir", str(shop))
    assert (ran.code, ran.stdout.splitlines()[-1]) == (0, "0 faults, 0 refusals, 0 notes")
    assert rollway("lint", "absent", "--dir", str(shop)).code == 1


def test_the_wanted_objects_carry_no_server_fields(shop: Path) -> None:
    """What `render` prints can be applied: no status, no resource version."""
    file = next(path for path in shop.rglob("*.yaml") if "kind: VirtualService" in path.read_text())
    text = file.read_text().replace(
        "kind: VirtualService\nmetadata:\n", 'kind: VirtualService\nstatus: {}\nmetadata:\n  uid: "1"\n'
    )
    file.write_text(text)
    assert "uid" not in rollway("render", "shop", "20", "--dir", str(shop)).stdout
