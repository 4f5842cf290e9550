"""Header and mirror routes in VirtualServices: what is written, what is read, and what is refused."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import manifests as m
from rollway.routers.backends.istio.backend import BACKEND
from rollway.routers.backends.istio.matches import added, narrowed
from rollway.routers.backends.istio.probe import envoy_probe
from rollway.routers.errors import (
    AmbiguousError,
    ManifestError,
    NotFoundError,
    RefusedError,
    RollwayError,
    UnsupportedError,
)
from rollway.routers.model import Context
from rollway.routers.planning import needs_of
from rollway.routers.probes.http import fixed
from rollway.routers.rollout import parse_rollout
from rollway.routers.testing.memory import MemoryStore
from rollway.routers.traffic import HeaderRoute, MirrorRoute, Outcome, RequestMatch, StringMatch, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest

SERVICES = [m.service("shop-stable"), m.service("shop-canary")]
PAIR = [m.destination("shop-stable", 100), m.destination("shop-canary", 0)]


def exact(text: str) -> StringMatch:
    """Return a match of a whole value."""
    return StringMatch("exact", text)


def header(name: str, value: str = "yes") -> RequestMatch:
    """Return a match of one header."""
    return RequestMatch(((name, exact(value)),))


BETA = HeaderRoute("beta", (header("x-beta"),))
COPY = MirrorRoute("copy", percentage=30)


class Shop:
    """A Rollout with managed routes, and its VirtualServices."""

    def __init__(
        self,
        *services: Manifest,
        managed: Sequence[str] = ("beta", "copy"),
        stanza: Any = None,
        total: int = 100,
    ) -> None:
        self.services = services or (m.virtual_service(),)
        names = [{"name": found["metadata"]["name"]} for found in self.services]
        routing = {
            "istio": stanza or {"virtualServices": names},
            "managedRoutes": [{"name": name} for name in managed],
        }
        if total != 100:
            routing["maxTrafficWeight"] = total
        self.rollout: Rollout = parse_rollout(m.rollout(routing))
        self.store = MemoryStore([*self.services, *SERVICES, m.destination_rule()])

    def write(self, weight: int = 0, *routes: HeaderRoute | MirrorRoute) -> list[Manifest]:
        """Store what the traffic with these routes needs, and return the VirtualServices."""
        written = list(BACKEND.render(self.rollout, self.traffic(weight, *routes), self.live))
        for manifest in written:
            self.store.put(copy.deepcopy(manifest))
        return written

    def http(self, weight: int = 0, *routes: HeaderRoute | MirrorRoute) -> list[dict[str, Any]]:
        """Do the same, and return the http routes of the first VirtualService."""
        routes_of_first: list[dict[str, Any]] = self.write(weight, *routes)[0]["spec"]["http"]
        return routes_of_first

    @property
    def live(self) -> Any:
        """The objects as they are."""
        return self.store.read(needs_of(self.rollout))

    def traffic(self, weight: int, *routes: HeaderRoute | MirrorRoute) -> Traffic:
        """Return a wish."""
        return Traffic(
            Split(weight, self.rollout.total),
            tuple(route for route in routes if isinstance(route, HeaderRoute)),
            tuple(route for route in routes if isinstance(route, MirrorRoute)),
        )

    def observe(self) -> set[Traffic | None]:
        """Return the traffic that the objects show."""
        return {reading.traffic for reading in BACKEND.observe(self.rollout, self.live)}


def http(*entries: dict[str, Any], name: str = "web") -> Manifest:
    """Return a VirtualService with these http routes; one without destinations gets stable and canary."""
    return m.virtual_service(name, http=[{"route": PAIR, **entry} for entry in entries])


# -- what is written


def test_a_header_route_narrows_the_route_and_does_not_capture_every_path() -> None:
    """Argo #3879: the match of the header joins those of the route, in each of its match blocks."""
    blocks = [{"uri": {"prefix": "/api"}}, {"uri": {"exact": "/"}, "method": {"exact": "GET"}}]
    route, base = Shop(http({"name": "primary", "match": blocks})).http(20, BETA)
    assert (route["name"], base["name"]) == ("beta", "primary")
    assert route["match"] == [{**block, "headers": {"x-beta": {"exact": "yes"}}} for block in blocks]
    assert base["match"] == blocks


