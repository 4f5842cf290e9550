"""Blue-green without a router: which release a Service selects, what it remembers, and what is never guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import manifests as m
from rollway.routers.backends.service.accepted import PROBE
from rollway.routers.errors import (
    AmbiguousError,
    InvalidInputError,
    ManifestError,
    NotVerifiedError,
    RefusedError,
    RollwayError,
    UnknownRolesError,
    UnsupportedError,
    WeightError,
)
from rollway.routers.gitops import weight_paths
from rollway.routers.linting import lint
from rollway.routers.objects import Access, ObjectRef
from rollway.routers.planning import needs_of
from rollway.routers.roles import known_roles
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.directory import DirectoryStore
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import Evidence, Outcome, Traffic
from rollway.routers.weights import Split
from running import rollway

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rollway.routers.model import Context
    from rollway.routers.objects import Manifest
    from rollway.routers.traffic import Verdict

HASH = "rollouts-pod-template-hash"
ACTIVE = ObjectRef("", "Service", "default", "shop-stable")
PREVIEW = ObjectRef("", "Service", "default", "shop-canary")
BLUE, GREEN, RED = "5d8f7", "7c9b4", "66f8d"


def remembering(pod_hash: str, stable: str, canary: str) -> Manifest:
    """Return the active Service as rollway leaves it after a switch to the canary."""
    service = m.selecting("shop-stable", pod_hash)
    service["metadata"]["annotations"] = {
        "rollway.dev/stable-hash": stable,
        "rollway.dev/canary-hash": canary,
    }
    return service


def shop(
    active: Manifest, preview: str | None = GREEN, *others: Manifest, running: bool = False, **words: Any
) -> TrafficRouter:
    """Return a router of a shop; without a preview hash it has no Service for previews."""
    stable, canary = words.pop("stable", ""), words.pop("canary", "")
    previews = [] if preview is None else [m.selecting("shop-canary", preview)]
    store = MemoryStore([active, *previews, *others], running=running)
    rollout = parse_rollout(m.switched(preview=preview is not None, **words))
    return TrafficRouter(known_roles(rollout, store, stable, canary), store)


def selected(router: TrafficRouter, ref: ObjectRef = ACTIVE) -> tuple[str, dict[str, str]]:
    """Return the hash that a Service selects, and its annotations."""
    manifest = router.store.read(needs_of(router.rollout))[ref].manifest
    return manifest["spec"]["selector"].get(HASH, ""), manifest["metadata"].get("annotations", {})


BLUE_ACTIVE = m.selecting("shop-stable", BLUE)


# -- what a switch writes


def test_a_switch_remembers_both_hashes_until_it_is_taken_back() -> None:
    """The active Service holds the stable hash while it selects the canary, so a new process finds the way back."""
    router = shop(BLUE_ACTIVE)
    router.switch("canary")
    memory = {"rollway.dev/stable-hash": BLUE, "rollway.dev/canary-hash": GREEN}
    assert selected(router) == (GREEN, memory)
    assert router.observe().traffic == Traffic(Split(100))
    again = TrafficRouter(router.rollout, router.store)
    again.switch("stable")
    assert selected(again) == (BLUE, {})
    assert selected(again, PREVIEW)[0] == GREEN


@pytest.mark.parametrize("annotations", [None, {}, {"team": "web"}])
def test_only_our_fields_of_the_service_change(annotations: Any) -> None:
    """One selector and two annotations are written; other labels and annotations stay, and a reset leaves none of ours."""
    active = m.selecting("shop-stable", BLUE, tier="web")
    if annotations is not None:
        active["metadata"]["annotations"] = annotations
    router = shop(active)
    plan = router.plan(100)
    assert plan is not None
    assert {operation["path"].rpartition("/")[0] for operation in plan.changes[0].patch} <= {
        "/spec/selector",
        "/metadata",
        "/metadata/annotations",
    }
    router.apply(plan)
    assert selected(router)[1].items() >= (annotations or {}).items()
    router.reset()
    final = router.store.read(needs_of(router.rollout))[ACTIVE].manifest
    assert final["spec"] == active["spec"]
    assert final["metadata"].get("annotations", {}) == (annotations or {})


def test_an_annotation_that_comes_in_between_is_not_lost() -> None:
    """A Service without annotations that gets one between plan and write keeps it: the plan is made again."""
    router = shop(BLUE_ACTIVE)
    store = router.store
    assert isinstance(store, MemoryStore)
    store.interfere = lambda _change: store.edit(
        ACTIVE, lambda manifest: manifest["metadata"].setdefault("annotations", {}).update(team="web")
    )
    router.switch("canary")
    assert selected(router)[1]["team"] == "web"
    assert selected(router)[0] == GREEN


def test_annotations_that_are_made_rely_on_the_version_of_the_service() -> None:
    """On an API server the first annotation is written only into the version that was read, since no test shows absence."""
    active = m.selecting("shop-stable", BLUE)
    active["metadata"]["resourceVersion"] = "41"
    plan = shop(active).plan(100)
    assert plan is not None
    version = {"op": "test", "path": "/metadata/resourceVersion", "value": "41"}
    assert version in plan.changes[0].patch
    plan = shop({**active, "metadata": {**active["metadata"], "annotations": {"team": "web"}}}).plan(100)
    assert plan is not None
    assert version not in plan.changes[0].patch


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    """A switch and the way back leave the text of the manifests as the user wrote it, comments included."""
    text = "# users call this one\n" + yaml.safe_dump_all(
        [BLUE_ACTIVE, m.selecting("shop-canary", GREEN), m.switched()], sort_keys=False
    )
    (tmp_path / "app.yaml").write_text(text)
    router = TrafficRouter(parse_rollout(m.switched()), DirectoryStore(str(tmp_path)))
    router.switch("canary")
    assert f'rollway.dev/stable-hash: "{BLUE}"' in (tmp_path / "app.yaml").read_text()
    router.switch("stable")
    assert (tmp_path / "app.yaml").read_text() == text


@pytest.mark.parametrize("weight", [1, 50, "0.5%"])
def test_a_share_is_refused(weight: int | str) -> None:
    """A Service selects one release, so only 0 and the total are weights."""
    with pytest.raises(WeightError):
        shop(BLUE_ACTIVE).set_weight(weight)


# -- the roles


@pytest.mark.parametrize(
    ("active", "status", "stable", "canary"),
    [
        (BLUE_ACTIVE, None, BLUE, 0),
        (remembering(GREEN, BLUE, GREEN), None, BLUE, 100),
        (remembering(BLUE, BLUE, GREEN), None, BLUE, 0),
        (remembering(GREEN, BLUE, GREEN), {"stableRS": BLUE}, BLUE, 100),
        (remembering(GREEN, BLUE, GREEN), {"stableRS": GREEN}, GREEN, 0),
        (BLUE_ACTIVE, {"stableRS": BLUE, "currentPodHash": GREEN}, BLUE, 0),
        (BLUE_ACTIVE, {"stableRS": 5, "currentPodHash": ["a"]}, BLUE, 0),
    ],
    ids=["first", "switched", "put back by hand", "as reported", "promoted", "no memory", "odd status"],
)
def test_the_stable_release(active: Manifest, status: Any, stable: str, canary: int) -> None:
    """The live selector, the memory of the last switch and a controller's status show together which hash is stable."""
    router = shop(active, status=status)
    assert router.observe().traffic == Traffic(Split(canary))
    router.switch("stable")
    assert selected(router) == (stable, {})


