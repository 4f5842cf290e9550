"""A control plane that notes the requests of the controller, the controller as a process, and many Rollouts to release."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "integration")]

import manifests as m  # noqa: E402 - after the path
from harness.control_plane import flags  # noqa: E402
from harness.full_control_plane import FullControlPlane  # noqa: E402
from harness.releasing import template  # noqa: E402
from harness.waiting import until  # noqa: E402
from rollway.routers.kube.client import JSON_PATCH, MERGE_PATCH, Target  # noqa: E402
from rollway.routers.kube.informer import Informer  # noqa: E402
from rollway.routers.model import INSTANCE_ID, INSTANCE_LABEL  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rollway.routers.kube.cache import ObjectChange
    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest

USER = "controller"
_THREADS = 8
_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [USER]}, {"level": "None"}],
}


class AuditedControlPlane(FullControlPlane):
    """A control plane in which the requests of the user `controller` are noted."""

    def __init__(self, folder: Path, minor: str) -> None:
        super().__init__(folder, minor)
        self._controller_token = secrets.token_hex(16)
        with (folder / "tokens.csv").open("a") as tokens:
            tokens.write(f'{self._controller_token},{USER},{USER},"system:masters"\n')
        self.audit = folder / "audit.log"
        (folder / "audit.yaml").write_text(yaml.safe_dump(_POLICY))

    def controller_kubeconfig(self) -> Path:
        """Write the kubeconfig of the user `controller` and return its path."""
        return self.kubeconfig(USER, self._controller_token)

    def seconds(self) -> float:
        """Return the processor time that its processes have used."""
        return sum(usage(process.pid).seconds for process in self._processes.values())

    def _run(self, name: str, command: list[str]) -> None:
        if name == "kube-apiserver":
            words = {"audit-log-path": str(self.audit), "audit-policy-file": str(self.folder / "audit.yaml")}
            command = [*command, *flags(words)]
        super()._run(name, command)


class Request(NamedTuple):
    """One request of the controller; `begin` and `end` are seconds since the epoch."""

    verb: str
    resource: str
    name: str
    begin: float
    end: float

    @property
    def writes(self) -> bool:
        """Whether it changes a Rollout, or what belongs to it."""
        return self.verb not in ("get", "list", "watch") and self.resource != "leases"


class AuditLog:
    """The requests that the API server has noted, from a mark on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = 0

    def mark(self) -> None:
        """Forget what was noted before."""
        self._mark = self._path.stat().st_size if self._path.exists() else 0

    def requests(self) -> list[Request]:
        """Return the requests since the mark, without watches and the renewal of the Lease."""
        with self._path.open() as stream:
            stream.seek(self._mark)
            noted = [json.loads(line) for line in stream if line.endswith("\n")]
        return [
            request
            for request in map(_request, noted)
            if request.verb != "watch" and request.resource != "leases"
        ]

    def counts(self) -> Counter[str]:
        """Return how many requests there were by verb and resource."""
        return Counter(f"{request.verb} {request.resource}" for request in self.requests())


def _request(noted: Manifest) -> Request:
    ref = noted.get("objectRef") or {}
    resource = "/".join(filter(None, (ref.get("resource", noted["requestURI"]), ref.get("subresource"))))
    begin, end = (
        datetime.fromisoformat(noted[key]).timestamp()
        for key in ("requestReceivedTimestamp", "stageTimestamp")
    )
    dry_run = " (dry run)" if "dryRun=" in noted["requestURI"] else ""
    return Request(noted["verb"], resource + dry_run, ref.get("name", ""), begin, end)


class Usage(NamedTuple):
    """What a process uses: resident memory in MiB, and processor time in seconds."""

    resident: float
    seconds: float