def test_a_header_route_keeps_rewrite_timeout_and_retries() -> None:
    """Argo #3155: everything else of the route is in its header route, with what a destination sets."""
    extra = {
        "rewrite": {"uri": "/v2"},
        "timeout": "3s",
        "retries": {"attempts": 2},
        "headers": {"request": {"set": {"x-a": "1"}}},
        "corsPolicy": {"maxAge": "1h"},
        "fault": {"delay": {"fixedDelay": "1s"}},
    }
    headers = {"response": {"add": {"x-version": "canary"}}}
    pair = [PAIR[0], {**PAIR[1], "headers": headers}]
    route, base = Shop(http({"name": "primary", "route": pair, **extra})).http(20, BETA)
    assert {key: route[key] for key in extra} == extra
    assert route["route"] == [{"destination": {"host": "shop-canary"}, "headers": headers, "weight": 100}]
    assert {key: base[key] for key in extra} == extra


def test_matches_are_alternatives() -> None:
    """Each match of the wish is a match block of its own; the headers of one match must all be there."""
    both = RequestMatch((("x-a", exact("1")), ("x-b", StringMatch("regex", "[0-9]+"))))
    route, _ = Shop().http(0, HeaderRoute("beta", (both, header("x-c"))))
    assert route["match"] == [
        {"headers": {"x-a": {"exact": "1"}, "x-b": {"regex": "[0-9]+"}}},
        {"headers": {"x-c": {"exact": "yes"}}},
    ]


def test_a_header_route_has_the_subset_and_the_port_of_its_own_route() -> None:
    """Argo #4481: of two routes with different ports, each header route leads to the port of the one that it narrows."""

    def pair(port: int) -> list[dict[str, Any]]:
        return [
            m.destination("shop", weight, subset=subset, port={"number": port})
            for subset, weight in (("stable", 100), ("canary", 0))
        ]

    rule = {"name": "shop", "stableSubsetName": "stable", "canarySubsetName": "canary"}
    service = {"name": "web", "routes": ["a", "b"]}
    web = http({"name": "a", "route": pair(80)}, {"name": "b", "route": pair(81)})
    shop = Shop(web, stanza={"virtualService": service, "destinationRule": rule})
    routes = shop.http(10, BETA)
    assert [route["name"] for route in routes] == ["beta", "a", "beta", "b"]
    places = [route["route"][0]["destination"] for route in routes if route["name"] == "beta"]
    assert places == [{"host": "shop", "subset": "canary", "port": {"number": port}} for port in (80, 81)]
    assert shop.observe() == {shop.traffic(10, BETA)}


def test_a_mirror_route_shares_the_weights_and_copies_a_part() -> None:
    """A mirror route has the weights of the route that it narrows, and follows them when they move."""
    shop = Shop()
    route, base = shop.http(20, COPY)
    assert route == {
        "name": "copy",
        "route": base["route"],
        "mirror": {"host": "shop-canary"},
        "mirrorPercentage": {"value": 30},
    }
    route, base = shop.http(60, COPY)
    assert (
        [item["weight"] for item in route["route"]] == [item["weight"] for item in base["route"]] == [40, 60]
    )
    assert shop.observe() == {shop.traffic(60, COPY)}


def test_a_mirror_route_of_every_path_keeps_the_path_of_the_route() -> None:
    """`path: {prefix: /}`, as Argo's documents have it, changes nothing in a route that has a path."""
    everything = RequestMatch(path=StringMatch("prefix", "/"), method=exact("GET"))
    route, _ = Shop(http({"match": [{"uri": {"prefix": "/api"}}]})).http(
        5, MirrorRoute("copy", (everything,))
    )
    assert route["match"] == [{"uri": {"prefix": "/api"}, "method": {"exact": "GET"}}]


def test_a_mirror_of_the_user_is_not_lost() -> None:
    """A list of mirrors gets one more; a single `mirror`, which Istio does not take beside a list, is refused by name."""
    audit = {"destination": {"host": "audit"}, "percentage": {"value": 5}}
    shop = Shop(http({"name": "primary", "mirrors": [audit]}))
    route, base = shop.http(20, COPY)
    assert route["mirrors"] == [audit, {"destination": {"host": "shop-canary"}, "percentage": {"value": 30}}]
    assert base["mirrors"] == [audit]
    assert shop.observe() == {shop.traffic(20, COPY)}
    with pytest.raises(UnsupportedError, match=r"http route primary: route copy .* mirror already, to audit"):
        Shop(http({"name": "primary", "mirror": {"host": "audit"}})).write(20, COPY)
    own = {"destination": {"host": "shop-canary.default.svc.cluster.local"}}
    with pytest.raises(UnsupportedError, match="copies requests to the canary already"):
        Shop(http({"mirrors": [own]})).write(20, COPY)
    # What is mirrored stays mirrored for the requests that a header route takes.
    assert Shop(http({"mirror": {"host": "audit"}})).http(20, BETA)[0]["mirror"] == {"host": "audit"}


