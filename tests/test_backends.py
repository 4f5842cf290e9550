"""What single backends do beyond the contract and the golden cases."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import manifests as m
from rollway.routers.backends import BUILTIN, backend
from rollway.routers.backends.istio.virtual_service import host_name
from rollway.routers.backends.nginx.controller import load, read_paths
from rollway.routers.backends.nginx.ingresses import canary_name
from rollway.routers.backends.nginx.neighbours import Neighbours
from rollway.routers.backends.nginx.policy import Policy, read_canary
from rollway.routers.backends.nginx.stanza import DEFAULT_PREFIX
from rollway.routers.backends.smi.split import quantity
from rollway.routers.errors import ManifestError, NotFoundError, RollwayError, UnsupportedError
from rollway.routers.findings import Severity
from rollway.routers.objects import KindSnapshot, LiveObject, ObjectRef
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.snapshot import Snapshot
from rollway.routers.stores.manifests import ref_of
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import HeaderRoute, MirrorRoute, Outcome, RequestMatch, StringMatch, Traffic
from rollway.routers.weights import Split
from running import rollway

if TYPE_CHECKING:
    from pathlib import Path

    from rollway.routers.backends.nginx import controller

PREFIX = "nginx.ingress.kubernetes.io"
REF = ObjectRef("networking.k8s.io", "Ingress", "default", "web")
NGINX = {"nginx": {"stableIngress": "web"}}


def canary_metadata(**values: str) -> dict[str, Any]:
    """Return metadata with ingress-nginx annotations, `_` for `-`."""
    return {"annotations": {f"{PREFIX}/{key.replace('_', '-')}": value for key, value in values.items()}}


def codes(store: MemoryStore, weight: int = 10, routing: Any = NGINX) -> set[tuple[str, str]]:
    """Return the codes and severities of a plan's findings."""
    plan = TrafficRouter(parse_rollout(m.rollout(routing)), store).plan(weight)
    assert plan is not None
    return {(found.code, found.severity.value) for found in plan.findings}


# -- names


@given(st.text("ab.-c", min_size=1, max_size=253), st.text("ab.-c", min_size=1, max_size=253))
def test_canary_names_are_short_and_keep_their_form(rollout: str, ingress: str) -> None:
    """A canary's name fits into 253 characters and is Argo's where that one fits."""
    name = canary_name(rollout, ingress)
    assert len(name) <= 253
    assert name.endswith("-canary")
    if len(rollout) + len(ingress) <= 245:
        assert name == f"{rollout}-{ingress}-canary"


def test_long_names_never_collide() -> None:
    """Two long names that are equal at the start get different canary names."""
    names = {canary_name("r" * 200, "i" * 100 + tail) for tail in "abc"}
    assert len(names) == 3
    assert canary_name("r" * 235 + ".", "i" * 50).count(".-") == 0


# -- ingress-nginx


def loaded(*ingresses: Any) -> controller.Loaded:
    """Return what the controller loads, oldest first."""
    return load([(ref_of(found, "default"), found) for found in ingresses], PREFIX)


CANARY = m.ingress(
    "canary",
    "shop.example.com",
    m.path("shop-canary"),
    metadata=canary_metadata(canary="true", canary_weight="20"),
)


def test_a_good_canary_is_merged_with_its_policy() -> None:
    """A canary with the same host, path and type becomes the alternative of the primary upstream."""
    found = loaded(m.ingress(), CANARY)
    assert found.upstreams["default-shop-stable-80"].alternatives == ["default-shop-canary-80"]
    assert found.upstreams["default-shop-canary-80"].policy == Policy(20)
    assert found.log == []
    assert loaded(m.ingress(), CANARY, CANARY).upstreams["default-shop-stable-80"].alternatives == [
        "default-shop-canary-80"
    ]


