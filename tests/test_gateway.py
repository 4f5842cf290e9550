"""The backend of Gateway API: which rules carry the weights, what is refused, and what Argo's plugin would have done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import manifests as m
from rollway.routers.backends.gateway.stanza import (
    GatewayTrafficRouting,
    Requirement,
    RouteName,
    RouteSelector,
)
from rollway.routers.data_planes import status_probes
from rollway.routers.errors import (
    DuplicateObjectError,
    ManifestError,
    NotFoundError,
    RefusedError,
    UnsupportedError,
)
from rollway.routers.findings import Severity
from rollway.routers.objects import Need, ObjectRef
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.directory import DirectoryStore
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import Evidence, HeaderRoute, Outcome, RequestMatch, StringMatch
from running import rollway

if TYPE_CHECKING:
    from pathlib import Path

    from rollway.routers.findings import Finding
    from rollway.routers.objects import Manifest

GROUP = "gateway.networking.k8s.io"
WEB = ObjectRef(GROUP, "HTTPRoute", "default", "web")
SERVICES = [m.service("shop-stable"), m.service("shop-canary")]
READY = [m.endpoint_slice("shop-stable"), m.endpoint_slice("shop-canary")]
ROUTING: dict[str, Any] = {"gatewayAPI": {"httpRoute": "web"}}


def store_of(*manifests: Manifest, running: bool = False) -> MemoryStore:
    """Return a store with some routes and both Services."""
    return MemoryStore([*manifests, *SERVICES, *(READY if running else ())], running=running)


def router_of(store: MemoryStore, routing: dict[str, Any] | None = None, **body: Any) -> TrafficRouter:
    """Return the router of a Rollout with a Gateway API stanza."""
    return TrafficRouter(parse_rollout(m.rollout(ROUTING if routing is None else routing, **body)), store)


def codes(findings: tuple[Finding, ...]) -> dict[str, Severity]:
    """Return the severity of each finding by its code."""
    return {finding.code: finding.severity for finding in findings}


def weights(store: MemoryStore, ref: ObjectRef = WEB) -> list[list[int | None]]:
    """Return the weights of each rule of a route."""
    rules = store.manifests[ref]["spec"]["rules"]
    return [[entry.get("weight") for entry in rule["backendRefs"]] for rule in rules]


# -- the stanza


@pytest.mark.parametrize("path", [("gatewayAPI",), ("plugins", "argoproj-labs/gatewayAPI")])
def test_the_stanza_has_the_keys_of_argos_plugin(path: tuple[str, ...]) -> None:
    """Routes of four kinds, by name, in lists and by labels, under rollway's key and under the plugin's."""
    stanza: Any = {
        "namespace": "edge",
        "httpRoute": "web",
        "httpRoutes": [{"name": "more", "useHeaderRoutes": True}, {"name": "plain"}],
        "grpcRoutes": [{"name": "calls"}],
        "tlsRoute": "",
        "tcpRouteSelector": {
            "matchLabels": {"release": "shop"},
            "matchExpressions": [
                {"key": "stage", "operator": "NotIn", "values": ["test", "old"]},
                {"key": "team", "operator": "Exists"},
                {"key": "frozen", "operator": "DoesNotExist"},
            ],
        },
        "inProgressLabelKey": "busy",
    }
    for key in reversed(path):
        stanza = {key: stanza}
    requirements = (
        Requirement("release", "In", ("shop",)),
        Requirement("stage", "NotIn", ("test", "old")),
        Requirement("team", "Exists"),
        Requirement("frozen", "DoesNotExist"),
    )
    selector = RouteSelector("TCPRoute", requirements)
    assert parse_rollout(m.rollout(stanza)).stanza(GatewayTrafficRouting) == GatewayTrafficRouting(
        "edge",
        (
            RouteName("HTTPRoute", "web", use_header_routes=True),
            RouteName("HTTPRoute", "more", use_header_routes=True),
            RouteName("HTTPRoute", "plain"),
            RouteName("GRPCRoute", "calls"),
        ),
        (selector,),
        ("inProgressLabelKey",),
    )
    assert str(selector) == "release in (shop),stage notin (test,old),team,!frozen"
    assert selector.fits({"release": "shop", "team": "web"})
    for labels in ({"release": "shop"}, {"release": "shop", "team": "web", "frozen": ""}, {"team": "web"}):
        assert not selector.fits(labels)
    assert not selector.fits({"release": "shop", "team": "web", "stage": "old"})


def test_both_places_of_the_stanza_at_once_are_a_fault() -> None:
    """The plugin's key and rollway's mean the same, so one is enough."""
    with pytest.raises(ManifestError, match="means the same"):
        parse_rollout(m.rollout({**ROUTING, "plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "web"}}}))


# -- routes that labels select


SELECTED: dict[str, Any] = {"gatewayAPI": {"httpRouteSelector": {"matchLabels": {"release": "shop"}}}}


def labelled(name: str, **labels: str) -> Manifest:
    """Return an HTTPRoute with labels."""
    route = m.http_route(name)
    route["metadata"]["labels"] = labels
    return route


def test_only_routes_with_the_labels_are_written() -> None:
    """A store may return more than a selector asks for; the others stay as they are."""
    store = store_of(labelled("one", release="shop"), labelled("two", release="shop"), labelled("three"))
    assert [ref.name for ref in router_of(store, SELECTED).set_weight(30).written] == ["one", "two"]
    assert weights(store, ObjectRef(GROUP, "HTTPRoute", "default", "three")) == [[100, 0]]


def test_a_route_that_gets_the_label_during_a_change_is_changed_too() -> None:
    """After a conflict the routes are looked for again, so that all agree at the end."""
    store = store_of(labelled("one", release="shop"), labelled("two"))

    def label(change: Any) -> None:
        store.interfere = lambda _change: None
        two = ObjectRef(GROUP, "HTTPRoute", "default", "two")
        store.edit(two, lambda manifest: manifest["metadata"]["labels"].update(release="shop"))
        store.edit(change.ref, lambda manifest: manifest["spec"]["rules"][0].update(m.pair_rule(90, 10)))

    store.interfere = label
    assert {ref.name for ref in router_of(store, SELECTED).set_weight(30).written} == {"one", "two"}


def test_the_plan_covers_the_versions_of_selected_routes() -> None:
    """A fingerprint of a plan is another one when a route that labels select has changed."""
    store = store_of(labelled("one", release="shop"))
    router = router_of(store, SELECTED)
    first = router.plan(30)
    ref = ObjectRef(GROUP, "HTTPRoute", "default", "one")
    store.edit(ref, lambda manifest: manifest["metadata"].update(annotations={"a": "b"}))
    second = router.plan(30)
    assert first
    assert second
    assert first.fingerprint != second.fingerprint


def test_a_selected_route_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    """In a directory, a route of two places is no route to choose from."""
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump(labelled("one", release="shop")))
    (tmp_path / "services.yaml").write_text(yaml.safe_dump_all(SERVICES))
    router = TrafficRouter(parse_rollout(m.rollout(SELECTED)), DirectoryStore(str(tmp_path)))
    with pytest.raises(DuplicateObjectError, match="HTTPRoute default/one"):
        router.set_weight(30)


def test_rollway_check_lists_selected_routes(tmp_path: Path) -> None:
    """`rollway check` names what rollway writes; without a cluster, what only labels name is left out."""
    route = labelled("one", release="shop")
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump_all([m.rollout(SELECTED), route, *SERVICES]))
    assert rollway("check", "shop", "--dir", str(tmp_path)).code == 0


# -- what is reported


def with_status(
    route: Manifest, *conditions: tuple[str, str], generation: int = 2, **parent: Any
) -> Manifest:
    """Return a route of generation 2 with one more controller that reports conditions at its parent."""
    route["metadata"].setdefault("generation", 2)
    listed = [
        {
            "type": kind,
            "status": status,
            "reason": "Why",
            "message": "because",
            "observedGeneration": generation,
        }
        for kind, status in conditions
    ]
    parents = route.setdefault("status", {}).setdefault("parents", [])
    reference = {"name": "gateway", **parent}
    controller = f"example.com/controller-{len(parents)}"
    parents.append({"parentRef": reference, "controllerName": controller, "conditions": listed})
    return route


def test_a_route_that_nobody_accepts_is_refused() -> None:
    """A weight in a route that its Gateway ignores would change nothing; the way back to stable stays open."""
    store = store_of(with_status(m.http_route(), ("Accepted", "False")))
    with pytest.raises(RefusedError, match=r"has not accepted it \(Why: because\)"):
        router_of(store).set_weight(20)
    store.edit(WEB, lambda manifest: manifest["spec"]["rules"][0].update(m.pair_rule(80, 20)))
    assert codes(router_of(store).set_weight(0).findings) == {"gateway-not-accepted": Severity.NOTE}


def test_a_route_that_one_of_two_controllers_accepts_is_written() -> None:
    """Another Gateway that refuses the route is a note, and so is a part that a controller leaves out."""
    route = with_status(m.http_route(), ("Accepted", "False"))
    with_status(route, ("Accepted", "True"), ("ResolvedRefs", "False"), ("PartiallyInvalid", "True"))
    findings = router_of(store_of(route)).set_weight(20).findings
    assert codes(findings) == {
        "gateway-not-accepted": Severity.NOTE,
        "gateway-partly-invalid": Severity.NOTE,
    }
    assert sum(finding.code == "gateway-partly-invalid" for finding in findings) == 2


def test_an_old_status_and_one_of_another_parent_count_for_nothing() -> None:
    """What a controller reported of an earlier generation, or of a parent that the route has no more, is no finding."""
    route = with_status(m.http_route(), ("Accepted", "False"), generation=1)
    with_status(route, ("Accepted", "False"), name="removed")
    assert router_of(store_of(route)).set_weight(20).findings == ()


def grant(**words: Any) -> Manifest:
    """Return a ReferenceGrant for HTTPRoutes in namespace edge."""
    source = {"group": GROUP, "kind": "HTTPRoute", "namespace": "edge", **words.pop("source", {})}
    return {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "edge", "namespace": "default"},
        "spec": {"from": [source], "to": [{"group": "", "kind": "Service", **words}]},
    }


@pytest.mark.parametrize(
    ("grants", "missing"),
    [
        ([], ["shop-stable", "shop-canary"]),
        ([grant()], []),
        ([grant(name="shop-stable")], ["shop-canary"]),
        ([grant(source={"namespace": "other"})], ["shop-stable", "shop-canary"]),
    ],
)
def test_routes_of_another_namespace_need_a_reference_grant(
    grants: list[Manifest], missing: list[str]
) -> None:
    """Without a ReferenceGrant the share of a Service would be answered with 500, so a cluster is refused the weight."""
    refs = [
        m.backend_ref("shop-stable", 100, namespace="default"),
        m.backend_ref("shop-canary", 0, namespace="default"),
    ]
    route = m.placed(m.http_route("web", {"backendRefs": refs}), "edge")
    store = store_of(route, *grants, running=True)
    router = router_of(store, {"gatewayAPI": {"httpRoute": "web", "namespace": "edge"}})
    if not missing:
        assert router.set_weight(20).findings == ()
        return
    with pytest.raises(RefusedError) as caught:
        router.set_weight(20)
    assert [reason.message.rpartition("/")[2] for reason in caught.value.reasons] == missing


def test_endpoints_count_for_the_ports_that_the_rules_use() -> None:
    """A canary whose pods do not serve the port of the reference gets no weight."""
    store = store_of(m.http_route(), running=True)
    ref = ObjectRef("discovery.k8s.io", "EndpointSlice", "default", "shop-canary-slice")
    store.edit(ref, lambda manifest: manifest.update(ports=[{"name": "admin", "port": 9000}]))
    with pytest.raises(RefusedError, match="no ready endpoint for port 80"):
        router_of(store).set_weight(20)


def test_a_rule_with_weights_for_others_alone_cannot_be_shared() -> None:
    """Where the pair has no weight beside others, there is nothing to give the canary a share of."""
    refs = [m.backend_ref("shop-stable", 0), m.backend_ref("shop-canary", 0), m.backend_ref("other", 5)]
    with pytest.raises(RefusedError, match="get no traffic there"):
        router_of(store_of(m.http_route("web", {"backendRefs": refs}))).set_weight(20)


def test_a_version_that_is_not_known_is_refused() -> None:
    """What a later version of Gateway API means by its fields is not guessed."""
    with pytest.raises(ManifestError, match="v9 is not known for HTTPRoute; known: v1, v1beta1"):
        router_of(store_of(m.http_route(version="v9"))).set_weight(20)


def test_the_faults_of_all_routes_come_together() -> None:
    """A wrong route hides no other wrong one."""
    routing = {"gatewayAPI": {"httpRoutes": [{"name": "web"}, {"name": "more"}]}}
    other = {"backendRefs": [m.backend_ref("images")]}
    store = store_of(m.http_route("web", other), m.http_route("more", other))
    with pytest.raises(NotFoundError) as caught:
        router_of(store, routing).set_weight(20)
    assert "default/web" in str(caught.value)
    assert "default/more" in str(caught.value)


# -- the evidence `accepted`


class Cluster(MemoryStore):
    """A store that passes for a cluster, in which a controller accepts a route so many readings after its last write."""

    after = 0
    readings = 0

    def accept(self) -> None:
        """Let the controller report on the route as it is now."""

        def report(manifest: Manifest) -> None:
            accepted_as(manifest, generation=manifest["metadata"]["generation"])

        self.edit(WEB, report)

    def write(self, change: Any, *, dry_run: bool = False) -> Any:
        """Count up the generation, as an API server does."""
        self.readings = 0
        super().write(change, dry_run=dry_run)
        self.edit(change.ref, lambda manifest: manifest["metadata"].update(generation=3))
        return self.read([Need(*WEB[:2], WEB.name, WEB.namespace)])[WEB]

    def read(self, needs: Any) -> Any:
        """Let the controller report in time."""
        self.readings += 1
        if self.after and self.readings == self.after:
            self.accept()
        return super().read(needs)

    def is_served(self, group: str, kind: str, *, required: bool) -> bool:
        """Serve everything."""
        return bool(group and kind) or required

    def allows(
        self, verb: str, resource: str, group: str = "", *, namespace: str = "", name: str = ""
    ) -> bool:
        """Allow everything."""
        return bool(verb and resource and (group, namespace, name))

    def field_managers(self, ref: ObjectRef) -> list[str]:
        """Name nobody."""
        return [] if ref else [""]


def accepted_as(route: Manifest, generation: int) -> Manifest:
    """Make a route one that its only controller has accepted in a generation."""
    route.pop("status", None)
    return with_status(route, ("Accepted", "True"), ("ResolvedRefs", "True"), generation=generation)


def accepting(route: Manifest, routing: dict[str, Any] | None = None) -> TrafficRouter:
    """Return a router with the probe of `accepted`."""
    store = Cluster([route, *SERVICES, *READY], running=True)
    router = router_of(store, routing)
    return replace(router, probes=status_probes(router.rollout, store))


def test_accepted_is_said_once_the_status_is_about_the_new_generation() -> None:
    """The objects are read again until the controller has seen the change; the old status is no evidence."""
    router = accepting(accepted_as(m.http_route(), 2))
    assert isinstance(router.store, Cluster)
    router.store.after = 5
    result = router.set_weight(20, verify=Evidence.ACCEPTED, timeout=20)
    assert result.verdict
    assert (result.verdict.outcome, result.verdict.evidence) == (Outcome.MATCHES, Evidence.ACCEPTED)
    assert router.store.readings >= 5


def test_accepted_is_never_taken_for_loaded() -> None:
    """A status shows nothing of a data plane, so `loaded` stays refused beside it."""
    router = accepting(accepted_as(m.http_route(), 2))
    with pytest.raises(UnsupportedError, match=r"'loaded' cannot be shown .* highest here is 'accepted'"):
        router.set_weight(20, verify=Evidence.LOADED)


def test_accepted_is_refused_on_files_by_name() -> None:
    """A status in a file is nobody's report."""
    router = router_of(store_of(accepted_as(m.http_route(), 2)))
    assert status_probes(router.rollout, router.store) == ()
    with pytest.raises(UnsupportedError, match="'accepted' cannot be shown") as caught:
        router.set_weight(20, verify=Evidence.ACCEPTED)
    assert "accepted needs a cluster" in caught.value.hint


