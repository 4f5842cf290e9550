"""The parts of a Rollout's tree: what its pods and ReplicaSets are doing, their roles, and how long ago things were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

import manifests as m
import releases as r
from rollway.cli.live import LiveLook, LiveTraffic, _evidence
from rollway.cli.probes import DataPlaneOptions
from rollway.cli.release_documents import tree_document
from rollway.cli.tree import lines, sign
from rollway.releases.ages import age, short_duration
from rollway.releases.pods import PodState, state_of
from rollway.releases.revisions import roles_of
from rollway.releases.tree import Related, health_of, tree_of
from rollway.routers.data_planes import DataPlaneProbes
from rollway.routers.objects import LiveObject, ObjectRef
from rollway.routers.observation import Observation
from rollway.routers.rollout import parse_rollout
from rollway.routers.testing.memory import MemoryStore
from rollway.routers.traffic import ObjectVerdict, Outcome
from running import schema

NOW = datetime(2026, 1, 8, tzinfo=UTC)


def container(*, ready: bool = False, restarts: int = 0, name: str = "app", **state: Any) -> dict[str, Any]:
    """Return the status of a container."""
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


RUNNING = container(ready=True, running={})


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"phase": "Pending"}, PodState("Pending", 0, 1, 0)),
        ({"phase": "Failed", "reason": "Evicted"}, PodState("Evicted", 0, 1, 0)),
        ({"phase": "Running", "containerStatuses": [RUNNING]}, PodState("Running", 1, 1, 0)),
        (
            {"phase": "Running", "containerStatuses": [container(waiting={"reason": "CrashLoopBackOff"}, restarts=3)]},
            PodState("CrashLoopBackOff", 0, 1, 3),
        ),
        ({"phase": "Running", "containerStatuses": [container(terminated={"exitCode": 3})]}, PodState("ExitCode:3", 0, 1, 0)),
        ({"phase": "Running", "containerStatuses": [container(terminated={"signal": 9})]}, PodState("Signal:9", 0, 1, 0)),
        (
            {"phase": "Running", "containerStatuses": [container(terminated={"reason": "Completed"}), RUNNING]},
            PodState("Running", 1, 1, 0),
        ),
        ({"phase": "Pending", "initContainerStatuses": [container(name="init", running={})]}, PodState("Init:0/2", 0, 1, 0)),
        (
            {"phase": "Pending", "initContainerStatuses": [container(name="init", terminated={"exitCode": 1})]},
            PodState("Init:ExitCode:1", 0, 1, 0),
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container(name="init", waiting={"reason": "ErrImagePull"})]},
            PodState("Init:ErrImagePull", 0, 1, 0),
        ),
        (
            {
                "phase": "Running",
                "initContainerStatuses": [
                    container(name="init", terminated={"exitCode": 0}),
                    {**container(name="proxy", running={}), "started": True},
                ],
                "containerStatuses": [RUNNING],
            },
            PodState("Running", 1, 1, 0),
        ),
    ],
)  # fmt: skip
def test_pods_have_the_word_of_kubectl(status: Any, state: PodState) -> None:
    """What stands in the way of a pod comes before its phase, as `kubectl get pods` shows it."""
    pod = r.pod(r.STABLE, 1, **status)
    pod["spec"]["initContainers"] = [{"name": "init"}, {"name": "proxy", "restartPolicy": "Always"}]
    assert state_of(pod) == state


def test_a_pod_that_is_deleted_is_terminating() -> None:
    """A pod that ends is Terminating, whatever its containers do; Unknown where its node is lost."""
    pod = r.pod(r.STABLE, 1)
    pod["metadata"]["deletionTimestamp"] = "2026-01-08T00:00:00Z"
    assert state_of(pod).word == "Terminating"
    pod["status"]["reason"] = "NodeLost"
    assert state_of(pod).word == "Unknown"


def test_what_a_replica_set_is_doing() -> None:
    """A change that was not seen and missing pods are progress; a failure of its controller is told apart."""
    item = r.replica_set(r.STABLE, 4)
    assert health_of(item) == "Healthy"
    item["status"]["availableReplicas"] = 3
    assert health_of(item) == "Progressing"
    item["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True"}]
    assert health_of(item) == "ReplicaFailure"
    item["metadata"]["generation"] = 2
    assert health_of(item) == "Progressing"
    assert health_of(r.replica_set(r.STABLE, 4, pods=0)) == "ScaledDown"


def test_roles() -> None:
    """The hashes of the status give each release its role; with ping-pong, also which Service leads to it."""
    ping_pong = r.canary(canary={"stablePingPong": "ping"})
    ping_pong["spec"]["strategy"]["canary"]["pingPong"] = {"pingService": "a", "pongService": "b"}
    switched = r.blue_green(blueGreen={"activeSelector": r.CANARY, "previewSelector": r.CANARY})
    rows = [
        (r.canary(), ("stable",), ("canary",)),
        (ping_pong, ("stable", "ping"), ("canary", "pong")),
        (r.blue_green(), ("stable", "active"), ("preview",)),
        (switched, ("stable",), ("active",)),
        (r.canary(currentPodHash=r.STABLE), ("stable",), ()),
    ]
    for rollout, stable, canary in rows:
        assert (roles_of(rollout, r.STABLE), roles_of(rollout, r.CANARY)) == (stable, canary)
    assert roles_of(r.canary(stableRS=""), "") == ()


def test_the_weight_that_is_reported() -> None:
    """With traffic routing it is that of the status, and without, the canary's share of the available pods."""
    related = Related([r.replica_set(r.CANARY, 5, pods=2), r.replica_set(r.STABLE, 4, pods=3)])
    basic, routed = r.canary(), r.canary(canary={"weights": {"canary": {"weight": 15}}})
    routed["spec"]["strategy"]["canary"]["trafficRouting"] = {"smi": {}}
    unset = r.canary()
    unset["spec"]["strategy"]["canary"]["trafficRouting"] = {"smi": {}}
    rollouts = [basic, routed, unset, r.canary(availableReplicas=0), r.canary(currentStepIndex=4)]
    assert [tree_of(rollout, related).actual_weight for rollout in rollouts] == [40, 15, 20, 0, 100]


