"""Header routes of SMI: what is written, what is refused, and whom a mesh leads where."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import manifests as m
from rollway.routers.backends import backend
from rollway.routers.backends.smi.mesh import Mesh, Request
from rollway.routers.errors import (
    ForeignOwnerError,
    ManifestError,
    RefusedError,
    UnsupportedError,
)
from rollway.routers.gitops import weight_paths
from rollway.routers.guards import Limits
from rollway.routers.objects import ObjectRef
from rollway.routers.planning import needs_of
from rollway.routers.rbac import rules
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing.memory import MemoryStore
from rollway.routers.traffic import HeaderRoute, Outcome, RequestMatch, StringMatch, Traffic
from rollway.routers.weights import Split
from running import rollway

if TYPE_CHECKING:
    from pathlib import Path

    from rollway.routers.traffic import MatchKind

CODE = "smi-matches-unproven"
ALLOWED = Limits(allow=frozenset({CODE}))
SPLIT = ObjectRef("split.smi-spec.io", "TrafficSplit", "default", "shop")
GROUP = ObjectRef("specs.smi-spec.io", "HTTPRouteGroup", "default", "shop-header-route")
SERVED = {"split.smi-spec.io": ["v1alpha4"], "specs.smi-spec.io": ["v1alpha4"]}
SERVICES = [m.service("shop-stable"), m.service("shop-canary")]
MESHES = [Mesh(True, *flags) for flags in itertools.product((True, False), repeat=2)]


def route(kind: MatchKind = "exact", value: str = "yes", name: str = "beta", **more: Any) -> HeaderRoute:
    """Return a header route by the header X-Beta."""
    return HeaderRoute(name, (RequestMatch((("X-Beta", StringMatch(kind, value)),), **more),))


def shop(
    *objects: Any,
    stanza: Any = None,
    served: Any = SERVED,
    limits: Limits = ALLOWED,
    running: bool = False,
) -> TrafficRouter:
    """Return a router of a shop with these objects beside its Services."""
    routing = {"smi": stanza or {}, "managedRoutes": [{"name": "beta"}, {"name": "gamma"}]}
    store = MemoryStore([*SERVICES, *objects], served=served, running=running)
    return TrafficRouter(parse_rollout(m.rollout(routing)), store, limits)


def objects(router: TrafficRouter) -> dict[ObjectRef, Any]:
    """Return the objects of the store."""
    found: dict[ObjectRef, Any] = router.store.manifests  # type: ignore[attr-defined]
    return found


def reaches(router: TrafficRouter, mesh: Mesh, **headers: str) -> dict[str, Fraction]:
    """Return whom a request with these headers reaches."""
    names = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return mesh.destinations(SPLIT, Request(names), router.store.read(needs_of(router.rollout)))


def test_the_group_comes_before_the_split_and_goes_after_it() -> None:
    """No write leaves a split that refers to a group that is not there, and the split changes in a single write."""
    router = shop()
    router.set_weight(0)
    there = router.set_header_route(route()).plan
    back = router.remove_header_route("beta").plan
    assert there
    assert back
    assert [(change.action.value, change.ref) for change in there.changes] == [
        ("create", GROUP),
        ("apply", SPLIT),
    ]
    assert [(change.action.value, change.ref) for change in back.changes] == [
        ("apply", SPLIT),
        ("delete", GROUP),
    ]
    assert GROUP not in objects(router)
    assert "matches" not in objects(router)[SPLIT]["spec"]


def test_the_reading_says_that_nobody_else_gets_the_canary() -> None:
    """The split has 100 for the canary, and what is observed is weight 0 with the route."""
    router = shop()
    router.set_header_route(route())
    split = objects(router)[SPLIT]
    assert split["spec"]["matches"] == [{"kind": "HTTPRouteGroup", "name": GROUP.name}]
    assert split["spec"]["backends"] == [
        {"service": "shop-canary", "weight": 100},
        {"service": "shop-stable", "weight": 0},
    ]
    assert router.observe().traffic == Traffic(Split(0), (route(),))
    assert objects(router)[GROUP]["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "rollway"}


@pytest.mark.parametrize("verb", ["switch stable", "switch canary", "reset"])
def test_every_way_back_removes_the_group(verb: str) -> None:
    """Both switches and the reset take the matches out of the split before they delete the group."""
    router = shop()
    router.set_header_route(route())
    if verb == "reset":
        router.reset()
    else:
        router.switch(verb.split()[1])
    assert GROUP not in objects(router)
    assert "matches" not in str(objects(router).get(SPLIT))


@pytest.mark.parametrize("mesh", MESHES)
def test_a_mesh_that_acts_on_matches_leads_those_that_match_to_the_canary(mesh: Mesh) -> None:
    """Whatever a mesh makes of what the specification leaves open, these requests and no others reach the canary."""
    router = shop()
    values: list[tuple[MatchKind, str, str, str]] = [
        ("exact", "v2.1", "v2.1", "v2x1"),
        ("prefix", "v2.", "v2.1", "v21"),
        ("regex", "(?i)v[23]|beta", "V3", "beta2"),
    ]
    for kind, value, chosen, left in values:
        router.set_header_route(route(kind, value))
        assert reaches(router, mesh, X_Beta=chosen) == {"shop-canary": 1}
        for other in ({"X_Beta": left}, {"X_Beta": ""}, {}, {"X_Other": chosen}):
            assert reaches(router, mesh, **other) == {"shop-stable": 1}


def test_a_mesh_that_ignores_matches_leads_everybody_to_the_canary() -> None:
    """That is why nothing is written before the caller has allowed it."""
    router = shop()
    router.set_header_route(route())
    assert reaches(router, Mesh(acts_on_matches=False)) == {"shop-canary": 1}
    careful = shop(limits=Limits())
    with pytest.raises(RefusedError, match="sends everybody to the canary") as caught:
        careful.set_header_route(route())
    assert f"--allow {CODE}" in str(caught.value)
    assert "Traefik Mesh" in str(caught.value)
    assert SPLIT not in objects(careful)
    assert careful.set_weight(20).changed


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="`"), min_size=1)
WORDS = st.lists(TEXT, min_size=1, max_size=2).map(" ".join)


@given(
    kind=st.sampled_from(["exact", "prefix"]),
    value=WORDS,
    more=TEXT,
    other=WORDS,
    mesh=st.sampled_from(MESHES),
)
@settings(max_examples=60, deadline=None)
def test_any_text_is_compared_as_it_is(
    kind: MatchKind, value: str, more: str, other: str, mesh: Mesh
) -> None:
    """An exact value and a prefix are found as they are written, and read back as the same route."""
    router = shop()
    wanted = route(kind, value)
    router.set_header_route(wanted)
    assert router.observe().traffic == Traffic(Split(0), (wanted,))
    for sent in (value, value + more, other):
        chosen = sent == value if kind == "exact" else sent.startswith(value)
        destination = "shop-canary" if chosen else "shop-stable"
        assert reaches(router, mesh, X_Beta=sent) == {destination: 1}


def test_several_matches_headers_a_path_and_a_method() -> None:
    """Matches are alternatives, the conditions of one all hold, and all of it is read back."""
    first = RequestMatch(
        (("X-A", StringMatch("exact", "1")), ("X-B", StringMatch("regex", "b+"))),
        StringMatch("prefix", "/cart"),
        StringMatch("exact", "GET"),
    )
    wanted = HeaderRoute("beta", (first, RequestMatch((("X-C", StringMatch("prefix", "c")),))))
    router = shop()
    router.set_header_route(wanted)
    assert router.observe().traffic == Traffic(Split(0), (wanted,))
    live = router.store.read(needs_of(router.rollout))
    both = {"x-a": "1", "x-b": "bb"}
    for request, chosen in [
        (Request(both, "/cart/1"), True),
        (Request({"x-c": "c2"}), True),
        (Request(both, "/"), False),
        (Request(both, "/cart", "POST"), False),
        (Request({"x-a": "1"}, "/cart"), False),
    ]:
        expected = {"shop-canary" if chosen else "shop-stable": Fraction(1)}
        assert Mesh().destinations(SPLIT, request, live) == expected


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (route("exact", ""), "an empty value"),
        (route("regex", ".*"), "an empty value"),
        (route("exact", "yes "), "blanks at its ends"),
        (route("prefix", " yes"), "blanks at its ends"),
        (route("regex", "a)|(b"), "may not be able to read"),
        (route("regex", "(?=a)b"), "a group begins"),
        (route("exact", "`) || Path(`/"), "end a pattern at '`'"),
        (route("exact", "1", path=StringMatch("prefix", "/a{b}")), "end a pattern at '{'"),
        (route("exact", "1", path=StringMatch("exact", "/a")), "no other path than a prefix"),
        (route("exact", "1", path=StringMatch("prefix", "a")), "no other path than a prefix"),
        (route("exact", "1", method=StringMatch("exact", "BREW")), "one of the methods GET"),
        (route("exact", "1", method=StringMatch("prefix", "P")), "one of the methods GET"),
        (HeaderRoute("beta", (RequestMatch((("X Beta", StringMatch("exact", "1")),)),)), "with the name"),
    ],
)
def test_what_a_mesh_could_read_in_another_way_is_refused(wanted: HeaderRoute, reason: str) -> None:
    """Each condition whose meaning is open is refused by the name of the route, and nothing is written."""
    router = shop()
    with pytest.raises(UnsupportedError, match="header route beta: ") as caught:
        router.set_header_route(wanted)
    assert reason in str(caught.value)
    assert SPLIT not in objects(router)


def test_two_header_routes_are_refused() -> None:
    """All matches of a split lead to the same backends, so a second route has no room."""
    router = shop()
    router.set_header_route(route())
    with pytest.raises(UnsupportedError, match="header routes beta, gamma are wanted"):
        router.set_header_route(route(name="gamma"))


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        ({"split.smi-spec.io": ["v1alpha2"]}, "TrafficSplit default/shop is written as v1alpha2"),
        ({}, "TrafficSplit default/shop is written as v1alpha2"),
        (
            {"split.smi-spec.io": ["v1alpha3"], "specs.smi-spec.io": ["v1alpha2"]},
            "HTTPRouteGroup default/shop-header-route is written as v1alpha2",
        ),
    ],
)
def test_a_version_without_matches_is_refused(served: Any, reason: str) -> None:
    """Where the API server would drop the matches, everybody would reach the canary."""
    router = shop(served=served)
    with pytest.raises(UnsupportedError, match="cannot hold header routes") as caught:
        router.set_header_route(route())
    assert reason in str(caught.value)


def test_the_version_of_the_group_is_that_of_the_split_where_nothing_shows_another() -> None:
    """The specification pairs the versions."""
    router = shop(served={"split.smi-spec.io": ["v1alpha3"]})
    router.set_header_route(route())
    assert objects(router)[GROUP]["apiVersion"] == "specs.smi-spec.io/v1alpha3"


@pytest.mark.parametrize(
    ("kind", "headers"), [("array", [{"X-Beta": "^yes$"}]), ("object", {"X-Beta": "^yes$"})]
)
def test_headers_have_the_form_that_the_crd_asks_for(kind: str, headers: Any) -> None:
    """The specification shows a map and the CRDs ask for a list; the CRD in the store decides, and both are read."""
    schema: Any = {"properties": {"headers": {"type": kind}}}
    for step in ("items", "matches", "spec"):
        schema = {"items": schema} if step == "items" else {"properties": {step: schema}}
    version = {"name": "v1alpha4", "served": True, "schema": {"openAPIV3Schema": schema}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "httproutegroups.specs.smi-spec.io"},
        "spec": {"versions": [{"name": "v1alpha3"}, version]},
    }
    router = shop(crd)
    router.set_header_route(route())
    assert objects(router)[GROUP]["spec"]["matches"] == [{"name": "beta-1", "headers": headers}]
    assert router.observe().traffic == Traffic(Split(0), (route(),))
    assert reaches(router, Mesh(), X_Beta="yes") == {"shop-canary": 1}


def rooted(selector: Any) -> Any:
    """Return a root Service with a selector."""
    return {**m.service("all"), "spec": {"selector": selector, "ports": [{"port": 80}]}}


def test_a_root_that_may_select_the_canary_is_refused() -> None:
    """The root Service answers what does not match, so it has to select stable pods alone."""
    stanza = {"rootService": "all"}
    stable = m.service("shop-stable")["spec"]["selector"]
    for selector in ({}, {"app": "other"}, None):
        router = shop(rooted(selector), stanza=stanza)
        router.set_weight(0)
        with pytest.raises(UnsupportedError, match="nothing shows that it selects stable pods alone"):
            router.set_header_route(route())
    narrow = shop(rooted({**stable, "zone": "a"}), stanza=stanza)
    narrow.set_weight(0)
    narrow.set_header_route(route())
    assert narrow.observe().traffic == Traffic(Split(0), (route(),))
    narrow.store.put(rooted({"app": "shop"}))  # type: ignore[attr-defined]
    (reading,) = narrow.observe().readings
    assert (reading.outcome, reading.traffic) == (Outcome.UNKNOWN, None)
    assert "may select pods of the canary" in reading.reason


def test_a_root_without_a_ready_endpoint_is_refused() -> None:
    """Those that do not match would get 503."""
    slices = [m.endpoint_slice(name) for name in ("shop-stable", "shop-canary")]
    narrow = rooted(m.service("shop-stable")["spec"]["selector"])
    router = shop(narrow, *slices, stanza={"rootService": "all"}, running=True)
    router.set_weight(0)
    with pytest.raises(RefusedError, match="answers the requests that do not match"):
        router.set_header_route(route())


def split_with(matches: Any, version: str = "v1alpha4", **weights: Any) -> Any:
    """Return a TrafficSplit of the Rollout with matches."""
    split = m.traffic_split(version, **(weights or {"shop_canary": 100, "shop_stable": 0}))
    split["metadata"]["annotations"] = {"rollway.dev/rollout": "shop"}
    split["spec"]["matches"] = matches
    return split


FOREIGN = {"kind": "HTTPRouteGroup", "name": "firefox"}


def test_matches_of_somebody_else_stay_and_stand_in_the_way() -> None:
    """They survive weights, and a route that comes and goes beside them is refused."""
    router = shop(split_with([FOREIGN], shop_canary=0, shop_stable=100))
    with pytest.raises(RefusedError, match="somebody else has added matches"):
        router.set_header_route(route())
    router.set_weight(30)
    assert objects(router)[SPLIT]["spec"]["matches"] == [FOREIGN]


def test_matches_that_are_added_beside_ours_stay() -> None:
    """What somebody adds while the route is there is kept when the route goes, and with every weight after that."""
    router = shop()
    router.set_header_route(route())
    router.store.edit(SPLIT, lambda split: split["spec"]["matches"].append(FOREIGN))  # type: ignore[attr-defined]
    assert router.observe().traffic == Traffic(Split(100))
    for weight in (0, 30, 40):
        router.set_weight(weight)
        assert objects(router)[SPLIT]["spec"]["matches"] == [FOREIGN]
    assert GROUP not in objects(router)


def test_matches_that_are_no_list_are_a_typed_error() -> None:
    """Nothing is guessed from them."""
    with pytest.raises(ManifestError, match=r"spec\.matches: found dict"):
        shop(split_with({"a": 1}, shop_canary=0, shop_stable=100)).set_header_route(route())


def test_other_backends_with_a_weight_stand_in_the_way() -> None:
    """They would get a part of the requests that match."""
    router = shop(split_with([], shop_canary=0, shop_stable=100, other=10))
    with pytest.raises(UnsupportedError, match=r"other backends \(other\)"):
        router.set_header_route(route())


def edit_group(router: TrafficRouter, change: Any) -> None:
    """Let somebody else change the HTTPRouteGroup."""
    router.store.edit(GROUP, change)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "change",
    [
        lambda group: group["spec"].update(matches=[]),
        lambda group: group["spec"].update(matches="x"),
        lambda group: group["spec"]["matches"][0].pop("headers"),
        lambda group: group["spec"]["matches"][0].update(headers=["X-Beta"]),
        lambda group: group["spec"]["matches"][0].update(headers=[{"X-Beta": "a"}, {"X-Beta": "b"}]),
        lambda group: group["spec"]["matches"][0].update(headers=[{"X-Beta": "^a$"}, {"x-beta": "^b$"}]),
        lambda group: group["spec"]["matches"][0].update(headers={"X-Beta": "yes"}),
        lambda group: group["spec"]["matches"][0].update(pathRegex="/a"),
        lambda group: group["metadata"]["annotations"].pop("rollway.dev/header-route"),
        lambda group: group["metadata"]["annotations"].update({"rollway.dev/header-route": "other"}),
    ],
)
def test_a_group_that_holds_something_else_is_no_route(change: Any) -> None:
    """Then the weights of the split count as they stand, which is the worst that they can mean, and verify sees it."""
    router = shop()
    router.set_header_route(route())
    edit_group(router, change)
    assert router.observe().traffic == Traffic(Split(100))
    assert router.verify(Traffic(Split(0), (route(),))).outcome is Outcome.DIFFERS
    router.set_weight(0)
    assert router.observe().traffic == Traffic(Split(0))


@pytest.mark.parametrize(
    "change",
    [
        lambda split: split.update(apiVersion="split.smi-spec.io/v1alpha2"),
        lambda split: split["spec"].update(service="other"),
        lambda split: split["spec"]["matches"].append(FOREIGN),
        lambda split: split["spec"]["backends"][1].update(weight=100),
    ],
    ids=["old version", "other root", "further matches", "stable has a weight"],
)
def test_a_split_that_does_something_else_carries_no_route(change: Any) -> None:
    """Then the weights of the split count as they stand, as in a version of the API that has no matches."""
    router = shop()
    router.set_header_route(route())
    router.store.edit(SPLIT, change)  # type: ignore[attr-defined]
    (reading,) = router.observe().readings
    assert reading.traffic in (Traffic(Split(100)), Traffic(Split(50)))


def test_a_split_without_its_group_carries_no_route() -> None:
    """What a mesh makes of it is open, so its weights count as they stand."""
    split = split_with([{"kind": "HTTPRouteGroup", "name": GROUP.name}])
    assert shop(split).observe().traffic == Traffic(Split(100))


def test_a_mesh_without_the_group_leaves_all_to_the_root() -> None:
    """Traefik Mesh drops a split whose group it does not find."""
    router = shop(split_with([{"kind": "HTTPRouteGroup", "name": GROUP.name}]))
    assert reaches(router, Mesh(), X_Beta="yes") == {"shop-stable": 1}


def test_a_group_of_somebody_else_is_refused_and_left_alone() -> None:
    """An HTTPRouteGroup with the name of ours is not overwritten, and not deleted with the weights."""
    foreign = {
        "apiVersion": "specs.smi-spec.io/v1alpha4",
        "kind": "HTTPRouteGroup",
        "metadata": {"name": GROUP.name, "namespace": "default"},
        "spec": {"matches": [{"name": "all", "pathRegex": ".*"}]},
    }
    router = shop(foreign)
    with pytest.raises(ForeignOwnerError, match=GROUP.name):
        router.set_header_route(route())
    router.set_weight(20)
    assert objects(router)[GROUP] == foreign


def test_a_write_that_fails_leaves_no_group_that_is_missing() -> None:
    """When the deletion of the group fails, the split refers to it again, as before; no write in between is unsafe."""
    router = shop()
    router.set_header_route(route())
    before = objects(router)
    seen: list[dict[str, Fraction]] = []
    store: Any = router.store
    store.fail(at=1)
    fail = store.interfere

    def interfere(change: Any) -> None:
        seen.append(Mesh().destinations(SPLIT, Request({}), store.read(needs_of(router.rollout))))
        fail(change)

    store.interfere = interfere
    with pytest.raises(Exception, match="put back"):
        router.remove_header_route("beta")
    assert objects(router) == before
    assert seen
    assert all(answered == {"shop-stable": 1} for answered in seen)


def test_objects_that_disagree_are_not_taken_for_a_weight_beside_the_route() -> None:
    """A weight on Istio beside a route that SMI alone carries is no match for that weight, and gitops goes on."""
    routing = {"istio": {"virtualService": {"name": "web"}}, "smi": {}, "managedRoutes": [{"name": "beta"}]}
    store = MemoryStore([*SERVICES, m.virtual_service()], served=SERVED)
    both = TrafficRouter(parse_rollout(m.rollout(routing)), store, ALLOWED)
    both.set_header_route(route())
    web = ObjectRef("networking.istio.io", "VirtualService", "default", "web")

    def move(manifest: Any) -> None:
        for entry, weight in zip(manifest["spec"]["http"][-1]["route"], (80, 20), strict=True):
            entry["weight"] = weight

    store.edit(web, move)
    assert both.verify().outcome is Outcome.DIFFERS
    assert both.verify(20).outcome is Outcome.UNKNOWN
    assert weight_paths(both.rollout, store.read(needs_of(both.rollout)))


def test_the_rights_have_the_group_only_where_a_route_can_be() -> None:
    """Without managedRoutes neither the role nor the store is asked for HTTPRouteGroups."""
    (with_routes,) = rules(shop().rollout).values()
    (without,) = rules(parse_rollout(m.rollout({"smi": {}}))).values()
    assert ("specs.smi-spec.io", "httproutegroups", (GROUP.name,)) in [
        rule[:2] + rule[3:] for rule in with_routes
    ]
    assert not [rule for rule in without if rule.group == "specs.smi-spec.io"]
    assert len(backend("smi").needs(parse_rollout(m.rollout({"smi": {}})))) < len(needs_of(shop().rollout))


def test_the_command_line_asks_for_the_flag_and_reports_both_objects(tmp_path: Path) -> None:
    """`header-route`, `switch --preview-header`, `status`, `verify`, `lint` and `set-weight` beside a live route."""
    routing = {"smi": {}, "managedRoutes": [{"name": "beta"}]}
    split = m.traffic_split("v1alpha3", shop_canary=0, shop_stable=100)
    split["metadata"]["annotations"] = {"rollway.dev/rollout": "shop"}
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all([m.rollout(routing), *SERVICES, split]))
    where = ("--dir", str(tmp_path))
    words = ("header-route", "shop", "set", "beta", "--header", "X-Beta: yes")
    refused = rollway(*words, *where)
    assert (refused.code, f"--allow {CODE}" in refused.stderr) == (4, True), refused
    done = rollway(*words, "--allow", CODE, *where)
    assert (done.code, "created HTTPRouteGroup default/shop-header-route" in done.stdout) == (0, True), done
    assert CODE in done.stderr
    shown = rollway("status", "shop", "-o", "wide", *where)
    assert "header route beta" in shown.stdout
    assert rollway("verify", "shop", "0", "--allow", CODE, *where).code == 0
    assert "beside header routes" in rollway("lint", *where).stdout
    beside = rollway("set-weight", "shop", "10", *where)
    assert (beside.code, "rollway header-route shop remove --all" in beside.stderr) == (4, True), beside
    gone = rollway("header-route", "shop", "remove", "beta", *where)
    assert (gone.code, "deleted HTTPRouteGroup" in gone.stdout) == (0, True), gone
    preview = ("switch", "shop", "canary", "--preview-header", "X-Beta: yes", "--preview-route", "beta")
    assert rollway(*preview, "--allow", CODE, *where).code == 0
    assert "HTTPRouteGroup" in (tmp_path / "app.yaml").read_text()
    assert rollway("switch", "shop", "canary", *where).code == 0
    assert "HTTPRouteGroup" not in (tmp_path / "app.yaml").read_text()