def no_generation(route: Manifest) -> Manifest:
    """Take the generations out of a status, as Linkerd leaves them."""
    for condition in route["status"]["parents"][0]["conditions"]:
        del condition["observedGeneration"]
    return route


BETA = HeaderRoute("beta", (RequestMatch((("X-Beta", StringMatch("exact", "1")),)),))
OK = ("Accepted", "True"), ("ResolvedRefs", "True")


@pytest.mark.parametrize(
    ("route", "outcome", "reason"),
    [
        (m.http_route(), Outcome.UNKNOWN, "no controller reports on the route at Gateway default/gateway"),
        (m.http_route(parentRefs=[]), Outcome.UNKNOWN, "is attached to no parent"),
        (with_status(m.http_route(), *OK), Outcome.MATCHES, "has accepted it"),
        (
            with_status(m.http_route(), *OK, kind="Gateway", group=GROUP, namespace="default"),
            Outcome.MATCHES,
            "",
        ),
        (with_status(m.http_route(), *OK, sectionName="http"), Outcome.UNKNOWN, "no controller reports"),
        (with_status(m.http_route(), *OK, generation=1), Outcome.DIFFERS, "has not seen the change yet"),
        (with_status(m.http_route(), OK[0]), Outcome.UNKNOWN, "does not report ResolvedRefs"),
        (
            with_status(m.http_route(), OK[0], ("ResolvedRefs", "False")),
            Outcome.DIFFERS,
            "ResolvedRefs False",
        ),
        (with_status(m.http_route(), ("Accepted", "Unknown"), OK[1]), Outcome.UNKNOWN, "Accepted Unknown"),
        (
            with_status(m.http_route(), *OK, ("PartiallyInvalid", "True")),
            Outcome.DIFFERS,
            "not taken over the whole",
        ),
        (
            no_generation(with_status(m.http_route(), *OK)),
            Outcome.UNKNOWN,
            "does not report which generation",
        ),
        (with_status(with_status(m.http_route(), *OK), *OK, generation=1), Outcome.DIFFERS, "controller-1"),
        (
            with_status(m.http_route(parentRefs=[{"name": "gateway", "sectionName": "a", "port": 80}]), *OK),
            Outcome.UNKNOWN,
            "Gateway default/gateway listener a port 80",
        ),
    ],
)
def test_accepted_needs_every_controller_of_every_parent(
    route: Manifest, outcome: Outcome, reason: str
) -> None:
    """Both conditions are True in the present generation at each parent that the route names, and nothing was left out."""
    router = accepting(route)
    verdict = router.verify(0, level=Evidence.ACCEPTED)
    assert (verdict.outcome, reason in verdict.reason) == (outcome, True), verdict.reason
    assert verdict.evidence is Evidence.ACCEPTED


