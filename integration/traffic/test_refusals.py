"""What `check` refuses does damage: with the guard lifted, real requests show what the finding predicts."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import manifests as m
from harness import shop as shops
from harness.process import rollway
from harness.waiting import until
from rollway.routers.backends.nginx.stanza import DEFAULT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes import DataPlane
    from harness.traffic import Shop
    from rollway.routers.probes.requests import Sample


BAD_VALUE = "a b;"
_WRITES = 100
"""Each of two splits may win only one write in seven; after so many writes, one in a million runs has missed it."""


def canary_ingress(name: str, host: str, service: str, weight: int, at: str = "/") -> Any:
    """Return somebody's canary Ingress."""
    words = {f"{DEFAULT_PREFIX}/canary": "true", f"{DEFAULT_PREFIX}/canary-weight": str(weight)}
    return m.ingress(name, host, m.path(service, at), metadata={"annotations": words})


def second_canary(shop: Shop) -> None:
    """Somebody has a canary at the same host and path already."""
    shop.put(m.service("shop-other"), canary_ingress("aaa", shop.host, "shop-other", 0))
    time.sleep(1.1)  # the older one counts, and ages are whole seconds


def shared_canary_service(shop: Shop) -> None:
    """Somebody's canary at another host leads to the same Service."""
    host = f"other.{shop.host}"
    shop.put(m.service("shop-other"), m.ingress("aaa", host, m.path("shop-other")))
    shop.put(canary_ingress("aab", host, "shop-canary", 0))
    time.sleep(1.1)


def path_taken(shop: Shop) -> None:
    """An older Ingress serves the same host and path."""
    shop.namespace.api.delete(shop.namespace.get("networking.k8s.io/v1", "Ingress", "web"))
    shop.put(m.service("shop-other"), m.ingress("aaa", shop.host, m.path("shop-other")))
    time.sleep(1.1)
    shop.put(m.ingress("web", shop.host))


def exact_root_twice(shop: Shop) -> None:
    """Somebody has the root of the shop's host twice as Exact beside the Prefix."""
    root = m.path("shop-other", kind="Exact")
    shop.put(m.service("shop-other"), m.ingress("aaa", shop.host, root, root))


def with_and_without_slash(shop: Shop) -> None:
    """Two Ingresses have one path, one of them with a slash at its end."""
    shop.put(m.service("shop-other"))
    shop.put(m.ingress("aaa", shop.host, m.path("shop-other", "/more")))
    shop.put(m.ingress("aab", shop.host, m.path("shop-other", "/more/")))


def stable_is_canary(shop: Shop) -> None:
    """The stable Ingress is itself a canary Ingress."""
    shop.put(canary_ingress("web", shop.host, "shop-stable", 0))


def no_port(shop: Shop) -> None:
    """The canary's Service lacks the port that the stable Ingress names."""
    shop.put(m.service("shop-canary", port=81))


def bad_annotation(shop: Shop) -> None:
    """The stanza adds an annotation that the controller does not take."""
    annotations = {"canary-by-header": "X-Canary", "canary-by-header-value": BAD_VALUE}
    stanza = {"stableIngress": "web", "additionalIngressAnnotations": annotations}
    shop.put(m.rollout({"nginx": stanza}))


def no_endpoints(shop: Shop) -> None:
    """No pod of the canary is ready."""
    shop.endpoints("shop-canary", "canary", ready=False)


def no_stable_endpoints(shop: Shop) -> None:
    """No pod of the stable version is ready."""
    shop.endpoints("shop-stable", "stable", ready=False)


def no_service(shop: Shop) -> None:
    """The canary's Service is gone."""
    shop.namespace.api.delete(shop.namespace.get("v1", "Service", "shop-canary"))


def no_subset(shop: Shop) -> None:
    """The DestinationRule lacks the canary's subset."""
    shop.endpoints("shop", "stable", "canary")
    shop.put(m.destination_rule(subsets=[{"name": "stable", "labels": {"version": "stable"}}]))


def no_pod_of_the_subset(shop: Shop) -> None:
    """The Service has pods of the stable version only."""
    shop.endpoints("shop", "stable")


def tiny_budget(shop: Shop) -> None:
    """Somebody's destination leaves one part for both versions."""
    destinations = [
        m.destination("shop-stable", 1),
        m.destination("shop-canary", 0),
        m.destination("shop-other", 99),
    ]
    shop.put(m.service("shop-other"), m.virtual_service(http=[{"name": "primary", "route": destinations}]))


def stable_has_a_purpose(shop: Shop) -> None:
    """Somebody's older canary Ingress made the stable Service its own."""
    shop.namespace.api.delete(shop.namespace.get("networking.k8s.io/v1", "Ingress", "web"))
    shop.put(canary_ingress("aaa", shop.host, "shop-stable", 0, "/x"))
    time.sleep(1.1)
    shop.put(m.ingress("web", shop.host))


def canary_merged_nowhere(shop: Shop) -> None:
    """Somebody's canary Ingress with the same Service has a path that nobody serves."""
    shop.put(canary_ingress("aaa", shop.host, "shop-canary", 0, "/nowhere"))
    time.sleep(1.1)


def canary_serves_too(shop: Shop) -> None:
    """Somebody serves the canary's Service at a host of its own, while the canary is there."""
    rollway("set-weight", "shop", "1", "--verify", "written")
    time.sleep(1.1)
    shop.put(m.ingress("preview", f"preview.{shop.host}", m.path("shop-canary")))


def zero_sum(shop: Shop) -> None:
    """Somebody's route has weights that are all 0."""
    shop.put(shops.zero_sum())