def test_routes_stand_before_the_route_that_they_narrow_in_the_order_of_managed_routes() -> None:
    """Argo's order, but behind the user's own routes that come first: what they take stays theirs."""
    own = {
        "name": "health",
        "match": [{"uri": {"exact": "/healthz"}}],
        "route": [m.destination("shop-stable")],
    }
    shop = Shop(http(own, {"name": "primary"}, {"name": "rest", "route": [m.destination("other")]}))
    for routes in ((BETA, COPY), (COPY, BETA)):
        names = [route["name"] for route in shop.http(10, *routes)]
        assert names == ["health", "beta", "copy", "primary", "rest"]
    vip = HeaderRoute("vip", (header("x-vip"),))
    shop = Shop(http(own, {"name": "primary"}), managed=["copy", "vip", "beta"])
    wish = shop.traffic(10, BETA, vip, COPY).ordered(["copy", "vip", "beta"])
    names = [route["name"] for route in shop.http(10, *wish.routes)]
    # A mirror route may take every request, so it stands behind the header routes.
    assert names == ["health", "vip", "beta", "copy", "primary"]


def test_a_route_of_the_same_name_is_replaced_and_not_doubled() -> None:
    """Argo #2769: a header route that is set again, with other headers, takes the place of the first."""
    shop = Shop()
    shop.write(10, BETA)
    routes = shop.http(10, HeaderRoute("beta", (header("x-new"),)))
    assert [route.get("name") for route in routes] == ["beta", "primary"]
    assert routes[0]["match"] == [{"headers": {"x-new": {"exact": "yes"}}}]
    twice = m.virtual_service(http=[*routes[:1], *copy.deepcopy(routes)])
    doubled = Shop(twice)
    assert len(doubled.observe()) == 1
    assert [route["name"] for route in doubled.http(10, BETA)] == ["beta", "primary"]


def test_unnamed_routes_are_not_multiplied() -> None:
    """Argo orders unnamed routes by name, so that two of them become four."""
    other = {"match": [{"uri": {"prefix": "/img"}}], "route": [m.destination("images")]}
    entries = [other, copy.deepcopy(other), {"match": [{"uri": {"prefix": "/"}}]}]
    routes = Shop(http(*entries)).http(10, BETA, COPY)
    assert [route.get("name") for route in routes] == [None, None, "beta", "copy", None]


def test_routes_are_removed_from_every_virtual_service() -> None:
    """Argo returns at the first VirtualService without http or without such a route; every later one is cleaned as well."""
    tcp = m.virtual_service("a-tcp", tcp=[{"match": [{"port": 3306}], "route": PAIR}])
    shop = Shop(tcp, http({"name": "main"}, name="b-plain"), http({"name": "main"}, name="c-web"))
    before = copy.deepcopy([manifest["spec"] for manifest in shop.write(20)])
    shop.write(20, BETA, COPY)
    shop.store.put(http({"name": "main", "route": before[1]["http"][0]["route"]}, name="b-plain"))
    assert [manifest["spec"] for manifest in shop.write(20)] == before


def test_no_empty_list_of_routes_is_left() -> None:
    """Argo #2526: where only routes of ours are left, nothing is written, because Istio's webhook refuses an empty list."""
    beta = {"name": "beta", "match": [{"headers": {"x-beta": {"exact": "yes"}}}], "route": [PAIR[1]]}
    web = m.virtual_service(http=[beta], tcp=[{"route": PAIR}])
    with pytest.raises(RefusedError, match="all its http routes are in managedRoutes"):
        Shop(web).write(20)


def test_a_mirror_route_without_a_weighted_route_is_an_error_and_no_crash() -> None:
    """Argo's mirror route takes the weights of a route that may not be there."""
    only = m.virtual_service(http=[{"name": "copy", "route": PAIR}])
    with pytest.raises(NotFoundError, match="no route holds both"):
        Shop(only).write(0, COPY)


def test_the_users_own_route_to_the_canary_is_never_ours() -> None:
    """A route that leads to the canary alone, and one with a header, stay whatever is written."""
    vip = {"name": "vip", "match": [{"headers": {"x-vip": {"exact": "1"}}}], "route": [PAIR[1]]}
    unnamed = {"match": [{"headers": {"x-test": {"exact": "1"}}}], "route": [{**PAIR[1], "weight": 100}]}
    shop = Shop(http(vip, unnamed, {"name": "primary"}))
    for routes in ((BETA, COPY), ()):
        written = shop.http(20, *routes)
        assert [route for route in written if route.get("name") not in ("beta", "copy", "primary")] == [
            vip,
            unnamed,
        ]
    assert shop.observe() == {shop.traffic(20)}