@pytest.mark.parametrize(
    ("others", "upstream", "reason"),
    [
        ([], "default-shop-canary-80", ""),
        ([m.ingress("web", "other.example.com")], "default-shop-canary-80", "served by no other Ingress"),
        (
            [m.ingress("web", "shop.example.com", m.path("shop-stable", "/a"))],
            "default-shop-canary-80",
            "deletes the whole canary",
        ),
        (
            [m.ingress("web", "shop.example.com", m.path("shop-stable", kind="Exact"))],
            "default-shop-canary-80",
            "deletes the whole canary",
        ),
    ],
)
def test_the_controller_ignores_canaries_for_a_reason(others: list[Any], upstream: str, reason: str) -> None:
    """Each case of an ignored canary is predicted, with what the controller would log."""
    found = loaded(*others, CANARY)
    assert all(upstream not in item.alternatives for item in found.upstreams.values())
    assert reason in found.reasons(upstream)


def test_one_wrong_path_deletes_the_whole_canary() -> None:
    """A canary with one path that matches and one that does not is deleted, and its later paths are passed over."""
    canary = m.ingress(
        "canary",
        "shop.example.com",
        m.path("c"),
        m.path("c", "/x"),
        m.path("c", "/y"),
        metadata=canary_metadata(canary="true"),
    )
    found = loaded(m.ingress(), canary)
    assert "default-c-80" not in found.upstreams


def test_an_omitted_path_is_the_root() -> None:
    """A path that is left out is "/" to the controller, of a canary as well."""
    canary = m.ingress(
        "canary", "shop.example.com", m.path("c", None), metadata=canary_metadata(canary="true")
    )
    found = loaded(m.ingress("web", "shop.example.com", m.path("s", None)), canary)
    assert found.upstreams["default-s-80"].alternatives == ["default-c-80"]


def test_a_canary_ingress_of_a_normal_service_gets_locations() -> None:
    """What a Service was first used for decides; a host that nobody has leads to the catch-all server."""
    canary = m.ingress("canary", "nobody.example.com", m.path("shop-stable"), metadata=CANARY["metadata"])
    found = loaded(m.ingress(), canary)
    assert found.locations["_", "/", "Prefix"][1].name == "canary"


def test_the_older_ingress_decides_what_a_service_is() -> None:
    """A Service that an older normal Ingress uses stays normal; one that an older canary uses loses its location."""
    preview = m.ingress("preview", "preview.example.com", m.path("shop-canary"))
    normal_first = loaded(m.ingress(), preview, CANARY)
    assert normal_first.upstreams["default-shop-canary-80"].policy == Policy()
    canary_first = loaded(m.ingress(), CANARY, preview)
    assert [item[1].name for item in canary_first.skipped] == ["preview"]


def test_default_backends_are_merged_into_the_catch_all() -> None:
    """A canary's default backend becomes the alternative of what the catch-all server serves, or is deleted."""
    catch_all = {
        **m.ingress("all"),
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
    }
    canary = {
        **catch_all,
        "metadata": {"name": "c", **canary_metadata(canary="true")},
        "spec": {"defaultBackend": {"service": {"name": "c", "port": {"number": 80}}}},
    }
    assert loaded(catch_all, canary).upstreams["default-s-80"].alternatives == ["default-c-80"]
    assert "default-c-80" not in loaded(m.ingress(), canary).upstreams
    resource = {**catch_all, "spec": {"defaultBackend": {"resource": {"kind": "Bucket"}}, "rules": []}}
    assert loaded(resource).locations == {}


def test_root_location_is_walked_first() -> None:
    """The root location of a server comes first, so a primary there hides the other paths."""
    web = m.ingress("web", "shop.example.com", m.path("shop-stable", "/a"), m.path("shop-canary"))
    canary = m.ingress(
        "canary", "shop.example.com", m.path("shop-canary", "/a"), metadata=canary_metadata(canary="true")
    )
    assert "a primary of host" in loaded(web, canary).reasons("default-shop-canary-80")