def usage(pid: int) -> Usage:
    """Return what a process uses now."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (resident,) = (int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return Usage(resident / 1024, (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"))


class Fleet:
    """Rollouts of one namespace, each with two Services and a VirtualService, and what a user does with them."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.names: list[str] = []
        client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})

    def add(self, count: int, replicas: int, steps: Sequence[Manifest]) -> None:
        """Create Rollouts."""
        names = [f"app-{len(self.names) + number:04d}" for number in range(count)]
        self.each(names, lambda name: self._create(name, replicas, steps))
        self.names += names

    def each(self, names: Iterable[str], call: Callable[[str], object]) -> None:
        """Call with each name, with some threads."""
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(call, names))

    def set_image(self, name: str, image: str) -> None:
        """Start an update."""
        path = "/spec/template/spec/containers/0/image"
        self.client.patch(self._target(name), [{"op": "replace", "path": path, "value": image}], JSON_PATCH)

    def promote_full(self, name: str) -> None:
        """Skip the rest of the steps, as `promote --full` does."""
        self.client.patch(
            self._target(name)._replace(subresource="status"), {"status": {"promoteFull": True}}, MERGE_PATCH
        )

    def wait_healthy(self, *names: str, seconds: float = 60) -> None:
        """Wait until these Rollouts are healthy; without names, all of them."""
        until(lambda: all(map(_is_healthy, self._live(names))), "the Rollouts are healthy", seconds)

    def wait_scaled_down(self, name: str) -> None:
        """Wait until only the pods of one ReplicaSet are asked for."""
        until(lambda: self._asked(name) == 1, "the old pods are gone")

    def _asked(self, name: str) -> int:
        found = self.client.list(Target("apps", "ReplicaSet", self.namespace))[0]
        return sum(
            item["spec"]["replicas"] > 0
            for item in found
            if item["metadata"]["ownerReferences"][0]["name"] == name
        )

    def _live(self, names: Sequence[str]) -> list[Manifest]:
        if len(names) == 1:
            return [self.client.get(self._target(names[0])) or {}]
        return self.client.list(Target("argoproj.io", "Rollout", self.namespace))[0]

    def _target(self, name: str) -> Target:
        return Target("argoproj.io", "Rollout", self.namespace, name)

    def _create(self, name: str, replicas: int, steps: Sequence[Manifest]) -> None:
        pair = [m.destination(f"{name}-stable", 100), m.destination(f"{name}-canary", 0)]
        for role in ("stable", "canary"):
            service = m.service(f"{name}-{role}", self.namespace)
            service["spec"]["selector"] = {"app": name}
            self.client.create(service)
        virtual = m.virtual_service(name, http=[{"name": "primary", "route": pair}])
        self.client.create(m.placed(virtual, self.namespace))
        self.client.create(self._rollout(name, replicas, steps))

    def _rollout(self, name: str, replicas: int, steps: Sequence[Manifest]) -> Manifest:
        canary = {
            "stableService": f"{name}-stable",
            "canaryService": f"{name}-canary",
            "trafficRouting": {"istio": {"virtualService": {"name": name}}},
            "scaleDownDelaySeconds": 1,
            "steps": list(steps),
        }
        pods = template("v1")
        pods["metadata"]["labels"] = {"app": name}
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {INSTANCE_LABEL: INSTANCE_ID},
            },
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": pods,
                "strategy": {"canary": canary},
            },
        }


def _is_healthy(rollout: Manifest) -> bool:
    status = rollout.get("status") or {}
    current = status.get("observedGeneration") == str(rollout["metadata"]["generation"])
    return current and status.get("phase") == "Healthy" and not status.get("promoteFull")


class FirstWeights:
    """When each VirtualService of a namespace first gave its canary a weight; seconds of the monotonic clock."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.seen: dict[str, float] = {}
        target = Target("networking.istio.io", "VirtualService", namespace)
        self._informer = Informer(client, target, _canary_weight, self._changed)
        self._informer.start()

    def close(self) -> None:
        """End the watch."""
        self._informer.stop()
        self._informer.join()

    def _changed(self, change: ObjectChange[int]) -> None:
        if change.new and not change.old:
            self.seen.setdefault(change.name, time.perf_counter())


def _canary_weight(manifest: Manifest) -> int:
    weight: Any = manifest["spec"]["http"][0]["route"][1].get("weight", 0)
    return int(weight)
