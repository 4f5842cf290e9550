"""Evidence beyond the objects: what a probe concludes from a data plane or from a sample of requests."""

from __future__ import annotations

import copy
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import manifests as m
from rollway.routers.backends.istio.probe import envoy_probe
from rollway.routers.backends.nginx import probe as ingress_nginx
from rollway.routers.errors import InvalidInputError, NotVerifiedError, UnsupportedError
from rollway.routers.model import Context
from rollway.routers.planning import needs_of
from rollway.routers.probes import covering, prove, worst
from rollway.routers.probes.http import base_url, fixed
from rollway.routers.probes.requests import Identity, Sample, check_sample, interval, judge, within
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import (
    Evidence,
    HeaderRoute,
    Outcome,
    RequestMatch,
    RequestSample,
    StringMatch,
    Traffic,
    Verdict,
)
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.routers.objects import Live

NGINX = {"nginx": {"stableIngress": "web"}}
ISTIO = {"istio": {"virtualService": {"name": "web"}}}
HEADER = Identity.parse("header:X-Version")
ENVOY = envoy_probe(fixed(["127.0.0.1:15000"]))


def same_objects(context: Context) -> Context:
    """Read nothing again."""
    return context


class Answers:
    """A probe that gives prepared answers, one after the other, and the last one for ever."""

    def __init__(
        self, *outcomes: Outcome, evidence: Evidence = Evidence.LOADED, backends: tuple[str, ...] = ("nginx",)
    ) -> None:
        self.outcomes = list(outcomes)
        self.evidence = evidence
        self.backends = frozenset(backends)
        self.asked = 0

    def judge(self, context: Context) -> Verdict:  # noqa: ARG002 - the protocol's
        """Give the next answer."""
        self.asked += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        return Verdict(outcome, self.evidence, reason=f"answer {self.asked}")


def router(routing: Any = NGINX, *probes: Any) -> TrafficRouter:
    """Return a router over everything that a backend needs."""
    services = [m.service("shop-stable"), m.service("shop-canary")]
    store = MemoryStore([m.ingress(), m.virtual_service(), *services])
    return TrafficRouter(parse_rollout(m.rollout(routing)), store, probes=probes)


def live_of(found: TrafficRouter, weight: int) -> Live:
    """Set a weight and return the objects as they are then."""
    found.set_weight(weight)
    return found.store.read(needs_of(found.rollout))


# Counted requests


@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(0, 100))
def test_a_count_within_four_deviations_is_what_chance_allows(
    canary: int, answered: int, weight: int
) -> None:
    """The integer rule agrees with the distance in standard deviations, exactly."""
    canary = min(canary, answered)
    share = Fraction(weight, 100)
    off = (canary - answered * share) ** 2
    assert within(canary, answered, Split(weight, 100)) == (off <= 16 * answered * share * (1 - share))


@pytest.mark.parametrize(("weight", "canary", "matches"), [(0, 0, True), (0, 1, False), (100, 2000, True)])
def test_nothing_and_everything_allow_no_exception(weight: int, canary: int, matches: bool) -> None:
    """One request on the canary at weight 0 is one too many."""
    assert within(canary, 2000, Split(weight, 100)) is matches
    assert not within(1999, 2000, Split(100, 100))


def test_the_interval_holds_the_share() -> None:
    """The interval is around the share, inside 0 to 100 %, and narrower with more requests."""
    low, high = interval(400, 2000)
    assert 16 < low < 20 < high < 24
    assert interval(0, 2000)[0] == 0
    assert interval(2000, 2000)[1] == 100
    wide = interval(4, 20)
    assert wide[1] - wide[0] > high - low