def test_accepted_needs_every_route_of_the_rollout() -> None:
    """One route that is not accepted yet decides for all."""
    router = accepting(
        accepted_as(m.http_route(), 2), {"gatewayAPI": {"httpRoute": "web", "tcpRoute": "raw"}}
    )
    assert isinstance(router.store, Cluster)
    router.store.put(m.http_route("raw", kind="TCPRoute"))
    verdict = router.verify(0, level=Evidence.ACCEPTED)
    assert (verdict.outcome, "TCPRoute default/raw" in verdict.reason) == (Outcome.UNKNOWN, True)


# -- what Argo's Gateway API plugin v0.15.0 does otherwise; each issue is one of its repository


def test_all_zero_is_never_written_where_the_plugin_writes_what_it_finds() -> None:
    """Weights 0 and 0 are written out of the total, since a rule of zeros is answered with 500."""
    store = store_of(m.http_route("web", m.pair_rule(0, 0)))
    for weight in (0, 20):
        router_of(store).set_weight(weight)
        assert weights(store) == [[100 - weight, weight]]


def test_a_rule_for_the_canary_alone_keeps_its_weight_where_the_plugin_takes_it_for_its_own() -> None:
    """A rule that holds one Service is left alone, whatever the weight, also by a reset."""
    alone = {"name": "testers", "backendRefs": [m.backend_ref("shop-canary", 3)]}
    store = store_of(m.http_route("web", alone, m.pair_rule()))
    router_of(store).set_weight(20)
    assert weights(store) == [[3], [80, 20]]
    router_of(store).reset()
    assert store.manifests[WEB]["spec"]["rules"] == [alone, m.pair_rule()]


