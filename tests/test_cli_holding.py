"""Weights that rollway's controller holds, on the command line: `set-weight`, `--release`, and what the others show."""

from __future__ import annotations

import contextlib
import getpass
import json
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from api_server import ROLLOUTS, ApiServer, Fault

import manifests as m
import releases as r
from rollway.releases import held_traffic
from rollway.routers.held_weight import HELD_WEIGHT, HeldWeight, held_weight_of
from rollway.routers.model import INSTANCE_ID, INSTANCE_LABEL
from running import Ran, rollway, schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rollway.routers.objects import Manifest

pytestmark = pytest.mark.enable_socket

SHOP = "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts/shop"
ROUTE = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/web"
OLD = HeldWeight(5, r.CANARY, 1, "bob", datetime(2026, 1, 1, tzinfo=UTC)).annotation


def release(instance: str = INSTANCE_ID, weight: int = 20, **status: Any) -> Manifest:
    """Return a Rollout at a pause, which a controller with an instance id runs."""
    weights = {"canary": {"weight": weight}, "stable": {"weight": 100 - weight}}
    found = r.canary(**{"phase": "Paused", "canary": {"weights": weights}, **status})
    routed = m.rollout({"istio": {"virtualService": {"name": "web"}}})["spec"]["strategy"]["canary"]
    found["spec"]["strategy"]["canary"].update(routed)
    found["metadata"] |= {"labels": {INSTANCE_LABEL: instance}, "annotations": {"mine": "yes"}}
    return found


def route(weight: int) -> Manifest:
    """Return the VirtualService with a weight."""
    pair = [m.destination("shop-stable", 100 - weight), m.destination("shop-canary", weight)]
    return m.virtual_service(http=[{"name": "primary", "route": pair}])


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    """A cluster with a release that stands at a pause, and nobody who runs it."""
    server.kinds = server.kinds | ROLLOUTS
    monkeypatch.setenv("KUBECONFIG", server.kubeconfig(tmp_path))
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "cache"))
    monkeypatch.setattr(held_traffic, "ANSWER_S", 0.5)
    monkeypatch.setattr(held_traffic, "LOOK_S", 0.02)
    server.put(release(), "rollouts")
    server.put(route(20), "virtualservices")
    for name in ("shop-stable", "shop-canary"):
        server.put(m.service(name), "services")
        server.put(m.endpoint_slice(name), "endpointslices")
    return server


@contextlib.contextmanager
def controller(cluster: ApiServer, *, moves: bool = True, ends: bool = False) -> Iterator[None]:
    """Play the controller: report each weight that is held, and move it, unless it lacks pods, or somebody ends it."""
    stop = threading.Event()

    def work() -> None:
        known: HeldWeight | None = None
        while not stop.wait(0.01):
            held = held_weight_of(cluster.objects[SHOP])
            if held in (None, known):
                continue
            known = held
            assert held is not None
            if moves:
                cluster.put(route(held.weight), "virtualservices")
            weight = held.weight if moves else 20
            found = release(weight=weight, message=f"{held.text(100)}; 1 of 2 pods are available")
            if not ends:
                found["metadata"]["annotations"][HELD_WEIGHT] = held.annotation
            cluster.put(found, "rollouts")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def held(cluster: ApiServer) -> HeldWeight | None:
    """Return the weight that is held."""
    return held_weight_of(cluster.objects[SHOP])


def weight(cluster: ApiServer) -> int:
    """Return the weight of the canary in the VirtualService."""
    return int(cluster.objects[ROUTE]["spec"]["http"][0]["route"][1]["weight"])


def hold(cluster: ApiServer, *words: str, **behaviour: bool) -> Ran:
    """Run `set-weight shop` while a controller is there."""
    with controller(cluster, **behaviour):
        return rollway("set-weight", "shop", *words)