class Case(NamedTuple):
    """A situation, the refusal's code, the weight that is tried, and who answers then: versions and failures.

    `headers` are those of the requests; `at` goes before the shop's host. `kubelets`: real pods could change the answer.
    """

    plane: str
    arrange: Callable[[Shop], None]
    code: str
    weight: int
    seen: set[str]
    routing: Any = None
    headers: Any = None
    at: str = ""
    kubelets: bool = False


CASES = [
    Case("ingress_nginx", second_canary, "nginx-second-canary", 100, {"stable"}),
    Case("ingress_nginx", shared_canary_service, "nginx-canary-service-shared", 100, {"stable"}),
    Case("ingress_nginx", exact_root_twice, "nginx-config-refused", 100, {"stable"}),
    Case("ingress_nginx", with_and_without_slash, "nginx-config-refused", 100, {"stable"}),
    Case("ingress_nginx", path_taken, "nginx-path-taken", 100, {"canary"}),
    Case("ingress_nginx", stable_is_canary, "nginx-stable-is-canary", 100, {"HTTP 404"}),
    Case("ingress_nginx", no_port, "nginx-service-port", 100, {"stable"}),
    # Every request has the value that should lead to the canary, but the weight decides.
    Case(
        "ingress_nginx",
        bad_annotation,
        "nginx-bad-annotation",
        20,
        {"stable", "canary"},
        headers={"X-Canary": BAD_VALUE},
    ),
    Case("ingress_nginx", no_endpoints, "endpoints-not-ready", 100, {"stable"}, kubelets=True),
    Case("ingress_nginx", no_stable_endpoints, "endpoints-not-ready", 100, {"HTTP 503"}, kubelets=True),
    Case("ingress_nginx", no_service, "endpoints-not-ready", 100, {"stable"}, kubelets=True),
    Case("ingress_nginx", stable_has_a_purpose, "nginx-location-missing", 100, {"HTTP 404"}),
    Case("ingress_nginx", canary_merged_nowhere, "nginx-canary-ignored", 100, {"stable"}),
    Case("ingress_nginx", canary_serves_too, "nginx-breaks-other", 20, {"HTTP 404"}, at="preview."),
    Case("istio", zero_sum, "istio-zero-sum", 100, {"stable"}, shops.PRIMARY),
    Case("istio", no_endpoints, "endpoints-not-ready", 100, {"HTTP 503"}),
    Case("istio", no_service, "endpoints-not-ready", 100, {"HTTP 503"}),
    Case("istio", no_subset, "istio-subset-missing", 100, {"HTTP 503"}, shops.SUBSETS),
    Case("istio", no_pod_of_the_subset, "subset-not-ready", 100, {"HTTP 503"}, shops.SUBSETS),
    Case("istio", tiny_budget, "istio-share-lost", 50, {"stable", "other"}),
    Case("smi_mesh", no_endpoints, "endpoints-not-ready", 100, {"HTTP 503"}),
]


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.kubelets] if case.kubelets else []) for case in CASES],
    ids=lambda case: f"{case.plane}-{case.arrange.__name__}",
)
def test_what_is_refused_does_damage(
    case: Case, request: pytest.FixtureRequest, make_shop: Callable[..., Shop]
) -> None:
    """The command refuses with the code; with `--allow` it writes, and requests get what the finding predicts."""
    plane: DataPlane = request.getfixturevalue(case.plane)
    shop = make_shop(plane, routing=case.routing)
    case.arrange(shop)
    refused = rollway("set-weight", "shop", str(case.weight), status=4)
    assert f"--allow {case.code}" in refused.stderr, refused.stderr
    lifted = [word for code in re.findall(r"--allow ([\w-]+)", refused.stderr) for word in ("--allow", code)]
    rollway("set-weight", "shop", str(case.weight), *lifted, "--verify", "written")
    shop.settle()
    headers = {"Host": f"{case.at}{shop.host}", **(case.headers or {})}
    # On a busy machine the pause is too short now and then.
    until(lambda: _answers(shop.sample(200, headers)) == case.seen, f"requests show {case.seen}", 60)
    sample = shop.sample(headers=headers)
    print(f"{case.code} on {plane.name}: {refused.stderr.strip()}\n  {sample}")
    assert _answers(sample) == case.seen


def test_which_of_two_splits_counts_is_not_defined(
    smi_mesh: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """`smi-overlap`: after some writes all requests follow the Rollout's split, after others somebody else's."""
    shop = make_shop(smi_mesh)
    # The proxy takes routers of equal priority in the order of a Go map, which is quite random from nine entries on.
    shop.put(*(m.service(f"more-{number}") for number in range(9)))
    shop.put(m.traffic_split("v1alpha3", "other", "shop", shop_stable=1, shop_canary=0))
    refused = rollway("set-weight", "shop", "100", status=4)
    assert "--allow smi-overlap" in refused.stderr, refused.stderr
    winners: set[str] = set()
    for write in range(_WRITES):
        weight = str(99 + write % 2)
        rollway("set-weight", "shop", weight, "--allow", "smi-overlap", "--verify", "written")
        time.sleep(0.5)  # the proxy asks ten times a second
        if _winner(shop.sample(200)) not in winners:
            sample = shop.sample()
            print(f"smi-overlap on smi, write {write + 1}, weight {weight}: {sample}")
            assert not sample.failed
            winners.add(_winner(sample))
        if len(winners) == 2:
            return
    pytest.fail(f"in {_WRITES} writes, always {winners} split counted")


def _answers(sample: Sample) -> set[str]:
    """Return the versions and the failures that requests got."""
    return {name for name, _ in (*sample.versions, *sample.failures)}


def _winner(sample: Sample) -> str:
    """Return whose split answered requests: the Rollout's sends nearly all to the canary, the other one none."""
    return "the Rollout's" if "canary" in dict(sample.versions) else "somebody else's"