def test_a_rule_with_one_service_is_no_error_and_no_target_where_the_plugin_weighs_all_rules() -> None:
    """Stable alone in a rule keeps its weight: no canary is there to get the rest."""
    store = store_of(m.http_route("web", {"backendRefs": [m.backend_ref("shop-stable", 7)]}, m.pair_rule()))
    router_of(store).set_weight(20)
    assert weights(store) == [[7], [80, 20]]


def test_a_rule_of_managed_routes_keeps_its_weight() -> None:
    """The weight of a header rule is not that of the split, and a weight leaves the rule there (#230, #147)."""
    store = store_of(m.http_route())
    router = router_of(store, {**ROUTING, "managedRoutes": [{"name": "beta"}]})
    router.set_header_route(BETA)
    router.set_weight(20)
    assert weights(store) == [[1], [80, 20]]


def test_the_same_weight_again_is_no_request_where_the_plugin_updates_each_time() -> None:
    """A reconcile without a change writes nothing (#230)."""
    store = store_of(m.http_route())
    router_of(store).set_weight(20)
    writes = len(store.log)
    assert not router_of(store).set_weight(20).changed
    assert len(store.log) == writes


def test_a_write_is_a_patch_of_weights_where_the_plugin_updates_the_whole_object() -> None:
    """Only the two weights are written, after tests of what they rely on, so an edit at the same moment is no lost one."""
    store = store_of(m.http_route())
    plan = router_of(store).plan(20)
    assert plan
    operations = [(entry["op"], entry["path"]) for entry in plan.changes[0].patch]
    assert operations == [
        ("test", "/spec/rules/0/backendRefs/0/name"),
        ("test", "/spec/rules/0"),
        ("test", "/spec/rules/0/backendRefs/1/name"),
        ("replace", "/spec/rules/0/backendRefs/0/weight"),
        ("replace", "/spec/rules/0/backendRefs/1/weight"),
    ]


def test_no_label_is_left_on_a_route_that_two_rollouts_share() -> None:
    """Two Rollouts of one route change their own rules, and neither writes a label that the other takes away (#164, #208)."""
    other = {"backendRefs": [m.backend_ref("cart-stable", 100), m.backend_ref("cart-canary", 0)]}
    store = store_of(m.http_route("web", m.pair_rule(), other))
    services: dict[str, Any] = {"stableService": "cart-stable", "canaryService": "cart-canary"}
    router_of(store).set_weight(20)
    router_of(store, name="cart", **services).set_weight(70)
    assert weights(store) == [[80, 20], [30, 70]]
    assert store.manifests[WEB]["metadata"] == m.http_route()["metadata"]


def test_an_empty_namespace_is_that_of_the_rollout() -> None:
    """The routes of a Rollout without `namespace` are in its own, also in a manifest without any (#67)."""
    rollout = parse_rollout(
        m.placed(m.rollout({"gatewayAPI": {"httpRoute": "web", "namespace": ""}}), "shop")
    )
    assert rollout.stanza(GatewayTrafficRouting).namespace == "shop"