@pytest.mark.parametrize(
    ("sample", "outcome", "words"),
    [
        (Sample((("canary", 400), ("stable", 1600))), Outcome.MATCHES, "400 of 2000"),
        (Sample((("canary", 800), ("stable", 1200))), Outcome.DIFFERS, "800 of 2000"),
        (Sample((("canary", 400), ("stable", 1600)), (("HTTP 503", 1),)), Outcome.DIFFERS, "1 HTTP 503"),
        (Sample((("canary", 400), ("", 1), ("stable", 1600))), Outcome.UNKNOWN, "name neither"),
        (Sample((), (("HTTP 503", 9),)), Outcome.UNKNOWN, "9 HTTP 503"),
        (Sample(()), Outcome.UNKNOWN, "no request was sent"),
    ],
)
def test_a_sample_is_judged(sample: Sample, outcome: Outcome, words: str) -> None:
    """Kinds of failures are counted apart, and answers without a version make the verdict unknown."""
    verdict = judge(sample, HEADER, Split(20, 100))
    assert verdict.outcome is outcome
    assert words in verdict.reason


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("header:X-Version", "v2"),
        ("cookie:version", "v3"),
        ("body:shop (v[0-9])", "v4"),
        ("body:shop v4", "canary"),
        ("body:shop v5", "stable"),
        ("body:shop (w)", ""),
        ("header:X-Other", ""),
        ("cookie:other", ""),
    ],
)
def test_an_answer_names_its_version(text: str, version: str) -> None:
    """A header, a cookie or the body names the version; without it the version is empty."""
    found = Identity.parse(text).version({"X-Version": "v2"}, ["a=b", "version=v3; Path=/"], "shop v4")
    assert found == version


def test_versions_are_roles_by_value_by_name_or_by_service() -> None:
    """A given value is the canary's; without one the answer names the role or the Service."""
    rollout = router().rollout
    assert [HEADER.role(word, rollout) for word in ("canary", "shop-stable", "shop-canary", "else", "")] == [
        "canary",
        "stable",
        "canary",
        "",
        "",
    ]
    valued = Identity.parse("header:X-Version=v2")
    assert [valued.role(word) for word in ("v2", "v1", "")] == ["canary", "stable", ""]


@pytest.mark.parametrize("text", ["", "header", "header:", "X-Version", "body:("])
def test_bad_identities_are_refused(text: str) -> None:
    """An `--identify` without a place for the version is an input error."""
    with pytest.raises(InvalidInputError):
        Identity.parse(text)


@pytest.mark.parametrize(
    ("url", "requests", "rate"),
    [("ftp://x", 1, 1), ("x", 1, 1), ("http://x", 0, 1), ("http://x", 100_001, 1), ("http://x", 1, -1)],
)
def test_bad_samples_are_refused(url: str, requests: int, rate: float) -> None:
    """URL, count and rate are checked before anything is sent."""
    with pytest.raises(InvalidInputError):
        check_sample(url, requests, rate)


@pytest.mark.parametrize("address", ["", "http://", "ftp://x:1", "a b:1"])
def test_bad_addresses_are_refused(address: str) -> None:
    """An address is HOST:PORT or an http URL."""
    with pytest.raises(InvalidInputError):
        base_url(address)


# ingress-nginx


def backends(weight: int) -> list[dict[str, Any]]:
    """Return what a controller has at a weight."""
    endpoints = [{"address": "10.244.0.1", "port": "8080"}]
    policy = {
        "weight": weight,
        "weightTotal": 100,
        "header": "",
        "headerValue": "",
        "headerPattern": "",
        "cookie": "",
    }
    return [
        {
            "name": "default-shop-stable-80",
            "endpoints": endpoints,
            "alternativeBackends": ["default-shop-canary-80"],
            "noServer": False,
            "trafficShapingPolicy": {**policy, "weight": 0, "weightTotal": 0},
        },
        {
            "name": "default-shop-canary-80",
            "endpoints": endpoints,
            "noServer": True,
            "trafficShapingPolicy": policy,
        },
    ]


def balanced(document: Any) -> Fraction | None:
    """Return the share that balancer.lua would give the canary, for a request without header and cookie."""
    by_name = {item["name"]: item for item in document}
    primary = by_name.get("default-shop-stable-80")
    if primary is None or not primary.get("endpoints"):
        return None
    attached = primary.get("alternativeBackends") or []
    if not attached:
        return Fraction(0)
    canary = by_name.get(attached[0])
    if canary is None or not canary.get("endpoints"):
        return Fraction(0)
    if attached[0] != "default-shop-canary-80":
        return None
    policy = canary["trafficShapingPolicy"]
    total = max(100, policy["weightTotal"])
    return Fraction(min(max(policy["weight"], 0), total), total)


