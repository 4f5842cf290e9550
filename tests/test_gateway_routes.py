"""Header and mirror routes of Gateway API: clones of the user's rules, and what Argo's plugin v0.15.0 does otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from rollway.routers.backends.gateway.implementations import IMPLEMENTATIONS
from rollway.routers.errors import ManifestError, RefusedError, UnsupportedError
from rollway.routers.objects import ObjectRef
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import HeaderRoute, MirrorRoute, RequestMatch, StringMatch

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest
    from rollway.routers.traffic import MatchKind

WEB = ObjectRef("gateway.networking.k8s.io", "HTTPRoute", "default", "web")
EVERY = {"path": {"type": "PathPrefix", "value": "/"}}


def match(path: str, kind: str = "PathPrefix", **words: Any) -> Manifest:
    """Return a match of an HTTPRoute by path."""
    return {"path": {"type": kind, "value": path}, **words}


def header(name: str, value: str, kind: MatchKind = "exact") -> RequestMatch:
    """Return the condition that a header has a value."""
    return RequestMatch(((name, StringMatch(kind, value)),))


BETA = HeaderRoute("beta", (header("X-Beta", "1"),))


def router_of(
    *routes: Manifest, stanza: Any = None, names: tuple[str, ...] = ("beta", "copy")
) -> TrafficRouter:
    """Return a router on a store with some routes."""
    routing = {
        "gatewayAPI": stanza or {"httpRoute": "web"},
        "managedRoutes": [{"name": name} for name in names],
    }
    store = MemoryStore([*routes, m.service("shop-stable"), m.service("shop-canary")])
    return TrafficRouter(parse_rollout(m.rollout(routing)), store)


def rules(router: TrafficRouter, ref: ObjectRef = WEB) -> list[Any]:
    """Return the rules of a route."""
    assert isinstance(router.store, MemoryStore)
    listed: list[Any] = router.store.manifests[ref]["spec"]["rules"]
    return listed


def names(router: TrafficRouter) -> list[str | None]:
    """Return the names of the rules."""
    return [rule.get("name") for rule in rules(router)]


# -- clones


def test_a_header_rule_is_a_clone_with_one_more_header_and_the_canary_alone() -> None:
    """Filters, timeouts and what the canary's reference has survive; the clone stands before the rule (#87)."""
    filters = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-old"]}}]
    base = {
        **m.pair_rule(name="main", filters=filters, timeouts={"request": "5s"}),
        "matches": [
            match("/shop", headers=[{"type": "Exact", "name": "x-tenant", "value": "a"}], method="GET")
        ],
    }
    base["backendRefs"][1]["filters"] = filters
    other = {"backendRefs": [m.backend_ref("images")]}
    router = router_of(m.http_route("web", other, base))
    router.set_header_route(BETA)
    first, clone, last = rules(router)
    assert (first, last) == (other, base)
    assert clone == {
        "name": "beta",
        "filters": filters,
        "timeouts": {"request": "5s"},
        "matches": [
            match(
                "/shop",
                headers=[
                    {"type": "Exact", "name": "x-tenant", "value": "a"},
                    {"type": "Exact", "name": "X-Beta", "value": "1"},
                ],
                method="GET",
            )
        ],
        "backendRefs": [m.backend_ref("shop-canary", 1, filters=filters)],
    }


def test_every_rule_gets_its_clone_and_all_go_together() -> None:
    """Two rules and two alternatives of a route give two clones with two matches; removal leaves the rules as they were."""
    pair = [m.pair_rule(matches=[match("/a"), match("/b")]), m.pair_rule()]
    router = router_of(m.http_route("web", *pair))
    two = HeaderRoute("beta", (header("X-Beta", "1"), header("X-Tester", "anna", "prefix")))
    router.set_header_route(two)
    assert names(router) == ["beta", None, "beta-1", None]
    assert [len(rule.get("matches", [])) for rule in rules(router)] == [4, 2, 2, 0]
    assert router.observe().traffic.header_routes == (two,)  # type: ignore[union-attr]
    router.remove_header_route("beta")
    assert rules(router) == pair