@pytest.mark.parametrize(
    ("active", "status", "reason"),
    [
        (m.selecting("shop-stable"), None, "its selector has no rollouts-pod-template-hash"),
        (remembering(RED, BLUE, GREEN), None, f"selects the pods of {RED}.* somebody else has switched it"),
        (m.selecting("shop-stable", RED), {"stableRS": BLUE}, f"names {BLUE} as stable\n"),
        (remembering(GREEN, BLUE, GREEN), {"stableRS": RED}, f"and rollway remembers {BLUE}"),
    ],
    ids=["no hash", "switched by somebody", "another status", "three opinions"],
)
def test_a_stable_release_that_is_not_certain_is_named(active: Manifest, status: Any, reason: str) -> None:
    """Where the sources disagree nothing is written, status shows why, and the caller's word decides."""
    router = shop(active, status=status)
    (reading,) = router.observe().readings
    assert reading.outcome is Outcome.UNKNOWN
    assert router.observe().traffic is None
    for role in ("stable", "canary"):
        with pytest.raises(AmbiguousError, match=reason) as caught:
            router.switch(role)
        assert "--stable HASH" in str(caught.value)
    with pytest.raises(AmbiguousError):
        router.reset()
    named = replace(router, rollout=router.rollout.with_stable(selected(router)[0] or GREEN))
    named.switch("stable")
    assert selected(named) == (selected(router)[0] or GREEN, {})