@pytest.mark.parametrize(
    ("values", "enabled", "policy", "problems"),
    [
        ({}, False, Policy(), 0),
        ({"canary": "1"}, True, Policy(), 0),
        ({"canary": "no"}, False, Policy(), 1),
        ({"canary": "false", "canary_weight": "5"}, False, Policy(5), 0),
        ({"canary": "T", "canary_weight": "5.5", "canary_weight_total": "x"}, True, Policy(0, 100), 2),
        ({"canary": "true", "canary_by_header": "X, Beta"}, True, Policy(), 1),
        (
            {
                "canary": "true",
                "canary_by_header": "X",
                "canary_by_header_pattern": "^(a|b)$",
                "canary_by_cookie": "c",
            },
            True,
            Policy(0, 100, "X", "", "^(a|b)$", "c"),
            0,
        ),
    ],
)
def test_annotations_are_read_as_the_parser_does(
    values: dict[str, str], enabled: bool, policy: Policy, problems: int
) -> None:
    """An invalid value falls back to its default, and a finding reports it."""
    found = read_canary(canary_metadata(**values)["annotations"], PREFIX)
    assert (found[0], found[1], len(found[2])) == (enabled, policy, problems)


@pytest.mark.parametrize(
    "spec",
    [
        [],
        {"rules": {}},
        {"rules": ["x"]},
        {"rules": [{"http": []}]},
        {"rules": [{"host": 5, "http": {"paths": [{}]}}]},
        {"rules": [{"http": {"paths": [{"backend": {"service": "x"}}]}}]},
    ],
)
def test_malformed_ingresses_are_typed_errors(spec: Any) -> None:
    """An Ingress that the API server would refuse is an error with its path."""
    with pytest.raises(ManifestError, match=r"spec|host|http|backend"):
        list(read_paths(REF, {**m.ingress(), "spec": spec}))


def test_rules_without_service_have_no_paths() -> None:
    """Rules without http and paths with a resource backend are passed over."""
    spec = {
        "rules": [
            {"host": "a"},
            {"http": None},
            {"http": {"paths": [{"path": "/", "backend": {"resource": {"kind": "Bucket"}}}]}},
        ]
    }
    assert list(read_paths(REF, {**m.ingress(), "spec": spec})) == []


def test_age_decides_where_it_is_known() -> None:
    """With creation times, only the order that they give counts: an older foreign canary wins, a younger one loses."""
    for age, expected in (("2020", {("nginx-second-canary", "refusal")}), ("2024", set())):
        beta = m.ingress(
            "beta",
            "shop.example.com",
            m.path("beta"),
            metadata={"creationTimestamp": f"{age}-01-01T00:00:00Z", **canary_metadata(canary="true")},
        )
        web = m.ingress(metadata={"creationTimestamp": "2019-01-01T00:00:00Z"})
        ours = m.ingress(
            "shop-web-canary",
            "shop.example.com",
            m.path("shop-canary"),
            metadata={
                "creationTimestamp": "2022-01-01T00:00:00Z",
                "annotations": {
                    **canary_metadata(canary="true")["annotations"],
                    "rollway.dev/rollout": "shop",
                },
            },
        )
        store = MemoryStore([web, beta, ours, m.service("shop-canary"), m.service("shop-stable")])
        assert codes(store) == expected


@pytest.mark.parametrize(
    ("paths", "refused"),
    [
        ([("/", "Exact"), ("/", "Exact")], True),
        ([("/", "Exact")], False),
        ([("/a", "Exact"), ("/a", "Exact")], False),
        ([("/a", "Prefix"), ("/a", "Exact")], False),
        ([("/a", "Prefix"), ("/a", "Exact"), ("/a", "Exact")], True),
        ([("/a", "Exact"), ("/a", "Prefix"), ("/a", "Prefix")], True),
        ([("/a", "Prefix"), ("/a/", "Prefix")], True),
        ([("/a", "Prefix"), ("/a/b", "Prefix"), ("/ab", "Prefix")], False),
        ([("/a", "ImplementationSpecific"), ("/a", "Prefix")], False),
    ],
)
def test_a_location_that_nginx_finds_twice_is_refused(paths: list[tuple[str, str]], refused: bool) -> None:
    """One Ingress for each path: paths that make nginx refuse its configuration are found, unless all are regular expressions."""
    others = [
        m.ingress(f"other-{number}", "shop.example.com", m.path("legacy", at, kind=kind))
        for number, (at, kind) in enumerate(paths)
    ]
    code = ("nginx-config-refused", "refusal")
    assert (code in codes(MemoryStore([m.ingress(), *others]))) is refused
    others[0]["metadata"]["annotations"] = {f"{DEFAULT_PREFIX}/use-regex": "true"}
    assert code not in codes(MemoryStore([m.ingress(), *others]))


