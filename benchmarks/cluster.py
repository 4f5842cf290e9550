"""Measure rollway on a real API server, beside raw requests of the same client and beside kubectl: `make bench`.

Starts the local control plane of the integration tests. Every figure stands next to its peer from the same run; goals
are printed and nothing is asserted. `--quick` does everything with few objects, to see that it works.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "integration")]

import manifests as m  # noqa: E402 - after the path
from harness import crds, providers, shop, tools  # noqa: E402
from harness.api import Api  # noqa: E402
from harness.namespace import Namespace  # noqa: E402
from rollway.routers.kube.connection import Connection  # noqa: E402
from rollway.routers.kube.failures import RequestInfo  # noqa: E402
from rollway.routers.lookup import read_rollout  # noqa: E402
from rollway.routers.planning import needs_of  # noqa: E402
from rollway.routers.router import TrafficRouter  # noqa: E402
from rollway.routers.stores.watching import WatchingStore  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rollway.routers.stores.cluster import ClusterStore

READS = ("GET",)
MEMORY = """
import os, sys
from rollway.routers.objects import Need
from rollway.routers.stores.cluster import ClusterStore
from rollway.routers.stores.watching import WatchingStore
def resident():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
cluster = ClusterStore.open(sys.argv[1])
store = WatchingStore(cluster, sys.argv[2])
store.read([Need("networking.istio.io", "VirtualService", "none", sys.argv[2], required=False)])
before = resident()
store = WatchingStore(cluster, sys.argv[3])
need = Need("networking.istio.io", "VirtualService", namespace=sys.argv[3], required=False)
print(len(store.read([need])), before, resident())
store.close()
"""


class Counted:
    """Record the requests of every connection while it is on, as raw as they were sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any, dict[str, Any]]] = []
        self._real = Connection.request

    def __enter__(self) -> Self:
        """Start."""
        real, sent = self._real, self.sent

        def request(connection: Connection, method: str, path: str, info: RequestInfo, **words: Any) -> Any:
            sent.append((method, path, info, words))
            return real(connection, method, path, info, **words)

        Connection.request = request  # type: ignore[method-assign,assignment]
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop."""
        Connection.request = self._real  # type: ignore[method-assign]

    def counts(self) -> tuple[int, int]:
        """Return the numbers of reads and of writes."""
        reads = sum(method in READS for method, *_ in self.sent)
        return reads, len(self.sent) - reads


def requests_per_verb(spaces: dict[str, Namespace]) -> None:
    """Count what each verb asks of the API server, beside the objects that it reads and writes."""
    print(f"\n{'requests per verb':34}{'reads':>7}{'writes':>8}{'objects read':>14}{'changed':>9}")
    for name, space in spaces.items():
        router = space.router()
        objects = len(router.store.read(needs_of(router.rollout)))
        verbs: dict[str, tuple[Callable[[], object], int]] = {
            "observe": (router.observe, 0),
            "plan": (partial(router.plan, 30), 0),
            "set-weight (change)": (partial(router.set_weight, 30), 1),
            "set-weight (no change)": (partial(router.set_weight, 30), 0),
            "verify": (partial(router.verify, 30), 0),
        }
        writable = 3 if name == "all" else 1
        for verb, (call, changed) in verbs.items():
            with Counted() as counted:
                call()
            reads, writes = counted.counts()
            print(f"{name + ': ' + verb:34}{reads:7}{writes:8}{objects:14}{writable if changed else 0:9}")


def beside_raw_requests(spaces: dict[str, Namespace], runs: int) -> None:
    """Time set_weight beside the same requests, sent by the same client with nothing in between."""
    print(f"\n{'set_weight, in process':34}{'ms':>9}{'raw ms':>9}{'times':>8}  goal")
    for name, space in spaces.items():
        router = space.router()
        ours: list[float] = []
        raw: list[float] = []
        store: ClusterStore = router.store  # type: ignore[assignment]
        for number in range(runs):
            with Counted() as counted:
                ours.append(timed(partial(router.set_weight, 10 + number % 2 * 10)))
            raw.append(timed(partial(replay, store, counted, number)))
        mine, theirs = statistics.median(ours), statistics.median(raw)
        print(f"{name:34}{mine * 1000:9.2f}{theirs * 1000:9.2f}{mine / theirs:8.2f}  1.15")


def replay(store: ClusterStore, counted: Counted, number: int) -> None:
    """Send the same requests again: reads that follow each other in parallel, as the store does, and the writes one by one.

    A write becomes a merge patch that changes something.
    """
    body = {"metadata": {"annotations": {"example.com/bench": str(number)}}}
    for reads, group in itertools.groupby(counted.sent, lambda sent: sent[0] in READS):
        if reads:
            list(store._threads.map(lambda sent: store.connection.request(*sent[:3], **sent[3]), group))
            continue
        for _, path, info, words in group:
            query = {"fieldManager": words["query"]["fieldManager"]}
            store.connection.request(
                "PATCH", path, info, query=query, body=body, content_type="application/merge-patch+json"
            )


def many_rollouts(space: Namespace, count: int, rounds: int) -> None:
    """Change many Rollouts once each with eight threads, from a watching store, beside the same requests without rollway.

    One change is one JSON Patch and no read. The raw one has the same operations and goes through the same client, while
    the same watches are open. Both change the same objects in turn; the ratio is the median of the pairs.
    """
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: app(space, number), range(count)))
    cluster = space.store()
    store = WatchingStore(cluster, space.name)
    rollouts = [read_rollout(store, f"app-{number}", space.name) for number in range(count)]
    routers = [TrafficRouter(rollout, store) for rollout in rollouts]
    for router in routers:
        router.observe()
    pairs: list[tuple[Rate, Rate]] = []
    with ThreadPoolExecutor(8) as threads:
        for number in range(rounds):
            raw = partial(patch_raw, cluster, space.name, 10 + number)
            theirs = rate(threads, raw, range(count))
            time.sleep(1)  # the watches bring the last of it
            ours = rate(threads, partial(TrafficRouter.set_weight, weight=50 + number), routers)
            time.sleep(1)
            pairs.append((ours, theirs))
    store.close()
    mine, raws = zip(*pairs, strict=True)
    ratio = statistics.median(ours.per_second / theirs.per_second for ours, theirs in pairs)
    print(f"\n{f'{count} rollouts, 8 threads':34}{'per s':>9}{'raw':>9}{'of it':>8}  goal")
    per_second = [statistics.median(one.per_second for one in rates) for rates in (mine, raws)]
    print(f"{'changed once each':34}{per_second[0]:9.0f}{per_second[1]:9.0f}{ratio:8.2f}  0.90")
    cpu = [statistics.median(one.cpu_ms for one in rates) for rates in (mine, raws)]
    print(f"{'CPU of this process, ms each':34}{cpu[0]:9.2f}{cpu[1]:9.2f}{cpu[0] / cpu[1]:8.2f}")


class Rate(NamedTuple):
    """How many calls a second, and the CPU time of this process for one of them in milliseconds."""

    per_second: float
    cpu_ms: float


def rate(threads: ThreadPoolExecutor, call: Callable[[Any], object], items: Sequence[Any]) -> Rate:
    """Call with each item, on all threads at once. Like a controller it keeps no answer, which is work for the garbage collector."""
    cpu, start = time.process_time(), time.perf_counter()
    for _ in threads.map(call, items):
        pass
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Rate(len(items) / seconds, cpu * 1000 / len(items))


def patch_raw(cluster: ClusterStore, namespace: str, weight: int, number: int) -> None:
    """Send the JSON Patch of a change of weight, with nothing before and after it."""
    path = f"/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/app-{number}"
    body = [
        {"op": "test", "path": "/spec/http/0/name", "value": "primary"},
        {"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 100 - weight},
        {"op": "replace", "path": "/spec/http/0/route/1/weight", "value": weight},
    ]
    query = {"fieldManager": "raw"}
    info = RequestInfo("patch", "virtualservices")
    cluster.connection.request(
        "PATCH", path, info, body=body, content_type="application/json-patch+json", query=query
    )


def app(space: Namespace, number: int) -> None:
    """Create a Rollout of its own name, with its Services and VirtualService."""
    names = {"stableService": f"stable-{number}", "canaryService": f"canary-{number}"}
    pair = [m.destination(f"stable-{number}", 100), m.destination(f"canary-{number}", 0)]
    rollout = m.rollout({"istio": {"virtualService": {"name": f"app-{number}"}}}, name=f"app-{number}")
    rollout["spec"]["strategy"]["canary"].update(names)
    service = m.virtual_service(f"app-{number}", http=[{"name": "primary", "route": pair}])
    space.put(m.service(names["stableService"]), m.service(names["canaryService"]), service, rollout)


def command_line(space: Namespace, runs: int) -> None:
    """Time the command beside `kubectl patch` of the same object."""
    rollway = [str(Path(sys.executable).with_name("rollway")), "set-weight", "shop"]
    environment = {**os.environ, "KUBECONFIG": str(space.kubeconfig)}
    with tempfile.TemporaryDirectory() as folder:
        kubectl = find_kubectl(Path(folder))
        times: dict[str, list[float]] = {"rollway": [], "kubectl": []}
        for number in range(runs):
            weight = 10 + number % 2 * 10
            times["rollway"].append(timed(lambda: run([*rollway, str(weight), "--no-events"], environment)))  # noqa: B023
            if kubectl:
                patch = [{"op": "replace", "path": "/spec/http/0/timeout", "value": f"{weight}s"}]
                words = ["patch", "virtualservice", "web", "--type=json", "-p", json.dumps(patch)]
                if not number:
                    words[-1] = json.dumps([{**patch[0], "op": "add"}])
                times["kubectl"].append(timed(lambda: run([kubectl, *words], environment)))  # noqa: B023
    print(f"\n{'whole processes':34}{'ms':>9}")
    for name, samples in times.items():
        if samples:
            print(
                f"{name + (' set-weight' if name == 'rollway' else ' patch'):34}{statistics.median(samples) * 1000:9.0f}"
            )
    if not kubectl:
        print(
            "kubectl is not on the PATH and could not be had from Debian's kubernetes-client, so it is not compared"
        )


def find_kubectl(folder: Path) -> str:
    """Return kubectl: the one on the PATH, else that of Debian's kubernetes-client, unpacked and not installed."""
    found = shutil.which("kubectl")
    if found or not shutil.which("apt-get"):
        return found or ""
    subprocess.run(
        ["apt-get", "download", "-qq", "kubernetes-client"], cwd=folder, check=False, capture_output=True
    )
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)
    program = folder / "usr" / "bin" / "kubectl"
    return str(program) if program.exists() else ""


