"""Many writers on one object: no edit is lost, and every weight is the last one that was asked for."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import manifests as m
from rollway.routers.model import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from harness.namespace import Namespace
    from rollway.routers.model import Manifest

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