def test_a_number_that_the_user_has_taken_is_left_out() -> None:
    """A rule of the user's that is called like a clone, and another managed route, keep their names and their content."""
    mine = {"name": "beta-1", "backendRefs": [m.backend_ref("images")]}
    router = router_of(m.http_route("web", mine, m.pair_rule(), m.pair_rule()), names=("beta", "beta-2"))
    router.set_header_route(BETA)
    assert names(router) == ["beta-1", "beta", None, "beta-3", None]
    router.remove_header_route("beta")
    assert rules(router) == [mine, m.pair_rule(), m.pair_rule()]


def test_duplicates_of_a_header_rule_become_one() -> None:
    """Two rules of one name, as races of the plugin left them, are replaced by one (#151, #95)."""
    router = router_of(m.http_route())
    router.set_header_route(BETA)
    double = rules(router)[0]
    router = router_of(m.http_route("web", double, double, m.pair_rule()))
    router.set_weight(20)
    assert names(router) == ["beta", None]


def test_a_header_rule_stays_without_a_step_that_scales_where_the_plugin_removes_it() -> None:
    """A weight, also 0, leaves the header rule in place (#147)."""
    router = router_of(m.http_route())
    router.set_header_route(BETA)
    for weight in (0, 20, 0):
        router.set_weight(weight)
        assert names(router) == ["beta", None]


def test_two_values_of_one_header_are_two_matches_where_the_plugin_overwrites_one() -> None:
    """Alternatives are matches of their own, since a match takes each header once (#215)."""
    router = router_of(m.http_route())
    route = HeaderRoute("beta", (header("X-Beta", "1"), header("X-Beta", "2")))
    router.set_header_route(route)
    assert [entry["headers"][0]["value"] for entry in rules(router)[0]["matches"]] == ["1", "2"]


def test_only_the_named_header_route_goes_where_the_plugin_removes_all() -> None:
    """Removing one header route leaves the others."""
    router = router_of(m.http_route(), names=("beta", "copy"))
    router.set_header_route(BETA)
    router.set_header_route(HeaderRoute("copy", (header("X-Copy", "1"),)))
    router.remove_header_route("beta")
    assert names(router) == ["copy", None]


def test_a_prefix_is_literal_where_the_plugin_takes_it_for_a_pattern() -> None:
    """Characters that mean something in a pattern are escaped, and a pattern compares the whole value everywhere."""
    router = router_of(m.http_route())
    route = HeaderRoute("beta", (header("X-Beta", "v1.2+", "prefix"), header("X-Beta", "v[23].*", "regex")))
    findings = router.set_header_route(route).findings
    values = [entry["headers"][0]["value"] for entry in rules(router)[0]["matches"]]
    assert values == [r"^v1\.2\+.*$", "^(?:v[23].*)$"]
    assert router.observe().traffic.header_routes == (route,)  # type: ignore[union-attr]
    assert "gateway-pattern" in {finding.code for finding in findings}


def test_a_mirror_is_a_rule_with_the_same_weights_where_the_plugin_does_nothing() -> None:
    """A mirror rule keeps the weighted references, which the weight moves too, and copies a percentage to the canary."""
    router = router_of(m.http_route("web", m.pair_rule(filters=[{"type": "CORS"}])))
    mirror = MirrorRoute("copy", (RequestMatch(method=StringMatch("exact", "GET")),), 25)
    router.set_mirror_route(mirror)
    router.set_weight(20)
    clone, base = rules(router)
    assert clone["backendRefs"] == base["backendRefs"] == m.pair_rule(80, 20)["backendRefs"]
    assert clone["matches"] == [match("/", method="GET")]
    reference = {"group": "", "kind": "Service", "name": "shop-canary", "port": 80}
    assert clone["filters"] == [
        {"type": "CORS"},
        {"type": "RequestMirror", "requestMirror": {"backendRef": reference, "percent": 25}},
    ]
    assert router.observe().traffic.mirror_routes == (mirror,)  # type: ignore[union-attr]