def test_a_service_without_hash_takes_the_one_that_the_status_reports() -> None:
    """Before a controller has written its selector, its status names the stable release."""
    router = shop(m.selecting("shop-stable"), status={"stableRS": BLUE})
    (reading,) = router.observe().readings
    assert (reading.outcome, reading.weights) == (Outcome.UNKNOWN, (("every release", "100"),))
    router.switch("canary")
    assert selected(router)[0] == GREEN
    router.switch("stable")
    assert selected(router)[0] == BLUE


def test_a_stable_hash_that_nobody_knows_is_refused() -> None:
    """A misspelled hash is an error that lists those that the Services and the status know."""
    with pytest.raises(InvalidInputError, match=f"{BLUE}, {GREEN}"):
        shop(BLUE_ACTIVE, stable="5d8f8").switch("stable")
    with pytest.raises(InvalidInputError, match="none at all"):
        shop(m.selecting("shop-stable"), None, stable="5d8f8").switch("stable")


# -- the canary


def test_without_a_preview_service_the_status_or_the_caller_names_the_canary() -> None:
    """A Rollout without previewService is led by its status, or by --canary; without both it is refused."""
    with pytest.raises(UnknownRolesError, match="--canary HASH"):
        shop(BLUE_ACTIVE, None).switch("canary")
    for words in ({"status": {"currentPodHash": GREEN}}, {"canary": GREEN}):
        router = shop(BLUE_ACTIVE, None, **words)
        router.switch("canary")
        assert selected(router)[0] == GREEN
        router.switch("stable")
        assert selected(router)[0] == BLUE


def test_the_memory_names_the_canary_where_nothing_else_does() -> None:
    """After a switch by --canary, the same switch again needs no name and changes nothing."""
    router = shop(BLUE_ACTIVE, None, canary=GREEN)
    router.switch("canary")
    later = TrafficRouter(parse_rollout(m.switched(preview=False)), router.store)
    assert later.plan(100) is None
    assert later.observe().traffic == Traffic(Split(100))


def test_a_canary_that_is_named_is_shown_in_preview_first() -> None:
    """--canary leads the preview Service to the hash as well, also while users stay on stable."""
    router = shop(BLUE_ACTIVE, BLUE, canary=RED)
    router.switch("stable")
    assert (selected(router)[0], selected(router, PREVIEW)) == (BLUE, (RED, {}))
    router.switch("canary")
    assert selected(router)[0] == RED
    assert {need.ref for need in needs_of(router.rollout) if need.access is Access.SHARED} == {
        ACTIVE,
        PREVIEW,
    }
    assert weight_paths(shop(BLUE_ACTIVE).rollout, router.store.read(needs_of(router.rollout))) == {
        ACTIVE: [
            ("metadata", "annotations", "rollway.dev/canary-hash"),
            ("metadata", "annotations", "rollway.dev/stable-hash"),
            ("spec", "selector", HASH),
        ]
    }


@pytest.mark.parametrize("words", [{}, {"canary": BLUE}])
def test_there_must_be_another_release(words: Any) -> None:
    """Where preview shows the stable release, a switch to the canary is refused and leaves everything as it is."""
    router = shop(BLUE_ACTIVE, BLUE, **words)
    with pytest.raises(RefusedError, match="no other release"):
        router.switch("canary")
    assert (router.observe().traffic, selected(router)) == (Traffic(Split(0)), (BLUE, {}))


