"""Measure `rollway controller` on a control plane with the controllers of Kubernetes and kwok's pods: `make bench`.

The goal stands beside each figure; nothing is asserted. `--quick` does everything with few Rollouts, to see that it works.
The requests are those that the API server notes in its audit log; the watches and the renewals of the Lease are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fleet import AuditedControlPlane, AuditLog, FirstWeights, Fleet, usage

from harness import crds, tools
from harness.full_control_plane import NODE
from harness.releasing import ControllerProcess
from harness.waiting import until
from rollway.controller.decide import decide
from rollway.controller.events import EventRecorder
from rollway.controller.reconciler import Reconciler
from rollway.controller.routed_traffic import RoutedTraffic
from rollway.controller.watched_cluster import WatchedCluster
from rollway.routers.errors import RollwayError
from rollway.routers.kube.client import Target
from rollway.routers.model import INSTANCE_ID
from rollway.routers.stores.cluster import ClusterStore
from rollway.routers.stores.watching import WatchingStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.kube.client import Client

FIRST: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {}}]
_SECOND: dict[str, Any] = {"pause": {"duration": "1s"}}
NINE = [step for weight in (20, 40, 60, 80) for step in ({"setWeight": weight}, _SECOND)] + [
    {"setWeight": 100}
]


class Sizes(NamedTuple):
    """How much is measured."""

    rounds: int = 30
    many: int = 200
    pods: int = 5
    at_once: int = 170
    idle_s: float = 60
    start: int = 1000
    memory: tuple[int, ...] = (1000, 2000, 5000)


QUICK = Sizes(3, 10, 2, 8, 5, 20, (20, 40))


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few Rollouts and rounds")
    parser.add_argument("--only", action="append", help="measure only this; repeatable")
    given = parser.parse_args()
    sizes = QUICK if given.quick else Sizes()
    # Whoever ends this process ends the control plane too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder, Bench(Path(folder)) as bench:
        print(f"\n{'rollway controller':52}{'figure':>12}  goal")
        print(f"Kubernetes {tools.KUBERNETES[0]}, Python {sys.version.split()[0]}")
        for name, measure in MEASURES.items():
            if not given.only or name in given.only:
                measure(bench, sizes)


class Bench(contextlib.ExitStack):
    """The control plane, an administrator's client, and the controllers that run there."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.plane = AuditedControlPlane(folder / "plane", tools.KUBERNETES[0])
        self.audit = AuditLog(self.plane.audit)
        self.client: Client

    def __enter__(self) -> Bench:  # noqa: PYI034 - it is not meant to be derived from
        """Start the control plane."""
        self.callback(self.plane.stop)
        self.plane.start()
        self.client = self._store(self.plane.kubeconfig()).client
        for crd in (*crds.own(), *crds.definitions(["istio"])):
            self.client.create(crd)
        self.client.create(NODE)
        until(self._is_served, "Rollouts and VirtualServices are served")
        return self

    def _store(self, kubeconfig: Path) -> ClusterStore:
        store = ClusterStore.open(str(kubeconfig), cache=False)
        self.callback(store.close)
        return store

    def _is_served(self) -> bool:
        try:
            self.client.discovery.refresh()
            self.client.list(Target("argoproj.io", "Rollout"))
            self.client.list(Target("networking.istio.io", "VirtualService"))
        except RollwayError:
            return False
        return True

    @contextlib.contextmanager
    def controller(self, namespace: str) -> Iterator[ControllerProcess]:
        """Run `rollway controller` for a namespace."""
        kubeconfig = self.plane.controller_kubeconfig()
        process = ControllerProcess(kubeconfig, self.folder / f"{namespace}.log", "-n", namespace)
        try:
            yield process
        finally:
            process.stop()

    @contextlib.contextmanager
    def weights(self, fleet: Fleet) -> Iterator[FirstWeights]:
        """Note the first weights of a fleet."""
        found = FirstWeights(self.client, fleet.namespace)
        try:
            yield found
        finally:
            found.close()


def row(name: str, figure: str, goal: str = "") -> None:
    """Print one figure beside its goal."""
    print(f"{name:52}{figure:>12}  {goal}", flush=True)


