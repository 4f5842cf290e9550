"""Header routes in the annotations of ingress-nginx: what is written, what it means, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import manifests as m
from rollway.routers.backends.nginx.header_route import ROUTE_ANNOTATION, annotations_of, route_of
from rollway.routers.backends.nginx.policy import Policy, read_canary
from rollway.routers.errors import RefusedError, UnsupportedError
from rollway.routers.objects import ObjectRef
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import HeaderRoute, Outcome, RequestMatch, StringMatch, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest
    from rollway.routers.traffic import MatchKind

PREFIX = "nginx.ingress.kubernetes.io"
CANARY = ObjectRef("networking.k8s.io", "Ingress", "default", "shop-web-canary")
SERVICES = [m.service("shop-stable"), m.service("shop-canary")]


def route(
    kind: MatchKind = "exact", value: str = "yes", header: str = "X-Beta", name: str = "beta"
) -> HeaderRoute:
    """Return a header route with one match of one header."""
    return HeaderRoute(name, (RequestMatch(((header, StringMatch(kind, value)),)),))


def router(*objects: Manifest, managed: str = "beta", **stanza: Any) -> TrafficRouter:
    """Return a router on the objects, beside the stable Ingress and the Services."""
    routing = {"managedRoutes": [{"name": managed}], "nginx": {"stableIngress": "web", **stanza}}
    return TrafficRouter(parse_rollout(m.rollout(routing)), MemoryStore([m.ingress(), *SERVICES, *objects]))


def nginx_annotations(found: TrafficRouter) -> dict[str, str]:
    """Return the annotations of the canary Ingress that ingress-nginx reads, without their prefix."""
    assert isinstance(found.store, MemoryStore)
    present = found.store.manifests[CANARY]["metadata"]["annotations"]
    return {key.removeprefix(f"{PREFIX}/"): value for key, value in present.items() if key.startswith(PREFIX)}


@pytest.mark.parametrize(
    ("kind", "value", "key", "written"),
    [
        ("exact", "yes", "canary-by-header-value", "yes"),
        ("exact", "never", "canary-by-header-value", "never"),
        ("exact", "two words", "canary-by-header-value", "two words"),
        ("prefix", "v2.", "canary-by-header-pattern", r"^v2\."),
        ("prefix", "", "canary-by-header-pattern", "^"),
        ("regex", "v2|v3", "canary-by-header-pattern", "^(?:v2|v3)$"),
        ("regex", "(?i)v[[:digit:]]+", "canary-by-header-pattern", "(?i)^(?:v[[:digit:]]+)$"),
    ],
)
@pytest.mark.parametrize("weight", [0, 20])
def test_a_header_route_is_written_beside_the_weight(
    kind: MatchKind, value: str, key: str, written: str, weight: int
) -> None:
    """One header and its value or pattern stand beside the weight, are read back, and go away when they are not wanted."""
    shop, want = router(), Traffic(Split(weight), (route(kind, value),))
    shop.set_traffic(want)
    weights = {"canary": "true", "canary-weight": str(weight)}
    assert nginx_annotations(shop) == {**weights, "canary-by-header": "X-Beta", key: written}
    assert shop.observe().traffic == want
    assert shop.plan(want) is None
    shop.set_traffic(Traffic(Split(weight)))
    assert nginx_annotations(shop) == weights
    assert shop.observe().traffic == Traffic(Split(weight))


def test_a_header_route_works_with_another_total() -> None:
    """The total of the weight does not touch the header route."""
    shop = router()
    split = Split(5, 1000)
    rollout = parse_rollout(
        m.rollout(
            {"managedRoutes": [{"name": "beta"}], "maxTrafficWeight": 1000, "nginx": {"stableIngress": "web"}}
        )
    )
    shop = TrafficRouter(rollout, shop.store)
    shop.set_traffic(Traffic(split, (route(),)))
    assert nginx_annotations(shop)["canary-weight-total"] == "1000"
    assert shop.observe().traffic == Traffic(split, (route(),))


TEXT = st.text(st.sampled_from("ab.-_~1/: ^$[](){}*+?|\\&=,!\n"), max_size=8)


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@given(kind=st.sampled_from(["exact", "prefix", "regex"]), value=TEXT, headers=st.lists(TEXT, max_size=5))
def test_what_is_written_means_what_the_route_asks_for(
    kind: MatchKind, value: str, headers: list[str]
) -> None:
    """A route is refused, or it reads back as it was and chooses exactly the values that it asks for."""
    try:
        written = annotations_of([route(kind, value)], PREFIX)
    except UnsupportedError:
        return
    _, policy, problems = read_canary(written, PREFIX)
    assert not problems
    assert route_of(written, policy, ["beta"], PREFIX) == route(kind, value)
    for sent in [*headers, value, f"{value}a", f"a{value}"]:
        if "\n" in sent:
            continue  # no header has one
        meant = {
            "exact": sent == value,
            "prefix": sent.startswith(value),
            "regex": kind == "regex" and re.fullmatch(value, sent) is not None,
        }[kind]
        assert policy.decision({"x-beta": sent}, {}) is (True if meant else None)


HEADER = route().matches[0]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (HeaderRoute("beta", route().matches * 2), "2 matches"),
        (HeaderRoute("beta", (HEADER._replace(path=StringMatch("prefix", "/a")),)), "matches the path"),
        (HeaderRoute("beta", (HEADER._replace(method=StringMatch("exact", "GET")),)), "matches the method"),
        (
            HeaderRoute("beta", (RequestMatch((*HEADER.headers, ("X-Two", HEADER.headers[0][1]))),)),
            "2 headers",
        ),
        (route(header="x_beta"), "drops a header with the name 'x_beta'"),
        (route(value=""), "the words `always` and `never`"),
        (route(value="a,b"), "canary-by-header-value 'a,b' is not valid"),
        (route(value=" yes"), "spaces at the ends"),
        (route("prefix", "a b"), "canary-by-header-pattern"),
        (route("regex", "a("), "cannot read the regex 'a('"),
        (route("regex", "(?=a)a"), "a group begins with `(?`"),
        (route("regex", "a;b"), "canary-by-header-pattern"),
    ],
)
def test_what_an_ingress_cannot_express_is_refused(wanted: HeaderRoute, reason: str) -> None:
    """Each route that the controller would ignore, or read in another way, is refused by name and reason."""
    shop = router()
    with pytest.raises(UnsupportedError, match=re.escape(reason)) as caught:
        shop.set_traffic(Traffic(Split(5), (wanted,)))
    assert "header route beta" in caught.value.message
    assert isinstance(shop.store, MemoryStore)
    assert not shop.store.log


def test_two_header_routes_are_refused() -> None:
    """An Ingress has one header, so a second route is refused, with the names of both."""
    shop = router()
    both = replace(shop.rollout, managed_routes=("beta", "gamma"))
    with pytest.raises(UnsupportedError, match="header routes beta, gamma"):
        TrafficRouter(both, shop.store).set_traffic(Traffic(Split(5), (route(), route(name="gamma"))))


@pytest.mark.parametrize("key", ["canary-by-header", "canary-by-header-value", "canary-by-header-pattern"])
def test_a_header_of_the_stanza_is_not_overwritten(key: str) -> None:
    """A header in `additionalIngressAnnotations` goes on working, and a header route beside it is refused by name."""
    shop = router(additionalIngressAnnotations={key: "X-Mine"})
    shop.set_weight(20)
    assert nginx_annotations(shop)[key] == "X-Mine"
    assert shop.observe().traffic == Traffic(Split(20))
    with pytest.raises(RefusedError, match=f"header route beta .* nginx stanza .* {PREFIX}/{key}"):
        shop.set_traffic(Traffic(Split(20), (route(),)))


def test_a_header_of_somebody_else_is_not_overwritten() -> None:
    """A header that somebody put on the canary Ingress stays through weights, and a header route beside it is refused."""
    shop = router()
    shop.set_weight(10)
    assert isinstance(shop.store, MemoryStore)

    def annotate(manifest: Manifest) -> None:
        manifest["metadata"]["annotations"][f"{PREFIX}/canary-by-header"] = "X-Theirs"

    shop.store.edit(CANARY, annotate)
    shop.set_weight(20)
    assert nginx_annotations(shop)["canary-by-header"] == "X-Theirs"
    with pytest.raises(RefusedError, match="shop-web-canary has, from somebody else,"):
        shop.set_traffic(Traffic(Split(20), (route(),)))


def test_a_value_of_somebody_else_beside_the_route_is_found() -> None:
    """A value that goes before the route's pattern is never taken for the route: weights are refused with its name, and reset works."""
    shop = router()
    shop.set_traffic(Traffic(Split(20), (route("prefix", "v2"),)))
    assert isinstance(shop.store, MemoryStore)

    def annotate(manifest: Manifest) -> None:
        manifest["metadata"]["annotations"][f"{PREFIX}/canary-by-header-value"] = "theirs"

    shop.store.edit(CANARY, annotate)
    verdict = shop.verify(Traffic(Split(20), (route("prefix", "v2"),)))
    assert verdict.outcome is Outcome.UNKNOWN
    assert "canary-by-header-value" in verdict.reason
    with pytest.raises(RefusedError, match=f"from somebody else, {PREFIX}/canary-by-header-value"):
        shop.set_weight(30)
    shop.reset()
    assert CANARY not in shop.store.manifests