@pytest.mark.parametrize("weight", [0, 35, 100])
def test_the_weight_of_a_header_route_is_never_the_split(weight: int) -> None:
    """Its one destination has weight 100 whatever the others share, and is no reading of its own."""
    shop = Shop()
    route, base = shop.http(weight, BETA)
    assert [item["weight"] for item in route["route"]] == [100]
    assert [item["weight"] for item in base["route"]] == [100 - weight, weight]
    (reading,) = BACKEND.observe(shop.rollout, shop.live)
    assert (reading.part, reading.traffic) == ("http route primary", shop.traffic(weight, BETA))


def test_a_mirror_route_with_other_weights_is_read() -> None:
    """A mirror route that somebody gave other weights is a reading of its own, so that the objects disagree."""
    shop = Shop()
    (web,) = shop.write(20, COPY)
    web["spec"]["http"][0]["route"][1]["weight"] = 70
    shop.store.put(web)
    readings = BACKEND.observe(shop.rollout, shop.live)
    assert [(reading.part, reading.weights[1][1]) for reading in readings] == [
        ("http route primary", "20"),
        ("http route copy", "70"),
    ]


def test_a_route_without_weights_of_ours_keeps_its_header_route() -> None:
    """Where other destinations have all the weight, the header route is read all the same."""
    route = [*({**item, "weight": 0} for item in PAIR), m.destination("other", 100)]
    shop = Shop(http({"name": "primary", "route": route}))
    shop.write(0, BETA)
    assert shop.observe() == {shop.traffic(0, BETA)}


def test_selection_of_routes_is_kept() -> None:
    """Only the routes that `routes` names are narrowed; a managed route among them would be both."""
    other = {"name": "other", "match": [{"uri": {"prefix": "/other"}}]}
    web = http(other, {"name": "primary"})
    shop = Shop(web, stanza={"virtualService": {"name": "web", "routes": ["primary"]}})
    assert [route["name"] for route in shop.http(20, BETA, COPY)] == ["other", "beta", "copy", "primary"]
    assert shop.observe() == {shop.traffic(20, BETA, COPY)}
    with pytest.raises(AmbiguousError, match="http route 'beta': the Rollout names it both"):
        Shop(web, stanza={"virtualService": {"name": "web", "routes": ["beta"]}}).write(20)


def test_a_delegate_gets_the_routes() -> None:
    """The VirtualService that a root delegates to has no hosts, and its routes are narrowed like any other's."""
    delegate = http({"name": "primary", "match": [{"uri": {"prefix": "/shop"}}]})
    del delegate["spec"]["hosts"]
    route, _ = Shop(delegate).http(20, BETA)
    assert route["match"] == [{"uri": {"prefix": "/shop"}, "headers": {"x-beta": {"exact": "yes"}}}]


def test_sections_without_requests_have_no_header_routes() -> None:
    """Tls and tcp routes see no headers: refused where there is nothing else, a note beside http routes."""
    tcp = m.virtual_service("tcp", tcp=[{"match": [{"port": 3306}], "route": PAIR}])
    with pytest.raises(
        UnsupportedError,
        match=r"route beta needs an http route .* only tcp\[0\] of VirtualService default/tcp",
    ):
        Shop(tcp).write(20, BETA)
    shop = Shop(http({"name": "primary"}), tcp)
    written = shop.write(20, BETA)
    assert written[1]["spec"]["tcp"][0]["route"][1]["weight"] == 20
    (note,) = [
        item
        for item in BACKEND.check(shop.rollout, shop.traffic(20, BETA), shop.live)
        if item.code == "istio-not-http"
    ]
    assert "tcp[0]: its connections take no part in beta" in note.message


# -- what is read


def test_what_another_tool_wrote_is_read_and_then_narrowed() -> None:
    """Argo's routes stand first and have no conditions but their own; the next change makes clones of them."""
    beta = {
        "name": "beta",
        "match": [{"headers": {"x-beta": {"exact": "yes"}}}],
        "route": [{**PAIR[1], "weight": 100}],
    }
    mirroring = {
        "name": "copy",
        "match": [{"method": {"exact": "GET"}, "uri": {"prefix": "/api/v2"}}],
        "route": PAIR,
        "mirror": {"host": "shop-canary"},
        "mirrorPercentage": {"value": 30.0},
    }
    shop = Shop(
        http(beta, mirroring, {"name": "primary", "match": [{"uri": {"prefix": "/api"}}], "timeout": "1s"})
    )
    match = RequestMatch(path=StringMatch("prefix", "/api/v2"), method=exact("GET"))
    wish = shop.traffic(0, BETA, MirrorRoute("copy", (match,), 30))
    assert shop.observe() == {wish}
    route, copied, _ = shop.http(0, *wish.header_routes, *wish.mirror_routes)
    assert route["match"] == [{"uri": {"prefix": "/api"}, "headers": {"x-beta": {"exact": "yes"}}}]
    assert route["timeout"] == copied["timeout"] == "1s"


