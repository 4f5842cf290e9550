"""Check: what works for a Rollout and what does not, of a cluster and of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

import manifests as m
from rollway.routers.checking import Check, CheckResult, check_rollout
from rollway.routers.errors import ForbiddenError, NotServedError
from rollway.routers.probes.pods import PodAccess
from rollway.routers.stores import ClusterAccess
from rollway.routers.stores.cluster import ClusterStore
from rollway.routers.stores.watching import WatchingStore
from rollway.routers.testing import MemoryStore
from rollway.routers.writers import Influence, writers_of
from running import rollway

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollway.routers.objects import ObjectRef

SCHEMA = Path(__file__).parent.parent / "docs" / "schema" / "check.json"
ISTIO = {"istio": {"virtualService": {"name": "web"}}}


class Cluster(MemoryStore):
    """A cluster in memory: `lacks` are the rights that the role does not have, `unserved` the kinds without a CRD."""

    def __init__(
        self, manifests: Iterable[Any], lacks: Iterable[str] = (), unserved: Iterable[str] = ()
    ) -> None:
        super().__init__(manifests, running=True)
        self.lacks = set(lacks)
        self.unserved = set(unserved)
        self.managers: dict[str, list[str]] = {}

    def is_served(self, _group: str, kind: str, *, required: bool) -> bool:
        if required and kind in self.unserved:
            raise NotServedError(kind)
        return kind not in self.unserved

    def allows(
        self, verb: str, resource: str, _group: str = "", *, namespace: str = "", name: str = ""
    ) -> bool:
        return f"{verb} {resource}" not in self.lacks and bool(namespace) and name != "forbidden"

    def field_managers(self, ref: ObjectRef) -> Sequence[str]:
        return self.managers.get(ref.kind, [])


def shop(routing: Any = None, *, ready: int = 1, **status: Any) -> list[Any]:
    """Return a Rollout with all its objects and so many ready endpoints."""
    rollout = m.rollout(ISTIO if routing is None else routing)
    if status:
        rollout["status"] = status
    names = ("shop-stable", "shop-canary")
    slices = [m.endpoint_slice(name, ready=ready, unready=1) for name in names]
    return [rollout, m.virtual_service(), *(m.service(name) for name in names), *slices]


def results(checks: list[Check]) -> dict[tuple[str, str], CheckResult]:
    """Return the result of each check by its area and subject."""
    return {(check.area, check.subject): check.result for check in checks}


def test_a_rollout_with_which_everything_works() -> None:
    """Every area is looked at, and nothing is a problem; a data plane that cannot be asked is not known."""
    checks = check_rollout(Cluster(shop()), "shop")
    assert {check.area for check in checks} == {
        "access", "kinds", "rights", "objects", "endpoints", "data planes", "writers"
    }  # fmt: skip
    assert {check.area for check in checks if check.result is not CheckResult.OK} == {"data planes"}
    assert all(check.result is not CheckResult.PROBLEM for check in checks)


def test_a_right_that_the_role_lacks() -> None:
    """Each rule that `rbac` prints is asked for; a verb that is missing is named, with what gives it."""
    checks = check_rollout(Cluster(shop(), lacks=["patch virtualservices", "create events"]), "shop")
    problems = {check.subject: check for check in checks if check.result is CheckResult.PROBLEM}
    assert set(problems) == {"virtualservices web in namespace default", "events in namespace default"}
    assert problems["virtualservices web in namespace default"].detail == "the role lacks patch"
    assert "rollway rbac shop" in problems["events in namespace default"].remedy


def test_a_kind_that_is_not_served() -> None:
    """A CustomResourceDefinition that is not installed is a problem."""
    checks = check_rollout(Cluster(shop(), unserved=["VirtualService"]), "shop")
    assert results(checks)["kinds", "VirtualService.networking.istio.io"] is CheckResult.PROBLEM


def test_a_rollout_that_cannot_be_read() -> None:
    """Without the Rollout there is one entry, with the reason and the names of those that are there."""
    (check,) = check_rollout(Cluster(shop()), "shpo")
    assert (check.area, check.result) == ("access", CheckResult.PROBLEM)
    assert check.remedy == "did you mean shop? Rollout here: shop"


def test_endpoints_that_are_not_ready_are_an_area_of_their_own() -> None:
    """Destinations without a ready endpoint are a problem, and do not count as faults of the objects."""
    checks = check_rollout(Cluster(shop(ready=0)), "shop")
    assert {check.area for check in checks if check.result is CheckResult.PROBLEM} == {"endpoints"}


def test_objects_that_are_yet_to_be_made() -> None:
    """Before the first weight, when nothing exists that rollway writes, the Rollout stands for its objects."""
    checks = check_rollout(Cluster([*shop({"smi": {}})]), "shop")
    assert results(checks)["objects", "Rollout default/shop"] is CheckResult.OK


def test_objects_that_refuse_a_weight() -> None:
    """What lint reports as a fault or a refusal is a problem of the objects."""
    broken = [item for item in shop() if item["kind"] != "VirtualService"]
    checks = check_rollout(Cluster(broken), "shop")
    (problem,) = [check for check in checks if check.area == "objects"]
    assert (problem.result, "VirtualService default/web not found" in problem.detail) == (
        CheckResult.PROBLEM,
        True,
    )


@pytest.mark.parametrize(
    ("manager", "result", "tool"),
    [
        ("flagger", CheckResult.PROBLEM, "Flagger"),
        ("rollouts-controller", CheckResult.PROBLEM, "Argo Rollouts"),
        ("argocd-controller", CheckResult.UNKNOWN, "Argo CD"),
        ("helm-controller", CheckResult.UNKNOWN, "Flux"),
        ("kubectl-edit", CheckResult.OK, "written by kubectl-edit too"),
    ],
)
def test_who_else_writes_an_object(manager: str, result: CheckResult, tool: str) -> None:
    """Whoever writes weights of its own is a problem, a GitOps tool is not known to be one, and people are neither."""
    store = Cluster(shop())
    store.managers["VirtualService"] = [manager]
    (check,) = [check for check in check_rollout(store, "shop") if check.area == "writers"]
    assert (check.result, tool in check.detail) == (result, True)


@pytest.mark.parametrize(
    ("metadata", "name", "influence"),
    [
        ({"labels": {"argocd.argoproj.io/instance": "a"}}, "Argo CD", Influence.SYNC),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "a"}}, "Argo CD", Influence.SYNC),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "a"}}, "Flux", Influence.SYNC),
        ({"ownerReferences": [{"kind": "Canary"}]}, "Flagger", Influence.WEIGHTS),
    ],
)
def test_writers_are_recognized_by_marks(metadata: Any, name: str, influence: Influence) -> None:
    """Labels, annotations and owners show who has to do with an object, in files too."""
    (writer,) = writers_of({"metadata": metadata})
    assert (writer.name, writer.influence) == (name, influence)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ({"phase": "Paused", "currentStepIndex": 1}, CheckResult.PROBLEM),
        ({"phase": "Healthy", "currentStepIndex": 3}, CheckResult.UNKNOWN),
    ],
)
def test_a_controller_that_reports_on_the_rollout(status: dict[str, Any], result: CheckResult) -> None:
    """A controller that is at a step is a problem; one that is done may move the traffic later."""
    checks = check_rollout(Cluster(shop(None, **status)), "shop")
    assert results(checks)["writers", "Rollout default/shop"] is result


def test_what_cannot_be_asked_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that the cluster refuses is an entry of the list, and ends nothing."""

    def forbidden(*_words: Any, **_named: Any) -> Any:
        raise ForbiddenError("the role lacks it")

    store = Cluster(shop())
    monkeypatch.setattr(store, "allows", forbidden)
    monkeypatch.setattr(store, "field_managers", forbidden)
    monkeypatch.setattr(store, "is_served", forbidden)
    checks = check_rollout(store, "shop")
    unknown = {check.area for check in checks if check.result is CheckResult.UNKNOWN}
    assert {"kinds", "rights", "writers"} <= unknown


