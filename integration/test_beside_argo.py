"""Argo's controller and rollway's in one cluster: each keeps to its own Rollouts, and an update goes on when it changes hands."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.argo_rollouts import ARGO, OWN, STRATEGIES, BothControllers, deadlines, hand_over, paused_update
from harness.waiting import until
from running import rollway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.releasing import Shop
    from rollway.routers.objects import Manifest

# One cluster serves all files with both controllers, so one worker runs them.
pytestmark = [pytest.mark.local, pytest.mark.xdist_group("argo")]

ROUTED = ["nginx", "istio", "blue-green"]
KINDS = ("Rollout", "ReplicaSet", "Service", "Ingress", "VirtualService")


def act(both: BothControllers, web: Shop, instance: str, *words: str) -> None:
    """Run a command about the Rollout, by the command line that belongs to the controller of an instance id."""
    if instance == ARGO:
        both.argo_cli(web, *words, "web")
    else:
        ran = rollway(*words, "web", "-n", web.namespace)
        assert ran.code == 0, ran.stdout + ran.stderr


def versions(shops: Sequence[Shop]) -> dict[tuple[str, str, str], str]:
    """Return the resource version of each object in some shops."""
    return {
        (web.namespace, kind, each["metadata"]["name"]): each["metadata"]["resourceVersion"]
        for web in shops
        for kind in KINDS
        for each in web.items(kind)
    }


def is_gone(web: Shop, image: str) -> bool:
    """Return whether no pod of an image is asked for."""
    return not web.pods(image)


def writers(web: Shop) -> set[str]:
    """Return who wrote the Rollout's status, its ReplicaSets, its canary Ingress, and the hash that its Services select."""
    found: set[str] = set()
    for kind in KINDS:
        for each in web.items(kind):
            for entry in each["metadata"]["managedFields"]:
                if _is_release(kind, each["metadata"]["name"], entry):
                    found.add(entry["manager"])
    return found - {"kube-controller-manager"}


def _is_release(kind: str, name: str, entry: Manifest) -> bool:
    """Return whether fields of an object are what a controller of Rollouts writes."""
    if kind == "Rollout":
        return entry.get("subresource") == "status"
    if kind == "Service":
        return "f:rollouts-pod-template-hash" in str(entry)
    if kind == "ReplicaSet":
        return True
    return kind == "Ingress" and name != "web"


def test_each_controller_leaves_the_rollouts_of_the_other_alone(both: BothControllers) -> None:
    """While one controller brings an update to its end, nothing of the other's changes, and nobody writes where all pause."""
    pairs = [(strategy, instance) for instance in (ARGO, OWN) for strategy in ROUTED]
    shops = paused_update(both, *pairs)
    argo, own = shops[: len(ROUTED)], shops[len(ROUTED) :]
    settled = versions(shops)
    time.sleep(2)
    assert versions(shops) == settled, "somebody writes while every Rollout pauses"
    for theirs, others, instance in ((argo, own, ARGO), (own, argo, OWN)):
        before = versions(others)
        for each in theirs:
            act(both, each, instance, "promote")
        for each in theirs:
            each.wait_healthy()
            until(functools.partial(is_gone, each, "v1"), "the old pods go")
        assert versions(others) == before, "an update of one controller changes something of the other"
    assert {name for each in argo for name in writers(each)} == {"rollouts-controller"}
    assert "rollouts-controller" not in {name for each in own for name in writers(each)}


def position(web: Shop) -> dict[str, Any]:
    """Return what must be the same before and after an update changes hands: pods, their ReplicaSets, traffic, the step."""
    status = web.status
    keys = ("currentPodHash", "stableRS", "currentStepIndex", "currentStepHash", "abort", "phase")
    return {
        "pods": {each["metadata"]["uid"] for each in web.items("Pod")},
        "replica sets": {
            each["metadata"]["uid"]: (each["metadata"]["name"], each["spec"]["replicas"], revision(each))
            for each in web.items("ReplicaSet")
        },
        "revision": revision(web.get("Rollout", "web")),
        "selectors": {each["metadata"]["name"]: each["spec"]["selector"] for each in web.items("Service")},
        "weight": web.weight(),
        "routes": [each["spec"]["http"] for each in web.items("VirtualService")],
        "pauses": status.get("pauseConditions"),
        **{key: status.get(key) for key in keys},
    }