def first_weight(bench: Bench, sizes: Sizes) -> None:
    """Time from the patch of a pod template until the watch shows the first weight, again and again."""
    fleet = Fleet(bench.client, "first")
    fleet.add(1, 1, FIRST)
    (name,) = fleet.names
    seconds = []
    with bench.controller("first"), bench.weights(fleet) as weights:
        fleet.wait_healthy(name)
        for number in range(sizes.rounds):
            weights.seen.clear()
            begin = time.perf_counter()
            fleet.set_image(name, f"round-{number}")
            until(lambda: name in weights.seen, "there is a weight")
            seconds.append(weights.seen[name] - begin)
            fleet.promote_full(name)
            fleet.wait_healthy(name)
            fleet.wait_scaled_down(name)
    row(
        f"template patched to first weight, median of {sizes.rounds}",
        f"{statistics.median(seconds) * 1000:.0f} ms",
        "100 ms",
    )
    row("  fastest and slowest", f"{min(seconds) * 1000:.0f} to {max(seconds) * 1000:.0f} ms")


def requests(bench: Bench, sizes: Sizes) -> None:
    """Count the requests of one whole update of nine steps, until the old pods are gone and the last Event is written."""
    for pods, goal in ((1, "25"), (sizes.pods, "")):
        fleet = Fleet(bench.client, f"nine-{pods}")
        fleet.add(1, pods, NINE)
        (name,) = fleet.names
        with bench.controller(fleet.namespace):
            fleet.wait_healthy(name)
            _wait_quiet(bench)
            bench.audit.mark()
            fleet.set_image(name, "v2")
            fleet.wait_healthy(name)
            fleet.wait_scaled_down(name)
            _wait_quiet(bench)
        counts = bench.audit.counts()
        row(f"requests of an update of nine steps, {pods} pod(s)", f"{counts.total()}", goal)
        for words, count in counts.most_common():
            row(f"  {words}", f"{count}")


def _wait_quiet(bench: Bench, seconds: float = 12) -> None:
    """Wait until the controller has asked nothing for some seconds."""
    while True:
        count = len(bench.audit.requests())
        time.sleep(seconds)
        if len(bench.audit.requests()) == count:
            return


def many(bench: Bench, sizes: Sizes) -> None:
    """Measure memory with many Rollouts, rest, the updates of most of them at once, and a decision."""
    fleet = Fleet(bench.client, "many")
    with bench.controller("many") as controller:
        controller.wait_ready()
        empty = usage(controller.pid)
        fleet.add(sizes.many, sizes.pods, FIRST)
        fleet.wait_healthy(seconds=300)
        _wait_quiet(bench)
        words = f"{sizes.many} Rollouts of {sizes.pods} pods"
        row(f"resident with {words}", f"{usage(controller.pid).resident:.0f} MiB", "160 MiB")
        row("  with none", f"{empty.resident:.0f} MiB")
        _idle(bench, controller, sizes.idle_s)
        _at_once(bench, controller, fleet, sizes.at_once)
        _wait_quiet(bench)
        row("resident after that", f"{usage(controller.pid).resident:.0f} MiB", "160 MiB")
    _decisions(bench, fleet)


def _idle(bench: Bench, controller: ControllerProcess, seconds: float) -> None:
    bench.audit.mark()
    before = usage(controller.pid)
    time.sleep(seconds)
    after = usage(controller.pid)
    row(f"requests in {seconds:.0f} s without work", f"{len(bench.audit.requests())}", "0")
    row("processor meanwhile", f"{(after.seconds - before.seconds) / seconds * 100:.2f} %", "1 %")