def test_one_reading_fits_every_route_of_a_name() -> None:
    """A condition that one of the narrowed routes has anyway is read from the others, in all VirtualServices."""
    get = {"match": [{"method": {"exact": "GET"}}]}
    shop = Shop(http({"name": "a", **get}, name="a"), http({"name": "b"}, name="b"))
    copied = MirrorRoute("copy", (RequestMatch((("x-a", exact("1")),), method=exact("GET")),))
    shop.write(20, copied)
    assert shop.observe() == {shop.traffic(20, copied)}


@pytest.mark.parametrize(
    ("share", "percentage"),
    [(None, 100), ({}, 0), ({"value": 0}, 0), ({"value": 12.0}, 12), ({"value": 100}, 100)],
)
def test_the_percentage_of_a_mirror_route_is_read(share: Any, percentage: int) -> None:
    """None at all means everything, and an empty one nothing."""
    mirroring = {"name": "copy", "route": PAIR, "mirror": {"host": "shop-canary"}}
    if share is not None:
        mirroring["mirrorPercentage"] = share
    shop = Shop(http(mirroring, {"name": "primary"}))
    assert shop.observe() == {shop.traffic(0, MirrorRoute("copy", percentage=percentage))}


@pytest.mark.parametrize(
    "entry",
    [
        {"route": PAIR},
        {"route": [m.destination("other")]},
        {"redirect": {"uri": "/"}},
        {"route": [PAIR[1]]},
        {"match": [{"port": 80}], "route": [PAIR[1]]},
        {"match": [{"headers": {"x-beta": {}}}], "route": [PAIR[1]]},
        {"match": "x", "route": [PAIR[1]]},
        {"mirror": {"host": "audit"}, "route": PAIR},
        {"mirror": {"host": "shop-canary"}, "mirrorPercentage": {"value": 12.5}, "route": PAIR},
        {"mirror": {"host": "shop-canary"}, "route": [*PAIR, m.destination("other")]},
    ],
)
def test_a_managed_name_on_something_else_is_named(entry: dict[str, Any]) -> None:
    """A route with a name of `managedRoutes` that is no such route is neither read as one nor removed in silence."""
    shop = Shop(m.virtual_service(http=[{"name": "beta", **entry}, {"name": "primary", "route": PAIR}]))
    with pytest.raises(ManifestError, match=r"(?s)VirtualService default/web.*spec.http\[0\]"):
        shop.observe()


def test_a_managed_route_behind_the_weighted_one_counts_for_it() -> None:
    """A route of ours that somebody moved behind is read, and written back to its place."""
    beta = {"name": "beta", "match": [{"headers": {"x-beta": {"exact": "yes"}}}], "route": [PAIR[1]]}
    shop = Shop(http({"name": "primary"}, beta))
    assert shop.observe() == {shop.traffic(0, BETA)}
    assert [route["name"] for route in shop.http(0, BETA)] == ["beta", "primary"]


# -- what is refused


def prefix(text: str) -> StringMatch:
    """Return a match of the beginning of a value."""
    return StringMatch("prefix", text)


@pytest.mark.parametrize(
    ("base", "match", "message"),
    [
        ({}, header("method"), "Istio ignores a header that is named method"),
        ({}, RequestMatch((("x-a", prefix("")),)), "header x-a: Envoy takes no empty prefix"),
        (
            {"match": [{"headers": {"X-A": {"exact": "1"}}}]},
            header("x-a"),
            "header x-a: one match block cannot",
        ),
        (
            {"match": [{"headers": {"x-a": {"exact": "yes"}}}]},
            header("x-a"),
            "asks for header x-a already, which exact 'yes' does not narrow",
        ),
        ({"match": [{"withoutHeaders": {"x-a": {}}}]}, header("x-a"), "excludes requests with header x-a"),
        (
            {"match": [{"uri": {"prefix": "/api"}}]},
            RequestMatch((("x-a", exact("1")),), path=prefix("/img")),
            "path: one match block cannot hold both prefix '/img'",
        ),
        (
            {"match": [{"uri": {"regex": "/api.*"}}]},
            RequestMatch((("x-a", exact("1")),), path=prefix("/api")),
            "path: one match block cannot hold both",
        ),
        (
            {"match": [{"method": {"exact": "GET"}}]},
            RequestMatch((("x-a", exact("1")),), method=exact("POST")),
            "method: one match block cannot hold both exact 'POST'",
        ),
        (
            {"match": [{"ignoreUriCase": True}]},
            RequestMatch((("x-a", exact("1")),), path=prefix("/api")),
            "ignores the case of the path",
        ),
        (
            {"match": [{"uri": {"prefix": "/api"}}], "rewrite": {"uri": "/"}},
            RequestMatch((("x-a", exact("1")),), path=prefix("/api/v2")),
            r"its rewrite.uri replaces the part of the path",
        ),
    ],
)
def test_a_match_that_cannot_be_added_is_refused_by_name(
    base: Any, match: RequestMatch, message: str
) -> None:
    """What one match block cannot say raises, with the route and what is in its way; nothing is left out in silence."""
    with pytest.raises(
        UnsupportedError, match=f"http route primary: route beta cannot be made of it: .*{message}"
    ):
        Shop(http({"name": "primary", **base})).write(20, HeaderRoute("beta", (match,)))


