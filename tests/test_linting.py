"""Lint: every fault at its place, none hidden by another, and never green where a weight is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml
from hypothesis import event, given
from hypothesis import strategies as st

import manifests as m
from rollway.routers.errors import NotFoundError, RollwayError, UnwritableError
from rollway.routers.linting import lint
from rollway.routers.lookup import read_rollouts
from rollway.routers.model import Strategy
from rollway.routers.roles import known_roles
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.directory import DirectoryStore
from rollway.routers.testing import MemoryStore
from running import rollway

if TYPE_CHECKING:
    from rollway.routers.linting import Problem
    from rollway.routers.model import Rollout

GOLDEN = Path(__file__).parent / "golden"
ISTIO = {"istio": {"virtualService": {"name": "web"}}}


def codes(*manifests: Any) -> list[tuple[str, str]]:
    """Lint some manifests and return the severity and code of each problem."""
    return [(problem.severity, problem.code) for problem in lint(MemoryStore(manifests))]


def found(folder: Path, files: dict[str, Any]) -> list[Problem]:
    """Write files of manifests (or of text), and lint them."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(content if isinstance(content, str) else yaml.safe_dump_all(content))
    return lint(DirectoryStore(folder))


def without_namespace(manifest: Any) -> Any:
    """Return a manifest as bases have it."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
    return {**manifest, "metadata": metadata}


def services() -> list[Any]:
    """Return the Services of the shop."""
    return [m.service("shop-stable"), m.service("shop-canary")]


# -- fields that rollway does not act on

ROLLOUT_WITH_STEPS = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: shop
spec:
  replicas: 3
  selector: {}
  template: {}
  strategy:
    canary:
      stableService: shop-stable
      canaryService: shop-canary
      maxSurge: 1
      analysis:
        templates: []
      steps:
        - setWeight: 20
        - analysis:
            templates: []
        - pause: {duration: 10}
        - analysis:
            templates: []
        - setHeaderRoute:
            name: beta
        - setMirrorRoute:
            name: beta
      trafficRouting:
        managedRoutes:
          - name: beta
        istio:
          virtualService:
            name: web
"""


def test_fields_that_are_not_acted_on_are_notes(tmp_path: Path) -> None:
    """Each field below the strategy that rollway ignores is one note with its line; those of one name stand together."""
    problems = found(
        tmp_path, {"rollout.yaml": ROLLOUT_WITH_STEPS, "web.yaml": [m.virtual_service(), *services()]}
    )
    steps = "strategy.canary.steps"
    unused = [problem for problem in problems if problem.code == "field-not-used"]
    assert [(problem.place.rpartition("/")[2], problem.message) for problem in unused] == [
        ("rollout.yaml:13", "spec.strategy.canary.maxSurge: rollway does not act on this field"),
        ("rollout.yaml:14", "spec.strategy.canary.analysis: rollway does not act on this field"),
        (
            "rollout.yaml:18",
            f"spec.{steps}[1].analysis (and spec.{steps}[3].analysis): rollway does not act on this field",
        ),
    ]
    assert {problem.severity for problem in problems} == {"note"}


def with_steps(routing: dict[str, Any], *steps: Any) -> dict[str, Any]:
    """Return a Rollout with steps and the managed route `beta`."""
    return m.rollout({"managedRoutes": [{"name": "beta"}], **routing}, steps=list(steps))


def test_faults_of_steps_are_all_reported() -> None:
    """Each fault of a step is reported with its place, whatever other faults the Rollout has."""
    rollout = with_steps(
        ISTIO, {"setWeight": 101}, {"setHeaderRoute": {"name": "other"}}, {"setMirrorRoute": []}
    )
    canary = rollout["spec"]["strategy"]["canary"]
    canary["stableServce"] = canary.pop("stableService")
    problems = lint(MemoryStore([rollout, m.virtual_service(), *services()]))
    assert [(problem.severity, problem.message.partition(": ")[0]) for problem in problems] == [
        ("fault", "spec.strategy.canary.steps[0]"),
        ("fault", "spec.strategy.canary.steps[1].setHeaderRoute.name"),
        ("fault", "spec.strategy.canary.steps[2].setMirrorRoute"),
        ("fault", "spec.strategy.canary.stableServce"),
    ]


