"""The verbs about releases on the command line: what they print, as text and as documents, and how they end."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from api_server import KINDS, ApiServer, Fault

import manifests as m
import releases as r
from rollway.cli import watching
from rollway.routers.errors import NotFoundError, UnreachableError
from rollway.routers.stores.cluster import ClusterStore
from running import on_terminal, rollway, schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rollway.routers.kube.connection import Connection
    from rollway.routers.objects import Manifest

pytestmark = pytest.mark.enable_socket

SHOP = "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts/shop"


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A cluster with a release that stands at a pause."""
    monkeypatch.setitem(KINDS, "argoproj.io", {"v1alpha1": {"Rollout": ("rollouts", True)}})
    monkeypatch.setitem(KINDS, "apps", {"v1": {"ReplicaSet": ("replicasets", True)}})
    monkeypatch.setenv("KUBECONFIG", server.kubeconfig(tmp_path))
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "cache"))
    server.put(r.canary(), "rollouts")
    server.put(r.replica_set(r.CANARY, 5, "shop:2", 1), "replicasets")
    server.put(r.replica_set(r.STABLE, 4), "replicasets")
    for pod in (r.pod(r.CANARY, 1), *(r.pod(r.STABLE, number) for number in range(1, 5))):
        server.put(pod, "pods")
    yield server
    server.break_watches()


def shop(server: ApiServer) -> Manifest:
    """Return the Rollout as it is stored."""
    return server.objects[SHOP]


# -- get

TREE = f"""\
Name:            shop
Namespace:       default
Status:          ॥ Paused
Message:         CanaryPauseStep
Strategy:        Canary
  Step:          1/4
  SetWeight:     20
  ActualWeight:  20
Images:          shop:1 (stable)
                 shop:2 (canary)
Replicas:
  Desired:       5
  Current:       5
  Updated:       1
  Ready:         5
  Available:     5

NAME                              KIND        STATUS     AGE  INFO
⟳ shop                            Rollout     ॥ Paused   AGE
├──# revision:5
│  └──⧉ shop-{r.CANARY}           ReplicaSet  ✔ Healthy  AGE  canary
│     └──□ shop-{r.CANARY}-1      Pod         ✔ Running  AGE  ready:1/1
└──# revision:4
   └──⧉ shop-{r.STABLE}           ReplicaSet  ✔ Healthy  AGE  stable
"""


def words(text: str) -> list[str]:
    """Return the words of a text, without what depends on the time."""
    import re

    return re.sub(r"\b\d+d(\d+h)?\b", "AGE", text).split()


def test_get_shows_the_tree(cluster: ApiServer) -> None:
    """The tree is the one that users of Argo Rollouts know, with `get NAME` and as they are used to, `get rollout NAME`."""
    ran = rollway("get", "shop")
    assert ran.code == 0, ran
    assert words(ran.stdout)[: len(words(TREE))] == words(TREE)
    assert ran.stdout.count("□ shop-") == 5
    assert rollway("get", "rollout", "shop").stdout == ran.stdout
    assert rollway("get", "rollout/shop", "-o", "name").stdout == "rollout.argoproj.io/shop\n"
    assert "IMAGES" in rollway("get", "shop", "-o", "wide").stdout


def test_get_shows_what_is_live(cluster: ApiServer) -> None:
    """Beside the weight of the status stands what the objects have, with the evidence, and never in its place."""
    routed = r.canary(canary={"weights": {"canary": {"weight": 20}, "stable": {"weight": 80}}})
    strategy = m.rollout({"istio": {"virtualService": {"name": "web"}}})["spec"]["strategy"]["canary"]
    routed["spec"]["strategy"]["canary"].update(strategy)
    cluster.put(routed, "rollouts")
    route = [m.destination("shop-stable", 65), m.destination("shop-canary", 35)]
    cluster.put(m.virtual_service(http=[{"name": "primary", "route": route}]), "virtualservices")
    for name in ("shop-stable", "shop-canary"):
        cluster.put(m.service(name), "services")
        cluster.put(m.endpoint_slice(name), "endpointslices")
    lines = {line.partition(":")[0].strip(): line for line in rollway("get", "shop").stdout.splitlines()}
    assert lines["ActualWeight"].split() == ["ActualWeight:", "20"]
    assert lines["LiveWeight"].split()[1:6] == ["35", "of", "100,", "35", "%"]
    assert "(written" in lines["LiveWeight"]
    document = json.loads(rollway("get", "shop", "-o", "json").stdout)
    schema("tree", document)
    assert (document["actualWeight"], document["live"]["traffic"]["canary"]) == (20, 35)


