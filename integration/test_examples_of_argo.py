"""The examples of Argo Rollouts through their whole life with rollway's controller; only the label is added to them."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from harness import tools
from harness.argo_rollouts import OWN, BothControllers
from harness.releasing import image_of
from rollway.routers import yaml_loader
from rollway.routers.model import INSTANCE_LABEL
from rollway.routers.objects import dig
from running import rollway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.releasing import Shop
    from rollway.routers.objects import Manifest

# One cluster serves all files with both controllers, so one worker runs them.
pytestmark = [pytest.mark.local, pytest.mark.xdist_group("argo")]

SERVED = (
    "examples/rollout-bluegreen.yaml",
    "examples/rollout-canary.yaml",
    "examples/rollout-rolling-update.yaml",
    "examples/rollout-template-ref.yaml",
    "examples/workload-ref/workload-ref.yaml",
    "examples/istio/istio-mirror.yaml",
    "examples/istio/istio-subset-split.yaml",
    "examples/notifications/rollout-canary.yaml",
    "examples/traffic-management/rollout-linkerd.yaml",
    "docs/getting-started/basic",
    "docs/getting-started/smi",
    "test/e2e/functional/ephemeral-labels.yaml",
    "test/e2e/functional/rollout-basic.yaml",
    "test/e2e/functional/rollout-canary-with-pause.yaml",
    "test/e2e/functional/canary-scaledownonabortnotrafficrouting.yaml",
    "test/e2e/istio/istio-host-split.yaml",
    "test/e2e/istio/istio-host-split-ping-pong.yaml",
    "test/e2e/istio/istio-host-split-update-in-middle.yaml",
    "test/e2e/istio/istio-host-http-tls-split.yaml",
    "test/e2e/istio/istio-host-only-tls-split.yaml",
    "test/e2e/header-routing/istio-hr-host.yaml",
    "test/e2e/mirror-route/istio-mirror-host.yaml",
    "test/e2e/smi_ingress/rollout-smi-ingress-canary.yaml",
)
"""Files and folders of its module whose Rollouts are released."""

FAULTS = {
    "examples/rollout-analysis-step.yaml": "analysis",
    "examples/rollout-background-analysis.yaml": "analysis",
    "examples/rollout-secret.yaml": "analysis",
    "examples/rollout-baseline-vs-canary.yaml": "experiment",
    "examples/rollout-canary-preview.yaml": "experiment",
    "examples/rollout-experiment-step.yaml": "experiment",
    "examples/traffic-routing-experiment-step/istio-host-split-experiment-step.yaml": "experiment",
    "examples/traffic-routing-experiment-step/rollout-smi-experiment-step.yaml": "experiment",
    "examples/traffic-routing-experiment-step/rollout-alb-experiment-step.yaml": "alb",
    "examples/ambassador/rollout.yaml": "ambassador",
    "examples/apisix/rollout.yaml": "apisix",
    "examples/appmesh/canary-rollout.yaml": "appMesh",
    "docs/getting-started/alb": "alb",
    "test/e2e/step-plugin/invalid-rollout.yaml": "plugin",
}
"""Those that the controller does not serve, and the field that its status names."""

NEW = "argoproj/rollouts-demo:yellow"
SECONDS = 120


class Example:
    """The objects of one example in a namespace of their own, with one Rollout among them."""

    def __init__(self, both: BothControllers, path: str) -> None:
        self.path = path
        self.shop: Shop = both.shop()
        self.pauses: list[str] = []
        self.created = list(manifests(path))
        for each in self.created:
            self._create(each)
        (self.rollout,) = (each for each in self.created if each["kind"] == "Rollout")
        self.name = self.rollout["metadata"]["name"]

    def _create(self, manifest: Manifest) -> None:
        metadata = {**manifest["metadata"], "namespace": self.shop.namespace}
        if manifest["kind"] == "Rollout":
            metadata["labels"] = {**metadata.get("labels", {}), INSTANCE_LABEL: OWN}
        self.shop.client.create({**manifest, "metadata": metadata})

    def live(self) -> Manifest:
        """Return the Rollout."""
        return self.shop.get("Rollout", self.name)

    def run(self, *words: str) -> None:
        """Run a verb of rollway for the Rollout."""
        ran = rollway(*words, "-n", self.shop.namespace)
        assert ran.code == 0, f"{self.path}: {ran.stdout}{ran.stderr}"

    def promote(self) -> None:
        """End its pause, by the request that both command lines send."""
        self.shop.merge({"status": {"pauseConditions": None}}, name=self.name, subresource="status")

    def container(self) -> Manifest:
        """Return the container that the example runs."""
        (workload,) = (each for each in self.created if dig(each, "spec", "template"))
        found: Manifest = workload["spec"]["template"]["spec"]["containers"][0]
        return found

    def stable_image(self) -> str:
        """Return the image of the stable ReplicaSet."""
        stable = self.live()["status"].get("stableRS")
        for each in self.shop.items("ReplicaSet"):
            if each["metadata"]["labels"].get("rollouts-pod-template-hash") == stable:
                return image_of(each["spec"]["template"])
        return ""


def manifests(path: str) -> Iterator[Manifest]:
    """Yield the objects of a file or a folder of Argo Rollouts, but AnalysisTemplates, which nothing here reads."""
    place = tools.module_folder("github.com/argoproj/argo-rollouts", "argo-rollouts") / path
    for file in sorted(place.glob("*.yaml")) if place.is_dir() else [place]:
        for document in re.split(r"^---.*$", file.read_text(), flags=re.MULTILINE):
            if "kind: AnalysisTemplate" not in document and (loaded := yaml_loader.load(document)):
                yield loaded


def test_every_example_is_in_a_list() -> None:
    """Each example with a Rollout is either released or refused here, but the one that is a template of Helm."""
    folder = tools.module_folder("github.com/argoproj/argo-rollouts", "argo-rollouts")
    examples = {
        str(file.relative_to(folder))
        for file in (folder / "examples").rglob("*.yaml")
        if "kind: Rollout" in file.read_text()
    }
    assert examples - {*SERVED, *FAULTS} == {"examples/helm-blue-green/templates/rollout.yaml"}


def test_the_examples_live_their_whole_life(both: BothControllers) -> None:
    """Deploy, set image, promote through each pause, healthy; then undo and the same way back; all of them at once."""
    examples = [Example(both, path) for path in SERVED]
    running = {each.path: (each, life(each)) for each in examples}
    begin = time.monotonic()
    while running and time.monotonic() - begin < SECONDS:
        for path, (_, steps) in list(running.items()):
            if next(steps, "over") == "over":
                del running[path]
        time.sleep(0.05)
    for each in examples:
        print(f"{each.path}: {', '.join(each.pauses) or 'no pause'}")
    print(f"{len(examples)} examples in {time.monotonic() - begin:.0f} s")
    left = {path: dig(example.live(), "status", "message") for path, (example, _) in running.items()}
    assert not left, "\n".join(f"{path}: {message}" for path, message in left.items())


def life(example: Example) -> Iterator[None]:
    """Bring an example through its life; each item is a moment in which others can go on."""
    container = example.container()
    yield from healthy(example, container["image"])
    example.run("set", "image", example.name, f"{container['name']}={NEW}")
    yield from healthy(example, NEW)
    yield from ended(example)
    example.run("undo", example.name)
    yield from healthy(example, container["image"])
    yield from ended(example)


def healthy(example: Example, image: str) -> Iterator[None]:
    """Promote an example at each of its pauses, until it is healthy with an image."""
    while True:
        live = example.live()
        status = live.get("status") or {}
        if status.get("observedGeneration") == str(live["metadata"]["generation"]):
            if status.get("phase") == "Healthy" and example.stable_image() == image:
                return
            assert status.get("phase") != "Degraded", f"{example.path}: {status.get('message')}"
            if status.get("pauseConditions"):
                example.pauses.append(_pause(status))
                example.promote()
        yield


def _pause(status: Manifest) -> str:
    weight = dig(status, "canary", "weights", "canary", "weight")
    step = status.get("currentStepIndex")
    at = "preview" if step is None else f"step {step}"
    return at if weight is None else f"{at} at {weight}"


def ended(example: Example) -> Iterator[None]:
    """Wait until all traffic is with the stable version and no route of a step is left; check its pods and Services."""
    while _carries(example):
        yield
    live = example.live()
    status, body = live["status"], next(iter(live["spec"]["strategy"].values()))
    assert status["stableRS"] == status["currentPodHash"]
    wanted = live["spec"].get("replicas", 1)
    assert min(status["updatedReplicas"], status["availableReplicas"]) >= wanted, example.path
    for key in ("stableService", "activeService"):
        if key in body:
            selector = example.shop.get("Service", body[key])["spec"]["selector"]
            assert selector["rollouts-pod-template-hash"] == status["stableRS"], example.path


def _carries(example: Example) -> bool:
    """Return whether the canary has weight, or a route of a step is there."""
    routes: list[list[Any]] = [
        each["spec"].get("http") or each["spec"]["tls"] for each in example.shop.items("VirtualService")
    ]
    weight = dig(example.live(), "status", "canary", "weights", "canary", "weight")
    return bool(weight) or any(len(each) > 1 for each in routes)


def test_what_is_not_served_is_a_fault_by_name(both: BothControllers) -> None:
    """An example with something that the controller does not do gets no pod, and its status names the field."""
    shops: dict[str, tuple[Shop, str]] = {}
    for path in FAULTS:
        (rollout,) = (each for each in manifests(path) if each["kind"] == "Rollout")
        web = both.shop()
        metadata = {
            **rollout["metadata"],
            "namespace": web.namespace,
            "labels": {INSTANCE_LABEL: OWN},
        }
        web.client.create({**rollout, "metadata": metadata})
        shops[path] = web, metadata["name"]
    for path, (web, name) in shops.items():
        message = _fault(web, name)
        assert FAULTS[path] in message, path
        assert not web.items("ReplicaSet")
        print(f"{path}: {message}")


def _fault(web: Shop, name: str) -> str:
    for _ in range(600):
        for each in dig(web.get("Rollout", name), "status", "conditions") or ():
            if each["type"] == "InvalidSpec":
                return str(each["message"])
        time.sleep(0.05)
    raise AssertionError(f"no fault of {name} in {web.namespace}")
