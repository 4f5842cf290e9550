"""A ramp as requests see it. `docs/draw_ramp.py` draws the picture in docs/ from the records of this test in build/."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import manifests as m
from harness import shop as shops
from harness.process import rollway, started
from rollway.routers.probes.requests import within
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes import DataPlane
    from harness.traffic import Shop

RECORDS = Path(__file__).resolve().parent.parent.parent / "build" / "ramp"
EVERY_S = 3.0
NOBODY = 9
"""A port at which no pod listens."""


@pytest.mark.parametrize("plane", ["ingress_nginx", "istio", "smi_mesh"], indirect=True)
def test_a_ramp_as_requests_see_it(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """Under constant load no request fails, and in each step the share is the step's."""
    shop = make_shop(plane)
    rollway("set-weight", "shop", "0")
    shop.settle()
    steps: list[tuple[float, int]] = []
    words = ("ramp", "shop", "0..100", "--step", "20", "--every", f"{EVERY_S:g}s")
    with shop.load() as samples:
        with started(*words) as process:
            assert process.stdout is not None
            steps += [
                (time.monotonic(), int(match.group(1)))
                for line in process.stdout
                if (match := re.match(r"Rollout \S+: canary (\d+) of 100", line))
            ]
            assert process.wait() == 0
        time.sleep(EVERY_S)
    assert not any(sample.failures for _, sample in samples)
    counts = [(at, dict(sample.versions).get("canary", 0), sample.answered) for at, sample in samples]
    begin = counts[0][0]
    RECORDS.mkdir(parents=True, exist_ok=True)
    record = {
        "steps": [(round(at - begin, 3), weight) for at, weight in steps],
        "samples": [(round(at - begin, 3), canary, answered) for at, canary, answered in counts],
    }
    (RECORDS / f"{plane.name}.json").write_text(json.dumps(record))
    assert [weight for _, weight in steps] == [20, 40, 60, 80, 100]
    for done, weight in steps:
        # The data plane has the weight by then, and the next step is still to come, also when this was read late.
        begin, end = done + EVERY_S - 1.5, done + EVERY_S - 0.5
        second = [(canary, answered) for at, canary, answered in counts if begin < at < end]
        canary, answered = (sum(column) for column in zip(*second, strict=True))
        print(f"{plane.name} at {weight} %: {canary} of {answered} requests in a second")
        assert within(canary, answered, Split(weight, 100)), f"{weight} %: {canary} of {answered}"


def test_a_ramp_follows_the_steps_of_the_manifest(
    ingress_nginx: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """`ramp --steps` goes through the weights of the manifest, and requests get the last one."""
    shop = make_shop(ingress_nginx)
    rollout = m.rollout(shops.NGINX)
    steps = [{"setWeight": 20}, {"pause": {"duration": "1s"}}, {"setWeight": 60}]
    rollout["spec"]["strategy"]["canary"]["steps"] = steps
    shop.put(rollout)
    done = rollway("ramp", "shop", "--steps")
    assert re.findall(r"^Rollout \S+: canary (\d+) of 100", done.stdout, re.MULTILINE) == ["20", "60"]
    shop.settled_share(60)


def test_a_canary_that_fails_sends_the_traffic_back(istio: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """`ramp --max-error-rate` counts the canary's failed requests and goes back to stable, with the samples in the answer."""
    shop = make_shop(istio)
    ports = [{"name": "http", "port": NOBODY, "protocol": "TCP"}]
    endpoints = shop.namespace.get("discovery.k8s.io/v1", "EndpointSlice", "shop-canary-slice")
    shop.namespace.api.edit(endpoints, lambda live: live.update(ports=ports))
    shop.settle()
    words = ("--step", "20", "--every", "1s", "--max-error-rate", "1%", "--requests", "2000", "--rate", "0")
    done = rollway("ramp", "shop", "0..100", *words, *shop.measured_options, status=5)
    assert "all traffic was sent back to stable" in done.stderr
    assert "counted:" in done.stdout
    shop.settled_share(0)
