"""`rollway analyze` decides as a release would, against a real server; `rollway lint` finds the faults of templates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
import yaml
from misbehaving import Server, reply

from running import Ran, rollway, schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def prometheus() -> Iterator[Server]:
    """A Prometheus that knows one number for each query: the query itself."""

    def behaviour(request: bytes) -> Iterator[bytes]:
        words = parse_qs(request.rpartition(b"\r\n\r\n")[2].decode())
        result = [{"metric": {}, "value": [0, words["query"][0]]}]
        yield reply(
            json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        )

    server = Server(behaviour)
    yield server
    server.close()


def manifest(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """Return an object of Argo Rollouts."""
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def metric(name: str, address: str, query: str = "0.97", **fields: Any) -> dict[str, Any]:
    """Return a metric of Prometheus whose value is its query."""
    return {"name": name, "provider": {"prometheus": {"address": address, "query": query}}, **fields}


def write(folder: Path, *manifests: dict[str, Any]) -> str:
    """Write a file of manifests, and return its name."""
    file = folder / "analysis.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    return str(file)


def analyzed(folder: Path, template: dict[str, Any], *words: str) -> Ran:
    """Analyze a template of a folder."""
    write(folder, template)
    return rollway("analyze", template["metadata"]["name"], "--dir", str(folder), *words)


@pytest.mark.parametrize(
    ("threshold", "code", "end"),
    [
        ("0.95", 0, "Successful"),
        (
            "0.99",
            1,
            'Failed: Metric "rate" assessed Failed due to failed (1) > failureLimit (0): the value was [0.97], with successCondition `result[0] >= 0.99`',
        ),
    ],
)
def test_a_template_is_measured_once(
    tmp_path: Path, prometheus: Server, threshold: str, code: int, end: str
) -> None:
    """The numbers of the run do not matter: one measurement is decided with the arguments that are given."""
    template = manifest(
        "AnalysisTemplate",
        "success-rate",
        args=[{"name": "threshold"}],
        metrics=[
            metric(
                "rate",
                prometheus.url,
                interval="5m",
                count=10,
                failureLimit=5,
                successCondition="result[0] >= {{args.threshold}}",
            )
        ],
    )
    ran = analyzed(tmp_path, template, "--arg", f"threshold={threshold}")
    assert (ran.code, ran.stderr) == (code, "")
    lines = ran.stdout.splitlines()
    assert lines[0].split() == ["METRIC", "PHASE", "VALUE", "CONDITION"]
    assert lines[1].split(maxsplit=3) == [
        "rate",
        end.partition(":")[0],
        "[0.97]",
        f"success: result[0] >= {threshold}",
    ]
    assert lines[-1] == end
    assert len(prometheus.requests) == 1


def test_the_document_is_the_status_of_a_run(tmp_path: Path, prometheus: Server) -> None:
    """As JSON the answer follows its schema, and has the results as an AnalysisRun does."""
    template = manifest(
        "ClusterAnalysisTemplate",
        "doubt",
        metrics=[
            metric("a", prometheus.url, successCondition="result[0] > 1", failureCondition="result[0] < 0.5"),
            metric("b", prometheus.url, "nonsense"),
            metric("c", prometheus.url, successCondition="result[0] > 5"),
        ],
        dryRun=[{"metricName": "^[bc]$"}],
    )
    write(tmp_path, template)
    ran = rollway("analyze", "clusteranalysistemplate/doubt", "--dir", str(tmp_path), "-o", "json")
    assert ran.code == 5
    document = json.loads(ran.stdout)
    schema("analysis", document)
    assert (document["kind"], document["phase"]) == ("ClusterAnalysisTemplate", "Inconclusive")
    phases = {result["name"]: (result["phase"], result.get("dryRun")) for result in document["metricResults"]}
    assert phases == {"a": ("Inconclusive", None), "b": ("Error", True), "c": ("Failed", True)}
    assert document["dryRunSummary"] == {"count": 2, "failed": 1, "error": 1}


def test_a_whole_run_takes_its_time(tmp_path: Path, prometheus: Server) -> None:
    """With --full the run has its intervals and limits, and each measurement shows."""
    template = manifest(
        "AnalysisTemplate",
        "t",
        metrics=[
            metric("rate", prometheus.url, interval="10ms", count=3, successCondition="result[0] > 0.9")
        ],
    )
    ran = analyzed(tmp_path, template, "--full")
    assert (ran.code, len(prometheus.requests)) == (0, 3)
    assert ran.stderr.splitlines() == ["note: rate [0.97]: Running"] * 2
    assert ran.stdout.splitlines()[-1] == "Successful"


def test_templates_of_templates_and_secrets(tmp_path: Path, prometheus: Server) -> None:
    """A template takes in others, a secret is read from the store, and shows nowhere."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys"},
        "stringData": {"token": "hidden"},
    }
    inner = manifest(
        "AnalysisTemplate",
        "inner",
        args=[{"name": "token", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}}],
        metrics=[metric("rate", prometheus.url)],
    )
    stanza = inner["spec"]["metrics"][0]["provider"]["prometheus"]
    stanza["headers"] = [{"key": "Authorization", "value": "Bearer {{args.token}}"}]
    stanza["query"] = "not a number: {{args.token}}"
    write(
        tmp_path, secret, inner, manifest("AnalysisTemplate", "outer", templates=[{"templateName": "inner"}])
    )
    ran = rollway("analyze", "outer", "--dir", str(tmp_path), "-o", "yaml")
    assert ran.code == 1
    assert "Authorization: Bearer hidden" in prometheus.text()
    assert "hidden" not in ran.stdout + ran.stderr
    assert "*****" in ran.stdout
    given = rollway("analyze", "outer", "--dir", str(tmp_path), "--arg", "token=other")
    assert "Bearer other" in prometheus.text()
    assert "other" not in given.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["none"], 1, "AnalysisTemplate none not found\n  there is outer, secret, t"),
        (["t"], 2, "args.service was not resolved\n  give --arg service=VALUE"),
        (["t", "--arg", "service=x", "--arg", "y=1"], 2, "has no argument y\n  there is service"),
        (["t", "--arg", "service"], 2, "give NAME=VALUE"),
        (["pod/t"], 2, "pod is no kind of analysis"),
        (["cat/t"], 1, "ClusterAnalysisTemplate t not found"),
        (
            ["t", "--arg", "service=x"],
            2,
            "analysis.yaml:14: spec.metrics[0].successCondition: unknown function `foo`",
        ),
        (["secret"], 1, "Secret default/keys not found"),
        (["outer"], 1, "ClusterAnalysisTemplate inner not found"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    """Words, arguments, templates and secrets that are missing or wrong are errors before anything is asked."""
    secret = {"name": "k", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "x"}}}
    write(
        tmp_path,
        manifest(
            "AnalysisTemplate",
            "t",
            args=[{"name": "service"}],
            metrics=[metric("m", "http://127.0.0.1:1", successCondition="foo(result)")],
        ),
        manifest("AnalysisTemplate", "secret", args=[secret], metrics=[metric("m", "http://127.0.0.1:1")]),
        manifest("AnalysisTemplate", "outer", templates=[{"templateName": "inner", "clusterScope": True}]),
    )
    ran = rollway("analyze", *words, "--dir", str(tmp_path))
    assert ran.code == code
    assert message in ran.stderr


