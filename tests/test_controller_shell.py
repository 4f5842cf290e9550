"""The controller around its decisions: what it watches, writes, remembers, forgets and reports."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from contextlib import closing
from socket import create_server
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from api_server import KINDS, ROLLOUTS, ApiServer, Fault, api_server

import manifests as m
from rollway.controller.decision import Delete, Evict, Patch, ReleaseEvent, SetTraffic
from rollway.controller.endpoints import serve
from rollway.controller.events import EventRecorder
from rollway.controller.install import INSTANCE_ID
from rollway.controller.metrics import Metrics
from rollway.controller.process import Controller, ControllerOptions
from rollway.controller.routed_traffic import RoutedTraffic
from rollway.controller.watched_cluster import INSTANCE_LABEL, WatchedCluster
from rollway.controller.world import HASH_LABEL
from rollway.routers.errors import ConflictError, NotFoundError, RefusedError
from rollway.routers.kube.connection import Connection
from rollway.routers.objects import Need, ObjectRef
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.cluster import ClusterStore
from rollway.routers.stores.watching import WatchingStore
from rollway.routers.testing.memory import MemoryStore
from rollway.routers.traffic import Evidence, Outcome, Traffic, Verdict
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rollway.routers.model import Context
    from rollway.routers.objects import Manifest

pytestmark = pytest.mark.enable_socket
LONG_S = 20


def rollout(**spec: Any) -> Manifest:
    """Return the Rollout `web`, labelled for the controller."""
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "v1"}]},
    }
    given = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "uid-web",
            "generation": 1,
            "labels": {INSTANCE_LABEL: INSTANCE_ID},
        },
        "spec": {**given, "strategy": {"canary": {}}, **spec},
    }


def until(reached: Callable[[], object]) -> None:
    """Wait until something is true."""
    tick, pause = threading.Event(), 0.01
    for _ in range(int(LONG_S / pause)):
        if reached():
            return
        tick.wait(pause)
    raise AssertionError("it was not reached")


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server that serves Rollouts, without objects."""
    with api_server() as found:
        found.kinds = KINDS | ROLLOUTS
        yield found


@pytest.fixture
def store(server: ApiServer, tmp_path: Path) -> Iterator[ClusterStore]:
    """A store on it."""
    with closing(ClusterStore(Connection(server.kubeconfig(tmp_path), timeout=2.0), cache=False)) as found:
        yield found


@pytest.fixture
def recorder(store: ClusterStore) -> Iterator[EventRecorder]:
    """What writes Events there."""
    found = EventRecorder(store.client)
    yield found
    found.close()


@pytest.fixture
def changed() -> list[tuple[str, str]]:
    """The Rollouts that something was reported about."""
    return []


@pytest.fixture
def watched(
    store: ClusterStore, recorder: EventRecorder, changed: list[tuple[str, str]]
) -> Iterator[WatchedCluster]:
    """The watched cluster, not started yet."""
    found = WatchedCluster(store.client, recorder, lambda *key: changed.append(key), instance_id=INSTANCE_ID)
    yield found
    found.stop()


def objects(server: ApiServer, plural: str) -> list[Manifest]:
    """Return the objects of a kind."""
    return [item for place, item in list(server.objects.items()) if f"/{plural}/" in place]


Start: TypeAlias = "Callable[..., tuple[Controller, threading.Thread]]"


@pytest.fixture
def running(store: ClusterStore) -> Iterator[Start]:
    """Start a controller in a thread of its own; it ends with the test."""
    started: list[tuple[Controller, threading.Thread]] = []

    def start(own: ClusterStore = store, **options: Any) -> tuple[Controller, threading.Thread]:
        given = ControllerOptions("me", "default", instance_id=INSTANCE_ID, workers=2, **options)
        controller = Controller(own, given)
        controller.metrics.watch(controller.cluster.rollouts.items)
        thread = threading.Thread(target=controller.run)
        started.append((controller, thread))
        thread.start()
        return started[-1]

    yield start
    for controller, thread in started:
        controller.stop()
        thread.join(LONG_S)