def test_nginx_findings_are_notes_at_zero() -> None:
    """Going to 0 is never refused for what the controller would ignore."""
    store = MemoryStore([m.ingress(), m.ingress("old", "shop.example.com", m.path("legacy"))])
    assert ("nginx-path-taken", "note") in codes(store, 0)
    assert ("nginx-path-taken", "refusal") in codes(store, 10)


def test_a_stable_service_that_is_a_canary_elsewhere_is_not_served() -> None:
    """When another canary made the stable Service its own, the stable location is missing."""
    other = m.ingress(
        "other", "shop.example.com", m.path("shop-stable", "/x"), metadata=canary_metadata(canary="true")
    )
    assert ("nginx-location-missing", "refusal") in codes(MemoryStore([m.ingress(), other]))


def test_a_stable_service_that_a_canary_has_deleted_is_not_served() -> None:
    """When another canary Ingress uses the stable Service and matches nothing, the controller deletes the stable upstream."""
    other = m.ingress("other", "b", m.path("shop-stable"), metadata=canary_metadata(canary="true"))
    store = MemoryStore([m.ingress(), other, m.ingress("b", "b", m.path("x", "/x"))])
    assert ("nginx-location-missing", "refusal") in codes(store)


def test_a_deleted_canary_is_refused() -> None:
    """When another canary Ingress with our canary Service has a path that matches nothing, ours goes with it."""
    other = m.ingress(
        "a", "shop.example.com", m.path("shop-canary", "/nowhere"), metadata=canary_metadata(canary="true")
    )
    assert ("nginx-canary-ignored", "refusal") in codes(MemoryStore([m.ingress(), other]))


def test_garbage_in_our_own_object_is_repaired() -> None:
    """A canary Ingress of ours with an unreadable weight is overwritten by the plan."""
    store = MemoryStore([m.ingress()])
    router = TrafficRouter(parse_rollout(m.rollout(NGINX)), store)
    router.set_weight(10)
    ref = next(ref for ref in store.manifests if ref.name == "shop-web-canary")
    store.edit(ref, lambda made: made["metadata"]["annotations"].update({f"{PREFIX}/canary-weight": "lots"}))
    router.set_weight(20)
    assert router.observe().traffic == Traffic(Split(20))


def test_weight_over_total_reads_as_everything() -> None:
    """The controller treats a weight over the total as all of it; a canary that is switched off has no weight."""
    canary = m.ingress(
        "shop-web-canary",
        "shop.example.com",
        m.path("shop-canary"),
        metadata=canary_metadata(canary="true", canary_weight="300", canary_weight_total="200"),
    )
    rollout = parse_rollout(m.rollout(NGINX))
    assert TrafficRouter(rollout, MemoryStore([m.ingress(), canary])).observe().traffic == Traffic(Split(100))
    off = m.ingress("shop-web-canary", metadata=canary_metadata(canary="false"))
    assert TrafficRouter(rollout, MemoryStore([m.ingress(), off])).observe().readings[0].traffic is None


INGRESSES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", None]),
        st.lists(
            st.tuples(
                st.sampled_from(["shop-stable", "shop-canary", "x", "y", "z"]),
                st.sampled_from(["/", "/p", None]),
            ),
            min_size=1,
            max_size=2,
        ),
        st.booleans(),
    ),
    max_size=7,
)


@given(INGRESSES)
@settings(max_examples=300, deadline=None)
def test_unconnected_ingresses_change_nothing(others: list[Any]) -> None:
    """What is predicted from the connected Ingresses alone is what is predicted from all of them."""
    found = [m.ingress("web", "a")]
    for number, (host, paths, canary) in enumerate(others):
        listed = [m.path(name, at) for name, at in paths]
        found.append(
            m.ingress(f"i{number}", host, *listed, metadata=canary_metadata(canary="true") if canary else {})
        )
    store = MemoryStore(found)
    expected = codes_and_words(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Neighbours, "of", lambda neighbours, _start: list(neighbours._ingresses))
        assert codes_and_words(store) == expected