def test_a_newer_release_does_not_make_the_memory_wrong() -> None:
    """A release that comes after a switch is taken only when the caller names the one to go back to."""
    switched = remembering(GREEN, BLUE, GREEN)
    router = shop(switched, RED)
    assert router.observe().traffic == Traffic(Split(100))
    with pytest.raises(AmbiguousError, match=f"--stable {GREEN} or --stable {BLUE}"):
        router.switch("canary")
    router.switch("stable")
    assert selected(router) == (BLUE, {})
    for stable in (GREEN, BLUE):
        router = shop(switched, RED, stable=stable)
        router.switch("canary")
        memory = {"rollway.dev/stable-hash": stable, "rollway.dev/canary-hash": RED}
        assert selected(router) == (RED, memory)


def test_naming_the_active_release_as_stable_ends_a_release() -> None:
    """`switch stable --stable HASH` of what users have forgets the way back and moves nobody."""
    router = shop(remembering(GREEN, BLUE, GREEN), stable=GREEN)
    router.switch("stable")
    assert selected(router) == (GREEN, {})


# -- what cannot be switched


@pytest.mark.parametrize("spec", [{"type": "ExternalName", "selector": {"app": "shop"}}, {"ports": []}])
def test_a_service_that_selects_no_pods_is_refused(spec: Any) -> None:
    """The endpoints of a Service without a selector are somebody else's."""
    with pytest.raises(UnsupportedError, match="selects no pods"):
        shop({**BLUE_ACTIVE, "spec": spec}).switch("stable")


def test_odd_annotations_are_a_fault() -> None:
    """Annotations that are no texts are named with their place."""
    active = remembering(GREEN, BLUE, GREEN)
    active["metadata"]["annotations"]["rollway.dev/stable-hash"] = 57
    with pytest.raises(ManifestError, match=r"metadata\.annotations"):
        shop(active).observe()


@pytest.mark.parametrize("phase", ["Progressing", "Paused"])
def test_a_release_that_a_controller_moves_is_left_to_it(phase: str) -> None:
    """While a controller moves the Rollout it would switch the Services back, so the call is refused until it is allowed."""
    router = shop(BLUE_ACTIVE, status={"phase": phase})
    with pytest.raises(RefusedError, match="controller-in-charge"):
        router.switch("canary")
    allowed = router.limits._replace(allow=frozenset({"controller-in-charge"}))
    replace(router, limits=allowed).switch("canary")
    assert selected(router)[0] == GREEN


@pytest.mark.parametrize(
    ("spec", "code"),
    [({"clusterIP": "None"}, "service-headless"), ({"sessionAffinity": "ClientIP"}, "session-affinity")],
)
def test_what_holds_clients_is_noted(spec: dict[str, str], code: str) -> None:
    """Clients of a headless Service keep addresses, and those with affinity keep one pod of a release: a plan notes both."""
    active = m.selecting("shop-stable", BLUE)
    active["spec"] |= spec
    assert codes(shop(active)) == [(code, "note")]


# -- ready pods


def pod(name: str, pod_hash: str, *, ready: bool = True, port: str = "http", **labels: str) -> Manifest:
    """Return a Pod of a release."""
    manifest = m.pod(name, **{"app": "shop", HASH: pod_hash, **labels})
    manifest["spec"]["containers"][0]["ports"] = [{"name": port, "containerPort": 8080}]
    manifest["status"] = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return manifest


def codes(router: TrafficRouter, weight: int = 100) -> Sequence[tuple[str, str]]:
    """Return the codes and severities of a plan's findings."""
    plan = router.plan(weight)
    assert plan is not None
    return [(finding.code, finding.severity.value) for finding in plan.findings]


ENDING = pod("green-1", GREEN)
ENDING["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "green",
    [
        [],
        [pod("green-1", GREEN, ready=False)],
        [pod("green-1", GREEN, app="other")],
        [pod("green-1", RED)],
        [pod("green-1", GREEN, port="web")],
        [m.placed(pod("green-1", GREEN), "other")],
        [ENDING],
    ],
    ids=[
        "no pod",
        "not ready",
        "another app",
        "another release",
        "another port",
        "another namespace",
        "ending",
    ],
)
def test_a_release_without_ready_pods_gets_nobody(green: list[Manifest]) -> None:
    """A pod counts that has the hash and the other labels of the Service, is ready, stays, and serves the port by its name."""
    active = m.selecting("shop-stable", BLUE)
    active["spec"]["ports"][0]["targetPort"] = "http"
    router = shop(active, GREEN, pod("blue-1", BLUE), *green, running=True)
    assert codes(router) == [("endpoints-not-ready", "refusal")]
    with pytest.raises(RefusedError, match=f"no ready pod has the labels app=shop, {HASH}={GREEN}"):
        router.switch("canary")
    assert selected(router) == (BLUE, {})