@given(st.sampled_from([0, 20, 100]), st.data())
def test_loaded_backends_never_match_wrongly(weight: int, data: st.DataObject) -> None:
    """Whatever a controller answers, MATCHES means that the balancer would give the canary exactly what was asked."""
    found = router()
    live = live_of(found, weight)
    document = backends(data.draw(st.sampled_from([weight, weight, 0, 20, 50, 100, 150, -5])))
    for _ in range(data.draw(st.integers(0, 3))):
        item = data.draw(st.sampled_from(document))
        change = data.draw(st.sampled_from(["total", "first", "none", "endpoints", "gone", "name", "header"]))
        if change == "total":
            item["trafficShapingPolicy"]["weightTotal"] = data.draw(st.sampled_from([0, 10, 100, 1000]))
        elif change == "first":
            item["alternativeBackends"] = ["default-other-80", "default-shop-canary-80"]
        elif change == "none":
            item.pop("alternativeBackends", None)
        elif change == "endpoints":
            item["endpoints"] = []
        elif change == "header":
            item["trafficShapingPolicy"]["header"] = "X-Canary"
        elif change == "gone" and len(document) > 1:
            document.remove(item)
        else:
            item["name"] = "default-other-80"
    verdict = ingress_nginx.compare(
        copy.deepcopy(document), Context(found.rollout, Traffic(Split(weight, 100)), live)
    )
    if verdict.outcome is Outcome.MATCHES:
        assert balanced(document) == Fraction(weight, 100)


@pytest.mark.parametrize("weight", [0, 20, 100])
def test_loaded_backends_match(weight: int) -> None:
    """What a controller has after the weight arrived is MATCHES with evidence loaded."""
    found = router()
    live = live_of(found, weight)
    verdict = ingress_nginx.compare(
        backends(weight), Context(found.rollout, Traffic(Split(weight, 100)), live)
    )
    assert (verdict.outcome, verdict.evidence) == (Outcome.MATCHES, Evidence.LOADED)


def test_a_canary_that_is_gone_must_be_gone_in_the_controller() -> None:
    """Without a canary Ingress, a controller that still has the canary differs, and one without it matches."""
    found = router()
    live = found.store.read(needs_of(found.rollout))
    want = Traffic(Split(0, 100))
    kept = ingress_nginx.compare(backends(20), Context(found.rollout, want, live))
    assert kept.outcome is Outcome.DIFFERS
    assert "still has the canary" in kept.reason
    assert (
        ingress_nginx.compare(
            [{**backends(0)[0], "alternativeBackends": None}], Context(found.rollout, want, live)
        ).outcome
        is Outcome.MATCHES
    )


BETA = HeaderRoute("beta", (RequestMatch((("X-Beta", StringMatch("exact", "yes")),)),))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "has canary 0 of 100, 0 % and header route beta"),
        ({"header": ""}, "has header ''"),
        ({"headerValue": "no"}, "has headerValue 'no'"),
        ({"headerPattern": "^y"}, "has headerPattern '^y'"),
    ],
)
def test_a_header_route_is_judged_at_weight_0_too(change: dict[str, str], words: str) -> None:
    """A controller matches only with the header and the value of the route, and with endpoints for it."""
    routing = {"managedRoutes": [{"name": "beta"}], **NGINX}
    found = TrafficRouter(
        parse_rollout(m.rollout(routing)),
        MemoryStore([m.ingress(), m.service("shop-stable"), m.service("shop-canary")]),
    )
    want = Traffic(Split(0), (BETA,))
    found.set_traffic(want)
    context = Context(found.rollout, want, found.store.read(needs_of(found.rollout)))
    document = backends(0)
    document[1]["trafficShapingPolicy"] |= {"header": "X-Beta", "headerValue": "yes", **change}
    verdict = ingress_nginx.compare(document, context)
    assert verdict.outcome is (Outcome.DIFFERS if change else Outcome.MATCHES)
    assert words in verdict.objects[0].reason
    for missing, reason in (("endpoints", "no endpoints"), ("alternativeBackends", "uses no canary")):
        lacking = copy.deepcopy(document)
        for upstream in lacking:
            if missing == "alternativeBackends" or upstream["noServer"]:
                upstream[missing] = None
        assert reason in ingress_nginx.compare(lacking, context).reason