def test_a_controller_makes_pods_reports_and_gives_its_lease_back(server: ApiServer, running: Start) -> None:
    """From the Rollout alone it makes a ReplicaSet, writes status and Events, forgets a deleted one, and ends in order."""
    server.put(rollout(), "rollouts")
    controller, thread = running()
    until(lambda: objects(server, "replicasets") and "status" in objects(server, "rollouts")[0])
    until(lambda: objects(server, "events"))
    assert controller.leads
    assert controller.alive
    assert controller.ready
    assert b'rollout_info{name="web"' in controller.metrics.text()
    server.delete(rollout(), "rollouts")
    until(lambda: b'name="web"' not in controller.metrics.text())
    controller.stop()
    thread.join(LONG_S)
    assert not thread.is_alive()
    assert objects(server, "leases")[0]["spec"]["holderIdentity"] == ""


def test_a_failed_write_is_tried_again(server: ApiServer, running: Start) -> None:
    """After a refusal and server errors the ReplicaSet is made all the same; what was refused stood in the status."""
    denied = 'admission webhook "quota" denied the request: no'
    server.faults = [
        Fault("status", 403, denied, 1, ("POST",), "replicasets"),
        Fault("status", 500, "made up", 2, ("POST",), "replicasets"),
    ]
    server.put(rollout(), "rollouts")
    seen: list[str] = []
    controller, thread = running()

    def made() -> bool:
        seen.append(str((objects(server, "rollouts")[0].get("status") or {}).get("message")))
        return bool(objects(server, "replicasets"))

    until(made)
    assert any("ReplicaSetCreateError" in message and "denied the request" in message for message in seen)
    assert b'rollout_reconcile_error_total{name="web"' in controller.metrics.text()
    controller.stop()
    thread.join(LONG_S)


def test_a_controller_that_lost_the_lead_ends(server: ApiServer, running: Start) -> None:
    """When another one has the Lease it stops its work, is not alive any more, and leaves the Lease to that one."""
    controller, thread = running()
    until(lambda: controller.leads)
    (lease,) = objects(server, "leases")
    server.put({**lease, "spec": {**lease["spec"], "holderIdentity": "other"}}, "leases")
    thread.join(LONG_S)
    assert not controller.alive
    assert objects(server, "leases")[0]["spec"]["holderIdentity"] == "other"


