"""Measure rollway beside its peers in one run, and print the table: `make bench`.

Every figure is the median of several runs of whole processes, alternating with its peer, or of in-process calls. Goals
are printed beside the figures; nothing is asserted. `--quick` runs everything once, to see that it works.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rollway.routers.objects import Live, LiveObject
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.manifests import ref_of
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import Evidence, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest, Need
    from rollway.routers.plan import Change

ROOT = Path(__file__).parent.parent
ROLLWAY = str(Path(sys.executable).with_name("rollway"))
PARSE = """
import os, sys, yaml
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        with open(os.path.join(folder, name), "rb") as stream:
            list(yaml.load_all(stream, Loader=yaml.CSafeLoader))
"""


def process(command: Sequence[str]) -> tuple[float, float]:
    """Run a command, whose modules are compiled as those of an installed one; return (seconds, peak memory in MiB)."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    assert child.stderr is not None
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} failed: {errors.decode()}")
    return seconds, usage.ru_maxrss / 1024


def alternate(
    runs: int, commands: dict[str, Callable[[int], Sequence[str]]]
) -> dict[str, tuple[float, float]]:
    """Run commands in turn, so that all see the same machine; return the medians of seconds and MiB."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(runs):
        for name, command in commands.items():
            samples[name].append(process(command(number)))
    return {
        name: (statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs))
        for name, pairs in samples.items()
    }


def start_up(runs: int, scratch: Path) -> None:
    """Time --help and set-weight on the examples beside the bare interpreter."""
    shutil.copytree(ROOT / "examples" / "shop", scratch / "shop")

    def set_weight(backend: str) -> Callable[[int], Sequence[str]]:
        folder = str(scratch / "shop" / backend)
        return lambda number: [ROLLWAY, "set-weight", "shop", str(20 + number % 2), "--dir", folder]

    figures = alternate(
        runs,
        {
            "python -c pass": lambda _: [sys.executable, "-c", "pass"],
            "rollway --help": lambda _: [ROLLWAY, "--help"],
            **{f"set-weight ({name})": set_weight(name) for name in ("nginx", "istio", "smi")},
        },
    )
    base = figures["python -c pass"][0]
    print(f"\n{'start-up':32}{'ms':>9}{'times':>8}  goal")
    for name, (seconds, _) in figures.items():
        goal = {"python -c pass": "", "rollway --help": "6"}.get(name, "11")
        print(f"{name:32}{seconds * 1000:9.1f}{seconds / base:8.1f}  {goal}")


def big_directory(folder: Path, rollouts: int) -> None:
    """Write a GitOps repository: a folder for each app, three files, five objects of one of the three backends."""
    for number in range(rollouts):
        app = f"app-{number:04d}"
        here = folder / f"team-{number % 20}" / app
        here.mkdir(parents=True)
        kind = ("nginx", "istio", "smi")[number % 3]
        services = [_service(f"{app}-{role}") for role in ("stable", "canary")]
        routings: dict[str, dict[str, Any]] = {
            "nginx": {"nginx": {"stableIngress": app}},
            "istio": {"istio": {"virtualService": {"name": app}}},
            "smi": {"smi": {}},
        }
        routing = routings[kind]
        routed = {"nginx": _ingress, "istio": _virtual_service, "smi": _traffic_split}[kind](app)
        _dump(here / "services.yaml", *services)
        _dump(here / "app.yaml", _rollout(app, routing), _config(app))
        _dump(here / "routing.yaml", routed)


def _dump(path: Path, *manifests: dict[str, Any]) -> None:
    path.write_text(yaml.dump_all(manifests, Dumper=yaml.CSafeDumper, sort_keys=False))


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": "default", "labels": {"app": name, "team": "shop"}}


def _service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(name),
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }


def _config(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(name),
        "data": {f"key-{n}": "value" for n in range(10)},
    }


def _rollout(name: str, routing: dict[str, Any]) -> dict[str, Any]:
    canary = {"stableService": f"{name}-stable", "canaryService": f"{name}-canary", "trafficRouting": routing}
    container = {"name": "app", "image": "registry.example.com/app:1", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {
        "replicas": 3,
        "selector": {"matchLabels": {"app": name}},
        "template": template,
        "strategy": {"canary": canary},
    }
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": _meta(name), "spec": spec}


def _ingress(name: str, paths: int = 1) -> dict[str, Any]:
    backend = {"service": {"name": f"{name}-stable", "port": {"number": 80}}}
    listed = [
        {"path": f"/{number or ''}", "pathType": "Prefix", "backend": backend} for number in range(paths)
    ]
    spec = {
        "ingressClassName": "nginx",
        "rules": [{"host": f"{name}.example.com", "http": {"paths": listed}}],
    }
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": _meta(name), "spec": spec}


def _virtual_service(name: str, routes: int = 1) -> dict[str, Any]:
    pair = [
        {"destination": {"host": f"{name}-{role}"}, "weight": weight}
        for role, weight in (("stable", 100), ("canary", 0))
    ]
    http = [{"name": f"r{number}", "route": pair} for number in range(routes)]
    spec = {"hosts": [f"{name}.example.com"], "http": http}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": _meta(name),
        "spec": spec,
    }


def _traffic_split(name: str) -> dict[str, Any]:
    stamp = {**_meta(name), "annotations": {"rollway.dev/rollout": name}}
    backends = [
        {"service": f"{name}-{role}", "weight": weight} for role, weight in (("stable", 100), ("canary", 0))
    ]
    spec = {"service": f"{name}-stable", "backends": backends}
    return {
        "apiVersion": "split.smi-spec.io/v1alpha2",
        "kind": "TrafficSplit",
        "metadata": stamp,
        "spec": spec,
    }


def directory(runs: int, scratch: Path, rollouts: int) -> None:
    """Time set-weight and status on a large directory beside parsing the same files."""
    folder = scratch / "big"
    big_directory(folder, rollouts)
    where = ["--dir", str(folder)]
    figures = alternate(
        runs,
        {
            "parse all (PyYAML, libyaml)": lambda _: [sys.executable, "-c", PARSE, str(folder)],
            **{
                f"set-weight ({kind})": _set_weight_of(f"app-{at:04d}", where)
                for at, kind in enumerate(("nginx", "istio", "smi"))
            },
            "status of all": lambda _: [ROLLWAY, "status", *where],
            "lint of all": lambda _: [ROLLWAY, "lint", *where],
        },
    )
    base = figures["parse all (PyYAML, libyaml)"][0]
    print(f"\n{f'{rollouts} rollouts, {5 * rollouts} objects':32}{'s':>9}{'times':>8}{'MiB':>8}  goal")
    for name, (seconds, memory) in figures.items():
        goals = {"parse all (PyYAML, libyaml)": "", "status of all": "1.5", "lint of all": "2 s"}
        goal = goals.get(name, "1.0")
        print(f"{name:32}{seconds:9.2f}{seconds / base:8.2f}{memory:8.0f}  {goal}")


def _set_weight_of(app: str, where: Sequence[str]) -> Callable[[int], Sequence[str]]:
    return lambda number: [ROLLWAY, "set-weight", app, str(20 + number % 2), *where]


def reconcile(runs: int) -> None:
    """Time a no-change reconcile in memory, by the number of routes."""
    print(f"\n{'no-change reconcile in memory':32}{'routes':>8}{'us':>9}{'us/route':>10}  goal")
    for kind in ("nginx", "istio", "smi"):
        for routes in (1, 10, 100) if kind != "smi" else (1,):
            router = _router(kind, routes)
            want = Traffic(Split(20))
            router.set_traffic(want)
            median = _median_us(runs, router.set_traffic, [want])
            goal = "1000" if routes == 1 else "linear"
            print(f"{kind:32}{routes:8}{median:9.0f}{median / routes:10.0f}  {goal}")


class KeptStore:
    """A store that keeps its objects in memory from one read to the next, as `WatchingStore` does; nothing is copied."""

    evidence = Evidence.WRITTEN

    def __init__(self, objects: Sequence[Manifest]) -> None:
        self._live = Live([LiveObject(ref_of(manifest, "default"), manifest, "1") for manifest in objects])
        self._writes = 1

    def read(self, needs: Sequence[Need]) -> Live:
        """Return everything, which may be more than is needed."""
        del needs
        return self._live

    def lock(self, rollout: Rollout) -> AbstractContextManager[bool]:
        """Keep nobody waiting, as there is nobody."""
        del rollout
        return contextlib.nullcontext(True)

    def check(self, change: Change) -> None:
        """Find nothing."""

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject:
        """Keep what was planned."""
        del dry_run
        assert change.after is not None, "nothing is deleted here"
        self._writes += 1
        item = LiveObject(change.ref, change.after, str(self._writes))
        self._live = self._live.after([item])
        return item


def neighbours(runs: int, others: Sequence[int]) -> None:
    """Time a reconcile of one Rollout of nginx beside other Ingresses, in a store that keeps them."""
    print(f"\n{'nginx beside other Ingresses':32}{'others':>8}{'no change':>11}{'change':>9}  goal (us)")
    for count in others:
        router = _beside(count)
        router.set_weight(1)
        idle = _median_us(runs, router.set_weight, [1])
        moving = _median_us(runs, router.set_weight, [2, 3])
        print(f"{'':32}{count:8}{idle:11.0f}{moving:9.0f}  1000, any")


def _beside(others: int) -> TrafficRouter:
    objects = [_service("shop-stable"), _service("shop-canary"), _ingress("shop")]
    store = KeptStore([*objects, *(_ingress(f"app-{number}") for number in range(others))])
    return TrafficRouter(parse_rollout(_rollout("shop", {"nginx": {"stableIngress": "shop"}})), store)


def _median_us(runs: int, call: Callable[[Any], object], values: Sequence[Any]) -> float:
    """Return the median time of calls with some values in turn, in microseconds."""
    samples = []
    for number in range(runs):
        value = values[number % len(values)]
        start = time.perf_counter()
        call(value)
        samples.append((time.perf_counter() - start) * 1e6)
    return statistics.median(samples)


def _router(kind: str, routes: int) -> TrafficRouter:
    names = [f"r{number}" for number in range(routes)]
    routings: dict[str, dict[str, Any]] = {
        "nginx": {"nginx": {"stableIngress": "shop"}},
        "istio": {"istio": {"virtualService": {"name": "shop", "routes": names}}},
        "smi": {"smi": {}},
    }
    objects = [
        _service("shop-stable"),
        _service("shop-canary"),
        _ingress("shop", routes),
        _virtual_service("shop", routes),
    ]
    return TrafficRouter(parse_rollout(_rollout("shop", routings[kind])), MemoryStore(objects))


def main() -> None:
    """Print all tables."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--quick", action="store_true", help="run everything once, on a small directory")
    quick = words.parse_args().quick
    scratch = Path(tempfile.mkdtemp(prefix="rollway-bench-"))
    try:
        print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; medians")
        start_up(1 if quick else 21, scratch)
        directory(1 if quick else 7, scratch, 10 if quick else 1000)
        reconcile(3 if quick else 300)
        neighbours(3 if quick else 300, (0, 10) if quick else (0, 2000, 5000))
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