def test_route_steps_that_a_backend_cannot_do_are_refused_by_name() -> None:
    """A kind of route that a backend lacks, and a route that it cannot express, are refusals at the step."""
    match = {"headerName": "X-Beta", "headerValue": {"prefix": "1"}}
    steps = (
        {"setHeaderRoute": {"name": "beta", "match": [match, {**match, "headerName": "X-Team"}]}},
        {"setMirrorRoute": {"name": "beta", "match": [{}]}},
        {"setHeaderRoute": {"name": "beta"}},
    )
    nginx = with_steps({"nginx": {"stableIngress": "web"}}, *steps)
    refused = [
        problem.message
        for problem in lint(MemoryStore([nginx, m.ingress(), *services()]))
        if problem.severity == "refusal"
    ]
    assert [message.partition(": ")[0] for message in refused] == [
        "spec.strategy.canary.steps[0]",
        "spec.strategy.canary.steps[1]",
    ]
    assert "header route beta (X-Beta: 1* or X-Team: 1*)" in refused[0]
    assert "backend nginx cannot do mirror routes" in refused[1]
    istio = lint(MemoryStore([with_steps(ISTIO, *steps), m.virtual_service(), *services()]))
    assert [problem for problem in istio if problem.severity != "note"] == []
    # Without its objects nothing more is known, and that is reported once.
    alone = lint(MemoryStore([with_steps(ISTIO, *steps), *services()]))
    assert [problem.code for problem in alone] == ["not-found"]


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("trafficRoutin", {"smi": {}}, "trafficRouting"),
        ("stableServce", "a", "stableService"),
        ("pingpong", {}, "pingPong"),
    ],
)
def test_a_misspelled_key_is_a_fault(key: str, value: Any, meant: str) -> None:
    """A key of a strategy that looks like a known one is a fault that names it, and not a field of somebody else."""
    rollout = m.rollout(ISTIO)
    canary = rollout["spec"]["strategy"]["canary"]
    canary[key] = value
    canary.pop(meant, None)
    problems = lint(MemoryStore([rollout, m.virtual_service()]))
    (fault,) = [problem for problem in problems if problem.severity == "fault"]
    assert f"canary.{key}: unknown key; did you mean {meant!r}" in fault.message


def test_keys_of_argo_rollouts_are_no_misspellings() -> None:
    """No key of Argo Rollouts' strategies passes for the misspelling of one that rollway reads."""
    canary = (
        "canaryMetadata stableMetadata maxSurge maxUnavailable analysis antiAffinity scaleDownDelaySeconds "
        "scaleDownDelayRevisionLimit abortScaleDownDelaySeconds dynamicStableScale minPodsPerReplicaSet"
    )
    blue_green = (
        "previewReplicaCount autoPromotionEnabled autoPromotionSeconds maxUnavailable scaleDownDelaySeconds "
        "scaleDownDelayRevisionLimit prePromotionAnalysis antiAffinity postPromotionAnalysis previewMetadata "
        "activeMetadata abortScaleDownDelaySeconds"
    )
    for strategy, words in (("canary", canary), ("blueGreen", blue_green)):
        rollout = m.rollout(ISTIO, strategy=strategy)
        rollout["spec"]["strategy"][strategy].update(dict.fromkeys(words.split(), 1))
        assert set(codes(rollout, m.virtual_service(), *services())) == {("note", "field-not-used")}


# -- what a weight above 0 would meet


def test_lint_judges_a_weight_above_0() -> None:
    """A second canary, a foreign owner and a missing subset are refusals also while the canary has nothing."""
    second = m.ingress("other-canary", "shop.example.com", m.path("other"))
    second["metadata"].update(
        annotations={"nginx.ingress.kubernetes.io/canary": "true"}, creationTimestamp="2020-01-01T00:00:00Z"
    )
    nginx = m.rollout({"nginx": {"stableIngress": "web"}})
    assert ("refusal", "nginx-second-canary") in codes(nginx, m.ingress(), second, *services())
    foreign = m.ingress("shop-web-canary", "shop.example.com", m.path("shop-canary"))
    assert ("refusal", "foreign-owner") in codes(nginx, m.ingress(), foreign, *services())