@given(INGRESSES, INGRESSES, INGRESSES)
@settings(max_examples=300, deadline=None)
def test_neighbours_follow_each_change(before: list[Any], then: list[Any], last: list[Any]) -> None:
    """Whatever was written and deleted in between, the neighbours are those that a first look at the Ingresses finds."""
    snapshot: KindSnapshot = Snapshot({})
    for others, ask in ((before, True), (then, False), (last, True)):
        written = {item.ref: item for item in map(ingress_of, range(len(others)), others)}
        snapshot = snapshot.after(written, [ref for ref in snapshot if ref not in written])
        if ask:
            neighbours = neighbours_in(snapshot)
            fresh = neighbours_in(Snapshot(written))
            for ref in written:
                assert set(neighbours.of(ref)) == set(fresh.of(ref))
    assert snapshot.after(written) is snapshot


def ingress_of(number: int, words: Any) -> LiveObject:
    """Return an Ingress of `INGRESSES`."""
    host, paths, canary = words
    listed = [m.path(name, at) for name, at in paths]
    metadata = canary_metadata(canary="true") if canary else {}
    manifest = m.ingress(f"i{number}", host, *listed, metadata=metadata)
    return LiveObject(ref_of(manifest, "default"), manifest, "1")


def test_an_ingress_that_cannot_be_read_is_its_only_neighbour() -> None:
    """An Ingress that the API server would refuse shares no host and no Service with others."""
    odd = m.ingress("odd")
    odd["spec"]["rules"] = "none"
    live = LiveObject(ref_of(odd, "default"), odd, "1")
    assert list(Neighbours(PREFIX).after((), [live]).of(live.ref)) == [live.ref]


def neighbours_in(snapshot: KindSnapshot) -> Neighbours:
    """Return the index that the backend asks for."""
    return snapshot.index("nginx", lambda: Neighbours(PREFIX))


def codes_and_words(store: MemoryStore) -> list[str]:
    """Return the findings of a plan as sorted text."""
    plan = TrafficRouter(parse_rollout(m.rollout(NGINX)), store).plan(10)
    assert plan is not None
    return sorted(str(finding) for finding in plan.findings)


def test_a_broken_ingress_of_somebody_else_is_left_out() -> None:
    """An Ingress that the API server would refuse does not stop another app."""
    broken = {**m.ingress("broken"), "spec": {"rules": "none"}}
    assert (
        TrafficRouter(parse_rollout(m.rollout(NGINX)), MemoryStore([m.ingress(), broken]))
        .set_weight(5)
        .changed
    )


# -- Istio


@pytest.mark.parametrize(
    "host",
    ["shop", "shop.prod", "shop.prod.svc", "shop.prod.svc.cluster.local", "shop.prod.svc.cluster.local."],
)
def test_every_spelling_of_a_host_is_one(host: str) -> None:
    """Short and long names of a Service are the same host."""
    assert host_name(host, "prod") == "shop.prod.svc.cluster.local"


def test_external_hosts_stay_what_they_are() -> None:
    """A host of three and more labels that is no Service is left alone."""
    assert host_name("shop.example.com", "prod") == "shop.example.com"


ISTIO = {"istio": {"virtualService": {"name": "web"}}}
SUBSETS = {
    "istio": {
        **ISTIO["istio"],
        "destinationRule": {"name": "shop", "stableSubsetName": "stable", "canarySubsetName": "canary"},
    }
}


def test_wildcard_destination_rules_match_by_suffix() -> None:
    """A DestinationRule for *.default.svc.cluster.local covers the hosts below it."""
    pair = [m.destination("shop", 100, subset="stable"), m.destination("shop", 0, subset="canary")]
    store = MemoryStore(
        [m.virtual_service(http=[{"route": pair}]), m.destination_rule(host="*.default.svc.cluster.local")]
    )
    TrafficRouter(parse_rollout(m.rollout(SUBSETS)), store).set_weight(30)
    assert TrafficRouter(parse_rollout(m.rollout(SUBSETS)), store).observe().traffic == Traffic(Split(30))