def test_a_cookie_of_the_stanza_stands_beside_a_header_route() -> None:
    """The header goes before the cookie, so both work."""
    shop = router(additionalIngressAnnotations={"canary-by-cookie": "canary"})
    shop.set_traffic(Traffic(Split(20), (route(),)))
    assert nginx_annotations(shop)["canary-by-cookie"] == "canary"
    assert shop.observe().traffic == Traffic(Split(20), (route(),))


def test_a_route_that_is_not_managed_is_not_the_rollouts() -> None:
    """Without its name in managedRoutes a header is no header route, and the next write takes it away."""
    shop = router()
    shop.set_traffic(Traffic(Split(20), (route(),)))
    other = TrafficRouter(router(managed="other").rollout, shop.store)
    assert other.observe().traffic == Traffic(Split(20))
    other.set_weight(30)
    assert nginx_annotations(other) == {"canary": "true", "canary-weight": "30"}


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"canary-by-header-pattern": "^v2"}, StringMatch("prefix", "v2")),
        ({"canary-by-header-pattern": "v2"}, StringMatch("regex", ".*(?:v2).*")),
        ({"canary-by-header-pattern": "(?i)^v2$"}, StringMatch("regex", "(?i).*(?:^v2$).*")),
        ({"canary-by-header-pattern": "v2("}, None),
        ({"canary-by-header-value": ""}, None),
        ({"canary-by-header": "x_beta", "canary-by-header-value": "v2"}, None),
    ],
)
def test_a_header_that_was_edited_is_read_as_what_it_does(
    changed: dict[str, str], match: StringMatch | None
) -> None:
    """An edited pattern is a regex that chooses the same values; what chooses none is no header route."""
    words = {ROUTE_ANNOTATION: "beta", f"{PREFIX}/canary-by-header": "X-Beta"}
    words |= {f"{PREFIX}/{key}": value for key, value in changed.items()}
    found = route_of(words, read_canary(words, PREFIX)[1], ["beta"], PREFIX)
    assert found == (HeaderRoute("beta", (RequestMatch((("X-Beta", match),)),)) if match else None)