def test_a_release_with_fewer_pods_is_noted() -> None:
    """A canary with ready pods is taken, and one with fewer than stable has is a note about capacity."""
    blue = [pod(f"blue-{number}", BLUE) for number in range(3)]
    green = [pod(f"green-{number}", GREEN) for number in range(3)]
    assert codes(shop(BLUE_ACTIVE, GREEN, *blue, *green, running=True)) == []
    few = shop(BLUE_ACTIVE, GREEN, *blue, green[0], running=True)
    assert codes(few) == [("canary-capacity", "note")]
    few.switch("canary")
    assert selected(few)[0] == GREEN


def test_the_way_back_needs_ready_pods_as_long_as_others_serve() -> None:
    """Stable without ready pods is refused while any other release serves users, and a note when none does."""
    switched = remembering(GREEN, BLUE, GREEN)
    assert codes(shop(switched, RED, pod("green-1", GREEN), running=True), 0) == [
        ("endpoints-not-ready", "refusal")
    ]
    assert codes(shop(switched, RED, running=True), 0) == [("endpoints-not-ready", "note")]
    assert codes(shop(switched, RED, pod("blue-1", BLUE), running=True), 0) == []


# -- the parser and the command line


def test_a_router_leaves_the_selectors_alone() -> None:
    """With trafficRouting under blueGreen the named backend routes, and previewService is required."""
    rollout = parse_rollout(m.rollout({"smi": {}}, strategy="blueGreen"))
    assert (rollout.backends, rollout.hashes) == (("smi",), None)
    manifest = m.rollout({"smi": {}}, strategy="blueGreen")
    del manifest["spec"]["strategy"]["blueGreen"]["previewService"]
    with pytest.raises(ManifestError, match=r"blueGreen\.previewService: is required beside the other one"):
        parse_rollout(manifest)
    with pytest.raises(ManifestError, match="add one of nginx, istio, smi"):
        parse_rollout(m.rollout({}, strategy="blueGreen"))
    with pytest.raises(UnsupportedError, match="backend 'service' is not supported"):
        parse_rollout(m.rollout({"service": {}}))


def test_two_services_of_one_name_are_a_fault() -> None:
    """The Service for previews is another one than the users'."""
    with pytest.raises(ManifestError, match="already the stable one"):
        parse_rollout(m.switched(previewService="shop-stable"))


def test_roles_by_hash_are_for_rollouts_without_a_router() -> None:
    """A Rollout whose roles are Services takes neither a stable nor a canary hash."""
    rollout = parse_rollout(m.rollout({"smi": {}}))
    with pytest.raises(InvalidInputError, match="names the Service of its canary"):
        known_roles(rollout, MemoryStore(), canary=GREEN)
    with pytest.raises(InvalidInputError, match="pod-template hash"):
        known_roles(rollout, MemoryStore(), stable=GREEN)


def files(folder: Path, *objects: Manifest) -> tuple[str, str]:
    """Write manifests, and return the words that name them."""
    (folder / "app.yaml").write_text(yaml.safe_dump_all(objects))
    return "--dir", str(folder)


def test_lint_takes_manifests_without_hashes(tmp_path: Path) -> None:
    """In files a controller's hashes are not there, which is a note; on a cluster the same is a refusal."""
    objects = [m.switched(), m.selecting("shop-stable"), m.selecting("shop-canary")]
    (problem,) = lint(DirectoryStore(files(tmp_path, *objects)[1]))
    assert (problem.severity, problem.code) == ("note", "roles-unknown")
    (problem,) = lint(MemoryStore(objects, running=True))
    assert (problem.severity, problem.code) == ("refusal", "roles-unknown")


