"""Ten thousand broken inputs: a typed error or a right answer, never a traceback, never a changed file on error.

The seeds are fixed, so that a run can be repeated; ROLLWAY_FUZZ sets another number of cases.
"""

from __future__ import annotations

import copy
import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import manifests as m
from rollway.routers.errors import RollwayError
from rollway.routers.lookup import read_rollout
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.directory import DirectoryStore
from rollway.routers.stores.manifests import is_object
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import Outcome

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuzz
CASES = int(os.environ.get("ROLLWAY_FUZZ", "10000"))
RULE = {"name": "shop", "stableSubsetName": "stable", "canarySubsetName": "canary"}
ROUTINGS: list[dict[str, Any]] = [
    {"nginx": {"stableIngress": "web", "additionalIngressAnnotations": {"canary-by-header": "X"}}},
    {
        "istio": {
            "virtualServices": [
                {"name": "web", "routes": ["primary"]},
                {"name": "tcp", "tcpRoutes": [{"port": 1}]},
            ]
        }
    },
    {"istio": {"virtualService": {"name": "sub", "tlsRoutes": [{"port": 443}]}, "destinationRule": RULE}},
    {"smi": {"rootService": "shop-stable"}, "maxTrafficWeight": 1000},
]
PAIR = [m.destination("shop-stable", 100), m.destination("shop-canary", 0)]
SUBSETS = [m.destination("shop", 100, subset="stable"), m.destination("shop", 0, subset="canary")]
OBJECTS: list[dict[str, Any]] = [
    m.ingress(),
    m.ingress("other", "shop.example.com", m.path("other", "/x")),
    m.virtual_service(),
    m.virtual_service("tcp", tcp=[{"match": [{"port": 1}], "route": PAIR}]),
    m.virtual_service("sub", tls=[{"match": [{"port": 443, "sniHosts": ["a"]}], "route": SUBSETS}]),
    m.destination_rule(),
    m.traffic_split("v1alpha1", "shop", shop_canary="500m", shop_stable="1"),
    m.service("shop-stable"),
    m.service("shop-canary"),
]
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    101,
    2**40,
    1.5,
    float("inf"),
    "",
    "x",
    "no",
    "a\nb",
    "\u2028",
    [],
    [None],
    {},
    {"a": 1},
    ["x"],
    "shop-stable",
    "web",
]


def values(holder: Any) -> list[tuple[Any, Any]]:
    """Return (collection, key) of every value inside."""
    items = (
        list(holder.items())
        if isinstance(holder, dict)
        else list(enumerate(holder))
        if isinstance(holder, list)
        else []
    )
    return [pair for key, item in items for pair in ((holder, key), *values(item))]


def mutate(draw: random.Random, manifest: Any) -> None:
    """Break a manifest in one place: another value, a missing field, a foreign key, a doubled item."""
    holder, key = draw.choice(values(manifest))
    action = draw.randrange(5)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[draw.choice(["x", "route", "weight", "name", "host", "port", "spec"])] = copy.deepcopy(
            draw.choice(ODD)
        )
    elif action == 2 and isinstance(holder, list):
        holder.append(holder[key])
    elif action == 3 and isinstance(holder, dict):
        holder[str(key) + draw.choice(["s", "x", ""])] = holder.pop(key)
    else:
        holder[key] = copy.deepcopy(draw.choice(ODD))


def fresh(draw: random.Random) -> list[Any]:
    """Return a Rollout and its objects, undamaged."""
    strategy = draw.choice(["canary", "canary", "blueGreen"])
    found: list[Any] = [m.rollout(draw.choice(ROUTINGS), strategy=strategy), *OBJECTS]
    # Nothing in it is shared any more, so that damage stays in one place.
    unshared: list[Any] = json.loads(json.dumps(found))
    return unshared