def test_objects_of_others_are_left_out() -> None:
    """Only what names the Rollout as its owner is in the tree."""
    foreign = r.replica_set("6d8f9c7b5d", 9)
    foreign["metadata"]["ownerReferences"][0]["uid"] = "of-another"
    tree = tree_of(r.canary(), Related([foreign, r.replica_set(r.STABLE, 4)]))
    assert [node.number for node in tree.revisions] == [4]


def owned(kind: str, name: str, owner: str, **fields: Any) -> dict[str, Any]:
    """Return an object of Argo Rollouts' other kinds, of revision 5."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-01-07T00:00:00Z",
            "annotations": {"rollout.argoproj.io/revision": "5"},
            "ownerReferences": [{"kind": "Rollout", "name": owner, "uid": owner}],
        },
        **fields,
    }


def test_analysis_runs_and_experiments_stand_in_their_revision() -> None:
    """They are named with what they found, their Jobs, and the pods that an Experiment runs, whose images are marked."""
    measurements = [{"metadata": {"job-name": "probe-1"}, "phase": "Failed"}, {"phase": "Successful"}]
    metrics = [{"successful": 3, "failed": 1, "measurements": measurements}, {"error": 2, "inconclusive": 1}]
    run = owned(
        "AnalysisRun",
        "check",
        "rollout-uid",
        status={"phase": "Running", "message": "", "metricResults": metrics},
    )
    trial = owned("Experiment", "trial", "rollout-uid", status={"phase": "Pending"})
    inner = owned("AnalysisRun", "inner", "uid-trial", status={"phase": "Successful"})
    baseline = r.replica_set("6d8f9c7b5d", 0, "shop:0", 1)
    baseline["metadata"]["ownerReferences"][0]["uid"] = "uid-trial"
    baseline["metadata"]["annotations"]["experiment.argoproj.io/template-name"] = "baseline"
    tree = tree_of(r.canary(), Related([baseline, r.replica_set(r.STABLE, 4)], (), [inner, run], [trial]))
    assert tree.images == (("shop:0", ("Σ:baseline",)), ("shop:1", ("stable",)))
    shown = [click.unstyle(line) for line in lines(tree, None, NOW)]
    start = next(index for index, line in enumerate(shown) if "revision:5" in line)
    assert [line.split() for line in shown[start + 1 : start + 6]] == [
        ["│", "├──Σ", "trial", "Experiment", "◷", "Pending", "24h"],
        ["│", "│", "├──⧉", "shop-6d8f9c7b5d", "ReplicaSet", "✔", "Healthy", "6d"],
        ["│", "│", "└──\N{GREEK SMALL LETTER ALPHA}", "inner", "AnalysisRun", "✔", "Successful", "24h"],
        [
            "│",
            "└──\N{GREEK SMALL LETTER ALPHA}",
            "check",
            "AnalysisRun",
            "◌",
            "Running",
            "24h",
            "✔",
            "3,✖",
            "1,?",
            "1,⚠",
            "2",
        ],
        ["│", "└──⊞", "probe-1", "Job", "✖", "Failed"],
    ]
    schema("tree", tree_document(tree, r.canary(), None))


def test_signs_of_what_stands_still() -> None:
    """A pod that starts, fails or cannot start is told apart by its sign."""
    words = ("Init:0/2", "Signal:9", "ErrImagePull", "RunContainerError", "Evicted")
    assert [sign(word) for word in words] == ["◌", "✖", "⚠", "⚠", " "]


# -- what is live


def look(*objects: Any, **routing: Any) -> LiveTraffic:
    """Return what is live of a Rollout with some routers."""
    rollout = m.rollout(routing)
    services = (m.service("shop-stable"), m.service("shop-canary"))
    ref = ObjectRef("argoproj.io", "Rollout", "default", "shop")
    seen = LiveLook(
        MemoryStore([*objects, *services]), DataPlaneOptions(namespaces=(), addresses={}, others=())
    )(LiveObject(ref, rollout, ""))
    assert seen is not None
    return seen


def test_objects_that_disagree_are_shown_one_by_one() -> None:
    """Where the objects of a Rollout have different weights, there is no one weight to show."""
    split = m.traffic_split(shop_stable=70, shop_canary=30)
    seen = look(m.virtual_service(), split, istio={"virtualService": {"name": "web"}}, smi={})
    assert sorted(seen.lines)[1:] == [
        "TrafficSplit shop: 30 of 100, 30 %",
        "VirtualService web http route primary: 0 of 100, 0 %",
    ]


def test_a_rollout_without_routing_has_no_live_weight() -> None:
    """Its share is that of its pods, which the status shows."""
    ref = ObjectRef("argoproj.io", "Rollout", "default", "shop")
    assert (
        LiveLook(MemoryStore(), DataPlaneOptions(namespaces=(), addresses={}, others=()))(
            LiveObject(ref, r.canary(), "")
        )
        is None
    )


@pytest.mark.parametrize(
    ("outcomes", "evidence", "reason"),
    [
        ((Outcome.MATCHES, Outcome.MATCHES), "loaded", ""),
        ((Outcome.MATCHES, Outcome.DIFFERS), "written", "not loaded yet: VirtualService default/1: why"),
        ((Outcome.UNKNOWN, Outcome.MATCHES), "written", "loaded is unknown: VirtualService default/0: why"),
        ((), "written", "it cannot be asked"),
    ],
)
def test_the_evidence_of_what_is_live(outcomes: Any, evidence: str, reason: str) -> None:
    """It is loaded when every data plane has it, and otherwise the first that has not is named."""
    loaded = tuple(
        ObjectVerdict(ObjectRef("", "VirtualService", "default", str(index)), outcome, "why")
        for index, outcome in enumerate(outcomes)
    )
    seen = Observation(parse_rollout(m.rollout({"smi": {}})), (), loaded=loaded)
    assert _evidence(seen, DataPlaneProbes((), {"smi": "it cannot be asked"})) == (evidence, reason)


@pytest.mark.parametrize(("seconds", "text"), [(90, "delay:90s"), (-1, "delay:passed")])
def test_pods_that_stay_for_a_while(seconds: int, text: str) -> None:
    """A ReplicaSet that is scaled down later shows how long its pods stay."""
    deadline = (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    tree = tree_of(r.canary(), Related([r.replica_set(r.STABLE, 4, scale_down_deadline=deadline)]))
    assert click.unstyle([*lines(tree, None, NOW)][-1]).endswith(f"stable,{text}")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (3600, "60m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (47 * 3600, "47h"),
        (49 * 3600, "2d1h"),
        (7 * 86400, "7d"),
        (400 * 86400, "400d"),
        (1000 * 86400, "2y270d"),
        (3000 * 86400, "8y"),
    ],
)
def test_durations_are_those_of_kubectl(seconds: int, text: str) -> None:
    """The forms are those of apimachinery's HumanDuration."""
    assert short_duration(seconds) == text
    assert age(NOW - timedelta(seconds=seconds), NOW) == text
    assert age(None, NOW) == ""
