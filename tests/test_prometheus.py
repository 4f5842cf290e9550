"""Evidence `measured` from metrics: which series are a route's own, and what a range of samples counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import manifests as m
from rollway.routers.backends import package
from rollway.routers.planning import needs_of
from rollway.routers.probes.http import NoAnswerError
from rollway.routers.probes.prometheus import Metric, count, judge
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import Outcome, Traffic
from rollway.routers.weights import Split
from running import rollway

if TYPE_CHECKING:
    from pathlib import Path

    from rollway.routers.objects import Manifest

SHOP = Metric("requests", lambda labels: labels.get("role"), "status")
SUBSETS = {
    "istio": {
        "virtualService": {"name": "web"},
        "destinationRule": {"name": "shop", "stableSubsetName": "stable", "canarySubsetName": "canary"},
    }
}
ISTIO = {"istio": {"virtualService": {"name": "web"}}}
NGINX = {"nginx": {"stableIngress": "web"}}


def matrix(*series: tuple[dict[str, str], list[tuple[float, float]]]) -> dict[str, Any]:
    """Return what Prometheus answers."""
    result = [
        {"metric": labels, "values": [[moment, str(value)] for moment, value in samples]}
        for labels, samples in series
    ]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def at(role: str, instance: str = "a", status: str = "200") -> dict[str, str]:
    """Return the labels of a series."""
    return {"job": "nginx", "instance": instance, "role": role, "status": status}


def metric_of(routing: Any, *objects: Manifest, weight: int = 20) -> Metric:
    """Return the metric of a Rollout after a weight was set."""
    services = [m.service("shop-stable"), m.service("shop-canary")]
    store = MemoryStore([*services, *objects])
    router = TrafficRouter(parse_rollout(m.rollout(routing)), store)
    router.set_weight(weight)
    data_plane = package(router.rollout.backends[0]).data_plane
    assert data_plane is not None
    assert data_plane.metric is not None
    return data_plane.metric(router.rollout, store.read(needs_of(router.rollout)))


@pytest.mark.parametrize(
    ("samples", "requests"),
    [
        ([(5, 100), (10, 110), (15, 130)], 20),
        ([(10, 110), (15, 130), (20, 130)], 20),
        ([(15, 7), (20, 9)], 9),
        ([(5, 100), (10, 110), (15, 3), (20, 5)], 5),
        ([(5, 100)], 0),
        ([(5, 100), (15, 130), (20, 140)], 10),
    ],
    ids=["since", "from the first scrape", "new", "restarted", "over", "came back"],
)
def test_a_counter_counts_from_the_first_scrape(samples: list[tuple[float, float]], requests: int) -> None:
    """What a counter had before is left out, one that is new began at 0, and so does one that fell."""
    beside = (at("stable"), [(5.0, 1.0), (10.0, 1.0), (15.0, 1.0), (20.0, 1.0)])
    counted = count(matrix((at("canary"), samples), beside), SHOP, since=8)
    assert counted.answered["canary"] == requests
    assert counted.answered["stable"] == 0


def test_a_target_that_is_new_counts_from_its_own_first_scrape() -> None:
    """The first values of a new target may be older than the weight, so only its increase counts."""
    document = matrix(
        (at("stable"), [(5, 0), (10, 0), (15, 80)]),
        (at("canary", "b"), [(15, 9000), (20, 9020)]),
    )
    assert count(document, SHOP, since=8).answered == {"stable": 80, "canary": 20}


@given(st.data())
def test_what_is_counted_is_what_was_answered(data: st.DataObject) -> None:
    """Whatever the scrapes, restarts and new series, the sum is the requests between a target's first and last one."""
    series: list[tuple[dict[str, str], list[tuple[float, float]]]] = []
    expected = {"stable": 0, "canary": 0}
    for instance in data.draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True)):
        moments = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=8, unique=True).map(sorted))
        later = [moment for moment in moments if moment >= 20]
        restarts = data.draw(st.sets(st.sampled_from(moments)))
        for role, status in (("stable", "200"), ("canary", "200"), ("canary", "500")):
            value: int = 0
            samples: list[tuple[float, float]] = []
            for moment in moments:
                grown = data.draw(st.integers(0, 1000))
                if moment in restarts:
                    value = 0
                value += grown
                # A series begins with its first request; one is there from the start.
                if value or samples or role == "stable":
                    samples.append((float(moment), float(value)))
                    if later and moment > later[0]:
                        before = samples[-2][1] if len(samples) > 1 else 0
                        # A restart that cannot be seen, because as much came since, is none to Prometheus either.
                        expected[role] += int(value - before if value >= before else value)
            if samples:
                series.append((at(role, instance, status), samples))
    counted = count(matrix(*series), SHOP, since=20)
    assert {role: counted.answered[role] for role in expected} == expected


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"status": "error", "error": "no"},
        {"status": "success", "data": {"resultType": "vector", "result": []}},
        {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}}]}},
        {"status": "success", "data": {"resultType": "matrix", "result": None}},
        matrix((at("canary"), [(20, float("nan")), (21, 3)])),
        matrix((at("canary"), [(20, 0), (21, float("inf"))])),
        matrix() | {"warnings": ["one store did not answer"]},
    ],
)
def test_another_document_is_no_answer(document: Any) -> None:
    """What is no whole matrix of counters counts nothing."""
    with pytest.raises(NoAnswerError):
        count(document, SHOP, since=8)