class TestHold:
    """A weight for the controller."""

    def test_one_command_asks_waits_and_proves(self, cluster: ApiServer) -> None:
        """The controller moves the weight; the command shows the proof, who holds it, and how that ends."""
        ran = hold(cluster, "35")
        assert ran.code == 0, ran
        assert ran.stdout.splitlines()[:3] == [
            "Rollout default/shop: canary 35 of 100, 35 %",
            "  updated Rollout default/shop",
            "  verified: written",
        ]
        assert (
            "held by ann until promote, abort, another update or `rollway set-weight shop --release`"
            in ran.stdout
        )
        found = held(cluster)
        assert found is not None
        assert (found.weight, found.pod_hash, found.step, found.by) == (35, r.CANARY, 1, "ann")
        assert cluster.objects[SHOP]["metadata"]["annotations"]["mine"] == "yes"
        assert not [
            path for method, path in cluster.requests if method == "PATCH" and "virtualservices" in path
        ]
        (event,) = [item for place, item in cluster.objects.items() if "/events/" in place]
        assert event["reason"] == "TrafficWeightUpdated"

    def test_the_same_weight_again_changes_nothing(self, cluster: ApiServer) -> None:
        """A weight that is held already is proven, and stays that of whoever asked for it first."""
        assert hold(cluster, "35").code == 0
        before = held(cluster)
        ran = rollway("set-weight", "shop", "35%", "--as", "bob")
        assert (ran.code, held(cluster)) == (0, before), ran
        assert "nothing to change" in ran.stdout

    def test_documents(self, cluster: ApiServer) -> None:
        """The answer is the document of every writing verb, with what is held."""
        document = json.loads(hold(cluster, "35", "-o", "json").stdout)
        schema("result", document)
        assert (document["held"]["weight"], document["changed"], document["evidence"]) == (
            35,
            True,
            "written",
        )
        ran = rollway("get", "shop", "-o", "json")
        schema("tree", json.loads(ran.stdout))
        assert json.loads(ran.stdout)["held"]["by"] == "ann"

    @pytest.mark.parametrize(("status", "noted"), [(404, False), (403, True)])
    def test_who_holds_it(
        self, cluster: ApiServer, monkeypatch: pytest.MonkeyPatch, status: int, *, noted: bool
    ) -> None:
        """Where the API server does not say who the caller is, it is the user of the machine, if there is one."""
        fault = Fault("status", status, times=9, path="selfsubjectreviews")
        cluster.faults = [fault]
        monkeypatch.setattr(getpass, "getuser", lambda: "eve\n")
        ran = hold(cluster, "35")
        found = held(cluster)
        assert (ran.code, "who you are" in ran.stderr, found and found.by) == (0, noted, "eve"), ran

        def nobody() -> str:
            raise OSError("no such user")

        monkeypatch.setattr(getpass, "getuser", nobody)
        assert hold(cluster, "30").code == 0
        found = held(cluster)
        assert found is not None
        assert found.by == "unknown"

    def test_a_reviewed_plan(self, cluster: ApiServer) -> None:
        """`plan` shows what the controller would write, and `--expect` refuses another plan."""
        ran = rollway("plan", "shop", "35", "-o", "json")
        assert ran.code == 3, ran
        mark = json.loads(ran.stdout)["fingerprint"]
        refused = rollway("set-weight", "shop", "36", "--expect", mark)
        assert (refused.code, held(cluster)) == (4, None)
        assert hold(cluster, "35", "--expect", mark).code == 0

    @pytest.mark.parametrize("mode", ["client", "server"])
    def test_a_dry_run_writes_nothing(self, cluster: ApiServer, mode: str) -> None:
        """The plan is shown, and the annotation is checked where the API server is to check it."""
        ran = rollway("set-weight", "shop", "35", f"--dry-run={mode}")
        assert ran.code == 0, ran
        assert "the controller would hold it" in ran.stdout
        patched = [path for method, path in cluster.requests if method == "PATCH"]
        assert [path for path in patched if "dryRun=All" not in path] == []
        assert len(patched) == (mode == "server")

    @pytest.mark.parametrize(
        ("words", "reason"),
        [(["--max-step", "5"], "over the limit of 5"), (["--keep-stable"], "stable would get 0")],
    )
    def test_limits(self, cluster: ApiServer, words: list[str], reason: str) -> None:
        """What the caller forbids is refused before anything is asked of the controller."""
        ran = rollway("set-weight", "shop", "100", *words)
        assert (ran.code, reason in ran.stderr, held(cluster)) == (4, True, None), ran

    def test_pods_that_are_not_ready_are_the_controllers_matter(self, cluster: ApiServer) -> None:
        """An endpoint that is not ready yet refuses nothing: the controller moves weight when it is."""
        cluster.put(m.endpoint_slice("shop-canary", ready=False), "endpointslices")
        with controller(cluster, moves=False):
            ran = rollway("set-weight", "shop", "35", "--timeout", "0.1s")
        assert (ran.code, "1 of 2 pods are available" in ran.stderr) == (5, True), ran

    def test_a_lost_answer(self, cluster: ApiServer) -> None:
        """A write whose answer got lost is found out by reading."""
        cluster.faults = [Fault("lost", methods=("PATCH",), path="rollouts/shop")]
        ran = hold(cluster, "35")
        assert (ran.code, weight(cluster)) == (0, 35), ran