def memory(space: Namespace, empty: Namespace, count: int) -> None:
    """Measure what a watching store keeps in memory for many VirtualServices, in a process of its own."""

    def put(number: int) -> None:
        space.api.put(m.placed(m.virtual_service(f"many-{number}"), space.name))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, range(count)))
    command = [sys.executable, "-c", MEMORY, str(space.kubeconfig), empty.name, space.name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    held, before, after = (float(word) for word in done.stdout.split())
    print(f"\n{'watching store':34}{'objects':>9}{'MiB':>9}{'KiB each':>10}")
    print(
        f"{'resident, over an empty one':34}{held:9.0f}{after - before:9.1f}{(after - before) * 1024 / held:10.1f}"
    )


def timed(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, env=environment, check=True, capture_output=True)


def namespaces(api: Api, cluster: providers.Cluster, names: list[str]) -> Iterator[tuple[str, Namespace]]:
    """Create a namespace for each name."""
    for name in names:
        yield name, Namespace(cluster, api, f"bench-{name}")


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few objects and runs")
    quick = parser.parse_args().quick
    runs, rollouts, objects = (4, 20, 100) if quick else (60, 1000, 10_000)
    provider = providers.Local()
    why = provider.unavailable()
    if why:
        print(f"no figures on a cluster: {why}")
        return
    with tempfile.TemporaryDirectory() as folder, provider.cluster() as cluster:
        os.environ["KUBECACHEDIR"] = folder
        api = Api(cluster)
        api.install(crds.installed())
        print(f"local control plane: Kubernetes {tools.KUBERNETES[0]}, Python {sys.version.split()[0]}")
        names = ["nginx", "istio", "smi", "all"]
        spaces = dict(namespaces(api, cluster, names))
        for name, space in spaces.items():
            shop.put(space, shop.ROUTINGS[name], f"{name}.example.com")
        requests_per_verb(spaces)
        beside_raw_requests(spaces, runs)
        command_line(spaces["istio"], max(runs // 6, 2))
        others = dict(namespaces(api, cluster, ["many", "memory", "empty"]))
        many_rollouts(others["many"], rollouts, 2 if quick else 7)
        memory(others["memory"], others["empty"], objects)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\npeak of this process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