def test_a_header_route_that_the_controller_would_ignore_is_refused_at_weight_0() -> None:
    """A header route is traffic as well, so what would make it vanish is refused without any weight."""
    words = {"annotations": {f"{PREFIX}/canary": "true"}}
    other = m.ingress("aaa", "shop.example.com", m.path("other"), metadata=words)
    shop = router(other)
    shop.set_traffic(Traffic(Split(0)))
    with pytest.raises(RefusedError, match="nginx-second-canary"):
        shop.set_traffic(Traffic(Split(0), (route(),)))


ALWAYS = Policy(header="X-Canary", cookie="canary")
VALUE, PATTERN = ALWAYS._replace(header_value="v2"), ALWAYS._replace(header_pattern="^v[23]")


@pytest.mark.parametrize(
    ("policy", "header", "cookie", "decision"),
    [
        (ALWAYS, "always", "never", True),
        (ALWAYS, "never", "always", False),
        (ALWAYS, "perhaps", "always", True),
        (ALWAYS, "perhaps", "", None),
        (ALWAYS, None, "never", False),
        (VALUE, "v2", "never", True),
        (VALUE, "always", "", None),
        (VALUE, "never", "", None),
        (VALUE, "v1", "always", True),
        (PATTERN, "v3.1", "never", True),
        (PATTERN, "xv3", "", None),
        (PATTERN._replace(header_value="v9"), "v3", "", None),
        (ALWAYS._replace(header_pattern="("), "v2", "always", False),
        (ALWAYS._replace(header="x_canary"), "always", "", True),
        (ALWAYS._replace(header="X Canary"), "always", "", None),
        (Policy(), "always", "", None),
    ],
)
def test_the_header_goes_before_the_cookie_and_both_before_the_weight(
    policy: Policy, header: str | None, cookie: str, decision: bool | None
) -> None:
    """The precedence of balancer.lua: header, then cookie, then weight; `always` and `never` only without a value."""
    headers = {} if header is None else {"x-canary": header}
    assert policy.decision(headers, {"canary": cookie} if cookie else {}) is decision
