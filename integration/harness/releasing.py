"""A cluster in which pods come and go, `rollway controller` in processes of its own, and Rollouts to release there."""

from __future__ import annotations

import contextlib
import copy
import re
import signal
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from harness.control_plane import free_ports
from harness.process import ROLLWAY
from harness.waiting import until
from rollway.routers.kube.client import JSON_PATCH, MERGE_PATCH, Target
from rollway.routers.model import INSTANCE_ID, INSTANCE_LABEL
from running import rollway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest

_REASON = re.compile(r"(?:^|; )([A-Z][A-Za-z]+): ")
_GROUPS = {
    "Rollout": "argoproj.io",
    "ReplicaSet": "apps",
    "Deployment": "apps",
    "Ingress": "networking.k8s.io",
    "Lease": "coordination.k8s.io",
    "HorizontalPodAutoscaler": "autoscaling",
    "VirtualService": "networking.istio.io",
    "DestinationRule": "networking.istio.io",
    "TrafficSplit": "split.smi-spec.io",
}
PAIR = {"stableService": "stable", "canaryService": "canary"}
NGINX_CANARY: Manifest = {**PAIR, "trafficRouting": {"nginx": {"stableIngress": "web"}}}
"""A canary through the Ingress of `Shop.ingress`."""


class ControllerProcess:
    """One replica of the controller. Its log is in a file."""

    def __init__(self, kubeconfig: Path, log: Path, *words: str) -> None:
        self.log = log
        self.health, self.metrics = free_ports(2)
        ports = ["--health-port", str(self.health), "--metrics-port", str(self.metrics)]
        with log.open("ab") as target:
            self._process = subprocess.Popen(
                [*ROLLWAY, "controller", "--kubeconfig", str(kubeconfig), *ports, *words],
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
            )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def answer(self, path: str, port: int = 0) -> tuple[int, str]:
        """Return the status and the body that it answers; status 0 while nothing answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{port or self.health}{path}", timeout=3) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self) -> None:
        """Wait until its memory is whole."""
        until(lambda: self._ran() and self.answer("/readyz")[0] == 200, "the controller is ready")

    def leads(self) -> bool:
        """Return whether it has written that it leads."""
        return "this replica leads" in self.log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal, and return its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        return self._process.wait(timeout=30)

    def _ran(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()[-4000:]
        return True


class Shop:
    """One namespace with the Services of a Rollout `web`, and what a test does there as a user."""

    def __init__(self, client: Client, namespace: str, services: Iterable[str] = ()) -> None:
        self.client = client
        self.namespace = namespace
        client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        for name in services:
            spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
            self.create("v1", "Service", name, {"spec": spec})

    def create(self, version: str, kind: str, name: str, body: Manifest) -> Manifest:
        """Create an object here, and return it as it is stored."""
        metadata = {"name": name, "namespace": self.namespace, **body.get("metadata", {})}
        manifest = {**copy.deepcopy(body), "apiVersion": version, "kind": kind, "metadata": metadata}
        stored: Manifest = self.client.create(manifest).body
        return stored

    @property
    def host(self) -> str:
        """The host of its Ingress."""
        return f"{self.namespace}.example.com"

    def ingress(self, service: str = "stable") -> None:
        """Create the Ingress `web` of ingress-nginx that leads to a Service."""
        backend = {"service": {"name": service, "port": {"number": 80}}}
        paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
        rules = [{"host": self.host, "http": {"paths": paths}}]
        spec = {"ingressClassName": "nginx", "rules": rules}
        self.create("networking.k8s.io/v1", "Ingress", "web", {"spec": spec})

    def rollout(
        self, strategy: Manifest, *, replicas: int = 2, instance: str = INSTANCE_ID, **spec: Any
    ) -> Manifest:
        """Create the Rollout `web`, labelled with an instance id (none: without)."""
        given = {"selector": {"matchLabels": {"app": "web"}}, "template": template("v1"), **spec}
        body = {
            "metadata": {"labels": {INSTANCE_LABEL: instance} if instance else {}},
            "spec": {"replicas": replicas, "strategy": strategy, **given},
        }
        return self.create("argoproj.io/v1alpha1", "Rollout", "web", body)

    def target(self, kind: str, name: str, subresource: str = "") -> Target:
        """Return how an object here is addressed."""
        return Target(_GROUPS.get(kind, ""), kind, self.namespace, name, subresource)

    def get(self, kind: str, name: str) -> Manifest:
        """Return an object here; empty where there is none."""
        return self.client.get(self.target(kind, name)) or {}

    def items(self, kind: str) -> list[Manifest]:
        """Return all objects of a kind here."""
        return self.client.list(Target(_GROUPS.get(kind, ""), kind, self.namespace))[0]

    def set_image(self, image: str) -> None:
        """Change the image of the Rollout, which starts an update."""
        path = "/spec/template/spec/containers/0/image"
        self.client.patch(
            self.target("Rollout", "web"), [{"op": "replace", "path": path, "value": image}], JSON_PATCH
        )

    def merge(self, body: Manifest, kind: str = "Rollout", name: str = "web", subresource: str = "") -> None:
        """Change an object by a merge patch."""
        self.client.patch(self.target(kind, name, subresource), body, MERGE_PATCH)

    @property
    def status(self) -> Manifest:
        """The status of the Rollout."""
        return self.get("Rollout", "web").get("status") or {}

    def wait(self, reached: Callable[[Manifest], object], what: str, seconds: float = 30) -> Manifest:
        """Wait until the status of the Rollout speaks of its spec and is as wanted, and return it."""
        last: Manifest = {}

        def is_reached() -> bool:
            nonlocal last
            live = self.get("Rollout", "web")
            last = live.get("status") or {}
            current = last.get("observedGeneration") == str(live["metadata"]["generation"])
            return bool(current and reached(last))

        try:
            until(is_reached, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the status is {last}") from None
        return last

    def wait_healthy(self, seconds: float = 30) -> Manifest:
        """Wait until the release is over."""
        return self.wait(lambda status: status.get("phase") == "Healthy", "Healthy", seconds)

    def pods(self, image: str) -> int:
        """Return how many pods of an image the ReplicaSets ask for."""
        return sum(
            item["spec"]["replicas"]
            for item in self.items("ReplicaSet")
            if image_of(item["spec"]["template"]) == image
        )

    def is_gone(self, image: str) -> bool:
        """Return whether no pod of an image is there any more, not even one that is about to end."""
        return not any(image_of(pod) == image for pod in self.items("Pod"))

    def weight(self) -> str:
        """Return the weight that the canary Ingress has; empty where there is none."""
        for item in self.items("Ingress"):
            annotations = item["metadata"].get("annotations") or {}
            if annotations.get("nginx.ingress.kubernetes.io/canary") == "true":
                return str(annotations.get("nginx.ingress.kubernetes.io/canary-weight", ""))
        return ""

    def selected(self, service: str) -> str:
        """Return the image of the pods that a Service selects by their hash; empty where it selects none."""
        selected = self.get("Service", service)["spec"]["selector"].get("rollouts-pod-template-hash")
        for item in self.items("ReplicaSet"):
            if selected and item["metadata"]["labels"].get("rollouts-pod-template-hash") == selected:
                return image_of(item["spec"]["template"])
        return ""

    def reasons(self) -> dict[str, int]:
        """Return how often each reason was recorded about the Rollout."""
        counts: dict[str, int] = {}
        for event in self.items("Event"):
            if event.get("source", {}).get("component") == "rollouts-controller":
                # One Event has what happened together, each with its reason.
                for reason in {event["reason"], *_REASON.findall(event["message"])}:
                    counts[reason] = counts.get(reason, 0) + event.get("count", 1)
        return counts


def verb(shop: Shop, *words: str, code: int = 0) -> str:
    """Run a verb in a shop's namespace, and return what it printed."""
    ran = rollway(*words, "-n", shop.namespace)
    assert ran.code == code, ran.stdout + ran.stderr
    return ran.stdout


def weights_of(status: Manifest) -> Manifest:
    """Return the weights that a status shows; empty where there are none."""
    return (status.get("canary") or {}).get("weights") or {}


def is_paused(status: Manifest, index: int) -> bool:
    """Return whether a Rollout is in the pause that is its step of this index."""
    return status.get("currentStepIndex") == index and bool(status.get("pauseConditions"))


def image_of(pod: Manifest) -> str:
    """Return the image of the first container of a pod, or of its template."""
    return str(pod["spec"]["containers"][0]["image"])


def template(image: str) -> Manifest:
    """Return the pod template of the Rollouts of these tests."""
    container = {"name": "web", "image": image, "ports": [{"containerPort": 8080}]}
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}


def serving_template(image: str) -> Manifest:
    """Return a pod template of an image of `echo`, whose pods end without a pause: nothing but the controller keeps them long enough."""
    given = template(image)
    (container,) = given["spec"]["containers"]
    probe = {"httpGet": {"path": "/-/ready", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    container |= {"readinessProbe": probe}
    given["spec"]["terminationGracePeriodSeconds"] = 15
    return given