class TestNotHeld:
    """What becomes of a weight that is not reached."""

    @pytest.mark.parametrize("before", [None, OLD])
    def test_no_controller_answers(self, cluster: ApiServer, before: str | None) -> None:
        """The annotation is as it was before, and the command says what to do."""
        if before:
            found = release()
            found["metadata"]["annotations"][HELD_WEIGHT] = before
            cluster.put(found, "rollouts")
        ran = rollway("set-weight", "shop", "35")
        assert ran.code == 5
        assert "no controller of rollway has answered" in ran.stderr
        assert "--allow controller-in-charge" in ran.stderr
        assert cluster.objects[SHOP]["metadata"]["annotations"].get(HELD_WEIGHT) == before
        assert weight(cluster) == 20

    def test_it_is_not_there_in_time(self, cluster: ApiServer) -> None:
        """The weight stays held, and the words of the controller say what it waits for."""
        ran = hold(cluster, "35", "--timeout", "0.1s", moves=False)
        assert (ran.code, "1 of 2 pods are available" in ran.stderr) == (5, True), ran
        found = held(cluster)
        assert found is not None
        assert found.weight == 35

    def test_on_failure_back(self, cluster: ApiServer) -> None:
        """With `--on-failure back` the controller holds weight 0 instead."""
        ran = hold(cluster, "35", "--timeout", "0.1s", "--on-failure", "back", moves=False)
        assert (ran.code, "weight 0 is held instead" in ran.stderr) == (5, True), ran
        found = held(cluster)
        assert found is not None
        assert found.weight == 0

    def test_somebody_ends_it_meanwhile(self, cluster: ApiServer) -> None:
        """A promote or an abort while the command waits is reported."""
        ran = hold(cluster, "35", ends=True)
        assert (ran.code, "somebody has acted on it meanwhile, and it is held no more" in ran.stderr) == (
            1,
            True,
        ), ran

    def test_what_the_controller_has_not_seen(self, cluster: ApiServer) -> None:
        """A promote that is under way is waited for, and then reported."""
        cluster.put(release(pauseConditions=None), "rollouts")
        ran = rollway("set-weight", "shop", "35")
        assert (ran.code, held(cluster)) == (1, None)
        assert "waiting for rollout to unpause" in ran.stderr

    @pytest.mark.parametrize(
        ("manifest", "words"),
        [
            (release(stableRS=r.CANARY), "no update is under way"),
            (release(abort=True), "rollway retry shop"),
            (release(promoteFull=True), "full promotion"),
            (release(stableRS=None), "no controller has taken it up"),
            ({**r.blue_green(), "metadata": release()["metadata"]}, "rollway promote shop"),
        ],
        ids=["promoted", "aborted", "promoted fully", "new", "blue-green"],
    )
    def test_refusals(self, cluster: ApiServer, manifest: Manifest, words: str) -> None:
        """Where there is no weight to hold, the reason and the verb to run instead are named."""
        cluster.put(manifest, "rollouts")
        ran = rollway("set-weight", "shop", "35")
        assert (ran.code, words in ran.stderr, held(cluster)) == (4, True, None), ran

    def test_weight_0_without_an_update_is_there(self, cluster: ApiServer) -> None:
        """All traffic is with stable, so nothing is to be done."""
        cluster.put(
            release(stableRS=r.CANARY, weight=0, pauseConditions=None, controllerPause=None), "rollouts"
        )
        cluster.put(route(0), "virtualservices")
        ran = rollway("set-weight", "shop", "0")
        assert (ran.code, "nothing to change" in ran.stdout, held(cluster)) == (0, True, None), ran

    def test_options_without_a_meaning(self, cluster: ApiServer, tmp_path: Path) -> None:
        """What would do nothing is refused."""
        for words in (
            ["35", "--adopt"],
            ["35", "--release"],
            ["--release", "--max-step", "5"],
            ["--release", "--verify", "loaded"],
            ["35", "--hold", "--allow", "controller-in-charge"],
        ):
            assert rollway("set-weight", "shop", *words).code == 2, words
        (tmp_path / "web.yaml").write_text(json.dumps(release()))
        for words in (["35", "--hold"], ["--release"]):
            assert rollway("set-weight", "shop", *words, "--dir", str(tmp_path)).code == 4, words
        assert not [method for method, _ in cluster.requests if method != "GET"]


