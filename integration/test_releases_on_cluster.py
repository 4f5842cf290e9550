"""The verbs about releases on a real API server, with the CRD of Argo Rollouts and no controller in between."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
import releases as r
from harness import shop
from harness.process import started
from rollway.releases import verbs
from rollway.releases.acting import Aim, carry_out
from rollway.routers.errors import ConflictError
from rollway.routers.kube.client import MERGE_PATCH, Target
from rollway.routers.objects import ObjectRef
from rollway.routers.plan import Action, Change
from running import rollway

if TYPE_CHECKING:
    from harness.namespace import Namespace
    from rollway.routers.objects import LiveObject, Manifest
    from rollway.routers.stores import Store

NEW = "9c8d7b6f5d"
"""The hash of a third release."""


def begin(namespace: Namespace, rollout: Manifest) -> None:
    """Put a Rollout in the cluster with the ReplicaSets of its two releases, which have no pods."""
    # The generation of an object that was just created is 1.
    rollout["status"]["observedGeneration"] = "1"
    namespace.put(rollout)
    uid = live(namespace)["metadata"]["uid"]
    for pod_hash, revision, image in ((r.CANARY, 5, "shop:2"), (r.STABLE, 4, "shop:1")):
        owned = r.replica_set(pod_hash, revision, image, pods=0)
        owned["metadata"]["ownerReferences"][0]["uid"] = uid
        owned["spec"]["selector"]["matchLabels"]["app"] = "shop"
        namespace.put(owned)


def live(namespace: Namespace) -> Manifest:
    """Return the Rollout as the API server has it."""
    return namespace.get("argoproj.io/v1alpha1", "Rollout", "shop")


def report(namespace: Namespace, **status: Any) -> None:
    """Change the status as a controller does, and observe the present spec."""
    generation = str(live(namespace)["metadata"]["generation"])
    target = Target("argoproj.io", "Rollout", namespace.name, "shop", "status")
    body = {"status": {"observedGeneration": generation, **status}}
    namespace.store().client.patch(target, body, MERGE_PATCH)


def test_a_release_from_the_command_line(namespace: Namespace) -> None:
    """Each verb changes its field and no other, through the subresource where it is of the status."""
    begin(namespace, r.canary())
    spec = live(namespace)["spec"]
    assert rollway("promote", "shop").code == 0
    assert "pauseConditions" not in live(namespace)["status"]
    assert rollway("list").stdout.split()[11] == "Progressing", "the controller has not seen it yet"
    report(namespace, currentStepIndex=2, controllerPause=None)
    assert "promoted past step 3/4 (setWeight: 60)" in rollway("promote", "shop").stdout
    assert live(namespace)["status"]["currentStepIndex"] == 3
    for verb, field in (("abort", True), ("retry", False)):
        assert rollway(verb, "shop").code == 0
        assert live(namespace)["status"]["abort"] is field
    assert rollway("promote", "shop", "--full").code == 0
    assert live(namespace)["status"]["promoteFull"] is True
    assert live(namespace)["spec"] == spec
    assert rollway("promote", "shop", "--full").stdout.count("nothing to do") == 1


def test_the_spec_from_the_command_line(namespace: Namespace) -> None:
    """Pause, restart, image and template are fields of the spec, which the API server checks also in a dry run."""
    begin(namespace, r.canary())
    assert rollway("pause", "shop", "--dry-run=server").stdout.endswith("and the cluster would take it\n")
    assert "paused" not in live(namespace)["spec"]
    for verb, paused in (("pause", True), ("resume", False)):
        assert rollway(verb, "shop").code == 0
        assert live(namespace)["spec"]["paused"] is paused
    assert rollway("restart", "shop", "--in", "1h").code == 0
    assert live(namespace)["spec"]["restartAt"].endswith("Z")
    assert rollway("set", "image", "shop", "app=shop:3").code == 0
    assert live(namespace)["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:3"
    assert rollway("undo", "shop", "--to-revision", "4").code == 0
    template = live(namespace)["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "shop:1"
    assert template["metadata"]["labels"] == {"app": "shop"}
    assert "has the template of revision 4 already" in rollway("undo", "shop", "--to-revision", "4").stdout
    report(namespace)
    rows = rollway("history", "shop", "--no-headers").stdout.splitlines()
    assert [row.split()[:3] for row in rows] == [
        ["5", f"shop-{r.CANARY}", "canary"],
        ["4", f"shop-{r.STABLE}", "stable"],
    ]


def test_the_workload_of_a_rollout(namespace: Namespace) -> None:
    """With workloadRef, the Deployment gets the image and the earlier template."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    rollout = r.canary({"workloadRef": reference})
    rollout["spec"]["template"] = None
    selector = {"matchLabels": {"app": "shop"}}
    spec = {"replicas": 0, "selector": selector, "template": r.template()}
    namespace.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
    begin(namespace, rollout)

    def image() -> str:
        deployment = namespace.get("apps/v1", "Deployment", "web")
        return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])

    assert "Deployment" in rollway("set", "image", "shop", "app=shop:3").stdout
    assert image() == "shop:3"
    assert rollway("undo", "shop").code == 0
    assert image() == "shop:1"