@pytest.mark.parametrize(
    "document",
    [None, {}, "x", [1], [{}], [{"name": 1}], [{"name": "a", "alternativeBackends": "b"}], {"message": "x"}],
)
def test_another_document_is_unknown(document: Any) -> None:
    """An answer that is not a list of backends shows no weight."""
    found = router()
    live = live_of(found, 20)
    verdict = ingress_nginx.compare(document, Context(found.rollout, Traffic(Split(20, 100)), live))
    assert verdict.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda items: items[1].pop("trafficShapingPolicy"), "no canary upstream"),
        (lambda items: items[1]["trafficShapingPolicy"].update(weight="20"), "no weight"),
        (lambda items: items[1].update(endpoints=None), "no endpoints for default-shop-canary-80"),
        (lambda items: items.pop(0), "no upstream default-shop-stable-80"),
        (lambda items: items[0].pop("alternativeBackends"), "uses no canary"),
        (lambda items: items[1]["trafficShapingPolicy"].update(cookie="c"), "has cookie 'c'"),
    ],
)
def test_a_difference_is_named(change: Any, words: str) -> None:
    """The reason names which part of the loaded configuration is not as asked."""
    found = router()
    live = live_of(found, 20)
    document = backends(20)
    change(document)
    verdict = ingress_nginx.compare(document, Context(found.rollout, Traffic(Split(20, 100)), live))
    assert verdict.outcome is Outcome.DIFFERS
    assert words in verdict.reason


# Envoy


def dump(*clusters: tuple[str, int], name: str = "primary") -> dict[str, Any]:
    """Return the routes of an Envoy with one route of the VirtualService `web`."""

    def cluster(host: str) -> str:
        return f"outbound|80||{host}.default.svc.cluster.local"

    action: dict[str, Any] = {"cluster": cluster(clusters[0][0])}
    if len(clusters) > 1:
        weighted = [{"name": cluster(host), "weight": weight} for host, weight in clusters]
        action = {"weighted_clusters": {"clusters": weighted}}
    istio = {"config": "/apis/networking.istio.io/v1/namespaces/default/virtual-service/web"}
    entry = {"name": name, "route": action, "metadata": {"filter_metadata": {"istio": istio}}}
    other = {"name": "redirect", "redirect": {}}
    hosts = [{"name": "shop", "routes": [other, entry]}]
    return {"configs": [{"route_config": {"name": "http.80", "virtual_hosts": hosts}}]}


@given(
    st.sampled_from([0, 20, 50, 100]),
    st.lists(
        st.tuples(st.sampled_from(["shop-stable", "shop-canary", "other"]), st.integers(0, 100)), min_size=1
    ),
)
def test_loaded_routes_never_match_wrongly(weight: int, clusters: list[tuple[str, int]]) -> None:
    """Whatever Envoy answers, MATCHES means that its clusters have exactly the shares that were asked."""
    found = router(ISTIO)
    live = live_of(found, weight)
    verdict = ENVOY.judge_document(dump(*clusters), Context(found.rollout, Traffic(Split(weight, 100)), live))
    if verdict.outcome is Outcome.MATCHES:
        shares = clusters if len(clusters) > 1 else [(clusters[0][0], 1)]
        total = sum(value for _, value in shares)
        canary = sum(value for host, value in shares if host == "shop-canary")
        stable = sum(value for host, value in shares if host == "shop-stable")
        assert Fraction(canary, total) == Fraction(weight, 100)
        assert canary + stable == total


@pytest.mark.parametrize(
    ("weight", "clusters"),
    [
        (0, [("shop-stable", 1)]),
        (20, [("shop-stable", 80), ("shop-canary", 20)]),
        (20, [("shop-canary", 1), ("shop-stable", 4)]),
        (100, [("shop-canary", 1)]),
    ],
)
def test_loaded_routes_match(weight: int, clusters: list[tuple[str, int]]) -> None:
    """A single cluster is everything, and weights count by their shares."""
    found = router(ISTIO)
    verdict = ENVOY.judge_document(
        dump(*clusters), Context(found.rollout, Traffic(Split(weight, 100)), live_of(found, weight))
    )
    assert (verdict.outcome, verdict.evidence) == (Outcome.MATCHES, Evidence.LOADED)


@pytest.mark.parametrize(
    ("document", "outcome", "words"),
    [
        ({"configs": []}, Outcome.DIFFERS, "has no route of VirtualService default/web"),
        (dump(("shop-stable", 1), name="else"), Outcome.DIFFERS, "has no http route primary"),
        (dump(("shop-stable", 1)), Outcome.DIFFERS, "has shop-stable 1 for http route primary"),
        ([], Outcome.UNKNOWN, "something else"),
        ({"configs": [{}]}, Outcome.UNKNOWN, "something else"),
        ({"configs": [{"route_config": {"virtual_hosts": 1}}]}, Outcome.UNKNOWN, "something else"),
    ],
)
def test_other_routes_are_named(document: Any, outcome: Outcome, words: str) -> None:
    """A route that is missing or carries other shares differs; another document is unknown."""
    found = router(ISTIO)
    verdict = ENVOY.judge_document(
        document, Context(found.rollout, Traffic(Split(20, 100)), live_of(found, 20))
    )
    assert verdict.outcome is outcome
    assert words in verdict.reason