def test_alike_and_broken_subsets_are_told() -> None:
    """Subsets with equal labels are a note; a DestinationRule without a list of subsets lacks both."""
    pair = [m.destination("shop", 100, subset="stable"), m.destination("shop", 0, subset="canary")]
    alike = m.destination_rule(subsets=[{"name": "stable"}, {"name": "canary"}])
    assert ("istio-subsets-alike", "note") in codes(
        MemoryStore([m.virtual_service(http=[{"route": pair}]), alike]), routing=SUBSETS
    )
    none = m.destination_rule(subsets="none")
    assert codes(MemoryStore([m.virtual_service(http=[{"route": pair}]), none]), routing=SUBSETS) >= {
        ("istio-subset-missing", "refusal")
    }


def test_odd_destinations_are_somebody_elses() -> None:
    """A destination without a host, and a route without destinations, are passed over."""
    http = [
        {"redirect": {"uri": "/"}},
        {"route": [{"destination": {}}, {"weight": 1}]},
        m.virtual_service()["spec"]["http"][0],
    ]
    store = MemoryStore([m.virtual_service(http=http)])
    TrafficRouter(parse_rollout(m.rollout(ISTIO)), store).set_weight(10)
    assert codes(store, 20, ISTIO) == {("service-unknown", "note")}


def test_tls_and_tcp_selectors_need_match_blocks() -> None:
    """A route whose match is no list, or has several ports, is not the selected one."""
    pair = [m.destination("shop-stable", 100), m.destination("shop-canary", 0)]
    tcp = [
        {"match": "x", "route": pair},
        {"match": [{"port": 1}, {"port": 2}], "route": pair},
        {"match": [{"port": 1}], "route": pair},
    ]
    store = MemoryStore([m.virtual_service(tcp=tcp)])
    routing = {"istio": {"virtualService": {"name": "web", "tcpRoutes": [{"port": 1}]}}}
    TrafficRouter(parse_rollout(m.rollout(routing)), store).set_weight(10)
    written = next(iter(store.manifests.values()))["spec"]["tcp"]
    assert [entry["route"][1]["weight"] for entry in written] == [0, 0, 10]


def test_a_selector_may_match_several_tls_routes() -> None:
    """As in Argo, several TLS routes of one port all take part."""
    pair = [m.destination("shop-stable", 100), m.destination("shop-canary", 0)]
    tls = [{"match": [{"port": 443, "sniHosts": [name]}], "route": pair} for name in ("a", "b")]
    store = MemoryStore([m.virtual_service(tls=tls)])
    routing = {"istio": {"virtualService": {"name": "web", "tlsRoutes": [{"port": 443}]}}}
    assert len(TrafficRouter(parse_rollout(m.rollout(routing)), store).set_weight(10).written) == 1
    assert len(TrafficRouter(parse_rollout(m.rollout(routing)), store).observe().readings) == 2


def test_zero_of_nothing_is_nothing_to_do() -> None:
    """Where stable and canary have no traffic of their own, 0 changes nothing, and the plan is None."""
    http = [
        {
            "route": [
                m.destination("shop-stable", 0),
                m.destination("shop-canary", 0),
                m.destination("beta", 100),
            ]
        }
    ]
    router = TrafficRouter(parse_rollout(m.rollout(ISTIO)), MemoryStore([m.virtual_service(http=http)]))
    assert router.plan(0) is None
    assert router.observe().readings[0].traffic is None


def test_weights_of_other_types_are_errors() -> None:
    """A weight that is text or a truth value is no weight."""
    for weight in ("50", True):
        http = [
            {
                "route": [
                    {"destination": {"host": "shop-stable"}, "weight": weight},
                    m.destination("shop-canary", 0),
                ]
            }
        ]
        with pytest.raises(RollwayError, match="is no weight"):
            TrafficRouter(parse_rollout(m.rollout(ISTIO)), MemoryStore([m.virtual_service(http=http)])).plan(
                1
            )


