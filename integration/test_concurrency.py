"""Many writers on one object: no edit is lost, and every weight is the last one that was asked for."""

from __future__ import annotations

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import manifests as m
from harness.process import started
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from harness.namespace import Namespace
    from rollway.routers.objects import Manifest

ROUNDS = 5
EDITS = 125
OURS = 4
THEIRS = 4


def test_eight_writers_on_one_virtual_service(namespace: Namespace) -> None:
    """Four Rollouts and four foreign editors make a thousand edits in one VirtualService, all at once."""
    routes = []
    for index in range(OURS):
        pair = [m.destination(f"stable-{index}", 100), m.destination(f"canary-{index}", 0)]
        match = [{"uri": {"prefix": f"/{index}"}}]
        routes.append({"name": f"route-{index}", "match": match, "route": pair, "timeout": "1s"})
        names = {"stableService": f"stable-{index}", "canaryService": f"canary-{index}"}
        routing = {"istio": {"virtualService": {"name": "web", "routes": [f"route-{index}"]}}}
        rollout = m.rollout(routing, name=f"shop-{index}")
        rollout["spec"]["strategy"]["canary"].update(names)
        namespace.put(m.service(f"stable-{index}"), m.service(f"canary-{index}"), rollout)
    namespace.put(m.virtual_service(http=routes))
    like = namespace.get("networking.istio.io/v1", "VirtualService", "web")

    def set_weights(index: int) -> int:
        router = namespace.router(f"shop-{index}")
        dice = random.Random(index)
        weight = 0
        for _ in range(EDITS):
            weight = dice.choice([other for other in range(101) if other != weight])
            assert router.set_weight(weight).changed
        return weight

    def edit(index: int) -> None:
        key = f"example.com/editor-{index}"
        for _ in range(EDITS):

            def count(manifest: Manifest) -> None:
                annotations = manifest["metadata"].setdefault("annotations", {})
                annotations[key] = str(int(annotations.get(key, "0")) + 1)
                manifest["spec"]["http"][index]["timeout"] = f"{annotations[key]}s"

            namespace.api.edit(like, count, manager=f"editor-{index}")

    with ThreadPoolExecutor(OURS + THEIRS) as threads:
        ours = [threads.submit(set_weights, index) for index in range(OURS)]
        theirs = [threads.submit(edit, index) for index in range(THEIRS)]
        asked = [future.result() for future in ours]
        for future in theirs:
            future.result()
    live = namespace.get("networking.istio.io/v1", "VirtualService", "web")
    counts = {key: value for key, value in live["metadata"]["annotations"].items() if "editor" in key}
    assert counts == {f"example.com/editor-{index}": str(EDITS) for index in range(THEIRS)}
    assert [route["timeout"] for route in live["spec"]["http"]] == [f"{EDITS}s"] * OURS
    for index, weight in enumerate(asked):
        assert namespace.router(f"shop-{index}").observe().traffic == Traffic(Split(weight))


@pytest.mark.parametrize(
    "calls",
    [
        [["set-weight", "shop", str(weight)] for weight in range(10, 90, 10)],
        [["set-weight", "shop", "60"], ["reset", "shop"]] * 4,
    ],
    ids=["weights", "weight and reset"],
)
def test_eight_processes_on_one_rollout(namespace: Namespace, calls: list[list[str]]) -> None:
    """Eight processes move one Rollout with four objects at once: in the end these agree, or a call has said that they do not."""
    routing = {
        "nginx": {"stableIngress": "web"},
        "istio": {"virtualServices": [{"name": "web"}, {"name": "more"}]},
        "smi": {},
    }
    services = [m.service("shop-stable"), m.service("shop-canary")]
    namespace.put(m.ingress(), m.virtual_service(), m.virtual_service("more"), *services, m.rollout(routing))
    asked = {Traffic(Split(int(words[2]) if len(words) > 2 else 0)) for words in calls}
    for _ in range(ROUNDS):
        with contextlib.ExitStack() as running:
            processes = [running.enter_context(started(*words, "--no-events")) for words in calls]
            printed = [process.communicate(timeout=120) for process in processes]
        codes = [process.returncode for process in processes]
        assert not any("bug in rollway" in errors for _, errors in printed), printed
        traffic = namespace.router().observe().traffic
        if traffic not in asked:
            # Whoever gave up has reported it.
            assert set(codes) - {0}, (traffic, printed)
        print(f"exit codes {codes}, canary {traffic.split.canary if traffic else 'not agreed'}")