def _at_once(bench: Bench, controller: ControllerProcess, fleet: Fleet, count: int) -> None:
    names = fleet.names[:count]
    before = bench.plane.seconds(), usage(controller.pid).seconds
    with bench.weights(fleet) as weights:
        bench.audit.mark()
        begin = time.perf_counter()
        fleet.each(names, lambda name: fleet.set_image(name, "v2"))
        patched = time.perf_counter() - begin
        until(lambda: set(names) <= set(weights.seen), "all have a weight", 120)
    seconds = [weights.seen[name] - begin for name in names]
    row(f"{count} updated at once: median to first weight", f"{statistics.median(seconds):.2f} s", "5 s")
    row("  the last patch, the last weight", f"{patched:.2f}, {max(seconds):.2f} s")
    used = bench.plane.seconds() - before[0], usage(controller.pid).seconds - before[1]
    row("  processor time of Kubernetes, of the controller", f"{used[0]:.1f}, {used[1]:.1f} s")


def _decisions(bench: Bench, fleet: Fleet) -> None:
    """Time, in this process, what one look at each Rollout of a fleet costs when nothing is to be done."""
    with contextlib.closing(ClusterStore.open(str(bench.plane.kubeconfig()), cache=False)) as store:
        recorder = EventRecorder(store.client)
        watching = WatchingStore(store, fleet.namespace)
        cluster = WatchedCluster(
            store.client, recorder, lambda *_: None, namespace=fleet.namespace, instance_id=INSTANCE_ID
        )
        routing = RoutedTraffic(watching, lambda *_: None)
        cluster.start()
        reconciler = Reconciler(cluster, routing)
        now = datetime.now(UTC)
        for name in fleet.names:
            reconciler.observe(fleet.namespace, name)  # the first look lists what is watched, and parses
        looks, decisions = [], []
        for name in fleet.names:
            begin = time.thread_time()
            world = reconciler.observe(fleet.namespace, name)
            looked = time.thread_time()
            assert world
            decide(world, now)
            decisions.append(time.thread_time() - looked)
            looks.append(looked - begin)
        routing.close()
        cluster.stop()
        recorder.close()
        watching.close()
    row("a decision, processor time, median", f"{statistics.median(decisions) * 1000:.2f} ms", "1 ms")
    row("  and to observe before it", f"{statistics.median(looks) * 1000:.2f} ms")


def start(bench: Bench, sizes: Sizes) -> None:
    """Time the start with many Rollouts, of which the first and the last by name were changed while no controller ran."""
    fleet = Fleet(bench.client, "start")
    with bench.controller("start"):
        fleet.add(sizes.start, 1, FIRST)
        fleet.wait_healthy(seconds=600)
        _wait_quiet(bench)
    changed = fleet.names[0], fleet.names[-1]
    for name in changed:
        fleet.set_image(name, "v2")
    bench.audit.mark()
    begin = time.time()
    with bench.controller("start") as controller:
        until(lambda: all(_written(bench, name) for name in changed), "both are decided", 60)
        resident = usage(controller.pid).resident
    seconds = [_written(bench, name) - begin for name in changed]
    row(f"start with {sizes.start} Rollouts to the first decision", f"{min(seconds):.2f} s", "5 s")
    row("  to the decision about the last one", f"{max(seconds):.2f} s")
    row("  resident then", f"{resident:.0f} MiB")


def _written(bench: Bench, name: str) -> float:
    """Return when the first write about a Rollout began; 0 while there was none."""
    times = [each.begin for each in bench.audit.requests() if each.writes and each.name.startswith(name)]
    return min(times, default=0.0)


def memory(bench: Bench, sizes: Sizes) -> None:
    """Measure resident memory with more and more Rollouts, which have everything but pods."""
    fleet = Fleet(bench.client, "memory")
    with bench.controller("memory") as controller:
        controller.wait_ready()
        before, held = usage(controller.pid), 0
        for count in sizes.memory:
            fleet.add(count - held, 0, FIRST)
            fleet.wait_healthy(seconds=600)
            _wait_quiet(bench)
            after = usage(controller.pid)
            each = (after.resident - before.resident) * 1024 / (count - held)
            row(f"resident with {count} Rollouts without pods", f"{after.resident:.0f} MiB", "linear")
            row("  for each further Rollout", f"{each:.1f} KiB")
            before, held = after, count


MEASURES = {measure.__name__: measure for measure in (first_weight, requests, many, start, memory)}

if __name__ == "__main__":
    main()
