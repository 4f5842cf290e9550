"""`rollway adopt` on the command line: what it prints, writes and waits for, with a controller that the tests play."""

from __future__ import annotations

import contextlib
import copy
import json
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from api_server import KINDS, ROLLOUTS, ApiServer, Fault
from test_adoption import INGRESS, SERVICE, autoscaler, deployment

import manifests as m
from rollway.cli.commands import adopt
from running import rollway, schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rollway.routers.objects import Manifest

pytestmark = pytest.mark.enable_socket

DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/shop"
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts/shop"
AUTOSCALER = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/shop"


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A cluster with a Deployment behind an Ingress, and a controller that holds its Lease."""
    autoscalers: Any = {
        "autoscaling": {"v2": {"HorizontalPodAutoscaler": ("horizontalpodautoscalers", True)}}
    }
    server.kinds = KINDS | ROLLOUTS | autoscalers
    monkeypatch.setenv("KUBECONFIG", server.kubeconfig(tmp_path))
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "cache"))
    monkeypatch.setattr(adopt, "_DEGRADED_S", 0.2)
    for manifest, plural in (
        (deployment(), "deployments"),
        (SERVICE, "services"),
        (INGRESS, "ingresses"),
        (autoscaler(), "horizontalpodautoscalers"),
        (_lease(datetime.now(UTC)), "leases"),
    ):
        server.put(manifest, plural)
    yield server
    server.break_watches()


def _lease(renewed: datetime) -> Manifest:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "rollway-controller-rollway", "namespace": "rollway"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": renewed.isoformat()},
    }


@contextlib.contextmanager
def controlled(server: ApiServer, **status: Any) -> Iterator[None]:
    """Play the controller of the Rollout in another thread: its status, and without one of those given the whole move."""
    over = threading.Event()

    def play() -> None:
        while ROLLOUT not in server.objects:
            if over.wait(0.02):
                return
        rollout = copy.deepcopy(server.objects[ROLLOUT])
        healthy = {"phase": "Healthy", "stableRS": "abc", "currentPodHash": "abc", "observedGeneration": "1"}
        rollout["metadata"]["generation"] = 1
        server.put({**rollout, "status": status or healthy}, "rollouts")
        if not status:
            server.put(m.selecting("shop", "abc"), "services")
            live = copy.deepcopy(server.objects[DEPLOYMENT])
            live["spec"]["replicas"] = 0
            time.sleep(0.2)
            server.put(live, "deployments")

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_it_prints_and_writes_nothing(cluster: ApiServer) -> None:
    """Without --apply the objects go to stdout, notes to stderr, and no write to the cluster."""
    ran = rollway("adopt", "deployment/shop")
    assert (ran.code, cluster.count("POST", "PATCH", "PUT", "DELETE")) == (0, 0)
    assert [part.splitlines()[1] for part in ran.stdout.split("---\n")] == [
        "kind: Service",
        "kind: HorizontalPodAutoscaler",
        "kind: Rollout",
    ]
    assert "[adopt-autoscaler]" in ran.stderr
    listed = json.loads(rollway("adopt", "shop", "-o", "json").stdout)
    assert [item["kind"] for item in listed["items"]] == ["Service", "HorizontalPodAutoscaler", "Rollout"]


def test_it_moves_a_deployment_and_waits(cluster: ApiServer) -> None:
    """--apply writes each object, shows how far it is, and ends when the Deployment's pods are gone."""
    with controlled(cluster):
        ran = rollway("adopt", "deployment/shop", "--apply", "--timeout", "20s")
    assert ran.code == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[:3] == [
        "Service default/shop-canary: created",
        "HorizontalPodAutoscaler default/shop: changed",
        "Rollout default/shop: created",
    ]
    assert lines[-2:] == [
        "Rollout default/shop: Healthy; Deployment default/shop is to have 0 pods",
        "Rollout default/shop: done",
    ]
    assert cluster.objects[AUTOSCALER]["spec"]["scaleTargetRef"]["kind"] == "Rollout"


