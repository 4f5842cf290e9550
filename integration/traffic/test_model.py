"""The model of ingress-nginx predicts what the controller itself loads."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

import manifests as m
from harness.waiting import until
from rollway.routers.backends.nginx import controller as model
from rollway.routers.backends.nginx.policy import HEADER, HEADER_PATTERN, HEADER_VALUE, Policy, read_canary
from rollway.routers.backends.nginx.stanza import DEFAULT_PREFIX
from rollway.routers.objects import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes.ingress_nginx import IngressNginx
    from harness.traffic import Shop
    from rollway.routers.objects import Manifest

PAIRS = 220
_CHOICES: dict[str, list[str | None]] = {
    "canary": ["true", "true", "true", "1", "t", "TRUE", "false", "yes", None],
    "canary-weight": ["0", "20", "20", "100", "150", "-5", "33.3", "abc", "", None],
    "canary-weight-total": [None, None, "1000", "10", "0", "-1", "x"],
    "canary-by-header": [None, None, "X-Canary", "X Canary"],
    "canary-by-header-value": [None, None, "v2", "a b"],
    "canary-by-header-pattern": [None, None, "^(eu|us)$", "a, b"],
    "canary-by-cookie": [None, None, "canary", "c=d"],
    "affinity": [None, None, None, "cookie"],
    "affinity-canary-behavior": [None, None, "legacy", "sticky", "Legacy"],
    "upstream-hash-by": [None, None, "$host"],
}
_PRIMARY_CHOICES: dict[str, list[str | None]] = {
    "affinity": [None, None, "cookie", "Cookie"],
    "upstream-hash-by": [None, None, "$remote_addr"],
}


def _chosen(chance: random.Random, choices: dict[str, list[str | None]]) -> dict[str, str]:
    """Choose annotations; None leaves one out."""
    chosen = {f"{DEFAULT_PREFIX}/{name}": chance.choice(values) for name, values in choices.items()}
    return {key: value for key, value in chosen.items() if value is not None}


def _pair(chance: random.Random, number: int) -> list[Manifest]:
    """Make a normal Ingress and a canary Ingress, and sometimes a third, in either order."""
    host, kind = f"pair-{number}.example.com", chance.choice(["Prefix", "Exact", "ImplementationSpecific"])
    stable, canary = f"p{number}-stable", f"p{number}-canary"
    annotations = _chosen(chance, _CHOICES)
    # Whether nothing else uses the canary's Service, so that its Ingress makes no location of its own.
    plain = chance.random() < 0.5 and read_canary(annotations, DEFAULT_PREFIX)[0]
    at = chance.choice(["/", "/", "/shop", None])
    if not plain and at != "/shop":
        # One path in two types, or the root in another type than Prefix, twice on one host makes a configuration that
        # nginx refuses, for all hosts; so only a canary without locations has another type.
        at, kind = "/", "Prefix"
    if at is None:
        kind = "ImplementationSpecific"
    paths = []
    if chance.random() < 0.3:
        paths.append(m.path(stable if plain else chance.choice([stable, canary]), "/more"))
    primary = m.ingress(
        f"p{number}-a",
        host,
        m.path(stable, at, kind=kind),
        *paths,
        metadata={"annotations": _chosen(chance, _PRIMARY_CHOICES)},
    )
    types = ["Prefix", "Exact"] if plain and at is not None else [kind]
    other = 1 if plain else chance.random()
    known = chance.random() < 0.85
    elsewhere = "/elsewhere" if known else f"/elsewhere-{number}"
    canary_paths = [
        m.path(
            canary if other > 0.1 else stable,
            at if known and chance.random() < 0.8 else elsewhere,
            kind=kind if chance.random() < 0.85 else chance.choice(types),
        )
    ]
    if chance.random() < 0.2:
        canary_paths.append(m.path(canary, "/more" if known else f"/more-{number}"))
    second = m.ingress(
        f"p{number}-{chance.choice('b0')}",
        host if known else f"nobody-{number}.example.com",
        *canary_paths,
        metadata={"annotations": annotations},
    )
    found = [primary, second]
    if not plain and chance.random() < 0.4:
        third = m.ingress(f"p{number}-c", f"preview-{number}.example.com", m.path(canary))
        if chance.random() < 0.5:
            third["metadata"]["annotations"] = {
                f"{DEFAULT_PREFIX}/canary": "true",
                f"{DEFAULT_PREFIX}/canary-weight": "40",
            }
            third["spec"]["rules"] = [
                {"host": host, "http": {"paths": [m.path(f"p{number}-other", at, kind=kind)]}}
            ]
        found.append(third)
    chance.shuffle(found)
    return found


def test_the_model_agrees_with_the_controller(
    ingress_nginx: IngressNginx, make_shop: Callable[..., Shop]
) -> None:
    """For two hundred generated pairs, upstreams, what is attached to them, their policies and their affinity are as predicted."""
    shop = make_shop(ingress_nginx)
    seed = 20261124
    chance = random.Random(seed)
    pairs = [_pair(chance, number) for number in range(PAIRS)]
    for number, pair in enumerate(pairs):
        services = {"stable", "canary", *(["other"] if len(pair) > 2 else [])}
        # Without pods: none of what is compared depends on them.
        shop.namespace.put(*(m.service(f"p{number}-{role}") for role in sorted(services)), ready=0)
        # Some in one second, some in different ones: the controller sorts by age, which has whole seconds.
        shop.namespace.put(*pair, ready=0)
    last = m.ingress("last", "last.example.com", m.path("shop-stable", port="http"))
    time.sleep(1.1)
    shop.namespace.put(last, ready=0)
    name = shop.namespace.name
    until(
        lambda: any(
            item["name"] == f"{name}-shop-stable-http" for item in ingress_nginx.replicas[0].backends()
        ),
        "the controller has the last Ingress",
    )
    loaded = {item["name"]: item for item in ingress_nginx.replicas[0].backends()}
    everything = shop.namespace.api.items("networking.k8s.io/v1", "Ingress")
    wrong: list[str] = []
    compared = 0
    for number in range(PAIRS):
        ours = [
            item
            for item in everything
            if item["metadata"]["namespace"] == name and item["metadata"]["name"].startswith(f"p{number}-")
        ]
        ours.sort(key=lambda item: item["metadata"]["name"], reverse=True)
        ours.sort(key=lambda item: item["metadata"]["creationTimestamp"])
        refs = [ObjectRef("networking.k8s.io", "Ingress", name, item["metadata"]["name"]) for item in ours]
        # The controller has more than this pair; what those other Ingresses mean for it is that normal ones exist.
        background = (ObjectRef("networking.k8s.io", "Ingress", name, "last"), m.placed(last, name))
        found = model.load([background, *zip(refs, ours, strict=True)], DEFAULT_PREFIX)
        predicted = {
            key: _predicted(value) for key, value in found.upstreams.items() if f"-p{number}-" in key
        }
        actual = {
            key: _actual(value) for key, value in loaded.items() if key.startswith(f"{name}-p{number}-")
        }
        compared += 1
        if predicted != actual:
            objects = [
                {
                    "name": item["metadata"]["name"],
                    "created": item["metadata"]["creationTimestamp"],
                    "annotations": item["metadata"].get("annotations", {}),
                    "rules": item["spec"]["rules"],
                }
                for item in ours
            ]
            wrong.append(f"predicted {predicted}\nloaded    {actual}\n{json.dumps(objects)}")
    print(f"{compared} pairs compared (seed {seed}), {len(wrong)} disagree")
    assert not wrong, "\n".join(wrong[:20])


def _predicted(upstream: model.Upstream) -> dict[str, Any]:
    policy = upstream.policy if upstream.no_server else Policy(0, 0)
    return {
        "alternatives": list(upstream.alternatives),
        "canary": upstream.no_server,
        "policy": list(policy),
        "affinity": "cookie" if upstream.affinity else "",
        "hash": upstream.hash_by,
    }


def _actual(backend: dict[str, Any]) -> dict[str, Any]:
    policy = backend["trafficShapingPolicy"]
    names = ("weight", "weightTotal", "header", "headerValue", "headerPattern", "cookie")
    return {
        "alternatives": backend.get("alternativeBackends") or [],
        "canary": backend["noServer"],
        "policy": [policy[name] for name in names],
        "affinity": backend.get("sessionAffinityConfig", {}).get("name", ""),
        "hash": backend.get("upstreamHashByConfig", {}).get("upstream-hash-by", ""),
    }


_POLICIES = [
    Policy(header=header, header_value=value, header_pattern=pattern, cookie=cookie)
    for header, value, pattern, cookie in (
        ("", "", "", ""),
        ("", "", "", "canary"),
        ("X-Canary", "", "", ""),
        ("X-Canary", "", "", "canary"),
        ("x-canary", "v2", "", "canary"),
        ("X-Canary", "never", "", ""),
        ("X-Canary", "a b", "", ""),
        ("X-Canary", "v2", "v3", "canary"),
        ("X-Canary", "", "^(?:v2|v3)$", "canary"),
        ("X-Canary", "", "v", ""),
        ("X-Canary", "", "(?i)^V2", ""),
        ("X-Canary", "", "^a\\+b\\.", ""),
        ("X-Canary", "", "v2(", "canary"),
        ("x_canary", "", "", ""),
        ("x_canary", "v2", "", "canary"),
        ("", "v2", "", ""),
    )
]
_HEADERS = (None, "always", "never", "v2", "v3", "xv2", "V2", "a b", "a+b.c", "")
_COOKIES = (None, "always", "never", "perhaps")


def test_the_model_knows_which_requests_a_policy_chooses(
    ingress_nginx: IngressNginx, make_shop: Callable[..., Shop]
) -> None:
    """Header, cookie and weight choose the version of every request as `Policy.decision` predicts, at weight 0 and 100."""
    shop = make_shop(ingress_nginx)
    policies = [policy._replace(weight=weight) for policy in _POLICIES for weight in (0, 100)]
    for number, policy in enumerate(policies):
        names = (
            "canary-weight",
            "canary-weight-total",
            HEADER,
            HEADER_VALUE,
            HEADER_PATTERN,
            "canary-by-cookie",
        )
        words = {
            f"{DEFAULT_PREFIX}/{name}": str(value)
            for name, value in zip(names, policy, strict=True)
            if value != ""
        }
        host, stable, canary = f"c{number}.{shop.host}", f"c{number}-stable", f"c{number}-canary"
        metadata = {"annotations": {f"{DEFAULT_PREFIX}/canary": "true", **words}}
        shop.put(
            m.service(stable),
            m.service(canary),
            m.ingress(f"c{number}", host, m.path(stable)),
            m.ingress(f"c{number}-canary", host, m.path(canary), metadata=metadata),
        )
    last = f"c{len(policies) - 1}.{shop.host}"
    until(lambda: ("canary", 1) in shop.sample(1, {"Host": last}).versions, "the last policy is loaded")
    wrong = []
    for number, policy in enumerate(policies):
        for header in _HEADERS:
            for cookie in _COOKIES:
                sent = {"X-Canary": header} if header is not None else {}
                cookies = {"canary": cookie} if cookie is not None else {}
                decision = policy.decision(sent, cookies)
                predicted = "canary" if (decision if decision is not None else policy.weight) else "stable"
                words = {"Host": f"c{number}.{shop.host}", **sent}
                words |= {"Cookie": f"canary={cookie}"} if cookie is not None else {}
                answers = shop.sample(1, words).versions
                if answers != ((predicted, 1),):
                    wrong.append(f"{policy} {words}: predicted {predicted}, got {answers}")
    print(f"{len(policies) * len(_HEADERS) * len(_COOKIES)} requests compared, {len(wrong)} disagree")
    assert not wrong, "\n".join(wrong[:20])