def attempt(router: TrafficRouter, draw: random.Random) -> None:
    """Ask for a weight; what succeeds must verify, and a second time must change nothing."""
    weights: list[int | str] = [0, 1, 20, 99, 100, "0.5%", "1/3"]
    weight = draw.choice(weights)
    result = router.set_weight(weight)
    assert result.verdict is not None
    assert result.verdict.outcome is Outcome.MATCHES
    assert not router.set_weight(weight).changed


@pytest.mark.parametrize("block", range(10))
def test_broken_structure(block: int) -> None:
    """Manifests with damaged structure give a typed error with nothing changed, or a verified weight."""
    outcomes = {"error": 0, "done": 0}
    for number in range(CASES * 6 // 100):
        draw = random.Random(block * 1_000_000 + number)
        found = fresh(draw)
        for _ in range(draw.randrange(1, 4)):
            mutate(draw, draw.choice([found[0], *found]))
        rollout, *objects = found
        store = MemoryStore()
        for manifest in objects:
            if is_object(manifest):
                store.put(manifest)
        before = repr(store.manifests)
        try:
            attempt(TrafficRouter(parse_rollout(rollout), store), draw)
            outcomes["done"] += 1
        except RollwayError as error:
            outcomes["error"] += 1
            assert str(error)
            assert repr(store.manifests) == before
    assert min(outcomes.values()) > 0


def damage(draw: random.Random, raw: bytes) -> bytes:
    """Break text in a few places: bytes, lines, tokens of YAML."""
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(raw) + 1)
        action = draw.randrange(6)
        if action == 0:
            raw = raw[:at] + bytes([draw.randrange(256)]) + raw[at:]
        elif action == 1:
            raw = raw[:at] + raw[at + draw.randrange(1, 20) :]
        elif action == 2:
            token = draw.choice(
                [
                    b"{{ x }}",
                    b"&a ",
                    b"*a",
                    b"!!str ",
                    b"<<: ",
                    b"---\n",
                    b"- ",
                    b": ",
                    b"[",
                    b"}",
                    b"#",
                    b"\t",
                    b"'",
                    b'"',
                    b"|\n",
                    b"\r\n",
                    b"? ",
                    b"%",
                    b"\xef\xbb\xbf",
                ]
            )
            raw = raw[:at] + token + raw[at:]
        elif action == 3:
            lines = raw.split(b"\n")
            draw.shuffle(lines)
            raw = b"\n".join(lines) if draw.random() < 0.1 else raw
        elif action == 4:
            lines = raw.split(b"\n")
            line = draw.randrange(len(lines))
            lines[line] = draw.choice([b"  ", b" ", b"\t"]) + lines[line]
            raw = b"\n".join(lines)
        else:
            raw = raw.replace(b"\n", b"\r\n") if draw.random() < 0.3 else raw[: max(at, 1)]
    return raw


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_broken_text(block: int, tmp_path: Path) -> None:
    """Files with damaged text give a typed error with no file changed, or a verified weight."""
    outcomes = {"error": 0, "done": 0}
    for number in range(CASES * 4 // 100):
        draw = random.Random(block * 1_000_000 + number)
        rollout, *objects = fresh(draw)
        styles = (None, True, False)
        texts = {
            "rollout.yaml": yaml.safe_dump(rollout, default_flow_style=draw.choice(styles)).encode(),
            "objects.yaml": yaml.safe_dump_all(objects, default_flow_style=draw.choice(styles)).encode(),
        }
        name = draw.choice(list(texts))
        texts[name] = damage(draw, texts[name])
        folder = tmp_path / str(number)
        folder.mkdir()
        for file, raw in texts.items():
            (folder / file).write_bytes(raw)
        try:
            store = DirectoryStore(folder)
            attempt(TrafficRouter(read_rollout(store, "shop"), store), draw)
            outcomes["done"] += 1
        except RollwayError as error:
            outcomes["error"] += 1
            assert str(error)
            assert {file.name: file.read_bytes() for file in folder.iterdir()} == texts
    assert min(outcomes.values()) > 0