@pytest.mark.parametrize(
    ("base", "match", "wanted"),
    [
        ({"uri": {"prefix": "/api"}}, RequestMatch(path=prefix("/api/v2")), {"uri": {"prefix": "/api/v2"}}),
        ({"uri": {"prefix": "/api"}}, RequestMatch(path=exact("/api")), {"uri": {"exact": "/api"}}),
        ({"uri": {"exact": "/api"}}, RequestMatch(path=prefix("/a")), {"uri": {"exact": "/api"}}),
        ({"uri": {"regex": "/a.*"}}, RequestMatch(path=prefix("/")), {"uri": {"regex": "/a.*"}}),
        ({"method": {"exact": "GET"}}, RequestMatch(method=exact("GET")), {"method": {"exact": "GET"}}),
        ({"headers": {"x-a": {}}}, header("x-a", "1"), {"headers": {"x-a": {"exact": "1"}}}),
        ({"headers": {"x-a": {"regex": "*"}}}, header("x-a", "1"), {"headers": {"x-a": {"exact": "1"}}}),
        ({"headers": {"X-A": {"prefix": "v"}}}, header("x-a", "v1"), {"headers": {"X-A": {"exact": "v1"}}}),
    ],
)
def test_the_narrower_of_two_conditions_is_written(base: Any, match: RequestMatch, wanted: Any) -> None:
    """Where one condition contains the other, the narrower one says both."""
    assert narrowed([base], [match]) == [wanted]


texts = st.sampled_from(["/", "/a", "/a/b", "/c", "x"])
kinds = st.sampled_from(["exact", "prefix", "regex"])
conditions = st.builds(StringMatch, kinds, texts)
matches = st.builds(
    RequestMatch,
    st.lists(
        st.tuples(st.sampled_from(["x-a", "x-b"]), conditions), max_size=2, unique_by=lambda pair: pair[0]
    ).map(tuple),
    st.none() | conditions,
    st.none() | conditions,
)
written = conditions.map(lambda condition: {condition.kind: condition.value})
blocks = st.fixed_dictionaries(
    {},
    optional={
        "uri": written,
        "method": written,
        "headers": st.dictionaries(st.sampled_from(["x-a", "x-c"]), written, min_size=1),
        "port": st.integers(80, 82),
    },
)


@given(st.lists(blocks, max_size=3), st.lists(matches, min_size=1, max_size=3))
def test_what_is_narrowed_is_read_back(base: list[dict[str, Any]], wanted: list[RequestMatch]) -> None:
    """What is read of the narrowed blocks makes the same blocks again, and asks for nothing that was not asked for."""
    try:
        wanted_blocks = narrowed(base, wanted)
    except UnsupportedError:
        return
    read = added(wanted_blocks, base)
    assert read is not None
    assert narrowed(base, read) == wanted_blocks
    for match, asked in zip(read, wanted, strict=True):
        assert sorted(match.headers) == sorted(asked.headers)
        assert match.path in (asked.path, None)
        assert match.method in (asked.method, None)


@given(st.lists(blocks, min_size=1, max_size=3), st.lists(blocks, max_size=3))
def test_reading_any_blocks_never_crashes(some: list[dict[str, Any]], base: list[dict[str, Any]]) -> None:
    """Blocks that do not come from others are read as nothing, or as what makes them."""
    read = added(some, base)
    assert read is None or narrowed(base, read) in (some, [])


@given(
    st.integers(0, 100),
    st.permutations(["beta", "copy", "other"]),
    st.sets(st.sampled_from(["beta", "copy"])),
)
def test_every_wish_is_read_back(weight: int, managed: list[str], names: set[str]) -> None:
    """Whatever weight and routes are written are what is observed, and writing them again changes nothing."""
    shop = Shop(http({"name": "primary"}), managed=managed)
    routes = [route for route in (BETA, COPY) if route.name in names]
    first = shop.write(weight, *routes)
    assert shop.observe() == {shop.traffic(weight, *routes)}
    assert shop.write(weight, *routes) == first