def test_a_mirror_rule_follows_the_rule_that_it_was_made_from() -> None:
    """What the user changes in a rule is in its clones after the next weight, and the route keeps its conditions."""
    router = router_of(m.http_route("web", m.pair_rule(matches=[match("/a")])))
    router.set_header_route(BETA)
    assert isinstance(router.store, MemoryStore)
    changed = [match("/b"), match("/c", "Exact", headers=[{"name": "x-team", "value": "a"}])]
    router.store.edit(WEB, lambda manifest: manifest["spec"]["rules"][1].update(matches=changed))
    router.set_weight(20)
    assert [len(rule["matches"]) for rule in rules(router)] == [2, 2]
    assert router.observe().traffic.header_routes == (BETA,)  # type: ignore[union-attr]


def test_what_argos_plugin_wrote_is_taken_over() -> None:
    """A rule of the plugin, with a pattern that is not anchored, is read as it means and written as it should be."""
    pattern = {"type": "RegularExpression", "name": "X-Beta", "value": "v1.*"}
    theirs = {
        "name": "beta",
        "matches": [match("/", headers=[pattern])],
        "backendRefs": [m.backend_ref("shop-canary")],
    }
    router = router_of(m.http_route("web", m.pair_rule(), theirs))
    assert router.observe().traffic.header_routes == (  # type: ignore[union-attr]
        HeaderRoute("beta", (header("X-Beta", "v1.*", "regex"),)),
    )
    router.set_weight(20)
    assert names(router) == [None, "beta"]
    assert rules(router)[1]["matches"][0]["headers"][0]["value"] == "^(?:v1.*)$"
    assert not router.set_weight(20).changed
    router.remove_managed_routes()
    assert names(router) == [None]


@pytest.mark.parametrize("place", [0, 1])
def test_a_rule_that_has_come_to_match_the_same_header_is_an_error(place: int) -> None:
    """Where the user's rule matches the header by now, the header route would take all of its requests."""
    pair = m.pair_rule(matches=[match("/a"), match("/b")])
    router = router_of(m.http_route("web", pair))
    router.set_header_route(BETA)
    assert isinstance(router.store, MemoryStore)
    beta = [{"type": "Exact", "name": "x-beta", "value": "1"}]
    changed = [match("/a"), match("/b")]
    changed[place]["headers"] = beta
    router.store.edit(WEB, lambda manifest: manifest["spec"]["rules"][1].update(matches=changed))
    with pytest.raises(UnsupportedError, match="matches header X-Beta already"):
        router.set_weight(20)
    router.remove_header_route("beta")
    assert names(router) == [None]


# -- conditions that are joined


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [
        (match("/"), StringMatch("exact", "/a/b"), match("/a/b", "Exact")),
        (match("/a"), StringMatch("exact", "/a"), match("/a", "Exact")),
        (match("/a/"), StringMatch("exact", "/a/b"), match("/a/b", "Exact")),
        (match("/a/b"), StringMatch("prefix", "/a"), match("/a/b")),
        (match("/a", "Exact"), StringMatch("exact", "/a"), match("/a", "Exact")),
        (match("/a/b", "Exact"), StringMatch("prefix", "/a"), match("/a/b", "Exact")),
        (match("/"), StringMatch("regex", "/v[12]/.*"), match("/v[12]/.*", "RegularExpression")),
    ],
)
def test_a_path_is_joined_where_both_together_are_one_match(
    base: Manifest, path: StringMatch, joined: Manifest
) -> None:
    """A path of the route and one of the rule become the requests that fulfil both."""
    router = router_of(m.http_route("web", m.pair_rule(matches=[base])))
    router.set_mirror_route(MirrorRoute("copy", (RequestMatch(path=path),)))
    assert rules(router)[0]["matches"] == [joined]
    assert not router.set_weight(0).changed