@pytest.mark.parametrize(
    ("canary", "stable", "other", "outcome", "words"),
    [
        (400, 1600, 0, Outcome.MATCHES, "canary got 400 of 2000 requests"),
        (600, 1400, 0, Outcome.DIFFERS, "canary got 600 of 2000 requests"),
        (400, 1600, 1, Outcome.UNKNOWN, "neither version but other"),
    ],
)
def test_a_count_is_judged(canary: int, stable: int, other: int, outcome: Outcome, words: str) -> None:
    """The share decides; a third version makes it unknown; errors are reported and decide nothing."""
    series = [
        (at(role, status=status), [(10.0, 0.0), (15.0, float(requests))])
        for role, requests, status in (
            ("canary", canary - 3, "200"),
            ("canary", 3, "503"),
            ("stable", stable, "2xx"),
            ("other", other, "200"),
        )
    ]
    verdict = judge(count(matrix(*series), SHOP, since=8), Traffic(Split(20, 100)))
    assert verdict.outcome is outcome
    assert words in verdict.reason
    assert other or "HTTP 5xx: 3 of canary" in verdict.reason


@pytest.mark.parametrize(
    ("labels", "role"),
    [
        ({}, "stable"),
        ({"canary": "default-shop-canary-80"}, "canary"),
        ({"canary": "-"}, "stable"),
        ({"canary": "default-else-80"}, "default-else-80"),
        ({"namespace": "ingress-nginx", "exported_namespace": "default"}, "stable"),
        ({"service": "controller", "exported_service": "shop-stable"}, "stable"),
        ({"namespace": "other"}, None),
        ({"ingress": "webb"}, None),
        ({"service": "else"}, None),
    ],
)
def test_ingress_nginx_names_the_upstream_that_took_over(labels: dict[str, str], role: str | None) -> None:
    """The label `canary` decides, of the stable Ingress and Service only, whatever Prometheus renames."""
    metric = metric_of(NGINX, m.ingress())
    own = {"namespace": "default", "ingress": "web", "service": "shop-stable"}
    assert metric.role(own | labels) == role
    assert metric.selector == 'nginx_ingress_controller_requests{ingress=~"web",status!="308"}'


def test_requests_by_header_are_not_told_from_those_by_weight() -> None:
    """A canary Ingress with a header rule cannot be measured this way, and the header is named."""
    routing = {
        "nginx": {"stableIngress": "web", "additionalIngressAnnotations": {"canary-by-header": "X-Canary"}}
    }
    with pytest.raises(NoAnswerError, match="also chooses requests with header X-Canary: always or never"):
        metric_of(routing, m.ingress())


@pytest.mark.parametrize(
    ("service", "role"),
    [("shop-stable.default", "stable"), ("shop-canary.default", "canary"), ("shop-canary.other", None)],
)
def test_istio_names_the_service(service: str, role: str | None) -> None:
    """A split by host is counted by the Service in full."""
    metric = metric_of(ISTIO, m.virtual_service())
    assert metric.role({"destination_service": f"{service}.svc.cluster.local"}) == role
    assert 'reporter="source"' in metric.selector


