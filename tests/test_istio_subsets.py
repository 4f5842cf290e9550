"""The pod-template hashes of the subsets of a DestinationRule: what is written, what stays, and what an Envoy has to have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from rollway.controller.decision import SetTraffic
from rollway.controller.routed_traffic import RoutedTraffic
from rollway.routers.backends.istio.probe import compare_endpoints
from rollway.routers.errors import ForeignOwnerError, ManifestError, NotFoundError, RefusedError, RollwayError
from rollway.routers.model import HASH_LABEL, Context
from rollway.routers.objects import Access, ObjectRef
from rollway.routers.planning import needs_of
from rollway.routers.probes.envoy import ENDPOINTS, EnvoyEndpointsProbe
from rollway.routers.probes.http import fixed
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing.memory import MemoryStore
from rollway.routers.traffic import Outcome, SubsetHashes, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest

ROUTING: dict[str, Any] = {
    "istio": {
        "virtualServices": [{"name": "web"}, {"name": "admin"}],
        "destinationRule": {"name": "shop", "stableSubsetName": "stable", "canarySubsetName": "canary"},
    }
}
RULE = ObjectRef("networking.istio.io", "DestinationRule", "default", "shop")
OWNER = "argo-rollouts.argoproj.io/managed-by-rollouts"
POLICY = {"connectionPool": {"tcp": {"maxConnections": 7}}}


def rule(stable: str = "a", canary: str = "a", **metadata: Any) -> Manifest:
    """Return a DestinationRule whose subsets have hashes, labels of their own, and a neighbour."""
    subsets = [
        {"name": "stable", "labels": {"app": "shop", HASH_LABEL: stable}},
        {"name": "old", "labels": {"version": "old"}},
        {"name": "canary", "labels": {HASH_LABEL: canary}, "trafficPolicy": POLICY},
    ]
    found = m.destination_rule(subsets=subsets)
    found["metadata"] |= metadata
    return found


def objects(destination_rule: Manifest) -> list[Manifest]:
    """Return two VirtualServices by subsets, their rule, one pod of each hash, and one that nobody knows."""
    pair = [m.destination("shop", 100, subset="stable"), m.destination("shop", 0, subset="canary")]
    pods = [
        m.pod("shop-0", app="shop", **{HASH_LABEL: "a"}),
        m.pod("shop-1", app="shop", **{HASH_LABEL: "b"}),
    ]
    services = [m.virtual_service(name, http=[{"route": pair}]) for name in ("web", "admin")]
    return [*services, destination_rule, m.endpoint_slice("shop", ready=3), *pods]


def asking(stable: str, canary: str) -> Rollout:
    """Return a Rollout without Services that asks for the hashes of its subsets."""
    manifest = m.rollout(ROUTING)
    for name in ("stableService", "canaryService"):
        del manifest["spec"]["strategy"]["canary"][name]
    return replace(parse_rollout(manifest), subsets=SubsetHashes(stable, canary))


def store_with(destination_rule: Manifest) -> MemoryStore:
    """Return a store that passes for a cluster."""
    return MemoryStore(objects(destination_rule), running=True)


def test_a_hash_is_the_smallest_patch_of_its_subset() -> None:
    """Only the label of the one subset changes, and the annotation that shows whose it is; all else of the rule stays."""
    store = store_with(rule())
    plan = TrafficRouter(asking("a", "b"), store).plan(Traffic(Split(0, 100)))
    assert plan is not None
    (change,) = plan.changes
    written = [operation for operation in change.patch if operation["op"] != "test"]
    owner = {"op": "add", "path": "/metadata/annotations", "value": {OWNER: "shop"}}
    label = f"/spec/subsets/2/labels/{HASH_LABEL}"
    assert written == [owner, {"op": "replace", "path": label, "value": "b"}]
    tests = {operation["path"]: operation["value"] for operation in change.patch if operation["op"] == "test"}
    assert (tests["/spec/subsets/2/name"], tests[label]) == ("canary", "a")
    TrafficRouter(asking("a", "b"), store).apply(plan)
    wanted = rule("a", "b", annotations={OWNER: "shop"})
    assert store.manifests[RULE]["spec"] == wanted["spec"]
    assert store.manifests[RULE]["metadata"]["annotations"] == {OWNER: "shop"}
    assert TrafficRouter(asking("a", "b"), store).plan(Traffic(Split(0, 100))) is None


def test_the_subset_is_written_before_the_weights() -> None:
    """Hash and weights of several VirtualServices are one plan, the DestinationRule first."""
    plan = TrafficRouter(asking("a", "b"), store_with(rule())).plan(Traffic(Split(20, 100)))
    assert plan is not None
    assert [change.ref.name for change in plan.changes] == ["shop", "web", "admin"]


def test_labels_come_into_being_where_a_subset_has_none() -> None:
    """A subset without labels gets a mapping of them; an empty hash leaves its subset as it is."""
    bare = m.destination_rule(subsets=[{"name": "stable", "labels": {"app": "shop"}}, {"name": "canary"}])
    store = store_with(bare)
    TrafficRouter(asking("", "b"), store).set_traffic(Traffic(Split(0, 100)))
    assert store.manifests[RULE]["spec"]["subsets"] == [
        {"name": "stable", "labels": {"app": "shop"}},
        {"name": "canary", "labels": {HASH_LABEL: "b"}},
    ]


def test_a_weight_by_hand_leaves_the_hashes_alone() -> None:
    """Who sets a weight, and does not run the release, reads the DestinationRule and never writes it."""
    rollout = replace(asking("", ""), subsets=None)
    (need,) = [need for need in needs_of(rollout) if need.kind == "DestinationRule"]
    assert need.access is Access.READ
    store = store_with(rule("a", "b"))
    TrafficRouter(rollout, store).set_weight(20)
    assert store.manifests[RULE] == rule("a", "b")


def test_a_controller_reads_the_pods_that_it_watches() -> None:
    """Only pods with the hash label are needed, which a controller has in memory; a weight by hand looks at all."""
    for rollout, selector in ((asking("a", "b"), HASH_LABEL), (replace(asking("", ""), subsets=None), "")):
        (need,) = [need for need in needs_of(rollout) if need.kind == "Pod"]
        assert need.selector == selector


@pytest.mark.parametrize("failing", [1, 2])
def test_all_or_back(failing: int) -> None:
    """Where a VirtualService cannot be written, the hash goes back as well."""
    store = store_with(rule())
    before = store.manifests
    store.fail(at=failing, times=1)
    with pytest.raises(RollwayError):
        TrafficRouter(asking("a", "b"), store).set_traffic(Traffic(Split(20, 100)))
    assert {ref: found["spec"] for ref, found in store.manifests.items() if "spec" in found} == {
        ref: found["spec"] for ref, found in before.items() if "spec" in found
    }


def test_a_subset_whose_pods_are_not_ready_gets_no_weight() -> None:
    """Weight for a subset is refused where no ready pod has the hash that it is to select."""
    with pytest.raises(RefusedError, match="no ready pod of Service shop has the labels of subset canary"):
        TrafficRouter(asking("a", "c"), store_with(rule())).set_traffic(Traffic(Split(20, 100)))


@pytest.mark.parametrize(
    ("broken", "error", "words"),
    [
        (m.destination_rule(subsets=[{"name": "stable"}]), NotFoundError, "has no subset canary"),
        (
            m.destination_rule(subsets="none"),
            NotFoundError,
            "has no subset stable: its subsets are none at all",
        ),
        (rule(annotations={OWNER: "other"}), ForeignOwnerError, "managed by another Rollout, other"),
        (
            m.destination_rule(subsets=[{"name": "stable", "labels": ["a"]}, {"name": "canary"}]),
            ManifestError,
            "labels of subset stable",
        ),
    ],
)
def test_a_rule_that_cannot_carry_the_hashes_is_refused(
    broken: Manifest, error: type[RollwayError], words: str
) -> None:
    """A missing subset, a rule of another Rollout and labels of no form are errors, also while the weight is 0."""
    with pytest.raises(error, match=words):
        TrafficRouter(asking("a", "b"), store_with(broken)).observe()


def dumped(**addresses: list[str]) -> dict[str, Any]:
    """Return what an Envoy answers about the endpoints of subsets by name, and of a cluster of somebody else."""
    clusters = {
        f"outbound|80|{name}|shop.default.svc.cluster.local": found for name, found in addresses.items()
    }
    return {
        "configs": [
            {
                "endpoint_config": {
                    "cluster_name": name,
                    "endpoints": [
                        {
                            "lb_endpoints": [
                                {"endpoint": {"address": {"socket_address": {"address": address}}}}
                            ]
                        }
                        for address in found
                    ],
                }
            }
            for name, found in {**clusters, "xds-grpc": ["10.0.0.1"]}.items()
        ]
    }


@pytest.mark.parametrize(
    ("document", "outcome", "words"),
    [
        (
            dumped(stable=["10.244.0.1"], canary=["10.244.0.2"]),
            Outcome.MATCHES,
            "has the pods of both subsets",
        ),
        (
            dumped(stable=["10.244.0.1"], canary=["10.244.0.1"]),
            Outcome.DIFFERS,
            "10.244.0.1 in subset canary",
        ),
        (dumped(stable=["10.244.0.1"], canary=[]), Outcome.DIFFERS, "no ready pod of subset canary yet"),
        (dumped(stable=["10.244.0.1"]), Outcome.DIFFERS, "no cluster of subset canary"),
        (dumped(stable=["10.244.0.1", "10.9.9.9"], canary=["10.244.0.2"]), Outcome.MATCHES, "both"),
        ({"configs": [{}]}, Outcome.UNKNOWN, "something else than its endpoints"),
    ],
)
def test_an_envoy_has_to_have_the_pods_of_each_subset(
    document: dict[str, Any], outcome: Outcome, words: str
) -> None:
    """A subset is loaded when an Envoy has ready pods with its labels in it, and none that is known to be another one."""
    rollout, store = asking("a", "b"), store_with(rule("a", "b"))
    context = Context(rollout, Traffic(Split(0, 100)), store.read(needs_of(rollout)))
    probe = EnvoyEndpointsProbe(fixed(["127.0.0.1:15000"]), "istio", lambda _: [RULE], compare_endpoints)
    verdict = probe.judge_document(document, context)
    assert verdict.outcome is outcome
    assert words in verdict.reason
    assert "include_eds" in ENDPOINTS.dump


def test_subsets_of_another_namespace_are_not_compared() -> None:
    """Where the host is a Service elsewhere, its pods are not known, and the reason says so."""
    elsewhere = rule("a", "b")
    elsewhere["spec"]["host"] = "shop.other"
    rollout, store = asking("a", "b"), store_with(elsewhere)
    context = Context(rollout, Traffic(Split(0, 100)), store.read(needs_of(rollout)))
    verdict = compare_endpoints([], context)
    assert verdict.outcome is Outcome.MATCHES
    assert "was not asked for subsets" in verdict.reason


def manifest_of_release() -> Manifest:
    """Return that Rollout as a controller has it, in an update."""
    manifest = m.rollout(ROUTING)
    manifest["metadata"] |= {"uid": "1", "namespace": "default", "generation": 1}
    for name in ("stableService", "canaryService"):
        del manifest["spec"]["strategy"]["canary"][name]
    return {**manifest, "status": {"stableRS": "a", "currentPodHash": "b"}}


def test_the_controller_sees_and_writes_the_hashes() -> None:
    """The state shows what the subsets select; a wish with other hashes is not shown until it is written."""
    store = store_with(rule())
    routed = RoutedTraffic(store, lambda *_: None)
    state, faults = routed.state(manifest_of_release())
    assert not faults
    assert state is not None
    assert state.shows(Traffic(Split(0, 100)), SubsetHashes("a", "a"))
    wish = SetTraffic(Traffic(Split(0, 100)), "a", "b", SubsetHashes("a", "b"))
    assert not state.shows(wish.wish, wish.subsets)
    assert not state.proves(wish.wish, wish.subsets)
    routed.set(manifest_of_release(), wish)
    state, _ = routed.state(manifest_of_release())
    assert state is not None
    assert state.shows(wish.wish, wish.subsets)
    assert routed.concerned(RULE) == [("default", "shop")]
    routed.close()


def test_a_missing_subset_is_a_fault_of_the_rollout() -> None:
    """The controller reports the missing subset as a fault of the spec, and does not read the traffic."""
    routed = RoutedTraffic(store_with(m.destination_rule(subsets=[{"name": "stable"}])), lambda *_: None)
    state, (fault,) = routed.state(manifest_of_release())
    assert state is None
    assert "has no subset canary" in fault
    routed.close()


def test_a_rollout_that_is_split_by_services_has_no_subsets() -> None:
    """Without a DestinationRule the state shows the weight alone."""
    manifest = m.rollout({"istio": {"virtualService": {"name": "web"}}})
    manifest["metadata"] |= {"uid": "1", "namespace": "default", "generation": 1}
    manifest["status"] = {"stableRS": "a", "currentPodHash": "b"}
    services = [m.service("shop-stable"), m.service("shop-canary")]
    routed = RoutedTraffic(MemoryStore([m.virtual_service(), *services]), lambda *_: None)
    state, _ = routed.state(manifest)
    assert state is not None
    assert state.shows(Traffic(Split(0, 100)))
    routed.close()