def test_errors_of_all_virtual_services_come_together() -> None:
    """A match that two VirtualServices cannot hold is refused for both at once."""
    entry: dict[str, Any] = {"match": [{"withoutHeaders": {"x-beta": {}}}]}
    with pytest.raises(RollwayError) as caught:
        Shop(http(entry, name="a"), http(entry, name="b")).write(20, BETA)
    assert "default/a" in str(caught.value)
    assert "default/b" in str(caught.value)


# -- what Envoy has loaded

WEB = "/apis/networking.istio.io/v1/namespaces/default/virtual-service/web"


def cluster(host: str) -> str:
    """Return the name of Istio's Envoy cluster for a Service."""
    return f"outbound|80||{host}.default.svc.cluster.local"


def envoy_route(name: str, canary: int | None, match: Any = None, **action: Any) -> dict[str, Any]:
    """Return a route of Envoy; without a weight all goes to the canary."""
    weights = [("shop-stable", 100 - (canary or 0)), ("shop-canary", canary or 0)]
    listed = [{"name": cluster(host), "weight": weight} for host, weight in weights if weight]
    leads = (
        {"cluster": cluster("shop-canary")} if canary is None else {"weighted_clusters": {"clusters": listed}}
    )
    return {
        "name": name,
        "match": match or {"prefix": "/", "case_sensitive": True},
        "route": {**leads, **action},
        "metadata": {"filter_metadata": {"istio": {"config": WEB}}},
    }


def asks(name: str, value: str, **words: Any) -> dict[str, Any]:
    """Return Envoy's match of a header."""
    return {"prefix": "/", **words, "headers": [{"name": name, "string_match": {"exact": value}}]}


def judged(shop: Shop, wish: Traffic, *hosts: list[dict[str, Any]]) -> Any:
    """Return what is concluded from an Envoy with these routes, a list for each port."""
    configs = [
        {
            "route_config": {
                "name": f"http.{80 + port}",
                "virtual_hosts": [{"domains": ["shop"], "routes": routes}],
            }
        }
        for port, routes in enumerate(hosts)
    ]
    probe = envoy_probe(fixed(["127.0.0.1:15000"]))
    return probe.judge_document({"configs": configs}, Context(shop.rollout, wish, shop.live))


BASE = envoy_route("primary", 20)
BETA_ROUTE = envoy_route("beta", None, asks("x-beta", "yes"))
HALF = [{"cluster": cluster("shop-canary"), "runtime_fraction": {"default_value": {"numerator": 50}}}]


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ([[BETA_ROUTE, BASE]], ""),
        ([[BETA_ROUTE, BASE], [BETA_ROUTE, BASE]], ""),
        (
            [
                [
                    envoy_route(
                        "beta", None, {"prefix": "/", "headers": [{"name": "X-Beta", "exact_match": "yes"}]}
                    ),
                    BASE,
                ]
            ],
            "",
        ),
        ([[BASE]], "has no http route beta of VirtualService default/web"),
        ([[BETA_ROUTE, BASE], [BASE]], "has another http route beta"),
        ([[envoy_route("beta", None, asks("x-beta", "no")), BASE]], "has another http route beta"),
        (
            [[envoy_route("beta", None, asks("x-beta", "yes", path="/x")), BASE]],
            "has another http route beta",
        ),
        ([[envoy_route("beta", 20, asks("x-beta", "yes")), BASE]], "has another http route beta"),
        (
            [[envoy_route("beta", None, asks("x-beta", "yes"), request_mirror_policies=HALF), BASE]],
            "has another",
        ),
        (
            [
                [
                    envoy_route(
                        "beta", None, asks("x-beta", "yes"), request_mirror_policies=[{"cluster": "x"}]
                    ),
                    BASE,
                ]
            ],
            "has another",
        ),
        (
            [[BETA_ROUTE, envoy_route("copy", 20), BASE]],
            "still has http route copy of VirtualService default/web",
        ),
        (
            [[BETA_ROUTE, envoy_route("primary", 30)]],
            "has shop-stable 70, shop-canary 30 for http route primary",
        ),
    ],
)
def test_header_routes_are_judged_in_every_virtual_host(hosts: Any, words: str) -> None:
    """MATCHES needs the same conditions, destination and mirrors wherever the VirtualService is, and nothing left over."""
    shop = Shop()
    shop.write(20, BETA)
    verdict = judged(shop, shop.traffic(20, BETA), *hosts)
    assert verdict.outcome is (Outcome.DIFFERS if words else Outcome.MATCHES), verdict.reason
    assert words in verdict.reason
    if not words:
        assert "has canary 20 of 100, 20 % and route beta" in verdict.reason