def test_a_wrong_route_name_is_the_only_fault_beside_a_route_that_cannot_be_read() -> None:
    """A broken route may hold both destinations, so nothing is reported about the Services."""
    broken = {
        "name": "other",
        "route": [m.destination("shop-stable", "many"), m.destination("shop-canary", 0)],
    }
    service = m.virtual_service(http=[broken])
    routing = {"istio": {"virtualService": {"name": "web", "routes": ["main"]}}}
    with pytest.raises(NotFoundError, match="has no http route 'main'"):
        TrafficRouter(parse_rollout(m.rollout(routing)), MemoryStore([service])).plan(20)


# -- SMI


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("500m", Fraction(1, 2)),
        ("1.5k", 1500),
        ("2Ki", 2048),
        ("1e2", 100),
        ("5E-1", Fraction(1, 2)),
        ("+3", 3),
        (".5", Fraction(1, 2)),
        ("1Ei", 1024**6),
        ("100n", Fraction(1, 10**7)),
    ],
)
def test_quantities_are_read_exactly(text: str, value: Any) -> None:
    """A resource.Quantity is read as the exact number that it is."""
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "x", "1 k", "--1", "1K", "1.2.3", "NaN", "1e999", "٣"])
def test_other_text_is_no_quantity(text: str) -> None:
    """What is no resource.Quantity is None."""
    assert quantity(text) is None


def test_served_versions_choose_the_version() -> None:
    """A store that knows the served versions decides the version of a new split."""
    store = MemoryStore(served={"split.smi-spec.io": ["v1", "v1alpha3"]})
    TrafficRouter(parse_rollout(m.rollout({"smi": {}})), store).set_weight(10)
    assert next(iter(store.manifests.values()))["apiVersion"] == "split.smi-spec.io/v1alpha3"


def test_a_live_text_of_the_same_value_stays() -> None:
    """A weight whose value stays keeps its text: 1k beside 1000 is no difference."""
    live = m.traffic_split("v1alpha1", shop_canary="0", shop_stable="100", beta="1k")
    store = MemoryStore([live])
    TrafficRouter(parse_rollout(m.rollout({"smi": {}})), store).set_weight(50, adopt=True)
    backends = next(iter(store.manifests.values()))["spec"]["backends"]
    assert [entry["weight"] for entry in backends] == ["50", "50", "1k"]


def test_a_split_without_weights_says_nothing() -> None:
    """A TrafficSplit whose pair has no weight reads as no traffic."""
    for live in (
        m.traffic_split(shop_canary=0, shop_stable=0),
        m.traffic_split(shop_canary=None),
        m.traffic_split(beta=1),
    ):
        reading = (
            TrafficRouter(parse_rollout(m.rollout({"smi": {}})), MemoryStore([live])).observe().readings[0]
        )
        assert reading.traffic is None


# -- the table


def test_every_builtin_backend_tells_its_capabilities() -> None:
    """Each backend has its name, objects and versions."""
    for name in BUILTIN:
        assert backend(name).name == name
        assert backend(name).capabilities.versions
    assert {found.value for found in Severity} == {"refusal", "note"}


# -- SMI: a root Service that is not the stable one

ROOT: dict[str, Any] = {"smi": {"rootService": "shop"}}


def rooted(selector: dict[str, str], *objects: Any, running: bool = False) -> TrafficRouter:
    """Return a router whose clients call `shop`, which selects these pods."""
    root = {**m.service("shop"), "spec": {"selector": selector, "ports": [{"port": 80}]}}
    services = [m.service("shop-stable"), m.service("shop-canary")]
    store = MemoryStore([root, *services, *objects], running=running)
    return TrafficRouter(parse_rollout(m.rollout(ROOT)), store)


def test_reset_keeps_the_split_that_shields_stable() -> None:
    """Without the split the root Service would answer, maybe with canary pods, so it stays with canary 0."""
    shop = rooted({"app": "shop"})
    shop.set_weight(30)
    (to_stable,) = shop.reset()
    assert (
        [change.action.value for change in to_stable.plan.changes] == ["apply"] if to_stable.plan else False
    )
    assert shop.observe().traffic == Traffic(Split(0))
    assert shop.reset() == []
    deleted = shop.reset(everything=True)
    assert [result.plan.removal for result in deleted if result.plan] == [True]