def revision(manifest: Manifest) -> str:
    """Return the revision of a Rollout or a ReplicaSet."""
    return str(manifest["metadata"]["annotations"]["rollout.argoproj.io/revision"])


def taken_over(both: BothControllers, web: Shop, instance: str) -> None:
    """Wait until the controller of an instance id has looked at a Rollout, and a second more."""
    if instance == ARGO:
        until(lambda: both.argo.has_looked_at(web.namespace), "Argo's controller looks")
    else:
        series = f'namespace="{web.namespace}"'
        until(lambda: series in both.own.answer("/metrics", both.own.metrics)[1], "rollway looks")
    time.sleep(1)


both_ways = pytest.mark.parametrize(("old", "new"), [(ARGO, OWN), (OWN, ARGO)], ids=["from-argo", "to-argo"])


@pytest.mark.parametrize("strategy", STRATEGIES)
@both_ways
def test_an_update_goes_on_when_it_changes_hands(
    both: BothControllers, strategy: str, old: str, new: str
) -> None:
    """At its pause an update goes to the other controller by the label alone: no pod is restarted, and it goes on from there."""
    (web,) = paused_update(both, (strategy, old))
    before = position(web)
    new_pods = {
        each["metadata"]["uid"] for each in web.items("Pod") if each["spec"]["containers"][0]["image"] == "v2"
    }
    hand_over(web, new)
    taken_over(both, web, new)
    assert position(web) == before
    act(both, web, new, "promote")
    web.wait_healthy()
    until(lambda: not web.pods("v1"), "the old pods go")
    after = position(web)
    assert set(after["replica sets"]) == set(before["replica sets"])
    assert after["revision"] == "2"
    assert new_pods <= after["pods"], "a pod of the new version was restarted"


@both_ways
def test_an_aborted_update_changes_hands(both: BothControllers, old: str, new: str) -> None:
    """What the one controller has aborted stays so with the other one, whose retry takes the same pods."""
    (web,) = paused_update(both, ("nginx", old))
    act(both, web, old, "abort")
    web.wait(lambda status: status.get("phase") == "Degraded", "aborted")
    until(lambda: web.weight() == "0", "the traffic is back")
    until(lambda: len(deadlines(web)) == 1, "the time until which the pods stay")
    before, kept = position(web), deadlines(web)
    hand_over(web, new)
    taken_over(both, web, new)
    after = position(web)
    # Argo's controller moves the canary Service, which has no weight now, to and fro.
    del before["selectors"], after["selectors"]
    assert (after, deadlines(web)) == (before, kept)
    act(both, web, new, "retry", "rollout")
    web.wait(lambda status: status.get("phase") == "Paused", "the pause of the retry")
    until(lambda: web.weight() == "20", "the weight of the retry")
    assert before["pods"] == position(web)["pods"]
    assert not deadlines(web)


@both_ways
def test_old_pods_go_when_the_other_controller_has_said(both: BothControllers, old: str, new: str) -> None:
    """After a promotion the old pods stay until the time that the controller before has noted, and then go."""
    (web,) = paused_update(both, ("nginx", old))
    web.merge({"spec": {"strategy": {"canary": {"scaleDownDelaySeconds": 6}}}})
    act(both, web, old, "promote")
    web.wait_healthy()
    until(lambda: len(deadlines(web)) == 1, "the time until which the old pods stay")
    before = deadlines(web)
    hand_over(web, new)
    taken_over(both, web, new)
    assert (deadlines(web), web.pods("v1")) == (before, 3)
    until(lambda: not web.pods("v1"), "the old pods go", 15)
    assert (web.pods("v2"), revision(web.get("Rollout", "web"))) == (3, "2")