# Putting evidence together


def test_the_worst_place_decides() -> None:
    """One pod that lags means not yet; one that cannot be asked means unknown; both are named."""
    good, bad, silent = (
        Verdict(outcome, Evidence.LOADED, reason=outcome.value)
        for outcome in (Outcome.MATCHES, Outcome.DIFFERS, Outcome.UNKNOWN)
    )
    assert worst([good, good]) == good
    assert worst([good, silent]).outcome is Outcome.UNKNOWN
    assert worst([silent, bad, bad]).reason == "differs; differs"


def test_probes_must_cover_every_backend() -> None:
    """A Rollout with two backends is loaded only where both data planes are asked; requests see whatever carries them."""
    rollout = router({**NGINX, **ISTIO}).rollout
    nginx, istio = Answers(Outcome.MATCHES), Answers(Outcome.MATCHES, backends=("istio",))
    assert covering([nginx], rollout, Evidence.LOADED) == ()
    assert covering([nginx, istio], rollout, Evidence.LOADED) == (nginx, istio)
    requests = Answers(Outcome.MATCHES, evidence=Evidence.MEASURED, backends=())
    assert covering([nginx, requests], rollout, Evidence.MEASURED) == (requests,)


def test_a_data_plane_that_follows_late_is_asked_again() -> None:
    """The weight is verified as soon as the data plane has it, and the result shows it."""
    probe = Answers(Outcome.DIFFERS, Outcome.UNKNOWN, Outcome.MATCHES)
    result = router(NGINX, probe).set_weight(20, timeout=5)
    assert result.verdict is not None
    assert result.verdict.evidence is Evidence.LOADED
    assert probe.asked == 3


def test_a_data_plane_that_does_not_follow_is_not_verified() -> None:
    """In time or not at all: the error has the reason, and the weight stays unless going back was asked for."""
    found = router(NGINX, Answers(Outcome.DIFFERS))
    with pytest.raises(NotVerifiedError, match="differs: answer"):
        found.set_weight(20, timeout=0)
    assert str(found.observe().traffic) == str(Traffic(Split(20, 100)))
    with pytest.raises(NotVerifiedError, match="all traffic was sent back to stable"):
        found.set_weight(30, timeout=0, on_failure="back")
    assert found.observe().traffic == Traffic(Split(0, 100))


def test_a_lower_level_asks_no_data_plane() -> None:
    """`verify=written` is satisfied by the store, and a level that nobody shows is refused before anything is written."""
    probe = Answers(Outcome.DIFFERS)
    found = router(NGINX, probe)
    found.set_weight(20, verify=Evidence.WRITTEN)
    assert probe.asked == 0
    with pytest.raises(UnsupportedError, match="the highest here is 'loaded'"):
        found.set_weight(30, verify=Evidence.MEASURED)
    assert found.observe().traffic == Traffic(Split(20, 100))


def test_verify_without_changes_asks_the_data_plane() -> None:
    """Nothing to write is not yet proof: the data plane is asked all the same."""
    probe = Answers(Outcome.MATCHES)
    found = router(NGINX, probe)
    found.set_weight(20)
    assert found.set_weight(20).verdict == Verdict(Outcome.MATCHES, Evidence.LOADED, (), "answer 2")
    assert found.verify(20).outcome is Outcome.MATCHES
    assert found.verify(40).evidence is Evidence.WRITTEN
    assert probe.asked == 3


@pytest.mark.parametrize("kind", [envoy_probe, ingress_nginx.IngressNginxProbe])
def test_nobody_to_ask_is_no_crash(kind: Any) -> None:
    """An empty list of addresses is an input error, and a data plane without instances is UNKNOWN."""
    with pytest.raises(InvalidInputError, match="no address"):
        fixed([])
    found = router(ISTIO if kind is envoy_probe else NGINX)
    context = Context(found.rollout, Traffic(Split(20)), live_of(found, 20))
    verdict = kind(lambda _rollout, _live: []).judge(context)
    assert (verdict.outcome, "no instance of it is known" in verdict.reason) == (Outcome.UNKNOWN, True)


class Samples:
    """A probe that judges prepared samples of requests, one after the other."""

    evidence = Evidence.MEASURED
    backends = frozenset[str]()

    def __init__(self, *samples: Sample) -> None:
        self.samples = list(samples)

    def judge(self, context: Context) -> Verdict:
        """Judge the next sample."""
        return judge(self.samples.pop(0), HEADER, context.want.split, context.rollout)