def test_get_goes_on_without_what_it_may_not_read(cluster: ApiServer) -> None:
    """Pods that the role may not list, and routing objects that are missing, are named; the rest is shown."""
    routed = r.canary()
    routed["spec"]["strategy"] = m.rollout({"istio": {"virtualService": {"name": "web"}}})["spec"]["strategy"]
    cluster.put(routed, "rollouts")
    forbidden = 'User "ci" cannot list resource "pods" in API group ""'
    cluster.faults = [Fault("status", 403, forbidden, methods=("GET",), path="/pods", times=9)]
    ran = rollway("get", "shop")
    assert (ran.code, "□" in ran.stdout, "⧉" in ran.stdout) == (0, False, True)
    assert "no Pod is shown: the role lacks the verb list on pods" in ran.stderr
    assert "LiveWeight:    unknown: VirtualService" in ran.stdout
    document = json.loads(rollway("get", "shop", "-o", "json").stdout)
    assert (document["live"]["traffic"], document["live"]["evidence"]) == (None, "unknown")


def test_documents_follow_their_schemas(cluster: ApiServer) -> None:
    """Each JSON document about releases validates against its schema, and -o yaml is the same in another form."""
    for name, *verb in (
        ("tree", "get", "shop"),
        ("rollouts", "list"),
        ("history", "history", "shop"),
        ("verb", "promote", "shop", "--dry-run"),
        ("verb", "retry", "shop"),
        ("release", "wait", "shop", "--for", "paused"),
    ):
        document = json.loads(rollway(*verb, "-o", "json").stdout)
        schema(name, document)
        assert yaml.safe_load(rollway(*verb, "-o", "yaml").stdout) == document


def test_a_pipe_gets_a_line_for_each_change(cluster: ApiServer) -> None:
    """Without a terminal, `get -w` prints where the Rollout is, at once and after each change, until its time is over."""
    lines = rollway("get", "shop", "-w", "--timeout", "0s").stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].partition(" ")[2] == (
        "Paused: CanaryPauseStep; step 1/4; weight 20; "
        "pods: 5 desired, 5 current, 1 updated, 5 ready, 5 available"
    )
    assert rollway("get", "shop", "--timeout", "1s").code == 2
    assert rollway("get", "shop", "cart").code == 2


def test_a_terminal_gets_the_tree_drawn(cluster: ApiServer) -> None:
    """On a terminal, `get -w` draws the tree in colour."""
    code, shown = on_terminal("get", "shop", "-w", "--timeout", "0s")
    assert (code, "revision:5" in shown, "\x1b[" in shown) == (0, True, True)