@pytest.mark.parametrize(
    ("numerator", "denominator", "outcome"),
    [
        (500_000, "MILLION", Outcome.MATCHES),
        (50, "HUNDRED", Outcome.MATCHES),
        (49, "HUNDRED", Outcome.DIFFERS),
    ],
)
def test_the_part_that_envoy_copies_is_judged(numerator: int, denominator: str, outcome: Outcome) -> None:
    """A mirror route of all requests hides its own route in Envoy, and is judged with its weights and its fraction."""
    shop = Shop()
    wish = shop.traffic(20, MirrorRoute("copy", percentage=50))
    shop.write(20, *wish.routes)
    share = {"default_value": {"numerator": numerator, "denominator": denominator}}
    policies = [{"cluster": cluster("shop-canary"), "runtime_fraction": share}]
    assert judged(shop, wish, [envoy_route("copy", 20, request_mirror_policies=policies)]).outcome is outcome
    assert (
        judged(shop, wish, [envoy_route("copy", 30, request_mirror_policies=policies)]).outcome
        is Outcome.DIFFERS
    )
    assert judged(shop, wish, [envoy_route("copy", 20)]).outcome is Outcome.DIFFERS


def test_every_kind_of_condition_is_compared() -> None:
    """Regular expressions, presence, excluded headers, methods and the case of the path are read from Envoy's words."""
    block = {
        "uri": {"regex": "/a.*"},
        "ignoreUriCase": True,
        "headers": {"x-any": {}, "@request.auth.claims.group": {"exact": "dev"}},
        "withoutHeaders": {"x-no": {"prefix": "v"}},
        "method": {"exact": "GET"},
    }
    shop = Shop(http({"name": "primary", "match": [block]}))
    route = HeaderRoute("beta", (RequestMatch((("x-beta", StringMatch("regex", "[0-9]")),)),))
    shop.write(20, route)
    base = [
        {"name": "x-any", "present_match": True},
        {"name": "x-no", "string_match": {"prefix": "v"}, "invert_match": True},
        {"name": ":method", "string_match": {"exact": "GET"}},
    ]
    beta = {"name": "x-beta", "string_match": {"safe_regex": {"regex": "[0-9]"}}}
    match = {"safe_regex": {"regex": "/a.*"}, "case_sensitive": False}
    routes = [
        envoy_route("beta", None, {**match, "headers": [beta, *base]}),
        envoy_route("primary", 20, {**match, "headers": base}),
    ]
    assert judged(shop, shop.traffic(20, route), routes).outcome is Outcome.MATCHES
    routes[0]["match"]["headers"] = [beta, *base[1:]]
    assert judged(shop, shop.traffic(20, route), routes).outcome is Outcome.DIFFERS


def test_a_block_for_other_proxies_may_be_missing() -> None:
    """A proxy has no route for a match block of another gateway, and is not asked for it."""
    shop = Shop(http({"name": "primary", "match": [{"gateways": ["mesh"]}, {"uri": {"prefix": "/"}}]}))
    shop.write(20, BETA)
    assert judged(shop, shop.traffic(20, BETA), [BETA_ROUTE, BASE]).outcome is Outcome.MATCHES


def test_a_name_with_a_dot_is_found() -> None:
    """Istio appends the name of a match block with a dot, which may stand in the name of a route as well."""
    shop = Shop(http({"name": "primary.v1", "match": [{"name": "all", "uri": {"prefix": "/"}}]}))
    shop.write(20)
    assert judged(shop, shop.traffic(20), [envoy_route("primary.v1.all", 20)]).outcome is Outcome.MATCHES


def test_a_delegate_is_unknown_to_envoy() -> None:
    """Envoy has the routes of a delegate under the name of the VirtualService that delegates, so nothing is concluded."""
    delegate = http({"name": "primary"})
    del delegate["spec"]["hosts"]
    shop = Shop(delegate)
    assert judged(shop, shop.traffic(0), [BASE]).outcome is Outcome.UNKNOWN


def test_routes_of_one_name_that_differ_are_read_as_they_are() -> None:
    """Where no reading fits all of them, the objects do not agree, and each shows its own."""
    wide = {"name": "beta", "match": [{"headers": {"x-beta": {"exact": "yes"}}}], "route": [PAIR[1]]}
    base = {"name": "primary", "match": [{"headers": {"x-beta": {"prefix": "n"}}}]}
    narrow = {"name": "beta", "match": [{"headers": {"x-beta": {"exact": "no"}}}], "route": [PAIR[1]]}
    shop = Shop(http(wide, {"name": "primary"}, name="a"), http(narrow, base, name="b"))
    assert shop.observe() == {
        shop.traffic(0, HeaderRoute("beta", (header("x-beta", value),))) for value in ("yes", "no")
    }