class TestWhose:
    """Whose controller a Rollout has."""

    @pytest.mark.parametrize("instance", ["", "argo"])
    def test_another_controller(self, cluster: ApiServer, instance: str) -> None:
        """Without rollway's label the refusal stays, and `--hold` asks rollway's controller by another id."""
        cluster.put(release(instance), "rollouts")
        ran = rollway("set-weight", "shop", "35")
        assert (ran.code, "controller-in-charge" in ran.stderr, held(cluster)) == (4, True, None), ran
        assert ("--hold" in ran.stderr) == bool(instance)
        assert hold(cluster, "35", "--hold").code == 0
        assert weight(cluster) == 35

    def test_the_objects_beside_the_controller(self, cluster: ApiServer) -> None:
        """`--allow controller-in-charge` writes the objects, as before."""
        ran = rollway("set-weight", "shop", "35", "--allow", "controller-in-charge")
        assert (ran.code, weight(cluster), held(cluster)) == (0, 35, None), ran

    def test_files_have_no_controller(self, cluster: ApiServer, tmp_path: Path) -> None:
        """In files the weight is written into the objects, whatever label the Rollout has."""
        found = release()
        del found["status"]
        text = "\n---\n".join(json.dumps(item) for item in (found, route(20)))
        (tmp_path / "web.yaml").write_text(text)
        ran = rollway("set-weight", "shop", "35", "--dir", str(tmp_path))
        assert (ran.code, held(cluster)) == (0, None), ran

    @pytest.mark.parametrize(
        "words",
        [
            ["switch", "shop", "canary"],
            ["ramp", "shop", "20..60", "--step", "20", "--every", "1s"],
            ["reset", "shop"],
        ],
        ids=lambda words: words[0],
    )
    @pytest.mark.parametrize("phase", ["Paused", "Healthy"])
    def test_the_other_verbs_are_refused_by_name(
        self, cluster: ApiServer, words: list[str], phase: str
    ) -> None:
        """What the controller would write back is refused at any time, and the verbs that it follows are named."""
        cluster.put(release(phase=phase), "rollouts")
        ran = rollway(*words)
        assert (ran.code, weight(cluster)) == (4, 20), ran
        for verb in ("set-weight shop WEIGHT", "promote shop", "abort shop"):
            assert f"rollway {verb}" in ran.stderr


class TestRelease:
    """`--release`."""

    def test_it_ends(self, cluster: ApiServer) -> None:
        """The annotation goes, where the release goes on is said, and there is nothing to do the second time."""
        assert hold(cluster, "35").code == 0
        assert rollway("set-weight", "shop", "--release", "--dry-run=client").code == 0
        assert held(cluster) is not None
        ran = rollway("set-weight", "shop", "--release")
        assert ran.stdout == (
            "Rollout default/shop: no weight is held any more; the release goes on at step 2/4 (pause)\n"
        )
        assert cluster.objects[SHOP]["metadata"]["annotations"] == {"mine": "yes"}
        document = json.loads(rollway("set-weight", "shop", "--release", "-o", "json").stdout)
        schema("verb", document)
        assert (document["verb"], document["changed"]) == ("set-weight", False)

    def test_a_value_with_faults(self, cluster: ApiServer) -> None:
        """What is no held weight is a fault for `lint`, and can be removed."""
        found = release()
        found["metadata"]["annotations"][HELD_WEIGHT] = "35"
        cluster.put(found, "rollouts")
        ran = rollway("lint", "shop")
        assert (ran.code, f"{HELD_WEIGHT}: is no JSON object" in ran.stdout) == (2, True), ran
        assert rollway("set-weight", "shop", "--release").code == 0
        assert HELD_WEIGHT not in cluster.objects[SHOP]["metadata"]["annotations"]


def test_status_and_get_show_it(cluster: ApiServer) -> None:
    """Both show who holds which weight, `lint` notes it, and `promote` says that it ends it."""
    assert hold(cluster, "35").code == 0
    ran = rollway("status", "shop")
    assert "weight 35 of 100, 35 % is held by hand since" in ran.stdout + ran.stderr
    lines = [line.split() for line in rollway("get", "shop").stdout.splitlines()]
    assert [line[1:4] for line in lines if line[:1] == ["HeldWeight:"]] == [["35", "by", "ann"]]
    linted = rollway("lint", "shop")
    assert (linted.code, "held-weight" in linted.stdout, "controller-in-charge" in linted.stdout) == (
        0,
        True,
        False,
    )
    assert "promoted past the weight that is held" in rollway("promote", "shop", "--dry-run=client").stdout
