"""The command line on a cluster: every verb, ramps and their interruption, Events, and stanzas for GitOps tools."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest
import yaml

import manifests as m
from harness import shop
from harness.process import started
from harness.waiting import until
from rollway.routers.gitops import jq_path
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split
from running import rollway

if TYPE_CHECKING:
    from harness.namespace import Namespace

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "shop"


def weight_of(namespace: Namespace) -> Split | None:
    """Return the split that the objects agree on."""
    traffic = namespace.router().observe().traffic
    return traffic.split if traffic else None


# -- every verb


@pytest.mark.parametrize(
    "name", [pytest.param("nginx", marks=pytest.mark.kubelets), "istio", "smi", "gateway"]
)
def test_every_verb_on_the_example(name: str, namespace: Namespace) -> None:
    """Each example of the repository, applied to a cluster, works with every verb as it does in a directory."""
    for file in sorted((EXAMPLES / name).glob("*.yaml")):
        for manifest in yaml.safe_load_all(file.read_text()):
            if manifest and manifest["kind"] != "Kustomization":
                namespace.put(manifest)
    start = namespace.objects()
    assert rollway("status").code == 0
    assert rollway("plan", "shop", "20").code == 3
    assert namespace.objects() == start
    done = rollway("set-weight", "shop", "20")
    assert (done.code, "verified: written" in done.stdout) == (0, True)
    assert "nothing to change" in rollway("set-weight", "shop", "20").stdout
    assert rollway("verify", "shop", "20").code == 0
    assert rollway("verify", "shop", "21").code == 5
    plan = json.loads(rollway("plan", "shop", "50", "-o", "json").stdout)
    assert rollway("set-weight", "shop", "50", "--expect", plan["fingerprint"]).code == 0
    assert rollway("set-weight", "shop", "60", "--expect", plan["fingerprint"]).code == 4
    rendered = list(yaml.safe_load_all(rollway("render", "shop", "70").stdout))
    assert not [key for found in rendered for key in ("uid", "resourceVersion") if key in found["metadata"]]
    assert rollway("switch", "shop", "canary").code == 0
    assert weight_of(namespace) == Split(100)
    assert rollway("lint").code == 0
    assert rollway("status", "-A").code == 0
    # Without the TrafficSplit the root Service may send requests to the canary, so a plain reset keeps it.
    assert rollway("reset", "shop", "--delete-all").code == 0
    assert namespace.objects() == start
    assert rollway("backends").code == 0


@pytest.mark.kubelets
def test_version_of_the_cluster(namespace: Namespace) -> None:
    """`version` names the API server and its version, which `--client` does not ask for."""
    document = json.loads(rollway("version", "-o", "json").stdout)
    assert document["server"]["version"].startswith("v1.")
    assert (
        f"Kubernetes {document['server']['version']} at {document['server']['host']}"
        in rollway("version").stdout
    )
    assert "Kubernetes" not in rollway("version", "--client").stdout


def test_what_render_prints_can_be_applied(namespace: Namespace) -> None:
    """The API server accepts the objects of `render`, and then there is nothing left to change."""
    shop.put(namespace, shop.ALL)
    for manifest in yaml.safe_load_all(rollway("render", "shop", "20").stdout):
        namespace.api.apply(manifest, manager="kubectl", force=True)
    assert weight_of(namespace) == Split(20)


def test_completion_offers_the_names_in_the_cluster(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell completes NAME from the cluster."""
    shop.put(namespace, shop.ISTIO)
    environment = {
        **os.environ,
        "_ROLLWAY_COMPLETE": "bash_complete",
        "COMP_WORDS": "rollway status s",
        "COMP_CWORD": "2",
    }
    code = "import sys; sys.argv[0] = 'rollway'; from rollway.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "shop" in done.stdout


def test_status_watch_shows_each_change(namespace: Namespace) -> None:
    """`status --watch` prints again when a weight changes, and ends with Ctrl-C."""
    shop.put(namespace, shop.ISTIO)
    with started("status", "shop", "--watch") as process:
        assert process.stdout is not None
        assert "Rollout" in process.stdout.readline()
        namespace.router().set_weight(35)
        while "35 of 100" not in (line := process.stdout.readline()):
            assert line
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130


# -- ramps