def by_subsets(stable: dict[str, str], canary: dict[str, str]) -> list[Manifest]:
    """Return a VirtualService and a DestinationRule that split by subsets with these labels."""
    places = [m.destination("shop", weight, subset=name) for name, weight in (("stable", 100), ("canary", 0))]
    subsets = [{"name": "stable", "labels": stable}, {"name": "canary", "labels": canary}]
    return [
        m.virtual_service(http=[{"name": "primary", "route": places}]),
        m.destination_rule(subsets=subsets),
    ]


@pytest.mark.parametrize(("version", "role"), [("v1", "stable"), ("v2", "canary"), ("v3", "version 'v3'")])
def test_istio_names_the_version_of_a_subset(version: str, role: str) -> None:
    """A split by subsets is counted by the label `version` of the pods."""
    metric = metric_of(SUBSETS, *by_subsets({"version": "v1"}, {"version": "v2"}))
    labels = {"destination_service": "shop.default.svc.cluster.local", "destination_version": version}
    assert metric.role(labels) == role


@pytest.mark.parametrize(
    ("stable", "canary"),
    [
        ({"hash": "a"}, {"hash": "b"}),
        ({"version": "v1"}, {"version": "v1", "hash": "b"}),
        ({}, {"version": "v2"}),
    ],
)
def test_subsets_that_the_metrics_do_not_tell_apart_are_unknown(
    stable: dict[str, str], canary: dict[str, str]
) -> None:
    """Subsets by another label than `version` cannot be measured this way, and the rule is named."""
    with pytest.raises(NoAnswerError, match="DestinationRule default/shop"):
        metric_of(SUBSETS, *by_subsets(stable, canary))


def test_another_route_to_the_same_service_is_unknown() -> None:
    """A route by header leads to the canary as well, so its requests would count, and the route is named."""
    found = m.virtual_service()
    found["spec"]["http"].insert(
        0,
        {
            "name": "testers",
            "match": [{"headers": {"x-canary": {"exact": "yes"}}}],
            "route": [{"destination": {"host": "shop-canary"}}],
        },
    )
    with pytest.raises(NoAnswerError, match="testers leads to the same destinations"):
        metric_of(ISTIO, found)


def test_routes_without_requests_cannot_be_counted() -> None:
    """TCP routes have connections and no requests."""
    found = m.virtual_service()
    destinations = found["spec"].pop("http")[0]["route"]
    found["spec"]["tcp"] = [{"route": destinations}]
    with pytest.raises(NoAnswerError, match="no requests to count"):
        metric_of(ISTIO, found)


def files(folder: Path, *manifests: Manifest) -> None:
    """Write manifests where `--dir` reads them."""
    (folder / "shop.yaml").write_text(yaml.safe_dump_all(manifests))


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (("--url", "http://a", "--identify", "body:x"), "give one of them"),
        (("--identify", "body:x"), "--identify needs --url"),
        (("--rate", "5"), "--rate needs --url"),
        (("--requests", "0"), "0 requests"),
        (("--header", "nothing"), "no header"),
        (("--prometheus", "a b"), "no address"),
    ],
)
def test_words_that_do_not_fit_prometheus_are_refused(
    words: tuple[str, ...], reported: str, tmp_path: Path
) -> None:
    """A bad option ends with exit code 2 and is named."""
    files(tmp_path, m.rollout(NGINX), m.ingress())
    ran = rollway("verify", "shop", "--dir", str(tmp_path), "--prometheus", "http://a", *words)
    assert ran.code == 2
    assert reported in ran.stderr


@pytest.mark.parametrize("words", [("--within", "5s"), ("--requests", "5"), ("-H", "A: b")])
def test_words_about_counting_need_something_that_counts(words: tuple[str, ...], tmp_path: Path) -> None:
    """How much to count has no meaning without a Prometheus to ask."""
    files(tmp_path, m.rollout(NGINX), m.ingress())
    ran = rollway("verify", "shop", "--dir", str(tmp_path), *words)
    assert ran.code == 2
    assert "--prometheus" in ran.stderr


def test_a_router_without_metrics_is_refused(tmp_path: Path) -> None:
    """SMI has no metrics of its own, and this is an error before anything is written."""
    files(tmp_path, m.rollout({"smi": {}}))
    ran = rollway("set-weight", "shop", "20", "--dir", str(tmp_path), "--prometheus", "http://a")
    assert ran.code == 2
    assert "routed by smi: use --url" in ran.stderr