def test_a_total_that_a_data_plane_ignores_is_a_refusal() -> None:
    """ingress-nginx ignores a total below 100, so every weight of such a Rollout is refused."""
    rollout = m.rollout({"nginx": {"stableIngress": "web"}, "maxTrafficWeight": 50})
    assert ("refusal", "unsupported") in codes(rollout, m.ingress(), *services())


def test_the_file_that_holds_the_fault_is_blamed(tmp_path: Path) -> None:
    """A fault of an object stands at the object's place, a name that leads nowhere at the line that holds it."""
    missing = m.rollout({"istio": {"virtualService": {"name": "absent"}}}, name="lost")
    weights = [m.destination("shop-stable", -5), m.destination("shop-canary", 0)]
    broken = m.virtual_service("web", http=[{"route": weights}])
    problems = found(
        tmp_path, {"a.yaml": [m.rollout(ISTIO)], "b.yaml": [missing], "web.yaml": [*services(), broken]}
    )
    places = {problem.code: Path(problem.place).name for problem in problems}
    assert places["not-found"] == "b.yaml:14"
    assert places["manifest-fault"].startswith("web.yaml:")


def test_objects_that_disagree_are_a_fault() -> None:
    """Backends of one Rollout that give the canary different shares are a fault that names each of them."""
    rollout = m.rollout({**ISTIO, "smi": {}})
    route = [m.destination("shop-stable", 90), m.destination("shop-canary", 10)]
    objects = [m.virtual_service(http=[{"route": route}]), *services()]
    store = MemoryStore([rollout, *objects])
    (fault,) = [problem for problem in lint(store) if problem.severity == "fault"]
    assert fault.code == "objects-disagree"
    assert "VirtualService default/web http[0] gives the canary 10 of 100" in fault.message
    assert "TrafficSplit default/shop gives the canary 0 of 100" in fault.message


def test_no_fault_hides_another() -> None:
    """What is wrong with one backend does not hide what is wrong with another, or with another Rollout."""
    rollout = m.rollout({**ISTIO, "nginx": {"stableIngress": "web"}})
    ingress = m.ingress("web", "shop.example.com", m.path("somebody-else"))
    other = m.rollout({"istio": {"virtualService": {"name": "absent"}}}, name="other")
    problems = lint(MemoryStore([rollout, ingress, other]))
    assert {(problem.rollout, problem.code, problem.message.partition(",")[0]) for problem in problems} >= {
        ("default/shop", "not-found", "VirtualService default/web not found"),
        (
            "default/shop",
            "not-found",
            "Ingress default/web has no path that leads to Service shop-stable",
        ),
        ("default/other", "not-found", "VirtualService default/absent not found"),
    }


def test_a_wrong_route_beside_one_that_is_ambiguous(tmp_path: Path) -> None:
    """Where another route holds the canary twice, the wrong name of a route is all that can be said."""
    rollout = m.rollout({"istio": {"virtualService": {"name": "web", "routes": ["primry"]}}})
    route = [
        m.destination("shop-stable", 100),
        m.destination("shop-canary", 0),
        m.destination("shop-canary", 0),
    ]
    objects = [rollout, m.virtual_service(http=[{"name": "primary", "route": route}]), *services()]
    (problem,) = found(tmp_path, {"app.yaml": objects})
    assert "has no http route 'primry'" in problem.message


def test_no_virtual_service_hides_another(tmp_path: Path) -> None:
    """What is wrong with the first VirtualService of a Rollout does not hide what is wrong with the second."""
    names = [{"name": name, "routes": ["primry"]} for name in ("a", "b")]
    rollout = m.rollout({"istio": {"virtualServices": names}})
    objects = [rollout, m.virtual_service("a"), m.virtual_service("b"), *services()]
    messages = [problem.message for problem in found(tmp_path, {"app.yaml": objects})]
    assert [message.partition(" has no ")[0] for message in messages] == [
        "VirtualService default/a",
        "VirtualService default/b",
    ]