def test_a_ramp_goes_step_by_step_and_on_from_what_is_live(namespace: Namespace) -> None:
    """A ramp sets each weight in order; a second one starts from the live weight, also downwards."""
    shop.put(namespace, shop.ALL)
    ran = rollway("ramp", "shop", "0..50", "--step", "20", "--every", "0s")
    assert [
        line.split()[3] for line in ran.stdout.splitlines() if "canary" in line and line.startswith("Rollout")
    ] == [
        "20",
        "40",
        "50",
    ]
    assert rollway("set-weight", "shop", "30").code == 0
    ran = rollway("ramp", "shop", "0..50", "--step", "20", "--every", "0s", "-o", "json")
    decoder, text, weights = json.JSONDecoder(), ran.stdout.strip(), []
    while text:
        document, end = decoder.raw_decode(text)
        weights.append(document["wanted"]["canary"])
        text = text[end:].strip()
    assert weights == [40, 50]
    assert rollway("ramp", "shop", "50..0", "--step", "25", "--every", "0s").code == 0
    assert weight_of(namespace) == Split(0)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["0-100", "--step", "10"], 2, "FROM..TO"),
        (["0..100", "--step", "0"], 2, "never ends"),
        (["0..300", "--step", "10"], 2, "0..100"),
        (["0..20", "--step", "10"], 4, "beyond 20"),
    ],
)
def test_a_ramp_that_makes_no_sense(words: list[str], code: int, text: str, namespace: Namespace) -> None:
    """A ramp that cannot be parsed, never ends or has the wrong direction is refused before anything is written."""
    shop.put(namespace, shop.ISTIO)
    assert rollway("set-weight", "shop", "40").code == 0
    ran = rollway("ramp", "shop", *words, "--every", "0s")
    assert (ran.code, text in ran.stderr) == (code, True)
    assert weight_of(namespace) == Split(40)


