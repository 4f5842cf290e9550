"""The controller and the command line of Argo Rollouts, built from its own code, and its controller beside rollway's."""

from __future__ import annotations

import contextlib
import functools
import itertools
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

from harness import crds, tools
from harness.api import Api
from harness.control_plane import flags, free_ports
from harness.full_control_plane import NODE, FullControlPlane
from harness.providers import Cluster
from harness.releasing import ControllerProcess, Shop, image_of
from harness.waiting import until
from rollway.routers.model import INSTANCE_ID, INSTANCE_LABEL
from rollway.routers.stores.cluster import ClusterStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest

ARGO = ""
"""The instance id of the Rollouts that Argo's controller serves: they have no label."""
OWN = INSTANCE_ID
"""The instance id of the Rollouts that rollway serves."""

STEPS = [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {"duration": 1}}]
CANARY = {
    "stableService": "stable",
    "canaryService": "canary",
    "scaleDownDelaySeconds": 1,
    "steps": STEPS,
}
BLUE_GREEN = {
    "activeService": "active",
    "previewService": "preview",
    "autoPromotionEnabled": False,
    "scaleDownDelaySeconds": 1,
}
STRATEGIES: dict[str, Manifest] = {
    "pods": {"canary": {"steps": STEPS}},
    "nginx": {"canary": {**CANARY, "trafficRouting": {"nginx": {"stableIngress": "web"}}}},
    "istio": {"canary": {**CANARY, "trafficRouting": {"istio": {"virtualService": {"name": "web"}}}}},
    "blue-green": {"blueGreen": BLUE_GREEN},
}

_names = (f"beside-{number}" for number in itertools.count(1))


class ArgoController:
    """Argo's controller as a process, serving the Rollouts without an instance id. Its log is in a file."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        metrics, health = free_ports(2)
        words = {
            "kubeconfig": str(kubeconfig),
            "leader-elect": "false",
            "metricsPort": str(metrics),
            "healthzPort": str(health),
            "traffic-split-api-version": "v1alpha3",
            "qps": "500",
            "burst": "1000",
        }
        command = [str(tools.argo_rollouts("rollouts-controller").path()), *flags(words)]
        self.log = log
        with log.open("wb") as target:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=target, stderr=target, cwd=log.parent
            )

    def has_looked_at(self, namespace: str) -> bool:
        """Return whether it has reconciled a Rollout of a namespace."""
        return any(
            "Reconciliation completed" in line and f"namespace={namespace} " in line
            for line in self.log.read_text().splitlines()
        )

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        self._process.kill()


class BothControllers:
    """A cluster in which Argo's controller and rollway's run at the same time."""

    def __init__(self, plane: FullControlPlane, client: Client) -> None:
        self.client = client
        self.kubeconfig = plane.kubeconfig()
        self.argo = ArgoController(self.kubeconfig, plane.folder / "argo.log")
        self.own = ControllerProcess(self.kubeconfig, plane.folder / "rollway.log", "--drain", "0s")

    def stop(self) -> None:
        """End both."""
        self.argo.stop()
        self.own.stop()

    def shop(self, *services: str) -> Shop:
        """Return a new namespace with Services of these names."""
        return Shop(self.client, next(_names), services)

    def argo_cli(self, shop: Shop, *words: str, code: int = 0) -> str:
        """Run `kubectl argo rollouts WORDS...` in the namespace of a shop, and return what it printed."""
        program = str(tools.argo_rollouts("kubectl-argo-rollouts").path())
        done = subprocess.run(
            [program, *words, "--kubeconfig", str(self.kubeconfig), "--namespace", shop.namespace],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


def hand_over(shop: Shop, instance: str) -> None:
    """Give the Rollout of a shop to the controller of an instance id, by its label alone."""
    shop.merge({"metadata": {"labels": {INSTANCE_LABEL: instance or None}}})


def deadlines(web: Shop, image: str = "") -> set[str]:
    """Return the times at which pods of ReplicaSets are to go, of an image or of all."""
    found = {
        each["metadata"]["annotations"].get("scale-down-deadline", "")
        for each in web.items("ReplicaSet")
        if image in ("", image_of(each["spec"]["template"]))
    }
    return found - {""}


def paused_update(both: BothControllers, *wanted: tuple[str, str]) -> list[Shop]:
    """Return a shop for each strategy and instance id, with a Rollout that pauses on its way from v1 to v2."""
    shops = [_first_release(both, STRATEGIES[strategy], instance) for strategy, instance in wanted]
    for each in shops:
        each.wait_healthy()
    time.sleep(
        1
    )  # Times of creation have whole seconds, by which both controllers know an undo from an update.
    for each in shops:
        each.set_image("v2")
    for each in shops:
        each.wait(lambda status: status.get("phase") == "Paused", "the pause")
        until(functools.partial(_ready, each), "all pods are ready")
    return shops


def _first_release(both: BothControllers, strategy: Manifest, instance: str) -> Shop:
    body = next(iter(strategy.values()))
    keys = ("stableService", "canaryService", "activeService", "previewService")
    web = both.shop(*(body[key] for key in keys if key in body))
    if "nginx" in body.get("trafficRouting", {}):
        web.ingress()
    if "istio" in body.get("trafficRouting", {}):
        route = [
            {"destination": {"host": "stable"}, "weight": 100},
            {"destination": {"host": "canary"}, "weight": 0},
        ]
        spec = {"hosts": [f"{web.namespace}.example.com"], "http": [{"name": "primary", "route": route}]}
        web.create("networking.istio.io/v1", "VirtualService", "web", {"spec": spec})
    web.rollout(strategy, replicas=3, instance=instance)
    return web


def _ready(web: Shop) -> bool:
    return all(
        each["status"].get("availableReplicas", 0) == each["spec"]["replicas"]
        for each in web.items("ReplicaSet")
    )


@contextlib.contextmanager
def both_controllers(folder: Path, minor: str) -> Iterator[BothControllers]:
    """Start a cluster with our CRDs, those of the routers, and both controllers."""
    plane = FullControlPlane(folder, minor)
    try:
        plane.start()
        Api(Cluster("local", plane.kubeconfig())).install([*crds.own(), *crds.definitions(["istio", "smi"])])
        with closing(ClusterStore.open(str(plane.kubeconfig()), cache=False)) as store:
            store.client.create(NODE)
            both = BothControllers(plane, store.client)
            try:
                both.own.wait_ready()
                yield both
            finally:
                both.stop()
    finally:
        plane.stop()