def test_a_rollout_without_routing_is_a_note() -> None:
    """A Rollout that asks for no traffic routing is none of rollway's business."""
    assert codes(m.rollout(None)) == [("note", "no-traffic-routing")]


def test_a_name_that_is_not_there_is_an_error() -> None:
    """`lint NAME` of a Rollout that is not there is an error, and no empty list."""
    with pytest.raises(NotFoundError):
        lint(MemoryStore(), name="absent")


# -- files


def test_a_broken_file_is_a_fault_with_its_line(tmp_path: Path) -> None:
    """A file that is no YAML is one fault at its line, and the Rollouts beside it are judged all the same."""
    broken = "kind: ConfigMap\nmetadata:\n  name: [\n"
    problems = found(
        tmp_path,
        {"shop.yaml": [m.rollout(ISTIO), m.virtual_service(), *services()], "broken.yaml": broken},
    )
    (fault,) = problems
    assert (fault.severity, fault.code, fault.rollout) == ("fault", "unreadable-file", "")
    assert Path(fault.place).name.startswith("broken.yaml:")


def test_a_rollout_that_stands_twice_is_one_fault(tmp_path: Path) -> None:
    """A Rollout with a second place is one fault that names both, and the others are judged."""
    problems = found(
        tmp_path,
        {
            "base/shop.yaml": [m.rollout(ISTIO), m.virtual_service(), *services()],
            "overlay/patch.yaml": [m.rollout(ISTIO)],
            "other.yaml": [m.rollout({"istio": {"virtualService": {"name": "absent"}}}, name="other")],
        },
    )
    assert [(problem.rollout, problem.code) for problem in problems] == [
        ("default/other", "not-found"),
        ("default/shop", "duplicate-object"),
    ]
    assert "base/shop.yaml:1" in problems[1].message
    assert "overlay/patch.yaml:1" in problems[1].message


def test_an_object_that_stands_twice_is_a_fault_of_those_who_name_it(tmp_path: Path) -> None:
    """A VirtualService in two folders is a fault of the Rollout that names it, and of no other."""
    problems = found(
        tmp_path,
        {
            "a/shop.yaml": [m.rollout(ISTIO), m.virtual_service(), *services()],
            "b/web.yaml": [m.virtual_service()],
            "b/cart.yaml": [m.rollout({"smi": {}}, name="cart")],
        },
    )
    faults = [problem for problem in problems if problem.severity == "fault"]
    assert [(problem.rollout, problem.code) for problem in faults] == [("default/shop", "duplicate-object")]


def test_both_ingresses_of_one_name_are_judged(tmp_path: Path) -> None:
    """Two Ingresses of one name in different folders are both looked at: the fault of the second is found."""
    harmless = m.ingress("old", "other.example.com", m.path("other"))
    canary = m.ingress("old", "shop.example.com", m.path("other"))
    canary["metadata"].update(
        annotations={"nginx.ingress.kubernetes.io/canary": "true"}, creationTimestamp="2020-01-01T00:00:00Z"
    )
    shop = [m.rollout({"nginx": {"stableIngress": "web"}}), m.ingress(), *services()]
    problems = found(tmp_path, {"a.yaml": shop, "b/old.yaml": [harmless], "c/old.yaml": [canary]})
    assert "nginx-second-canary" in {problem.code for problem in problems}


def test_a_wrong_route_hides_no_wrong_service(tmp_path: Path) -> None:
    """A name of a route that leads nowhere and a canary Service that no route has are both reported."""
    routing = {"istio": {"virtualService": {"name": "web", "routes": ["primry"]}}}
    rollout = m.rollout(routing)
    rollout["spec"]["strategy"]["canary"]["canaryService"] = "shop-canry"
    problems = found(tmp_path, {"rollout.yaml": [rollout], "web.yaml": [m.virtual_service(), *services()]})
    faults = {problem.message.partition(";")[0]: Path(problem.place).name for problem in problems}
    line = 1 + (tmp_path / "rollout.yaml").read_text().splitlines().index("            - primry")
    assert faults["VirtualService default/web has no http route 'primry'"] == f"rollout.yaml:{line}"
    assert (
        "VirtualService default/web: no http route holds both stable Service shop-stable and canary Service shop-canry"
        in faults
    )