def linted(folder: Path, *manifests: dict[str, Any]) -> list[str]:
    """Lint manifests, and return the faults with their lines, without the file's name."""
    file = write(folder, *manifests)
    ran = rollway("lint", "--dir", str(folder), "-o", "json")
    problems = json.loads(ran.stdout)
    schema("lint", problems)
    return [
        f"{problem['place'].removeprefix(f'{file}:')}: {problem['message']}"
        for problem in problems
        if problem["severity"] == "fault"
    ]


def test_lint_finds_the_faults_of_templates(tmp_path: Path) -> None:
    """Unknown functions, wrong syntax, wrong fields and missing references have file, line and path."""
    broken = manifest(
        "AnalysisTemplate",
        "broken",
        args=[{"name": "limit"}, {"name": "path"}],
        metrics=[
            metric("a", "http://x", successCondition="foo(result) > {{args.limit}}"),
            metric("b", "http://x", failureCondition="result.{{args.path}} > {{args.limit}}"),
            metric(
                "c", "http://x", "{{args.nobody}}", failureLimit="{{args.limit}}", interval="{{args.limit}}"
            ),
            metric("d", "nowhere", interval="soon"),
        ],
        templates=[{"templateName": "nowhere"}],
    )
    run = manifest(
        "AnalysisRun", "run", args=[{"name": "x"}], metrics=[metric("a", "http://x", successCondition="(")]
    )
    found = linted(tmp_path, broken, run)
    assert [line.partition(": ")[2] for line in found] == [
        "AnalysisTemplate broken: spec.templates[0].templateName: AnalysisTemplate nowhere not found",
        "AnalysisTemplate broken: spec.metrics[0].successCondition: unknown function `foo`, at character 1 of `foo(result) > 0`",
        "AnalysisTemplate broken: spec.metrics[2].provider.prometheus.query: {{args.nobody}} is no argument of the template",
        "AnalysisTemplate broken: spec.metrics[3].interval: 'soon' is no duration; 1h30m, for example, is one",
        "AnalysisTemplate broken: spec.metrics[3].provider.prometheus.address: is no URL like https://host/path",
        "AnalysisRun run: spec.args: args.x was not resolved",
        "AnalysisRun run: spec.metrics[0].successCondition: the expression ends too early, at character 2 of `(`",
    ]
    text = (tmp_path / "analysis.yaml").read_text().splitlines()
    assert "foo(result)" in text[int(found[1].partition(":")[0]) - 1]