def test_an_error_of_its_own_ends_no_worker(
    server: ApiServer, running: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect that shows with one Rollout is logged and counted, and the Rollout is tried again."""
    looks = iter([ZeroDivisionError("made up")])
    observe = WatchedCluster.observe

    def broken(self: WatchedCluster, namespace: str, name: str) -> Any:
        for error in looks:
            raise error
        return observe(self, namespace, name)

    monkeypatch.setattr(WatchedCluster, "observe", broken)
    server.put(rollout(), "rollouts")
    controller, _ = running()
    until(lambda: objects(server, "replicasets"))
    assert b'rollout_reconcile_error_total{name="web",namespace="default"} 1.0' in controller.metrics.text()


def test_what_was_done_before_a_conflict_is_reported(server: ApiServer, running: Start) -> None:
    """The status is refused once after the ReplicaSet was made; the Event about the ReplicaSet is written all the same."""
    server.faults = [Fault("status", 409, "made up", 1, ("PATCH",), "/status")]
    server.put(rollout(), "rollouts")
    controller, thread = running()
    until(lambda: "NewReplicaSetCreated" in {item["reason"] for item in objects(server, "events")})
    assert not server.faults[0].times
    controller.stop()
    thread.join(LONG_S)


def test_a_rollout_of_another_shard_is_left_alone(
    server: ApiServer, store: ClusterStore, running: Start
) -> None:
    """Of two shards exactly one takes a Rollout, and each has a Lease of its own."""
    server.put(rollout(), "rollouts")
    taken = []
    for number in (1, 2):
        with closing(ClusterStore(store.client.connection, cache=False)) as own:
            controller, thread = running(own, shard=(number, 2))
            _wait_for_lead(controller)
            controller.stop()
            thread.join(LONG_S)
            taken.append(len(objects(server, "replicasets")))
    assert taken in ([0, 1], [1, 1])
    names = {item["metadata"]["name"] for item in objects(server, "leases")}
    assert names == {f"rollway-controller-{INSTANCE_ID}-{number}-of-2" for number in (1, 2)}


def _wait_for_lead(controller: Controller) -> None:
    until(lambda: controller.leads)
    until(lambda: not len(controller.queue))


def test_a_replica_without_the_lease_waits(server: ApiServer, running: Start) -> None:
    """While another one holds the Lease nothing is written, and it ends when it is asked to."""
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": f"rollway-controller-{INSTANCE_ID}", "namespace": "default"},
        "spec": {"holderIdentity": "other", "leaseDurationSeconds": 60},
    }
    server.put(lease, "leases")
    server.put(rollout(), "rollouts")
    controller, thread = running()
    until(lambda: controller.ready and ("GET", _path(lease)) in server.requests)
    assert not controller.leads
    controller.stop()
    thread.join(LONG_S)
    assert not objects(server, "replicasets")
    assert objects(server, "leases")[0]["spec"]["holderIdentity"] == "other"


def _path(lease: Manifest) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{lease['metadata']['name']}"


def test_the_endpoints_answer_for_a_controller(store: ClusterStore) -> None:
    """Before its memory is whole it is alive and not ready; other paths are not there."""
    controller = Controller(store, ControllerOptions("me", "default"))
    with closing(create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    close = serve(controller, port, port)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    codes = {}
    for path in ("healthz", "readyz", "metrics", "nothing"):
        try:
            with opener.open(f"http://127.0.0.1:{port}/{path}", timeout=LONG_S) as answer:
                codes[path] = answer.status
        except urllib.error.HTTPError as error:
            codes[path] = error.code
            error.close()
    close()
    controller._close()
    assert codes == {"healthz": 200, "readyz": 503, "metrics": 200, "nothing": 404}


def test_the_same_event_again_is_a_count(server: ApiServer, store: ClusterStore) -> None:
    """One Event stands for the same words again and again; when the API server has dropped it, a new one is made."""
    recorder = EventRecorder(store.client)
    event = ReleaseEvent("Normal", "RolloutPaused", "Rollout is paused")
    recorder.record(rollout(), event)
    recorder.record(rollout(), event)
    until(lambda: [item["count"] for item in objects(server, "events")] == [2])
    server.delete(objects(server, "events")[0], "events")
    recorder.record(rollout(), event)
    recorder.record(rollout(), ReleaseEvent("Normal", "Other", "other"))
    recorder.close()
    assert sorted(item["reason"] for item in objects(server, "events")) == ["Other", "RolloutPaused"]


def test_an_event_that_cannot_be_written_is_dropped(server: ApiServer, store: ClusterStore) -> None:
    """A refused Event ends nothing."""
    server.faults = [Fault("status", 403, "no", 1, ("POST",), "events")]
    recorder = EventRecorder(store.client)
    recorder.record(rollout(), ReleaseEvent("Normal", "First", "refused"))
    recorder.record(rollout(), ReleaseEvent("Normal", "Second", "written"))
    recorder.close()
    assert [item["reason"] for item in objects(server, "events")] == ["Second"]


def test_metrics_show_the_state_of_each_rollout() -> None:
    """The phase, the pods and the weight of a Rollout are metrics; those of a forgotten one are gone."""
    metrics = Metrics()
    weights = {"canary": {"weight": 20}, "stable": {"weight": 80}, "verified": True}
    routed = {"canary": {"trafficRouting": {"nginx": {}, "maxTrafficWeight": 100}}}
    given = rollout(strategy=routed)
    given["status"] = {"phase": "Paused", "availableReplicas": 0, "canary": {"weights": weights}}
    metrics.watch(lambda: [given])
    with metrics.reconciling("default", "web"):
        metrics.failed("default", "web")
    text = metrics.text().decode()
    for line in (
        'rollout_info{name="web",namespace="default",phase="Paused",strategy="canary",traffic_router="nginx"} 1.0',
        'rollout_info_replicas_unavailable{name="web",namespace="default"} 1.0',
        'rollway_rollout_weight{name="web",namespace="default"} 20.0',
        'rollway_rollout_weight_verified{name="web",namespace="default"} 1.0',
        'rollout_reconcile_error_total{name="web",namespace="default"} 1.0',
    ):
        assert line in text
    metrics.forget("default", "web")
    metrics.forget("default", "web")
    assert "rollout_reconcile_error_total{" not in metrics.text().decode()


def replica_set(name: str = "web-a", *, owned: bool = True) -> Manifest:
    """Return a ReplicaSet with a hash."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "uid-web"}
    labels = {"app": "web", HASH_LABEL: name.partition("-")[2]}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": labels,
            "ownerReferences": [{**owner, "controller": True}] if owned else [],
        },
        "spec": {"replicas": 1, "template": {"metadata": {"labels": labels}}},
    }