@pytest.mark.parametrize(
    ("base", "wanted", "reason"),
    [
        (match("/a"), RequestMatch(path=StringMatch("prefix", "/a/b")), "cannot be joined with the path"),
        (match("/a"), RequestMatch(path=StringMatch("regex", "/a.*")), "cannot be joined with the path"),
        (
            match("/a", "Exact"),
            RequestMatch(path=StringMatch("regex", "/a")),
            "cannot be joined with the path",
        ),
        (match("/a"), RequestMatch(path=StringMatch("exact", "/ab")), "no request of its rules"),
        (match("/a", "Exact"), RequestMatch(path=StringMatch("prefix", "/b")), "no request of its rules"),
        (
            match("/", method="GET"),
            RequestMatch(method=StringMatch("exact", "POST")),
            "no request of its rules",
        ),
        (match("/"), RequestMatch(method=StringMatch("regex", "G.*")), "compares methods exactly"),
        (
            match("/", headers=[{"name": "x-beta", "value": "2"}]),
            header("X-Beta", "1"),
            "matches header X-Beta already",
        ),
        (match("/"), header("X-Beta", ""), "empty value"),
    ],
)
def test_what_cannot_be_one_match_is_refused_by_name(
    base: Manifest, wanted: RequestMatch, reason: str
) -> None:
    """Conditions that Gateway API cannot join, and those that no request fulfils, are refused before anything is written."""
    router = router_of(m.http_route("web", m.pair_rule(matches=[base])))
    with pytest.raises(UnsupportedError, match=reason) as caught:
        router.set_mirror_route(MirrorRoute("copy", (wanted,)))
    assert "copy" in str(caught.value)
    assert rules(router) == [m.pair_rule(matches=[base])]


def test_a_grpc_route_takes_headers_and_no_path() -> None:
    """The methods of a GRPCRoute are services and methods, so a path of HTTP is refused by name."""
    calls = m.http_route(
        "calls", m.pair_rule(matches=[{"method": {"service": "shop.Cart"}}]), kind="GRPCRoute"
    )
    router = router_of(calls, stanza={"grpcRoute": "calls"})
    router.set_header_route(BETA)
    clone = rules(router, ObjectRef(WEB.group, "GRPCRoute", "default", "calls"))[0]
    assert clone["matches"] == [
        {
            "method": {"service": "shop.Cart"},
            "headers": [{"type": "Exact", "name": "X-Beta", "value": "1"}],
        }
    ]
    with pytest.raises(UnsupportedError, match="matches by service and method"):
        router.set_mirror_route(MirrorRoute("copy", (RequestMatch(path=StringMatch("exact", "/a")),)))


# -- where routes may go


def test_connections_have_no_headers() -> None:
    """A TCPRoute that is to get header routes is refused by name; one that is not carries weights alone."""
    raw = m.http_route("raw", kind="TCPRoute")
    both = {"httpRoute": "web", "tcpRoute": "raw"}
    router = router_of(m.http_route(), raw, stanza=both)
    router.set_header_route(BETA)
    assert router.verify().outcome.value == "matches"
    asked = {"httpRoute": "web", "tcpRoutes": [{"name": "raw", "useHeaderRoutes": True}]}
    with pytest.raises(UnsupportedError, match="TCPRoute default/raw cannot have header routes"):
        router_of(m.http_route(), raw, stanza=asked).set_header_route(BETA)


def test_a_route_in_a_list_gets_rules_only_where_it_asks_for_them() -> None:
    """`useHeaderRoutes` is off in lists, as in the plugin; where no route has it, a header route is refused."""
    stanza = {"httpRoutes": [{"name": "web"}]}
    with pytest.raises(
        UnsupportedError, match="none of them may get header routes, which 'beta' needs"
    ) as caught:
        router_of(m.http_route(), stanza=stanza).set_header_route(BETA)
    assert "useHeaderRoutes: true" in caught.value.hint


def test_a_name_that_no_rule_may_have_is_refused() -> None:
    """The name of a rule is a name of Kubernetes, so that of a managed route has to be one."""
    router = router_of(m.http_route(), names=("Beta_1",))
    with pytest.raises(UnsupportedError, match="'Beta_1' cannot be the name of a rule"):
        router.set_header_route(HeaderRoute("Beta_1", (header("X-Beta", "1"),)))


