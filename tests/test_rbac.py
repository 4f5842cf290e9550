"""The least Role, as a pure function of the Rollout; that it is enough, and not too much, is proven on an API server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import manifests as m
from rollway.routers import gitops, rbac
from rollway.routers.model import INSTANCE_ID, INSTANCE_LABEL
from rollway.routers.objects import Live, LiveObject
from rollway.routers.plan import pointer
from rollway.routers.rollout import parse_rollout
from rollway.routers.stores.manifests import ref_of
from running import rollway, schema

if TYPE_CHECKING:
    from pathlib import Path


def rules(routing: dict[str, Any], namespace: str = "default") -> set[str]:
    """Return the permissions in a namespace, one line each."""
    return {
        f"{verb} {rule.resource} {name}".rstrip()
        for rule in rbac.rules(parse_rollout(m.rollout(routing)))[namespace]
        for verb in rule.verbs
        for name in rule.names or ("",)
    }


COMMON = {
    "get rollouts shop",
    "get services shop-stable",
    "get services shop-canary",
    "list endpointslices",
    "create events",
    "list events",
}


@pytest.mark.parametrize(
    ("routing", "expected"),
    [
        (
            {"nginx": {"stableIngress": "web"}},
            {
                "list ingresses",
                *(f"{verb} ingresses shop-web-canary" for verb in ("get", "patch", "create", "delete")),
            },
        ),
        (
            {"istio": {"virtualService": {"name": "web"}}},
            {"get virtualservices web", "patch virtualservices web"},
        ),
        (
            {"smi": {}},
            {
                "list trafficsplits",
                *(f"{verb} trafficsplits shop" for verb in ("get", "patch", "create", "delete")),
            },
        ),
    ],
)
def test_the_least_role(routing: dict[str, Any], expected: set[str]) -> None:
    """Each router adds what it reads and writes, by name where that is possible, and nothing else."""
    assert rules(routing) == COMMON | expected


def test_each_namespace_gets_a_role_of_its_own() -> None:
    """A VirtualService in another namespace is allowed there, and nothing else is."""
    routing = {"istio": {"virtualService": {"name": "web.gateways"}}}
    assert rules(routing, "gateways") == {"get virtualservices web", "patch virtualservices web"}
    assert rules(routing) == COMMON
    found = rbac.manifests(parse_rollout(m.rollout(routing)), "ops:deployer")
    assert [(item["kind"], item["metadata"]["namespace"]) for item in found] == [
        ("Role", "default"),
        ("RoleBinding", "default"),
        ("Role", "gateways"),
        ("RoleBinding", "gateways"),
    ]
    assert found[1]["subjects"] == [{"kind": "ServiceAccount", "name": "deployer", "namespace": "ops"}]


def test_asking_a_data_plane_needs_its_pods_and_no_more() -> None:
    """With --data-plane a Role in that namespace allows finding its pods and port-forward to them."""
    found = rbac.manifests(
        parse_rollout(m.rollout({"istio": {"virtualService": {"name": "web"}}})), "", ["edge"]
    )
    roles = {item["metadata"]["namespace"]: item["rules"] for item in found if item["kind"] == "Role"}
    assert {(verb, *rule["resources"]) for rule in roles["edge"] for verb in rule["verbs"]} == {
        ("list", "pods"),
        ("get", "pods/portforward"),
        ("create", "pods/portforward"),
        ("get", "gateways"),
    }
    assert not any("pods" in rule["resources"] for rule in roles["default"])


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("Ingress", "ingresses"),
        ("Policy", "policies"),
        ("Gateway", "gateways"),
        ("Mesh", "meshes"),
        ("TrafficSplit", "trafficsplits"),
    ],
)
def test_plurals(kind: str, resource: str) -> None:
    """Kinds become resources as English words become plurals."""
    assert rbac.plural(kind) == resource


def test_the_pointers_cover_every_section_and_version() -> None:
    """Weights of http, tls and tcp routes are all named; foreign destinations are not."""
    pair = [m.destination("shop-stable", 100), m.destination("shop-canary", 0)]
    sections: dict[str, Any] = {
        "http": [{"route": [m.destination("images", 10), *pair]}],
        "tls": [{"match": [{"port": 443, "sniHosts": ["a"]}], "route": pair}],
        "tcp": [{"match": [{"port": 3306}], "route": pair}],
    }
    service = m.virtual_service(**sections)
    rollout = parse_rollout(m.rollout({"istio": {"virtualService": {"name": "web"}}}))
    live = Live([LiveObject(ref_of(service, "default"), service, "1")])
    ((ref, paths),) = gitops.weight_paths(rollout, live).items()
    assert ref.name == "web"
    assert [pointer(path) for path in paths] == [
        "/spec/http/0/route/1/weight",
        "/spec/http/0/route/2/weight",
        *(f"/spec/{section}/0/route/{index}/weight" for section in ("tcp", "tls") for index in (0, 1)),
    ]


def test_both_commands_work_on_a_directory(tmp_path: Path) -> None:
    """`rbac` and `gitops` read manifests as well, so that a pipeline can write what a cluster will need."""
    objects = [m.rollout({"istio": {"virtualService": {"name": "web"}}, "smi": {}}), m.virtual_service()]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    place = ("--dir", str(tmp_path))
    roles = list(yaml.safe_load_all(rollway("rbac", "shop", *place).stdout))
    assert [role["kind"] for role in roles] == ["Role"]
    for tool, field in (
        ("argocd", '.spec.http[] | select(.name == "primary") | .route[0].weight'),
        ("flux", "/spec/http/0/route/0/weight"),
    ):
        ran = rollway("gitops", "shop", "--for", tool, *place)
        assert (ran.code, field in ran.stdout.replace('\\"', '"')) == (0, True)
        schema("gitops", json.loads(rollway("gitops", "shop", "--for", tool, *place, "-o", "json").stdout))
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all([m.rollout({"smi": {}})]))
    ran = rollway("gitops", "shop", "--for", "flux", *place)
    assert (ran.code, ran.stdout, "nothing to leave alone" in ran.stderr) == (0, "", True)
    document = json.loads(rollway("gitops", "shop", "--for", "flux", *place, "-o", "json").stdout)
    schema("gitops", document)
    assert document["stanzas"] == []


def test_argo_cd_finds_routes_by_their_names() -> None:
    """A list item with a name of its own is selected by it, as jq does; the others by their place."""
    manifest = {
        "spec": {
            "http": [{"name": 'a "b"', "route": [{"weight": 1}]}, {"name": "twice"}, {"name": "twice"}],
            "x-y": [{"name": "q", "z": [3]}],
        }
    }
    for path, expression in (
        (
            ("spec", "http", 0, "route", 0, "weight"),
            '.spec.http[] | select(.name == "a \\"b\\"") | .route[0].weight',
        ),
        (("spec", "http", 1, "weight"), ""),
        (("spec", "x-y", 0, "z", 0), '.spec["x-y"][] | select(.name == "q") | .z[0]'),
    ):
        target = (
            manifest if expression or path[2] == 0 else {"spec": {"http": [{"weight": 1}, {"weight": 2}]}}
        )
        assert gitops.jq_path(path, target) == expression


@pytest.mark.parametrize(
    ("reference", "resource"),
    [
        (None, None),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, ("apps", "deployments")),
        ({"apiVersion": "v1", "kind": "PodTemplate", "name": "web"}, ("", "podtemplates")),
    ],
)
def test_the_rights_of_releases(reference: Any, resource: Any, tmp_path: Path) -> None:
    """With --release the Role has what releases need too: this Rollout, its status, what is watched, and its workload."""
    manifest = m.rollout({"smi": {}})
    manifest["spec"].update({"workloadRef": reference} if reference else {})
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(manifest))
    words = ("rbac", "shop", "--dir", str(tmp_path), "-o", "json")
    few, many = (
        json.loads(rollway(*words, *more).stdout)["items"][0]["rules"] for more in ((), ("--release",))
    )
    added = {
        (rule["apiGroups"][0], rule["resources"][0]): (rule["verbs"], rule.get("resourceNames"))
        for rule in many
        if rule not in few and rule["verbs"] != ["list", "watch"]
    }
    workload = {resource: (["get", "patch"], ["web"])} if resource else {}
    assert added == {
        ("argoproj.io", "rollouts"): (["patch"], ["shop"]),
        ("argoproj.io", "rollouts/status"): (["patch"], ["shop"]),
        **workload,
    }
    watched = {rule["resources"][0] for rule in many if "watch" in rule["verbs"]}
    assert watched == {"rollouts", "analysisruns", "experiments", "replicasets", "pods"}


def test_a_weight_for_the_controller_is_a_patch_of_the_rollout() -> None:
    """The Role for a Rollout of rollway's controller allows its annotation; one for another Rollout does not."""
    manifest = m.rollout({"smi": {}})
    manifest["metadata"]["labels"] = {INSTANCE_LABEL: INSTANCE_ID}
    first = rbac.rules(parse_rollout(manifest))["default"][0]
    assert (first.resource, first.verbs, first.names) == ("rollouts", ("get", "patch"), ("shop",))