def test_everything_about_a_rollout_is_observed(
    server: ApiServer, watched: WatchedCluster, changed: list[tuple[str, str]]
) -> None:
    """Its ReplicaSets, orphans that it selects, pods, Services and ready endpoints; and each change of them concerns it."""
    strategy = {"blueGreen": {"activeService": "active"}}
    server.put(rollout(strategy=strategy), "rollouts")
    server.put(replica_set(), "replicasets")
    server.put(replica_set("web-b", owned=False), "replicasets")
    server.put(m.service("active"), "services")
    server.put(m.pod("one", app="web", **{HASH_LABEL: "a"}), "pods")
    watched.start()
    assert watched.synced
    world = watched.observe("default", "web")
    assert world is not None
    assert {each.name for each in world.replica_sets} == {"web-a", "web-b"}
    assert [pod.name for pod in world.pods] == ["one"]
    assert set(world.services) == {"active"}
    assert watched.observe("default", "other") is None
    for manifest, plural in (
        (m.endpoint_slice("active", ready=1), "endpointslices"),
        (m.service("active", port=81), "services"),
        (m.pod("two", app="web", **{HASH_LABEL: "a"}), "pods"),
        (replica_set("web-c"), "replicasets"),
    ):
        until(lambda: ("default", "web") in changed)
        changed.clear()
        server.put(manifest, plural)
        until(lambda: ("default", "web") in changed)
    until(lambda: _endpoints(watched) == {"active-0"})


def _endpoints(watched: WatchedCluster) -> frozenset[str]:
    world = watched.observe("default", "web")
    return world.endpoints["active"] if world else frozenset()


def test_own_writes_are_seen_at_once(server: ApiServer, watched: WatchedCluster) -> None:
    """What was just written is in the next look, whether the watch has shown it or not; a conflict is read anew."""
    server.put(rollout(), "rollouts")
    server.put(replica_set(), "replicasets")
    watched.start()
    ref = ObjectRef("apps", "ReplicaSet", "default", "web-a")
    watched.write(Patch(ref, ({"op": "replace", "path": "/spec/replicas", "value": 3},)))
    world = watched.observe("default", "web")
    assert world is not None
    assert world.replica_sets[0].desired == 3
    with pytest.raises(ConflictError):
        watched.write(Patch(ref, ({"op": "test", "path": "/spec/replicas", "value": 1},)))
    with pytest.raises(ConflictError):
        watched.write(Delete(ref, "", "1"))
    watched.write(Delete(ref, "", ""))
    after = watched.observe("default", "web")
    assert after is not None
    assert not after.replica_sets
    with pytest.raises(NotFoundError):
        watched.write(Patch(ref, ({"op": "replace", "path": "/spec/replicas", "value": 3},)))


def test_a_status_of_another_version_is_a_conflict(server: ApiServer, watched: WatchedCluster) -> None:
    """The status is patched only as it was observed, and shows in the next look."""
    server.put(rollout(), "rollouts")
    watched.start()
    world = watched.observe("default", "web")
    assert world is not None
    watched.write_status(world.rollout, {"phase": "Healthy"})
    after = watched.observe("default", "web")
    assert after is not None
    assert after.rollout["status"]["phase"] == "Healthy"
    with pytest.raises(ConflictError):
        watched.write_status(world.rollout, {"phase": "Paused"})


def test_an_eviction_that_is_refused_waits(server: ApiServer, watched: WatchedCluster) -> None:
    """A PodDisruptionBudget answers 429, which ends nothing; the pod is asked for again later."""
    server.faults = [Fault("status", 429, "budget", 9, ("POST",), "eviction")]
    watched.write(Evict(ObjectRef("", "Pod", "default", "one")))
    assert any("eviction" in path for method, path in server.requests if method == "POST")


def test_defaults_are_learned_once_for_a_generation(server: ApiServer, watched: WatchedCluster) -> None:
    """A dry run shows the pod template with defaults; it is remembered until the Rollout changes or is gone."""
    server.put(rollout(), "rollouts")
    watched.start()
    world = watched.observe("default", "web")
    assert world is not None
    assert world.default_template is None
    watched.learn_default_template(world)
    learned = watched.observe("default", "web")
    assert learned is not None
    assert learned.default_template == world.rollout["spec"]["template"]
    changed = rollout(replicas=2)
    changed["metadata"]["generation"] = 2
    server.put(changed, "rollouts")
    until(lambda: _default_template(watched) is None)
    server.delete(rollout(), "rollouts")
    until(lambda: watched.observe("default", "web") is None)


def _default_template(watched: WatchedCluster) -> Any:
    world = watched.observe("default", "web")
    return world.default_template if world else None


