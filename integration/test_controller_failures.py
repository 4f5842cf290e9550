"""`rollway controller` killed in the middle of updates, and two replicas of which the leader ends or is killed."""

from __future__ import annotations

import random
import signal
import time
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest

from harness.controller_plugin import CONTROLLER_GROUP
from harness.releasing import NGINX_CANARY, ControllerProcess, Shop, image_of, verb
from harness.waiting import until
from rollway.routers.kube.client import MERGE_PATCH, Target
from rollway.routers.kube.informer import Informer

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.full_control_plane import FullControlPlane
    from rollway.routers.kube.cache import ObjectChange
    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest

pytestmark = CONTROLLER_GROUP


class Seen:
    """All pods and ReplicaSets that a namespace ever had, as a watch brings them."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.pods: dict[str, set[str]] = defaultdict(set)
        """By image, the UIDs of its pods."""
        self.replica_sets: set[str] = set()
        self._informers = [
            Informer(client, Target("", "Pod", namespace), dict, self._pod),
            Informer(client, Target("apps", "ReplicaSet", namespace), dict, self._replica_set),
        ]

    def __enter__(self) -> Self:
        for informer in self._informers:
            informer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for informer in self._informers:
            informer.stop()
            informer.join()

    def _pod(self, change: ObjectChange[Manifest]) -> None:
        if change.new:
            self.pods[image_of(change.new)].add(change.new["metadata"]["uid"])

    def _replica_set(self, change: ObjectChange[Manifest]) -> None:
        if change.new:
            self.replica_sets.add(change.new["metadata"]["uid"])


class Orphan(NamedTuple):
    """A release in its first pause whose leader was just killed, and the replica that is left."""

    web: Shop
    left: ControllerProcess
    killed_at: datetime


@pytest.fixture(scope="module")
def orphan(client: Client, start_controller: Callable[..., ControllerProcess]) -> Orphan:
    """Kill the leader of two replicas in the middle of an update."""
    web = Shop(client, "orphan", ("stable", "canary"))
    web.ingress()
    steps = [{"setWeight": 20}, {"pause": {"duration": 3}}, {"setWeight": 60}, {"pause": {}}]
    web.rollout({"canary": {**NGINX_CANARY, "steps": steps}}, replicas=3, instance="orphan")
    leader = start_controller("--instance-id", "orphan")
    until(leader.leads, "the first one leads")
    left = start_controller("--instance-id", "orphan")
    left.wait_ready()
    web.wait_healthy()
    web.set_image("v2")
    web.wait(lambda status: status.get("phase") == "Paused", "the first pause")
    leader.stop(signal.SIGKILL)
    return Orphan(web, left, datetime.now())  # noqa: DTZ005 - the log has the local time


# The Lease of the killed leader runs out meanwhile.
@pytest.mark.usefixtures("orphan")
def test_it_ends_the_same_whenever_the_controller_is_killed(
    client: Client,
    start_controller: Callable[..., ControllerProcess],
    empty_shop: Callable[..., Shop],
) -> None:
    """With SIGKILL at ten random moments of an update, it ends as it should, with no pod and no ReplicaSet too many."""
    web = empty_shop("stable", "canary")
    web.ingress()
    weights = (10, 20, 30, 40, 50, 60, 70, 80, 90)
    steps = [step for weight in weights for step in ({"setWeight": weight}, {"pause": {"duration": 1}})]
    canary = {**NGINX_CANARY, "steps": steps, "scaleDownDelaySeconds": 1}
    web.rollout({"canary": canary}, replicas=4, instance="killed")
    words = ("--instance-id", "killed", "--workers", "2")
    running = start_controller(*words)
    web.wait_healthy()
    moments = random.Random(19)
    steps_seen: set[int] = set()
    with Seen(client, web.namespace) as seen:
        web.set_image("v2")
        for _ in range(10):
            time.sleep(moments.uniform(0, 0.4))
            running.stop(signal.SIGKILL)
            steps_seen.add(web.status["currentStepIndex"])
            _free_lease(client, "rollway-controller-killed")
            running = start_controller(*words)
            until(running.leads, "it leads")
        web.wait_healthy(60)
        until(lambda: not web.pods("v1"), "the old pods go")
        until(
            lambda: web.selected("stable") == "v2" and web.weight() in ("", "0"), "all traffic is with stable"
        )
    print(f"it was killed at the steps {sorted(steps_seen)}")
    assert len(steps_seen) > 2
    assert len(seen.replica_sets) == 2
    assert {image: len(uids) for image, uids in seen.pods.items()} == {"v1": 4, "v2": 4}
    running.stop()


def _free_lease(client: Client, name: str) -> None:
    """Let the Lease of a killed process be free at once, so that nobody waits until it has run out."""
    target = Target("coordination.k8s.io", "Lease", "default", name)
    client.patch(target, {"spec": {"holderIdentity": ""}}, MERGE_PATCH)


def test_another_replica_leads_when_the_lease_of_a_killed_leader_has_run_out(
    orphan: Orphan, full_control_plane: FullControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the leader is killed, the other replica goes on after the 15 s of its Lease, and the pause has run on meanwhile."""
    web = orphan.web
    monkeypatch.setenv("KUBECONFIG", str(full_control_plane.kubeconfig()))
    until(orphan.left.leads, "the other one leads")
    (line,) = (each for each in orphan.left.log.read_text().splitlines() if "this replica leads" in each)
    led_at = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007 - see above
    print(f"it led {(led_at - orphan.killed_at).total_seconds():.1f} s after the leader was killed")
    web.wait(lambda status: status.get("currentStepIndex") == 3, "the second pause", 5)
    assert (web.weight(), web.pods("v1"), web.pods("v2")) == ("60", 3, 2)
    verb(web, "promote", "web")
    web.wait_healthy()
    assert web.pods("v2") == 3
    assert len(web.items("ReplicaSet")) == 2
    assert orphan.left.stop() == 0


def test_another_replica_leads_as_soon_as_the_leader_ends(
    start_controller: Callable[..., ControllerProcess], empty_shop: Callable[..., Shop]
) -> None:
    """On SIGTERM the leader gives its Lease back, the other replica leads, and an update goes on."""
    web = empty_shop()
    web.rollout({"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}, instance="pair")
    first = start_controller("--instance-id", "pair")
    until(first.leads, "the first one leads")
    second = start_controller("--instance-id", "pair")
    second.wait_ready()
    web.wait_healthy()
    web.set_image("v2")
    assert not second.leads()
    begin = time.monotonic()
    assert first.stop() == 0
    ended = time.monotonic() - begin
    until(second.leads, "the second one leads")
    print(
        f"the leader ended {ended:.2f} s after SIGTERM, the other one led after {time.monotonic() - begin:.2f} s"
    )
    web.wait(lambda status: status.get("phase") == "Paused", "the pause")
    assert second.stop() == 0