@pytest.mark.parametrize("paused", [True, False])
def test_only_what_was_seen_is_promoted(paused: bool, namespace: Namespace) -> None:
    """A pause that begins between the reading and the write stays, whether another one or none was seen before."""
    begin(namespace, r.canary() if paused else r.canary(pauseConditions=None, controllerPause=None))
    later = [{**r.PAUSE, "startTime": "2026-01-08T00:10:00Z"}]
    reads = 0

    def decide(_store: Store, rollout: LiveObject) -> Aim:
        nonlocal reads
        reads += 1
        if reads == 1:
            report(namespace, pauseConditions=later, controllerPause=True)
        return Aim(rollout, rollout, verbs.promote(rollout.manifest))

    with pytest.raises(ConflictError, match="has moved since it was read"):
        carry_out(namespace.store(), "shop", namespace.name, decide)
    status = live(namespace)["status"]
    assert (status["pauseConditions"], status["currentStepIndex"]) == (later, 1)


def test_a_crd_without_the_status_subresource(namespace: Namespace) -> None:
    """Fields of the status are patched on the object itself where the API server has no such subresource."""
    namespace.put(m.traffic_split(shop_stable=100, shop_canary=0), ready=0)
    store = namespace.store()
    ref = ObjectRef("split.smi-spec.io", "TrafficSplit", namespace.name, "shop")
    patch = ({"op": "replace", "path": "/spec/backends/1/weight", "value": 20},)
    found = namespace.get("split.smi-spec.io/v1alpha3", "TrafficSplit", "shop")
    store.write(Change(Action.PATCH, ref, found, None, patch, subresource="status"))
    changed = namespace.get("split.smi-spec.io/v1alpha3", "TrafficSplit", "shop")
    assert changed["spec"]["backends"][1]["weight"] == 20


def test_wait_and_get_follow_a_release(namespace: Namespace) -> None:
    """Both print each change as the watch brings it; `wait` ends with its goal."""
    begin(namespace, r.canary())
    with started("get", "shop", "-w") as watching, started("wait", "shop", "--timeout", "60s") as waiting:
        assert watching.stdout is not None
        assert "Paused: CanaryPauseStep; step 1/4" in watching.stdout.readline()
        report(
            namespace,
            phase="Progressing",
            message="waiting",
            currentStepIndex=2,
            pauseConditions=None,
            controllerPause=None,
        )
        assert "Progressing: waiting; step 2/4; weight 60" in watching.stdout.readline()
        report(namespace, phase="Healthy", message=None, currentStepIndex=4)
        assert "Healthy; step 4/4" in watching.stdout.readline()
        out, _ = waiting.communicate(timeout=60)
        assert (waiting.returncode, out.splitlines()[-1]) == (
            0,
            f"Rollout {namespace.name}/shop: Healthy (step 4/4)",
        )
        watching.send_signal(signal.SIGINT)


def test_get_shows_what_is_live(namespace: Namespace) -> None:
    """The tree has the live split beside the reported weight, also where somebody else has set it."""
    shop.put(namespace, shop.ISTIO)
    assert rollway("set-weight", "shop", "30").code == 0
    assert "LiveWeight:    30 of 100, 30 % (written" in rollway("get", "shop").stdout
    document = json.loads(rollway("get", "shop", "-o", "json").stdout)
    assert (document["live"]["traffic"]["canary"], document["actualWeight"]) == (30, 100)