def test_a_workload_is_watched_from_the_first_reference_on(
    server: ApiServer, watched: WatchedCluster, changed: list[tuple[str, str]]
) -> None:
    """The Deployment that a Rollout refers to is observed, and a change of it concerns the Rollout."""
    deployment: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "old", "namespace": "default", "generation": 4},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": rollout()["spec"]["template"]},
    }
    server.put(deployment, "deployments")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "old"}
    server.put(rollout(workloadRef=reference, template={}), "rollouts")
    watched.start()
    world = watched.observe("default", "web")
    assert world is not None
    assert world.workload is not None
    watched.learn_default_template(world)
    assert _default_template(watched) == deployment["spec"]["template"]
    changed.clear()
    server.put({**deployment, "spec": {**deployment["spec"], "replicas": 0}}, "deployments")
    until(lambda: ("default", "web") in changed)


def test_only_pods_of_rollouts_are_watched(server: ApiServer, store: ClusterStore) -> None:
    """Pods with the hash label come from one watch; a look for others is a request, and starts no watch of all pods."""
    with closing(WatchingStore(store, selectors={("", "Pod"): HASH_LABEL})) as watching:
        server.put(m.pod("one", **{HASH_LABEL: "a"}), "pods")
        for _ in range(2):
            watching.read([Need("", "Pod", required=False, selector=HASH_LABEL, runtime=True)])
        watching.read([Need("", "Pod", required=False, selector="app=nginx", runtime=True)])
    pods = [path for _, path in server.requests if "/pods" in path]
    listed = [path for path in pods if "watch=true" not in path]
    assert len(listed) == 2
    assert all(HASH_LABEL in path for path in pods if "watch=true" in path)


def nginx_rollout(**status: Any) -> Manifest:
    """Return a Rollout with the nginx router, in an update."""
    routing = {"nginx": {"stableIngress": "web"}}
    canary = {"stableService": "stable", "canaryService": "canary", "trafficRouting": routing}
    manifest = rollout(strategy={"canary": canary})
    manifest["status"] = {"stableRS": "a", "currentPodHash": "b", **status}
    return manifest


def shop(*more: Manifest) -> MemoryStore:
    """Return a store with the routing of that Rollout."""
    stable = m.ingress("web", "shop.example.com", m.path("stable"))
    return MemoryStore([stable, m.service("stable"), m.service("canary"), *more])


@pytest.fixture
def routed(changed: list[tuple[str, str]]) -> Iterator[RoutedTraffic]:
    """The traffic of a Rollout in memory."""
    found = RoutedTraffic(shop(), lambda *key: changed.append(key))
    yield found
    found.close()


def wish(weight: int) -> SetTraffic:
    """Return a wish."""
    return SetTraffic(Traffic(Split(weight, 100)), "a", "b")


def test_a_wish_is_written_and_then_proven(routed: RoutedTraffic, changed: list[tuple[str, str]]) -> None:
    """The state shows what was written, and later the evidence; the Rollout is reported when that comes."""
    state, faults = routed.state(nginx_rollout())
    assert not faults
    assert state is not None
    routed.set(nginx_rollout(), wish(20))
    state, _ = routed.state(nginx_rollout())
    assert state is not None
    assert state.shown == wish(20).wish
    assert not state.proves(wish(20).wish)
    routed.ask(nginx_rollout(), wish(20))
    until(lambda: ("default", "web") in changed)
    state, _ = routed.state(nginx_rollout())
    assert state is not None
    assert state.level is Evidence.WRITTEN
    assert state.proves(wish(20).wish)
    canary = ObjectRef("networking.k8s.io", "Ingress", "default", "web-web-canary")
    assert routed.concerned(canary) == [("default", "web")]
    routed.forget("default", "web")
    routed.forget("default", "web")
    assert routed.concerned(canary) == []


class Loading:
    """A data plane that has a weight only at the second look."""

    evidence = Evidence.LOADED
    backends: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.looks = 0

    def judge(self, _context: Context) -> Verdict:
        self.looks += 1
        if self.looks == 1:
            return Verdict(Outcome.DIFFERS, Evidence.LOADED, reason="it has 0 yet")
        return Verdict(Outcome.MATCHES, Evidence.LOADED)