def test_lint_refuses_what_contradicts_itself_also_in_files(tmp_path: Path) -> None:
    """A Service that selects another release than it remembers is no matter of a missing cluster."""
    objects = [m.switched(), remembering(RED, BLUE, GREEN), m.selecting("shop-canary", RED)]
    (problem,) = lint(DirectoryStore(files(tmp_path, *objects)[1]))
    assert (problem.severity, problem.code) == ("refusal", "ambiguous")


def test_the_options_name_the_roles(tmp_path: Path) -> None:
    """`--stable` and `--canary` reach every verb that reads one Rollout, and status needs its name for them."""
    where = files(tmp_path, m.switched(preview=False), m.selecting("shop-stable", BLUE))
    ran = rollway("switch", "shop", "canary", "--canary", GREEN, *where)
    assert (ran.code, "canary 100 of 100" in ran.stdout) == (0, True), ran
    shown = rollway("status", "shop", "-o", "wide", *where).stdout
    assert f"{GREEN} 100, {BLUE} 0" in shown
    assert "0 of 100" in rollway("status", "shop", "--stable", GREEN, *where).stdout
    assert rollway("status", "--canary", GREEN, *where).code == 2
    assert rollway("switch", "shop", "stable", *where).code == 0
    assert rollway("status", "shop", *where).stdout.count("0 of 100, 0 %") == 1


def test_every_error_is_typed(tmp_path: Path) -> None:
    """A Rollout whose Services are missing ends every verb with a message and no traceback."""
    where = files(tmp_path, m.switched())
    for verb in (
        ["status"],
        ["plan", "shop", "100"],
        ["switch", "shop", "canary"],
        ["lint"],
        ["reset", "shop"],
    ):
        ran = rollway(*verb, *where)
        assert ran.code in (1, 2), ran
        assert "shop-stable" in ran.stderr + ran.stdout
        assert "Traceback" not in ran.stderr
    with pytest.raises(RollwayError):
        TrafficRouter(parse_rollout(m.switched()), MemoryStore()).observe()


def test_accepted_is_the_endpoints_that_follow_the_selector() -> None:
    """`accepted` matches once the EndpointSlices have exactly the ready pods of the release, and is read anew until then."""
    blue, green = pod("blue-1", BLUE), pod("green-1", GREEN)
    router = shop(BLUE_ACTIVE, GREEN, blue, green, m.endpoint_slice("shop-stable"), running=True)
    store = router.store
    assert isinstance(store, MemoryStore)

    def endpoints(*names: str) -> None:
        found = m.endpoint_slice("shop-stable", ready=len(names))
        for endpoint, name in zip(found["endpoints"], names, strict=True):
            endpoint["targetRef"]["name"] = name
        store.put(found)

    class Following:
        """The probe, beside a controller that follows the selector after its first look."""

        evidence, backends = PROBE.evidence, PROBE.backends

        def judge(self, context: Context) -> Verdict:
            verdict = PROBE.judge(context)
            endpoints("green-1")
            return verdict

    endpoints("blue-1")
    assert replace(router, probes=(PROBE,)).verify(0).outcome is Outcome.MATCHES
    with pytest.raises(NotVerifiedError, match=f"lack 1 of 1 ready pods of {GREEN}, and have 1 others"):
        replace(router, probes=(PROBE,)).switch("canary", timeout=0)
    router.switch("stable")
    result = replace(router, probes=(Following(),)).switch("canary", verify=Evidence.ACCEPTED)
    assert result.verdict is not None
    assert (result.verdict.outcome, result.verdict.evidence) == (Outcome.MATCHES, Evidence.ACCEPTED)


def test_accepted_needs_a_ready_pod() -> None:
    """No pod and no endpoint agree with each other, and yet nobody is served."""
    router = shop(BLUE_ACTIVE, GREEN, running=True)
    limits = router.limits._replace(allow=frozenset({"endpoints-not-ready"}))
    verdict = replace(router, probes=(PROBE,), limits=limits).verify(0)
    assert (verdict.outcome, verdict.evidence) == (Outcome.DIFFERS, Evidence.ACCEPTED)