def test_the_template_is_taken_over_at_the_end(cluster: ApiServer) -> None:
    """With --template the Rollout refers to the Deployment during the move, and has its pod template afterwards."""
    with controlled(cluster):
        ran = rollway("adopt", "shop", "--template", "--apply", "--timeout", "20s", "-o", "json")
    assert ran.code == 0, ran.stderr
    document = json.loads(ran.stdout)
    schema("adoption", document)
    assert document["moved"]
    assert "workloadRef" in document["changes"][-1]["after"]["spec"]
    assert cluster.objects[ROLLOUT]["spec"]["template"] == deployment()["spec"]["template"]


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_dry_run_shows_the_changes(cluster: ApiServer, mode: str) -> None:
    """A dry run shows each change and stores nothing; with `server` the cluster has checked them."""
    before = copy.deepcopy(cluster.objects)
    ran = rollway("adopt", "shop", "--apply", f"--dry-run={mode}")
    assert ran.code == 0, ran.stderr
    assert "+kind: Rollout" in ran.stdout
    assert ("the cluster would take it" in ran.stdout) == (mode == "server")
    if mode == "client":  # the tests' API server stores what a real one only checks
        assert cluster.objects == before
    else:
        cluster.objects = before
    document = json.loads(rollway("adopt", "shop", f"--dry-run={mode}", "-o", "json").stdout)
    schema("adoption", document)
    assert (document["written"], document["moved"]) == ([], False)


def test_a_release_that_fails_is_reported(cluster: ApiServer) -> None:
    """A Rollout that stays degraded ends the wait with its message; the Deployment has its pods."""
    with controlled(cluster, phase="Degraded", message="InvalidSpec: bad", observedGeneration="1"):
        ran = rollway("adopt", "shop", "--apply", "--timeout", "20s")
    assert (ran.code, "InvalidSpec: bad" in ran.stderr) == (1, True)
    assert "goes on serving" in ran.stderr
    assert cluster.objects[DEPLOYMENT]["spec"]["replicas"] == 3


def test_a_move_that_takes_too_long_ends_with_5(cluster: ApiServer) -> None:
    """Nobody scales anything where no controller acts, and the wait ends in time."""
    ran = rollway("adopt", "shop", "--apply", "--timeout", "0.3s")
    assert (ran.code, "has not moved in time" in ran.stderr) == (5, True)
    assert cluster.objects[DEPLOYMENT]["spec"]["replicas"] == 3


@pytest.mark.parametrize("gone", [True, False])
def test_without_a_controller_nothing_is_written(cluster: ApiServer, gone: bool) -> None:
    """A Lease that is not there, or ran out, refuses --apply and not the printing."""
    old = _lease(datetime(2020, 1, 1, tzinfo=UTC))
    if gone:
        cluster.delete(old, "leases")
    else:
        cluster.put(old, "leases")
    ran = rollway("adopt", "shop", "--apply")
    assert (ran.code, "[adopt-no-controller]" in ran.stderr) == (4, True)
    assert ROLLOUT not in cluster.objects
    assert rollway("adopt", "shop").code == 0


def test_what_may_not_be_read_is_noted(cluster: ApiServer) -> None:
    """A kind that the role cannot list is left out with a note, and so is the Lease."""
    for path in ("horizontalpodautoscalers", "leases"):
        cluster.faults.append(Fault("status", 403, times=9, methods=("GET",), path=path))
    ran = rollway("adopt", "shop")
    assert ran.code == 0, ran.stderr
    assert "no HorizontalPodAutoscaler was looked at" in ran.stderr
    assert "whether a controller runs was not looked at" in ran.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("rollout/shop",), "is no Deployment"),
        (("deployment/",), "has no name"),
        (("shop", "--blue-green", "--steps", "5"), "--steps is for a canary"),
        (("shop", "--allow", "adopt-pausd"), "did you mean adopt-paused"),
    ],
)
def test_words_that_mean_nothing(cluster: ApiServer, words: tuple[str, ...], text: str) -> None:
    """Another kind, no name, contradictions and unknown codes are errors of usage."""
    ran = rollway("adopt", *words)
    assert (ran.code, text in ran.stderr) == (2, True), ran.stderr