def test_a_step_waits_until_data_planes_have_loaded_the_weight(
    routed: RoutedTraffic, changed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a data plane has another weight the state says so, and it is proven once that has loaded it."""
    probe = Loading()
    monkeypatch.setattr(RoutedTraffic, "_found", lambda *_: (Evidence.LOADED, (probe,)))
    routed.set(nginx_rollout(), wish(20))
    routed.ask(nginx_rollout(), wish(20))
    until(lambda: ("default", "web") in changed)
    state, _ = routed.state(nginx_rollout())
    assert state is not None
    assert "is not loaded yet" in state.problem or state.proves(wish(20).wish)
    until(lambda: _proves(routed, 20))
    assert probe.looks == 2


def _proves(routed: RoutedTraffic, weight: int) -> bool:
    state, _ = routed.state(nginx_rollout())
    return state is not None and state.proves(wish(weight).wish)


def test_evidence_that_cannot_be_asked_is_a_problem_of_the_state(
    routed: RoutedTraffic, changed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of a probe is named as what the release waits for; objects that show another weight prove nothing."""

    def broken(*_: object) -> Any:
        raise ZeroDivisionError

    routed.set(nginx_rollout(), wish(20))
    monkeypatch.setattr(TrafficRouter, "verify", broken)
    routed.ask(nginx_rollout(), wish(20))
    until(lambda: changed)
    state, _ = routed.state(nginx_rollout())
    assert state is not None
    assert "could not be asked" in state.problem
    changed.clear()
    routed.ask(nginx_rollout(), wish(40))
    until(lambda: changed)
    assert not _proves(routed, 40)


def test_a_rollout_without_a_router_has_no_traffic(routed: RoutedTraffic) -> None:
    """Neither state nor fault."""
    assert routed.state(rollout()) == (None, ())


def test_routing_that_cannot_be_read_is_a_fault(routed: RoutedTraffic) -> None:
    """A missing Ingress, or a stanza with a fault, is named."""
    manifest = nginx_rollout()
    manifest["spec"]["strategy"]["canary"]["trafficRouting"] = {"nginx": {"stableIngress": "other"}}
    state, faults = routed.state(manifest)
    assert state is None
    assert "other" in faults[0]


def test_a_refused_wish_is_a_problem_of_the_state(changed: list[tuple[str, str]]) -> None:
    """An Ingress of somebody else stands in the way: it is not touched, and the state says so."""
    foreign = m.ingress()
    foreign["metadata"] = {**foreign["metadata"], "name": "web-web-canary"}
    store = shop(foreign)
    with closing(RoutedTraffic(store, lambda *key: changed.append(key))) as routed:
        with pytest.raises(RefusedError):
            routed.set(nginx_rollout(), wish(20))
        state, _ = routed.state(nginx_rollout())
        assert state is None or "web-web-canary" in state.problem


def test_a_wish_without_a_place_is_a_problem_of_the_state(changed: list[tuple[str, str]]) -> None:
    """An Ingress without a path to the stable Service is named in the state, as what the release waits for."""
    store = MemoryStore([m.ingress(), m.service("stable"), m.service("canary")])
    with closing(RoutedTraffic(store, lambda *key: changed.append(key))) as routed:
        with pytest.raises(RefusedError):
            routed.set(nginx_rollout(), wish(20))
        state, _ = routed.state(nginx_rollout())
        assert state is not None
        assert "no path that leads to Service stable" in state.problem


def test_what_others_set_in_our_objects_is_written_over(changed: list[tuple[str, str]]) -> None:
    """A canary Ingress of this Rollout, which Argo's controller has made, is written whoever has set its fields before."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "uid-web"}
    left = m.ingress("web-web-canary", "shop.example.com", m.path("canary"))
    left["metadata"] |= {
        "annotations": {"nginx.ingress.kubernetes.io/canary": "true"},
        "ownerReferences": [{**owner, "controller": True}],
    }
    store = shop(left)
    with closing(RoutedTraffic(store, lambda *key: changed.append(key))) as routed:
        routed.set(nginx_rollout(), wish(20))
        routed.set(nginx_rollout(), wish(40))
    assert [change.adopt for change in store.log] == [True, True]


def test_a_rollout_that_lost_its_label_is_not_ours_after_a_conflict(
    server: ApiServer, watched: WatchedCluster
) -> None:
    """A conflict lets the Rollout be read by its name; without the label it is none of ours all the same."""
    server.put(rollout(), "rollouts")
    watched.start()
    world = watched.observe("default", "web")
    assert world is not None
    given_back = rollout()
    del given_back["metadata"]["labels"]
    server.put(given_back, "rollouts")
    with pytest.raises(ConflictError):
        watched.write_status(world.rollout, {"phase": "Healthy"})
    assert watched.observe("default", "web") is None
    assert watched.rollouts.items() == []