def test_reset_makes_the_split_that_shields_stable() -> None:
    """Where the split is gone, only a new one sends all traffic to stable."""
    shop = rooted({"app": "shop"})
    (made,) = shop.reset()
    assert made.plan is not None
    assert [change.action.value for change in made.plan.changes] == ["create"]
    assert shop.verify(0).outcome is Outcome.MATCHES


@pytest.mark.parametrize(
    ("selector", "outcome"),
    [
        ({"app": "shop-canary"}, Outcome.DIFFERS),
        ({"app": "shop"}, Outcome.UNKNOWN),
        ({}, Outcome.UNKNOWN),
    ],
)
def test_without_the_split_nobody_says_that_all_goes_to_stable(
    selector: dict[str, str], outcome: Outcome
) -> None:
    """What the root Service selects is unknown; that it selects the canary's pods can be read from both selectors."""
    shop = rooted(selector)
    verdict = shop.verify(0)
    assert (verdict.outcome, "there is none" in verdict.reason) == (outcome, True)
    assert shop.observe().traffic is None


@pytest.mark.parametrize(
    ("endpoints", "outcome"), [(2, Outcome.DIFFERS), (0, Outcome.UNKNOWN)], ids=["shared", "no canary pod"]
)
def test_in_a_cluster_the_endpoints_show_whether_the_root_has_canary_pods(
    endpoints: int, outcome: Outcome
) -> None:
    """Endpoints with the same address are the same pod."""
    slices = [m.endpoint_slice("shop", ready=2), m.endpoint_slice("shop-canary", ready=endpoints)]
    shop = rooted({"app": "shop"}, *slices, m.endpoint_slice("shop-stable"), running=True)
    assert shop.verify(0).outcome is outcome


def test_a_root_that_is_the_stable_service_needs_no_split() -> None:
    """By default the split is deleted, and nothing is in doubt without it."""
    store = MemoryStore([m.service("shop-stable"), m.service("shop-canary")])
    shop = TrafficRouter(parse_rollout(m.rollout({"smi": {}})), store)
    shop.set_weight(30)
    assert len(shop.reset()) == 2
    assert shop.verify(0).outcome is Outcome.MATCHES


def test_the_command_line_says_what_is_in_doubt(tmp_path: Path) -> None:
    """`reset --delete-all` deletes the split as well, and no answer afterwards claims that stable gets everything."""
    objects = [m.rollout(ROOT), m.service("shop"), m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    where = ("--dir", str(tmp_path))
    assert rollway("set-weight", "shop", "30", *where).code == 0
    assert "nothing is left to delete" not in rollway("reset", "shop", *where).stdout
    assert (
        "all traffic goes to stable, and nothing is left to delete" in rollway("reset", "shop", *where).stdout
    )
    assert rollway("reset", "shop", "--delete-all", *where).code == 0
    idle = rollway("reset", "shop", "--delete-all", *where).stdout
    assert "all traffic goes to stable" not in idle
    assert "clients of shop get whatever pods it selects" in idle
    shown = rollway("status", "shop", *where).stdout
    assert "unknown (no such object)" in shown
    assert "clients of shop get whatever pods it selects" in shown
    assert "do not agree" not in rollway("lint", *where).stdout


BETA = HeaderRoute("beta", (RequestMatch((("X-Beta", StringMatch("exact", "yes")),)),))


@pytest.mark.parametrize(
    ("routing", "wanted", "reason"),
    [
        ({"smi": {}}, {"mirror_routes": (MirrorRoute("copy"),)}, "a TrafficSplit has none"),
        (NGINX, {"mirror_routes": (MirrorRoute("copy"),)}, "mirror-target copies every request"),
    ],
)
def test_the_refusal_of_a_feature_has_the_reason(routing: Any, wanted: Any, reason: str) -> None:
    """What a data plane cannot do is refused with the reason, before anything is read or written."""
    rollout = parse_rollout(m.rollout(routing))
    with pytest.raises(UnsupportedError, match=reason):
        TrafficRouter(rollout, MemoryStore([m.ingress()])).set_traffic(Traffic(Split(0), **wanted))