def test_files_are_checked_as_far_as_they_go(tmp_path: Path) -> None:
    """Of a directory there is no entry about rights or data planes; the exit code is 0 unless something is a problem."""
    manifests = [item for item in shop() if item["kind"] != "EndpointSlice"]
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump_all(manifests))
    ran = rollway("check", "shop", "--dir", str(tmp_path), "-o", "json")
    checks = json.loads(ran.stdout)
    jsonschema.validate(checks, json.loads(SCHEMA.read_text()))
    assert ran.code == 0
    assert {check["area"] for check in checks} == {"access", "objects", "endpoints", "writers"}
    assert (
        rollway("check", "shop", "--dir", str(tmp_path)).stdout.splitlines()[-1]
        == "3 OK, 0 problem, 1 unknown"
    )
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump_all(manifests[:1]))
    broken = rollway("check", "shop", "--dir", str(tmp_path))
    assert (broken.code, "not found" in broken.stdout) == (1, True)


@pytest.mark.parametrize("store", [ClusterStore, WatchingStore])
def test_a_cluster_gives_this_access(store: type) -> None:
    """The stores of a cluster answer what `check` asks, and reach the pods of data planes."""
    assert issubclass(store, ClusterAccess)
    assert issubclass(store, PodAccess)


def test_a_rollout_from_a_file_is_checked_against_the_store(tmp_path: Path) -> None:
    """With -f the Rollout comes from the file, and everything else from the store."""
    rollout, *others = shop()
    (tmp_path / "rollout").mkdir()
    (tmp_path / "objects").mkdir()
    (tmp_path / "rollout" / "shop.yaml").write_text(yaml.safe_dump(rollout))
    (tmp_path / "objects" / "all.yaml").write_text(yaml.safe_dump_all(others))
    words = ("shop", "--dir", str(tmp_path / "objects"))
    assert rollway("check", *words).code == 1
    ran = rollway("check", *words, "-f", str(tmp_path / "rollout" / "shop.yaml"))
    assert (ran.code, "3 OK, 0 problem, 1 unknown" in ran.stdout) == (0, True), ran.stdout