def test_an_api_server_that_is_away_is_waited_for(
    cluster: ApiServer,
    connection: Connection,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a release is watched, an API server that does not answer is one note; any other failure ends the command."""
    monkeypatch.setattr(watching, "TICK_S", 0.001)
    monkeypatch.setattr(watching, "PAUSE_S", 0.0)
    store = ClusterStore(connection, cache=False)
    answers: list[Any] = [
        UnreachableError("no answer"),
        UnreachableError("no answer"),
        "seen",
        NotFoundError("gone"),
    ]

    def look(_store: object) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    looks = watching.looks(store, "default", look, 60)
    assert next(looks) == "seen"
    with pytest.raises(NotFoundError):
        next(looks)
    assert capsys.readouterr().err.count("waiting for the API server: no answer") == 1


def test_list_prints_a_rollout_again_when_it_changes(
    cluster: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`list -w` prints what changed, and not what stayed."""

    def two_looks(store: Any, _namespace: str, look: Any) -> Iterator[Any]:
        yield look(store)
        changed(cluster, phase="Healthy", currentStepIndex=4)
        yield look(store)

    monkeypatch.setattr(watching, "looks", two_looks)
    lines = rollway("list", "-w").stdout.splitlines()
    assert [line.split()[2] for line in lines] == ["STATUS", "Paused", "Healthy"]
    changed(cluster, phase=None, currentStepIndex=1)
    documents = rollway("list", "-w", "-o", "json").stdout
    assert documents.count('"phase"') == 2


# -- wait


def changed(server: ApiServer, **status: Any) -> None:
    """Let the controller change the status."""
    live = shop(server)
    server.put({**live, "status": {**live["status"], **status}}, "rollouts")


def test_wait_ends_when_the_goal_is_reached(cluster: ApiServer) -> None:
    """It prints each change on the way, and ends with the one that it waits for."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(rollway("wait", "shop", "--timeout", "60s")))
    thread.start()
    while not any("watch=true" in path for _, path in cluster.requests):
        threading.Event().wait(0.01)
    changed(cluster, phase="Progressing", message="more replicas need to be updated", currentStepIndex=2)
    changed(cluster, phase="Healthy", message="", currentStepIndex=4)
    thread.join()
    (ran,) = results
    assert ran.code == 0
    assert ran.stdout.splitlines()[-1] == "Rollout default/shop: Healthy (step 4/4)"


@pytest.mark.parametrize(
    ("goal", "status", "code", "text"),
    [
        ("paused", {}, 0, ""),
        ("step=1", {}, 0, ""),
        ("healthy", {}, 5, "did not reach Healthy in time; it is Paused: CanaryPauseStep"),
        ("step=2", {}, 5, "did not reach step 2 in time"),
        ("step=7", {}, 2, "has 4 steps, so it never reaches step 7"),
        ("ready", {}, 2, "'ready' is nothing to wait for"),
        ("healthy", {"phase": "Degraded", "message": "bad"}, 1, "Rollout default/shop is Degraded: bad"),
        ("degraded", {"phase": "Degraded", "message": "bad"}, 0, ""),
    ],
)
def test_how_wait_ends(goal: str, status: Any, code: int, text: str, cluster: ApiServer) -> None:
    """0 when it is reached, 1 when the release has failed, 5 when the time is over, 2 for what cannot be waited for."""
    changed(cluster, **status)
    ran = rollway("wait", "shop", "--for", goal, "--timeout", "0s")
    assert (ran.code, text in ran.stderr) == (code, True), ran


# -- list and history


def test_list(cluster: ApiServer) -> None:
    """The columns are those of Argo Rollouts; -o wide adds what each waits for."""
    green = r.blue_green()
    green["metadata"].update(namespace="green", name="cart")
    cluster.put(green, "rollouts")
    header, row = rollway("list").stdout.splitlines()
    assert header.split() == [
        "NAME",
        "STRATEGY",
        "STATUS",
        "STEP",
        "SET-WEIGHT",
        "READY",
        "DESIRED",
        "UP-TO-DATE",
        "AVAILABLE",
    ]
    assert row.split() == ["shop", "Canary", "Paused", "1/4", "20", "5/5", "5", "1", "5"]
    assert rollway("list", "rollouts", "--no-headers").stdout.split() == row.split()
    everywhere = rollway("list", "-A", "-o", "wide").stdout.splitlines()
    assert everywhere[2].split() == [
        "green",
        "cart",
        "BlueGreen",
        "Paused",
        "-",
        "-",
        "5/5",
        "5",
        "1",
        "5",
        "-",
        "BlueGreenPause",
    ]
    assert rollway("list", "-n", "blue").stderr == "note: there is no Rollout\n"
    assert rollway("list", "-o", "name").stdout == "rollout.argoproj.io/shop\n"


def test_history(cluster: ApiServer) -> None:
    """Each revision has its role and images; --revision prints the template to which `undo` would go back."""
    rows = [line.split() for line in rollway("history", "shop").stdout.splitlines()]
    assert [row[:4] for row in rows[1:]] == [
        ["5", f"shop-{r.CANARY}", "canary", "1/1"],
        ["4", f"shop-{r.STABLE}", "stable", "4/4"],
    ]
    assert yaml.safe_load(rollway("history", "shop", "--revision", "4").stdout) == r.template("shop:1")
    assert rollway("history", "shop", "--revision", "3").code == 1
    assert "CHANGE-CAUSE" in rollway("history", "shop", "-o", "wide").stdout
    assert (
        rollway("history", "shop", "-o", "name").stdout.splitlines()[1] == f"replicaset.apps/shop-{r.STABLE}"
    )


# -- verbs that write


@pytest.mark.parametrize(
    ("words", "text", "requests"),
    [
        (("promote", "shop"), "promoted past the pause at step 2/4 (pause)", [f"{SHOP}/status"]),
        (("promote", "shop", "--full"), "fully promoted, without its other steps", [f"{SHOP}/status"]),
        (("abort", "shop"), "aborted: all traffic and pods go back to stable", [f"{SHOP}/status"]),
        (("retry", "rollout", "shop"), "nothing to do: it is not aborted; it is Paused: CanaryPauseStep", []),
        (("pause", "shop"), "paused by hand", [SHOP]),
        (("resume", "shop"), "nothing to do: it is not paused by hand; `rollway promote` ends", []),
        (("restart", "shop"), "its pods restart at 2", [SHOP]),
        (("undo", "shop"), "went back to the template of revision 4", [SHOP]),
        (("set", "image", "shop", "app=shop:3"), "updated: app is shop:3 now", [SHOP]),
        (("set", "image", "shop", "*=shop:2"), "nothing to do: its containers have these images already", []),
    ],
)
def test_each_verb_reports_what_it_did(words: Any, text: str, requests: Any, cluster: ApiServer) -> None:
    """A verb is one patch of the object or of its status, or none where it says that there is nothing to do."""
    ran = rollway(*words)
    assert (ran.code, ran.stdout.startswith(f"Rollout default/shop: {text}")) == (0, True), ran
    patches = [path.partition("?")[0] for method, path in cluster.requests if method == "PATCH"]
    assert patches == requests


def test_a_crd_without_the_status_subresource(cluster: ApiServer) -> None:
    """Where the API server has no such subresource, the fields of the status are patched on the object itself."""
    cluster.faults = [Fault("status", 404, "not found", methods=("PATCH",), path="/status", times=2)]
    assert rollway("abort", "shop").code == 0
    assert shop(cluster)["status"]["abort"] is True


def test_several_rollouts_at_once(cluster: ApiServer) -> None:
    """`abort`, `retry`, `pause` and `resume` take several names, as with Argo Rollouts."""
    other = r.canary()
    other["metadata"]["name"] = "cart"
    cluster.put(other, "rollouts")
    ran = rollway("abort", "shop", "cart")
    assert ran.stdout.count("aborted: ") == 2
    assert rollway("abort", "shop", "basket").code == 1


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("promote", "shop", "--full", "-c"), 2, "give one of --full"),
        (("set", "image", "shop", "app"), 2, "not of the form CONTAINER=IMAGE"),
        (("set", "image", "shop", "app=a", "app=b"), 2, "two images are given"),
        (("set", "image", "shop", "web=a"), 1, "its containers are: app"),
        (("set", "weight", "shop", "app=a"), 2, "weight"),
        (("undo", "shop", "--to-revision", "3"), 1, "there is: 5, 4"),
        (("undo", "shop", "--to-revision", "-3"), 2, "--to-revision"),
        (("promote", "basket"), 1, "basket not found"),
    ],
)
def test_what_a_verb_cannot_do(words: Any, code: int, text: str, cluster: ApiServer) -> None:
    """Each mistake is an error that says what there is, and nothing is written."""
    ran = rollway(*words)
    assert (ran.code, text in ran.stderr) == (code, True), ran
    assert cluster.count("PATCH") == 0


def test_the_skipping_options_of_argo(cluster: ApiServer) -> None:
    """-c and -a set the step, as the command line of Argo Rollouts still does."""
    assert rollway("promote", "shop", "-c").code == 0
    assert shop(cluster)["status"]["currentStepIndex"] == 2
    assert rollway("promote", "shop", "-a").code == 0
    assert shop(cluster)["status"]["currentStepIndex"] == 4


def test_a_restart_can_be_put_off(cluster: ApiServer) -> None:
    """--in gives the moment, in the future."""
    rollway("restart", "shop")
    now = shop(cluster)["spec"]["restartAt"]
    rollway("restart", "shop", "--in", "1h")
    assert shop(cluster)["spec"]["restartAt"] > now


def test_a_dry_run(cluster: ApiServer) -> None:
    """Nothing is written, and the answer says so; `--dry-run=server` asks the API server."""
    ran = rollway("pause", "shop", "--dry-run")
    assert ran.stdout.endswith("paused by hand\ndry run: nothing was written\n")
    assert cluster.count("PATCH") == 0
    ran = rollway("pause", "shop", "--dry-run=server")
    assert ran.stdout.endswith("dry run: nothing was written, and the cluster would take it\n")
    assert "dryRun=All" in cluster.requests[-1][1]


# -- files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the manifest of a Rollout, as a GitOps repository has it."""
    manifest = {key: value for key, value in r.canary().items() if key != "status"}
    (tmp_path / "app.yaml").write_text("# the shop\n" + yaml.safe_dump(manifest))
    return tmp_path


def test_fields_of_the_spec_are_changed_in_files(folder: Path) -> None:
    """`set image`, `pause`, `resume` and `restart` change these lines of a file, and nothing else."""
    where = ("--dir", str(folder))
    before = (folder / "app.yaml").read_text()
    assert rollway("set", "image", "shop", "app=shop:3", *where).code == 0
    assert (folder / "app.yaml").read_text() == before.replace("image: shop:2", "image: shop:3")
    for verb, key, value in (("pause", "paused", True), ("resume", "paused", False)):
        assert rollway(verb, "shop", *where).code == 0
        assert yaml.safe_load((folder / "app.yaml").read_text())["spec"][key] is value
    assert rollway("restart", "shop", *where).code == 0
    assert (folder / "app.yaml").read_text().startswith("# the shop\n")


@pytest.mark.parametrize(
    "words",
    [
        ("get", "shop"),
        ("list",),
        ("history", "shop"),
        ("wait", "shop"),
        ("promote", "shop"),
        ("abort", "shop"),
        ("retry", "shop"),
        ("undo", "shop"),
    ],
)
def test_what_needs_a_controller_is_refused_for_files(words: Any, folder: Path) -> None:
    """Files have no status and no ReplicaSets, so these verbs are refused by name."""
    ran = rollway(*words, "--dir", str(folder))
    assert (ran.code, f"{words[0]} needs what a controller reports" in ran.stderr) == (4, True), ran