# -- never green where a weight is refused


def refused(store: Any) -> list[str]:
    """Return what refuses a weight from 1 to the total of any Rollout in a store."""
    errors: list[str] = []
    for _, rollout in read_rollouts(store):
        if isinstance(rollout, RollwayError):
            errors.append(str(rollout))
            continue
        total = rollout.total
        weights = {1, 2, total // 2, total - 1, total} - {0}
        for weight in [total] if rollout.strategy is Strategy.BLUE_GREEN else sorted(weights):
            try:
                plan = TrafficRouter(known_roles(rollout, store), store).plan(weight)
                errors += [str(finding) for finding in plan.refusals] if plan else []
            except RollwayError as error:
                errors.append(f"{weight}: {error}")
    return errors


def is_green(problems: list[Problem]) -> bool:
    """Return whether lint has nothing against setting weights."""
    return all(problem.severity == "note" for problem in problems)


@pytest.mark.parametrize(
    "case", sorted(GOLDEN.glob("*/*.yaml")), ids=lambda case: f"{case.parent.name}/{case.stem}"
)
def test_where_lint_is_green_no_weight_is_refused(case: Path, tmp_path: Path) -> None:
    """For every golden case: without a fault and a refusal of lint, each weight above 0 can be planned.

    Where lint notes that the caller has to name a role, the caller has not named it here.
    """
    (tmp_path / "app.yaml").write_text(case.read_text())
    (tmp_path / "services.yaml").write_text(yaml.safe_dump_all(services()))
    store = DirectoryStore(tmp_path)
    try:
        problems = lint(store)
    except RollwayError:
        return
    if is_green(problems) and not any(problem.code == "roles-unknown" for problem in problems):
        assert refused(store) == []


ROUTINGS: list[dict[str, Any]] = [
    {"nginx": {"stableIngress": "web"}},
    {"nginx": {"stableIngress": "web", "additionalIngressAnnotations": {"canary-by-header": "X"}}},
    ISTIO,
    {"istio": {"virtualService": {"name": "web", "routes": ["primary"]}}},
    {"smi": {}},
    {"smi": {"rootService": "shop"}, "maxTrafficWeight": 1000},
    {**ISTIO, "smi": {}},
    {"nginx": {"stableIngress": "web"}, "maxTrafficWeight": 50},
]


@st.composite
def directories(draw: st.DrawFn) -> list[Any]:
    """Generate what a repository may hold: a Rollout, its objects with any weights, and objects in its way."""
    weight = st.integers(0, 120)
    hosts = st.lists(st.sampled_from(["shop-stable", "shop-canary", "other"]), max_size=4)
    route = [m.destination(host, draw(weight)) for host in draw(hosts)]
    canary = m.ingress("old", "shop.example.com", m.path(draw(st.sampled_from(["other", "shop-canary"]))))
    canary["metadata"]["annotations"] = {
        "nginx.ingress.kubernetes.io/canary": draw(st.sampled_from(["true", "x"]))
    }
    split: Any = {
        draw(st.sampled_from(["shop_stable", "shop_canary", "other"])): draw(weight) for _ in range(3)
    }
    objects = [
        m.ingress("web", "shop.example.com", m.path(draw(st.sampled_from(["shop-stable", "other"])))),
        m.ingress("more", draw(st.sampled_from(["shop.example.com", "else.example.com"])), m.path("other")),
        canary,
        m.virtual_service(http=[{"name": "primary", "route": route}]),
        m.virtual_service(),
        m.traffic_split("v1alpha2", draw(st.sampled_from(["shop", "old"])), **split),
        *services(),
    ]
    chosen = [item for item in objects if draw(st.booleans())]
    strategy = draw(st.sampled_from(["canary", "canary", "blueGreen"]))
    return [m.rollout(draw(st.sampled_from(ROUTINGS)), strategy=strategy), *chosen]


@given(directories())
def test_where_lint_is_green_no_weight_is_refused_anywhere(manifests: list[Any]) -> None:
    """For generated repositories too: without a fault and a refusal of lint, each weight above 0 can be planned."""
    store = MemoryStore(manifests)
    green = is_green(lint(store))
    event(f"green: {green}")
    if green:
        assert refused(store) == []


# -- many


def test_lint_reads_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many Rollouts there are, the store is read for them and once more for their objects."""
    store = MemoryStore([*services(), *(shop(index) for index in range(20)), m.virtual_service()])
    reads: list[Any] = []
    read = store.read

    def counted(needs: Any) -> Any:
        reads.append(needs)
        return read(needs)

    monkeypatch.setattr(store, "read", counted)
    assert is_green(lint(store))
    assert len(reads) == 2


def shop(index: int) -> Any:
    """Return one of many Rollouts."""
    return m.rollout(ISTIO, name=f"shop-{index}")


# -- what a store could not write


def test_a_text_that_cannot_take_a_weight_is_reported(tmp_path: Path) -> None:
    """Where `plan` fails because the file cannot be changed, lint is not green, and names the file."""
    manifests = [*services(), m.ingress(), m.rollout({"nginx": {"stableIngress": "web"}})]
    file = tmp_path / "all.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))
    store = DirectoryStore(file)
    (item, rollout), *_ = read_rollouts(store)
    with pytest.raises(UnwritableError) as caught:
        TrafficRouter(cast("Rollout", rollout), store).plan(10)
    (problem,) = [problem for problem in lint(store) if problem.severity != "note"]
    assert (problem.severity, problem.code, problem.rollout) == ("refusal", "file-unwritable", "default/shop")
    assert caught.value.message in problem.message
    assert problem.place == item.locate(())


def test_an_anchor_is_tried_and_not_reported_when_it_can_be_parted(tmp_path: Path) -> None:
    """Weights that share a value by an anchor are written apart, so there is nothing to report."""
    text = yaml.safe_dump(m.virtual_service()).replace("weight: 100", "weight: &w 100")
    assert "&w" in text
    assert not found(tmp_path, {"web.yaml": text, "rest.yaml": [*services(), m.rollout(ISTIO)]})


def test_an_object_of_two_overlays_is_reported(tmp_path: Path) -> None:
    """A file that two overlays build objects from cannot be written, and lint reports that as a plan does."""
    base = {"resources": ["all.yaml"]}
    files = {
        "base/kustomization.yaml": [base],
        "base/all.yaml": [without_namespace(item) for item in (m.virtual_service(), m.rollout(ISTIO))],
        "one/kustomization.yaml": [{"resources": ["../base"], "namespace": "one"}],
        "two/kustomization.yaml": [{"resources": ["../base"], "namespace": "two"}],
    }
    assert {(problem.code, problem.rollout) for problem in found(tmp_path, files)} >= {
        ("unsupported", "one/shop"),
        ("unsupported", "two/shop"),
    }


def test_who_may_not_write_the_files_may_check_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without the right to write to it is no fault of the manifests."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert not found(tmp_path, {"all.yaml": [*services(), m.virtual_service(), m.rollout(ISTIO)]})


def test_a_rollout_of_a_file_is_judged_by_the_objects_of_the_store(tmp_path: Path) -> None:
    """`lint -f` judges the Rollouts of the file alone, with the objects of the directory."""
    for name, manifests in {
        "objects": [*services(), m.virtual_service()],
        "file": [m.rollout(ISTIO)],
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.yaml").write_text(yaml.safe_dump_all(manifests))
    where, file = str(tmp_path / "objects"), str(tmp_path / "file" / "all.yaml")
    assert rollway("lint", "--dir", where, "-f", file).code == 0
    (tmp_path / "objects" / "all.yaml").write_text(yaml.safe_dump_all(services()))
    ran = rollway("lint", "--dir", where, "-f", file)
    assert (ran.code, f"{file}:" in ran.stdout, "VirtualService default/web not found" in ran.stdout) == (
        2,
        True,
        True,
    )