def first_step(process: subprocess.Popen[str]) -> None:
    """Wait until a ramp has made its first step."""
    assert process.stdout is not None
    while "verified" not in (line := process.stdout.readline()):
        assert line, process.communicate()[1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(("words", "weight"), [((), 0), (("--on-interrupt=stay",), 20)])
def test_an_interrupted_ramp_without_a_terminal(
    number: signal.Signals, code: int, words: tuple[str, ...], weight: int, namespace: Namespace
) -> None:
    """Ctrl-C or SIGTERM in a pipeline: the ramp goes back to stable, or stays, as --on-interrupt decides."""
    shop.put(namespace, shop.ALL)
    with started("ramp", "shop", "20..100", "--step", "20", "--every", "60s", *words) as process:
        first_step(process)
        process.send_signal(number)
        _, reported = process.communicate(timeout=60)
    assert (process.returncode, "interrupted: " in reported) == (code, True)
    assert weight_of(namespace) == Split(weight)


@pytest.mark.parametrize(("answer", "weight"), [("stay", 20), ("back", 0), ("", 0)])
def test_an_interrupted_ramp_asks_on_a_terminal(answer: str, weight: int, namespace: Namespace) -> None:
    """On a terminal there is a bar with weight, evidence and time to the next step, and Ctrl-C asks what to do."""
    shop.put(namespace, shop.ALL)
    words = ["-m", "rollway.cli", "ramp", "shop", "20..100", "--step", "20", "--every", "60s"]
    terminal = pexpect.spawn(sys.executable, words, encoding="utf-8", timeout=30, dimensions=(40, 120))
    terminal.expect(r"canary 20 of 100.*\(written\).*next: 40 in \d+ s")
    terminal.sendintr()
    terminal.expect("stay at 20 of 100, or go back to stable")
    terminal.sendline(answer)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert weight_of(namespace) == Split(weight)


def test_a_ramp_stops_when_somebody_else_sets_the_weight(namespace: Namespace) -> None:
    """A ramp stops when somebody sends the traffic back to stable."""
    shop.put(namespace, shop.ISTIO)
    with started("ramp", "shop", "20..100", "--step", "20", "--every", "5s") as process:
        first_step(process)
        namespace.router().set_weight(0)
        _, reported = process.communicate(timeout=60)
    assert (process.returncode, "somebody else set it" in reported) == (4, True)
    assert weight_of(namespace) == Split(0)


def test_a_ramp_waits_for_readiness(namespace: Namespace) -> None:
    """With --wait a ramp refuses only after that time, and writes nothing before."""
    shop.put(namespace, shop.ISTIO)
    namespace.ready("shop-canary", 0, 1)
    started = time.monotonic()
    ran = rollway("ramp", "shop", "0..100", "--step", "50", "--every", "0s", "--wait", "1s")
    assert (ran.code, time.monotonic() - started >= 1) == (4, True)
    assert weight_of(namespace) == Split(0)


# -- Events


def events(namespace: Namespace) -> list[tuple[str, str, str]]:
    """Return (type, reason, message) of the Events that rollway wrote, all on the Rollout, in order."""
    found = namespace.events()
    assert {item["involvedObject"]["kind"] for item in found} <= {"Rollout"}
    found.sort(key=lambda item: int(item["metadata"]["resourceVersion"]))
    return [(item["type"], item["reason"], item["message"]) for item in found]


@pytest.mark.kubelets
def test_events_have_the_words_that_are_printed(namespace: Namespace) -> None:
    """A change and a refusal leave an Event on the Rollout with the words of the command line; --no-events leaves none."""
    shop.put(namespace, shop.ALL)
    done = rollway("set-weight", "shop", "20")
    refused = rollway("set-weight", "shop", "90", "--max-step", "10")
    assert events(namespace) == [
        ("Normal", "TrafficWeightUpdated", done.stdout.rstrip()),
        ("Warning", "TrafficWeightRefused", refused.stderr.removeprefix("error: ").rstrip()),
    ]
    rollway("set-weight", "shop", "20")
    rollway("set-weight", "shop", "30", "--no-events")
    rollway("set-weight", "shop", "40", "--dry-run")
    assert len(events(namespace)) == 2
    rollway("ramp", "shop", "30..50", "--step", "10", "--every", "0s")
    gone = rollway("reset", "shop")
    reasons = [reason for _, reason, _ in events(namespace)[2:]]
    assert reasons == [
        "TrafficRampStarted",
        "TrafficWeightUpdated",
        "TrafficWeightUpdated",
        "TrafficRoutingRemoved",
    ]
    assert events(namespace)[-1][2] == gone.stdout.rstrip()


def test_status_tells_what_was_asked(namespace: Namespace) -> None:
    """The status shows what a verb asked for beside what the object has now, also after somebody else changed it."""
    shop.put(namespace, shop.NGINX)
    assert json.loads(rollway("status", "shop", "-o", "json").stdout)[0]["asked"] is None
    rollway("set-weight", "shop", "10")
    rollway("set-weight", "shop", "20")
    weight = "nginx.ingress.kubernetes.io/canary-weight"
    made = namespace.get("networking.k8s.io/v1", "Ingress", "shop-web-canary")
    namespace.api.edit(made, lambda found: found["metadata"]["annotations"].update({weight: "60"}))
    (reported,) = json.loads(rollway("status", "shop", "-o", "json").stdout)
    assert (reported["asked"]["traffic"]["canary"], reported["asked"]["evidence"]) == (20, "written")
    assert reported["traffic"]["canary"] == 60
    row = rollway("status", "shop").stdout.splitlines()[2]
    assert re.search(r"20 of 100, 20 % +60 of 100, 60 % +- +written +now$", row), row


def test_a_long_refusal_is_cut_for_the_event(namespace: Namespace) -> None:
    """An Event holds 1,024 characters, so a longer text is cut and not lost."""
    shop.put(namespace, shop.ISTIO)
    extra = [m.destination(f"service-with-a-rather-long-name-{index}", 0) for index in range(60)]
    routes = [
        {
            "name": f"a-route-with-a-rather-long-name-{index}",
            "match": [{"uri": {"prefix": f"/{index}"}}],
            "route": extra[:2],
        }
        for index in range(60)
    ]
    live = namespace.get("networking.istio.io/v1", "VirtualService", "web")
    namespace.api.merge(live, {"spec": {"http": [*live["spec"]["http"], *routes]}})
    assert rollway("set-weight", "shop", "20").code == 4
    ((_, _, message),) = events(namespace)
    assert (len(message), message[-3:]) == (1024, "...")


# -- GitOps


@pytest.mark.parametrize("name", ["istio", "subsets", "all"])
def test_the_pointers_for_gitops_are_those_that_are_patched(name: str, namespace: Namespace) -> None:
    """The stanza ignores exactly what the writes of a Rollout change in the user's objects, for both tools."""
    shop.put(namespace, shop.ROUTINGS[name])
    argocd = yaml.safe_load(rollway("gitops", "shop", "--for", "argocd").stdout)
    (ignored,) = argocd["spec"]["ignoreDifferences"]
    patched: set[str] = set()
    router = namespace.router()
    for weight in (1, 20, 50, 99, 100, 0):
        plan = router.plan(weight)
        assert plan is not None
        for change in plan.changes:
            if change.ref.kind == "VirtualService":
                patched |= {item["path"] for item in change.patch if item["op"] != "test"}
        router.apply(plan)
    live = namespace.get("networking.istio.io/v1", "VirtualService", "web")
    paths = [[int(step) if step.isdigit() else step for step in path.split("/")[1:]] for path in patched]
    assert set(ignored["jqPathExpressions"]) == {jq_path(tuple(path), live) for path in paths}
    assert argocd["spec"]["syncPolicy"]["syncOptions"] == ["RespectIgnoreDifferences=true"]
    documents = list(yaml.safe_load_all(rollway("gitops", "shop", "--for", "flux").stdout))
    rules = [documents[0]["spec"]["ignore"], documents[1]["spec"]["driftDetection"]["ignore"]]
    assert all(set(rule["paths"]) == patched for (rule,) in rules)
    written = json.loads(rollway("gitops", "shop", "--for", "flux", "-o", "json").stdout)
    assert [stanza["manifest"] for stanza in written["stanzas"]] == documents


def test_nothing_shared_means_nothing_to_ignore(namespace: Namespace) -> None:
    """A Rollout whose routers write only objects of rollway needs no stanza, and the command reports this."""
    shop.put(namespace, shop.NGINX)
    ran = rollway("gitops", "shop", "--for", "argocd")
    assert (ran.code, ran.stdout, "nothing to leave alone" in ran.stderr) == (0, "", True)


def test_a_gitops_tool_that_applies_without_weights_leaves_them(namespace: Namespace) -> None:
    """A sync keeps the weights when the stanza's pointers are removed first, as Flux does."""
    shop.put(namespace, shop.ISTIO)
    assert rollway("set-weight", "shop", "20").code == 0
    desired = namespace.get("networking.istio.io/v1", "VirtualService", "web")
    stanza = next(yaml.safe_load_all(rollway("gitops", "shop", "--for", "flux").stdout))
    live = json.loads(json.dumps(desired))
    for pointer in stanza["spec"]["ignore"][0]["paths"]:
        *path, last = pointer.split("/")[1:]
        target: Any = desired
        source: Any = live
        for step in path:
            key = int(step) if isinstance(target, list) else step
            target, source = target[key], source[key]
        target[last] = source[last]
    for key in ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"):
        desired["metadata"].pop(key, None)
    namespace.api.apply(desired, manager="argocd-controller", force=True)
    assert weight_of(namespace) == Split(20)
    assert rollway("set-weight", "shop", "30").code == 0
    assert namespace.router().observe().traffic == Traffic(Split(30))


def test_a_role_that_may_not_write_events(namespace: Namespace) -> None:
    """A change without the right to write its Event is made and reported, with a note; a refusal stays a refusal."""
    shop.put(namespace, shop.ISTIO)
    roles = json.loads(rollway("rbac", "shop", "-o", "json").stdout)["items"]
    roles[0]["rules"] = [rule for rule in roles[0]["rules"] if rule["resources"] != ["events"]]
    namespace.api.put(roles[0])
    namespace.bind("Role", "rollway-shop", "ann")
    until(lambda: not rollway("status", "shop", "--as", "ann").code, "the API server has the Role", 60)
    ran = rollway("set-weight", "shop", "20", "--as", "ann")
    assert (ran.code, "the Event about it was not written" in ran.stderr, "--no-events" in ran.stderr) == (
        0,
        True,
        True,
    )
    assert weight_of(namespace) == Split(20)
    assert rollway("set-weight", "shop", "30", "--as", "ann", "--no-events").code == 0
    ran = rollway("set-weight", "shop", "90", "--max-step", "1", "--as", "ann")
    assert (ran.code, "the Event about it was not written" in ran.stderr) == (4, True)