def test_a_failed_request_is_not_hidden_by_a_later_sample() -> None:
    """Requests that failed while it was measured end it: a clean sample afterwards does not undo them."""
    found = router()
    failing = Sample((("canary", 400), ("stable", 1599)), (("HTTP 503", 1),), 1, (("canary", 1),))
    probe = Samples(failing, Sample((("canary", 400), ("stable", 1600))))
    verdict = prove([probe], Context(found.rollout, Traffic(Split(20)), live_of(found, 20)), 5, same_objects)
    assert (verdict.outcome, len(probe.samples)) == (Outcome.DIFFERS, 1)
    assert verdict.samples == (RequestSample(1599, 400, canary_failed=1),)
    assert "1 failed: 1 HTTP 503" in verdict.reason


def test_every_sample_is_in_the_answer() -> None:
    """A share that is right only the second time is reported with both samples."""
    found = router()
    probe = Samples(Sample((("stable", 2000),)), Sample((("canary", 400), ("stable", 1600))))
    verdict = prove([probe], Context(found.rollout, Traffic(Split(20)), live_of(found, 20)), 5, same_objects)
    assert verdict.outcome is Outcome.MATCHES
    assert verdict.samples == (RequestSample(2000), RequestSample(1600, 400))
    assert "sample 1: canary got 0 of 2000" in verdict.reason
    assert "sample 2: canary got 400 of 2000" in verdict.reason


def test_proof_needs_somebody_to_ask() -> None:
    """Without probes the answer is UNKNOWN, never MATCHES."""
    found = router()
    live = found.store.read(needs_of(found.rollout))
    assert (
        prove((), Context(found.rollout, Traffic(Split(0, 100)), live), 0, same_objects).outcome
        is Outcome.UNKNOWN
    )


class Accepting:
    """A probe that reads from the status of the canary Ingress whether it is accepted."""

    evidence = Evidence.ACCEPTED
    backends = frozenset({"nginx"})

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.looks = 0

    def judge(self, context: Context) -> Verdict:
        """Match when the status says so; a controller writes it after the first look."""
        self.looks += 1
        ref = next(ref for ref in context.live if ref.name == "shop-web-canary")
        accepted = "status" in context.live[ref].manifest
        self.store.edit(ref, lambda manifest: manifest.update(status={"accepted": True}))
        return Verdict(Outcome.MATCHES if accepted else Outcome.DIFFERS, Evidence.ACCEPTED, reason="status")


def test_a_status_is_read_again_between_looks() -> None:
    """What a controller writes into the status after the first look is seen by the second."""
    found = router(NGINX)
    assert isinstance(found.store, MemoryStore)
    probe = Accepting(found.store)
    result = replace(found, probes=(probe,)).set_weight(20, verify=Evidence.ACCEPTED, timeout=60)
    assert result.verdict is not None
    assert result.verdict.evidence is Evidence.ACCEPTED
    assert probe.looks == 2


def test_probes_are_found_by_the_objects_as_they_were_written() -> None:
    """What finds probes gets the objects after the write, and nobody asks it for a named level or in a dry run."""
    given: list[Live] = []

    def find(live: Live) -> list[Answers]:
        given.append(live)
        return [Answers(Outcome.MATCHES)]

    found = replace(router(NGINX), find_probes=find)
    assert found.set_weight(10, dry_run=True).verdict is None
    written = found.set_weight(10, verify=Evidence.WRITTEN).verdict
    assert not given
    loaded = found.set_weight(20).verdict
    assert written is not None
    assert loaded is not None
    assert (written.evidence, loaded.evidence) == (Evidence.WRITTEN, Evidence.LOADED)
    (live,) = given
    canary = next(live.manifest(ref) for ref in live if ref.name == "shop-web-canary")
    assert canary is not None
    assert canary["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"] == "20"


def test_accepted_is_refused_where_nothing_shows_it() -> None:
    """Without a probe that reads a status, `accepted` is refused by name, before anything is written."""
    found = router(NGINX, Answers(Outcome.MATCHES))
    with pytest.raises(UnsupportedError, match="'accepted' cannot be shown") as caught:
        found.set_weight(20, verify=Evidence.ACCEPTED)
    assert "accepted needs a cluster" in str(caught.value)
    assert isinstance(found.store, MemoryStore)
    assert not found.store.log