def test_lint_resolves_what_rollouts_ask_for(tmp_path: Path) -> None:
    """Every analysis of a Rollout leads to templates, which have a value for each argument."""
    steps = [
        {"analysis": {"templates": [{"templateName": "good", "clusterScope": True}]}},
        {"experiment": {"templates": [], "analyses": [{"name": "x", "templateName": "gone"}]}},
    ]
    background = {"templates": [{"templateName": "good"}], "args": [{"name": "service", "value": "x"}]}
    canary = manifest("Rollout", "shop", strategy={"canary": {"analysis": background, "steps": steps}})
    promotion = {"templates": [{"templateName": "good"}, {"templateName": "twice"}]}
    blue_green = manifest("Rollout", "web", strategy={"blueGreen": {"postPromotionAnalysis": promotion}})
    good = manifest(
        "AnalysisTemplate",
        "good",
        args=[{"name": "service"}],
        metrics=[metric("a", "http://x", "{{args.service}}")],
    )
    twice = manifest("AnalysisTemplate", "twice", metrics=[metric("a", "http://x", "{{args.service}}")])
    found = linted(tmp_path, canary, blue_green, good, twice)
    assert [line.partition(": ")[2] for line in found] == [
        "spec.strategy.canary.steps[0].analysis.templates[0].templateName: ClusterAnalysisTemplate good not found",
        "spec.strategy.canary.steps[1].experiment.analyses[0].templateName: AnalysisTemplate gone not found",
        "spec.strategy.blueGreen.postPromotionAnalysis: two metrics have the name 'a'",
        "spec.strategy.blueGreen.postPromotionAnalysis.args: args.service was not resolved",
    ]


def test_lint_of_one_rollout_looks_at_its_own_templates(tmp_path: Path) -> None:
    """With a name, only what that Rollout asks for is reported."""
    write(
        tmp_path, manifest("Rollout", "shop", strategy={"canary": {}}), manifest("AnalysisTemplate", "empty")
    )
    assert "no metrics specified" in rollway("lint", "--dir", str(tmp_path)).stdout
    assert rollway("lint", "shop", "--dir", str(tmp_path)).code == 0


def test_lint_of_a_file_reports_what_is_in_it(tmp_path: Path) -> None:
    """The templates of the store are known to a Rollout of a file, and their own faults are not reported with it."""
    folder = tmp_path / "store"
    folder.mkdir()
    write(folder, manifest("AnalysisTemplate", "good", metrics=[metric("a", "http://x", interval="soon")]))
    wanted = {"templates": [{"templateName": "good"}, {"templateName": "gone"}]}
    file = write(tmp_path, manifest("Rollout", "shop", strategy={"canary": {"analysis": wanted}}))
    ran = rollway("lint", "-f", file, "--dir", str(folder))
    assert [line for line in ran.stdout.splitlines() if "fault: " in line] == [
        (
            f"{file}:11: fault: default/shop: spec.strategy.canary.analysis.templates[1].templateName: "
            "AnalysisTemplate gone not found [not-found]"
        )
    ]


def test_keys_of_a_provider_come_from_its_secret(tmp_path: Path) -> None:
    """Datadog is asked at the address and with the keys of the controller's Secret, and none of them shows."""
    server = Server(lambda _request: iter([reply(b"no access with hidden-1", "403 Forbidden")]))
    keys = {"api-key": "hidden-1", "app-key": "hidden-2", "address": server.url}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "datadog", "namespace": "control"},
        "stringData": keys,
    }
    asked = {"name": "cpu", "provider": {"datadog": {"query": "avg:system.cpu.idle{*}"}}}
    write(tmp_path, secret, manifest("AnalysisTemplate", "t", metrics=[asked]))
    try:
        ran = rollway("analyze", "t", "--dir", str(tmp_path), "--controller-namespace", "control")
    finally:
        server.close()
    assert ran.code == 1
    assert "DD-APPLICATION-KEY: hidden-2\r\n" in server.text()
    assert "no access with *****" in ran.stdout
    assert "hidden" not in ran.stdout + ran.stderr
    assert "Secret argo-rollouts/datadog not found" in rollway("analyze", "t", "--dir", str(tmp_path)).stderr