def test_a_managed_name_on_a_rule_of_another_shape_is_an_error() -> None:
    """A rule that is called like a header route and is none is neither counted nor deleted."""
    strange = {"name": "beta", "backendRefs": [m.backend_ref("images")]}
    router = router_of(m.http_route("web", strange, m.pair_rule()))
    with pytest.raises(ManifestError, match="beta is a name of managedRoutes"):
        router.set_weight(20)
    assert rules(router)[0] == strange


def test_the_limits_count_clones() -> None:
    """A seventeenth rule, or a hundred and twenty-ninth match, is refused in the plan."""
    many = m.http_route("web", *(m.pair_rule(matches=[match(f"/{number}")]) for number in range(9)))
    with pytest.raises(RefusedError, match="18 rules, and Gateway API allows 16"):
        router_of(many).set_header_route(BETA)
    wide = m.http_route("web", m.pair_rule(matches=[match(f"/{number}") for number in range(33)]))
    two = HeaderRoute("beta", (header("X-Beta", "1"), header("X-Beta", "2")))
    with pytest.raises(RefusedError, match="66 matches in one rule, and Gateway API allows 64"):
        router_of(wide).set_header_route(two)


# -- implementations


def served_by(controller: str, route: Manifest) -> Manifest:
    """Return a route on which a controller reports."""
    parent = {"parentRef": {"name": "gateway"}, "controllerName": controller, "conditions": []}
    return {**route, "status": {"parents": [parent]}}


def test_a_mirror_is_refused_where_the_implementation_has_none() -> None:
    """What a conformance report lists as unsupported is refused by the implementation's name, and can be allowed."""
    router = router_of(served_by("traefik.io/gateway-controller", m.http_route()))
    with pytest.raises(RefusedError, match=r"Traefik v3\.6 .* HTTPRouteRequestMirror"):
        router.set_mirror_route(MirrorRoute("copy"))
    router.set_header_route(BETA)
    assert names(router) == ["beta", None]


def test_a_percentage_and_a_second_mirror_are_features_of_their_own() -> None:
    """Contour mirrors, and not a percentage; Kong neither compares headers of a GRPCRoute nor weighs it."""
    contour = router_of(served_by("projectcontour.io/gateway-controller", m.http_route()))
    contour.set_mirror_route(MirrorRoute("copy"))
    with pytest.raises(RefusedError, match="HTTPRouteRequestPercentageMirror"):
        contour.set_mirror_route(MirrorRoute("copy", percentage=10))
    mirrored = m.pair_rule(filters=[{"type": "RequestMirror", "requestMirror": {}}])
    kong = router_of(served_by("konghq.com/gateway-operator", m.http_route("web", mirrored)))
    with pytest.raises(RefusedError, match="HTTPRouteRequestMultipleMirrors"):
        kong.set_mirror_route(MirrorRoute("copy"))
    calls = served_by("konghq.com/gateway-operator", m.http_route("calls", kind="GRPCRoute"))
    grpc = router_of(calls, stanza={"grpcRoute": "calls"})
    with pytest.raises(RefusedError, match="GRPCRouteWeight"):
        grpc.set_weight(20)
    with pytest.raises(RefusedError, match="GRPCRouteHeaderMatching"):
        grpc.set_header_route(BETA)


@pytest.mark.parametrize("controller", [*IMPLEMENTATIONS, "example.com/own"])
def test_weights_and_header_routes_of_an_http_route_work_everywhere(controller: str) -> None:
    """Both are core, so nothing is refused; a header route at an implementation that is not known gets a note."""
    router = router_of(served_by(controller, m.http_route()))
    assert router.set_weight(20).findings == ()
    unknown = {"gateway-implementation-unknown"} if controller not in IMPLEMENTATIONS else set()
    assert {item.code for item in router.set_header_route(BETA).findings} == {"gateway-rule-names", *unknown}
