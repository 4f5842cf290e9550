"""A shop behind a running data plane: its objects, its pods' addresses, and requests to it."""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import manifests as m
from data_planes import echo, gateway_api, istio
from data_planes.ingress_nginx import IngressNginx
from harness import sampling, shop
from harness.namespace import Namespace
from harness.waiting import until
from harness.workloads import Deployed, Workloads, Written
from rollway.routers.probes.requests import Identity, judge
from rollway.routers.traffic import Outcome
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from data_planes import DataPlane
    from harness.api import Api
    from harness.providers import Cluster
    from rollway.routers.objects import Manifest
    from rollway.routers.probes.requests import Sample

IDENTITY = Identity.parse("header:X-Version")


def planes(*names: str, kubelets: Collection[str] = ()) -> pytest.MarkDecorator:
    """Run a test on the data planes of these fixtures, and on those of `kubelets` also where kubelets run their pods."""
    run = [pytest.param(name, marks=[pytest.mark.kubelets] if name in kubelets else []) for name in names]
    return pytest.mark.parametrize("plane", run, indirect=True)


ROUTINGS: dict[str, dict[str, Any]] = {
    "nginx": shop.NGINX,
    "istio": shop.ISTIO,
    "smi": {"smi": {"rootService": "shop"}},
    **dict.fromkeys(gateway_api.PARENTS, shop.GATEWAY),
}


class Shop:
    """Rollout `shop` in a namespace of its own, with one pod for each version."""

    def __init__(
        self,
        cluster: Cluster,
        api: Api,
        plane: DataPlane,
        number: int,
        routing: dict[str, Any] | None = None,
        namespace: str = "",
    ) -> None:
        self.plane = plane
        self.number = number
        self.namespace = Namespace(cluster, api, namespace or f"{plane.name}-{number}")
        self.workloads: Workloads = (
            Deployed(self.namespace, cluster.echo_image)
            if cluster.echo_image
            else Written(self.namespace, number)
        )
        self.host = plane.host(self.namespace.name)
        self.workloads.prepare("stable", "canary")
        self.put(m.service("shop"), *shop.objects(routing or ROUTINGS[plane.name], self.host))
        self.wait_until_served()

    def put(self, *objects: Manifest) -> None:
        """Create objects; a Service whose name ends in a version gets the pod of that version, any other all pods.

        A VirtualService or a route of Gateway API answers for the shop's host at the gateway.
        """
        for manifest in objects:
            placed = copy.deepcopy(manifest)
            if placed["kind"] == "VirtualService":
                placed["spec"] |= {"hosts": [self.host], "gateways": [istio.GATEWAY]}
            if placed["kind"] in gateway_api.LISTENERS:
                hosts = {} if placed["kind"] == "TCPRoute" else {"hostnames": [self.host]}
                parent = {**gateway_api.PARENTS[self.plane.name], **gateway_api.LISTENERS[placed["kind"]]}
                placed["spec"] = {**hosts, **placed["spec"], "parentRefs": [parent]}
            if placed["kind"] == "Service":
                for port in placed["spec"]["ports"]:
                    port.setdefault("targetPort", echo.PORT)
            self.namespace.put(placed, ready=0)
            if placed["kind"] == "Service":
                name = manifest["metadata"]["name"]
                version = name.rpartition("-")[2]
                self.endpoints(name, *([version] if version in echo.VERSIONS else ["stable"]))

    def endpoints(self, service: str, *versions: str, ready: bool = True) -> None:
        """Set which pods a Service has, and whether they are ready."""
        self.workloads.serve(service, *versions, ready=ready)

    def wait_until_served(self, host: str = "") -> None:
        """Wait until a host, which is the shop's where none is given, is answered, and a write after it is posted apart from it.

        A new host makes nginx reload, and the controller posts what came with it when that is over; of two posts in one
        second, workers may keep the first (see `ingress_nginx.SYNC_RATE`). So the next write belongs in another second.
        """
        host = host or self.host
        until(lambda: not self.sample(1, {"Host": host}).failed, f"{host} is served")
        if self.plane.name == IngressNginx.name:
            time.sleep(1.05 - time.time() % 1)

    def settle(self) -> None:
        """Wait until the whole data plane has what was written."""
        time.sleep(self.plane.settled_s)

    def sample(
        self, requests: int = 2000, headers: Mapping[str, str] | None = None, rate: float = 0
    ) -> Sample:
        """Send requests, with these headers beside the shop's host, and count which version answers."""
        return sampling.sample(self.plane.url, requests, {"Host": self.host, **(headers or {})}, rate)

    def settled_share(self, weight: int) -> None:
        """Wait until the whole data plane has what was written, and require that share of the requests after it.

        Nobody can ask every data plane for that, and on a busy machine each pause is too short now and then.
        """
        self.settle()
        split = Split(weight, 100)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if judge(self.sample(), IDENTITY, split).outcome is Outcome.MATCHES:
                break
        self.require_share(weight)

    def require_share(self, weight: int, requests: int = 2000, of: int = 100, **headers: str) -> None:
        """Require that this share of requests with such headers (`_` for `-`) is the canary's, and print the sample."""
        words = {name.replace("_", "-"): value for name, value in headers.items()}
        sample = self.sample(requests, words)
        split = Split(weight, of)
        measured = " ".join(
            [self.plane.name, str(split), *(f"{name}={value}" for name, value in words.items())]
        )
        print(f"{measured}: {sample} in {sample.seconds:.1f} s")
        verdict = judge(sample, IDENTITY, split)
        assert verdict.outcome is Outcome.MATCHES, f"{measured}: {verdict.reason}"

    def delete(self) -> None:
        """Delete what the test made."""
        self.workloads.stop()
        self.namespace.delete()

    def dump(self, folder: Path) -> None:
        """Write the objects and what the data plane has loaded."""
        manifests = list(self.namespace.objects().values())
        (folder / "objects.yaml").write_text(yaml.safe_dump_all(manifests, sort_keys=False))
        self.plane.dump(folder)

    @property
    def measured_options(self) -> tuple[str, ...]:
        """Return the options of rollway that measure this shop."""
        return ("--url", self.plane.url, "--identify", "header:X-Version", "-H", f"Host: {self.host}")

    @contextlib.contextmanager
    def load(self) -> Iterator[list[tuple[float, Sample]]]:
        """Send two requests in a millisecond while the block runs; the list has all samples when it is left.

        Each comes with the time when it began, in seconds of the monotonic clock.
        """
        samples: list[tuple[float, Sample]] = []
        over = threading.Event()

        def send() -> None:
            while not over.is_set():
                samples.append((time.monotonic(), self.sample(100, rate=2000)))

        with ThreadPoolExecutor(1) as worker:
            done = worker.submit(send)
            try:
                yield samples
            finally:
                over.set()
                done.result()


def require_half_copied(plane: istio.Istio, shop: Shop, **headers: str) -> None:
    """Require at weight 0 that stable answers every request with such headers, and the canary gets copies of half of them."""
    before = plane.requests_to("shop-canary", shop.namespace.name)

    def copied() -> int:
        return plane.requests_to("shop-canary", shop.namespace.name) - before

    shop.require_share(0, 2000, 100, **headers)
    # Envoy counts a copy when it sends it, which may be after the answer. Four standard deviations of 2,000 requests.
    until(lambda: abs(copied() - 1000) <= 90, "half of the requests are copied")
    print(f"{shop.plane.name}: {copied()} of 2000 requests copied")
