"""What `rollway install` prints, as a pure function of the options; an API server takes it in the integration tests."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import manifests as m
from rollway.controller import rights
from rollway.controller.install import Installation, controller_objects, shared_objects
from rollway.routers import rbac
from rollway.routers.backends import builtin_packages, packages_of
from rollway.routers.errors import InvalidInputError
from rollway.routers.objects import Access
from rollway.routers.planning import needs_of
from rollway.routers.rollout import parse_rollout
from rollway.routers.traffic import SubsetHashes

DEPLOY = Path(__file__).parent.parent / "deploy"
PACKAGES = builtin_packages()


def objects(**options: Any) -> dict[str, Any]:
    """Return the objects of one controller by kind and name."""
    return {
        f"{item['kind']} {item['metadata']['name']}": item
        for item in controller_objects(Installation(PACKAGES, **options))
    }


def permissions(role: Any) -> set[str]:
    """Return what a role allows, one line each."""
    return {f"{verb} {rule['resources'][0]}" for rule in role["rules"] for verb in rule["verbs"]}


def test_the_kustomize_bases_are_what_the_code_renders() -> None:
    """Each file of deploy/ is what `make deploy` writes, and there is no other."""
    rendered = runpy.run_path(str(DEPLOY / "render.py"))["files"]()
    there = {str(file.relative_to(DEPLOY)): file.read_text() for file in sorted(DEPLOY.rglob("*.yaml"))}
    assert there == rendered


def test_a_kustomize_base_lists_what_stands_beside_it() -> None:
    """Each kustomization names files and folders that exist, and every base is named or stands alone."""
    named = set()
    for file in DEPLOY.rglob("kustomization.yaml"):
        for resource in yaml.safe_load(file.read_text())["resources"]:
            assert (file.parent / resource).exists()
            named.add((file.parent / resource).relative_to(DEPLOY).parts[0])
    assert {folder.name for folder in DEPLOY.iterdir() if folder.is_dir()} - {"__pycache__"} == named


def test_a_controller_of_the_cluster() -> None:
    """By default there is a namespace, a ClusterRole for all Rollouts, and a Role for the Leases of its own namespace."""
    found = objects()
    assert list(found) == [
        "Namespace rollway",
        "ServiceAccount rollway",
        "ClusterRole rollway",
        "ClusterRoleBinding rollway",
        "Role rollway",
        "RoleBinding rollway",
        "Deployment rollway",
        "Service rollway-metrics",
        "PodDisruptionBudget rollway",
    ]
    assert permissions(found["Role rollway"]) == {f"{verb} leases" for verb in ("get", "create", "update")}
    assert not any("leases" in line for line in permissions(found["ClusterRole rollway"]))


def test_a_controller_of_one_namespace_needs_nothing_of_the_cluster() -> None:
    """With `namespaced` every object is in the namespace, and the program is limited to it by its own variable."""
    found = objects(namespaced=True, namespace="team")
    assert {item["metadata"].get("namespace") for item in found.values()} == {"team"}
    whole = permissions(objects()["ClusterRole rollway"]) | permissions(objects()["Role rollway"])
    assert permissions(found["Role rollway"]) == whole
    container = found["Deployment rollway"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["controller", "--namespace=$(POD_NAMESPACE)"]


def test_a_namespace_of_somebody_is_not_among_the_objects() -> None:
    """Only the namespace of the default is printed: who deletes what was printed keeps every other one."""
    assert "Namespace rollway" in objects()
    assert not any(name.startswith("Namespace") for name in objects(namespace="tools"))


def test_two_controllers_in_one_cluster_share_no_object() -> None:
    """With an instance id all names end with it, the program gets it, and selectors do not find the other's pods."""
    one, other = objects(), objects(instance_id="blue")
    assert set(one) & set(other) == {"Namespace rollway"}
    deployment = other["Deployment rollway-blue"]["spec"]
    assert deployment["template"]["spec"]["containers"][0]["args"] == ["controller", "--instance-id=blue"]
    labels = deployment["template"]["metadata"]["labels"]
    for name in ("Service rollway-metrics", "PodDisruptionBudget rollway"):
        selector = one[name]["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert not wanted.items() <= labels.items()
        assert wanted.items() <= one["Deployment rollway"]["spec"]["template"]["metadata"]["labels"].items()


def test_asking_data_planes_is_a_role_in_their_namespaces() -> None:
    """Reaching pods by port-forward is allowed in the namespaces that were named, and nowhere else."""
    found = objects(data_planes=("ingress-nginx",))
    role, binding = found["Role rollway-data-plane"], found["RoleBinding rollway-data-plane"]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "ingress-nginx"
    assert binding["subjects"][0]["namespace"] == "rollway"
    assert "create pods/portforward" in permissions(role)
    assert not any("portforward" in line for line in permissions(found["ClusterRole rollway"]))


def test_a_controller_looks_for_data_planes_where_it_may() -> None:
    """The namespaces that were named are those in which it looks for pods: with the rights of one namespace it may not look in all."""
    found = objects(namespaced=True, namespace="team", data_planes=("ingress-nginx", "edge"))
    (container,) = found["Deployment rollway"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][1:] == [
        "--namespace=$(POD_NAMESPACE)",
        "--data-plane=ingress-nginx",
        "--data-plane=edge",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"namespace": "Team A"}, "no name of a namespace"),
        ({"namespace": ""}, "no name of a namespace"),
        ({"data_planes": ("a/b",)}, "no name of a namespace"),
        ({"instance_id": "Blue"}, "no instance id"),
        ({"instance_id": "b" * 41}, "no instance id"),
        ({"image": ""}, "image has no name"),
    ],
)
def test_what_cannot_be_a_name_is_refused(options: dict[str, Any], message: str) -> None:
    """A word that an API server would refuse later, in the middle of an installation, is an error at once."""
    with pytest.raises(InvalidInputError, match=message):
        Installation(PACKAGES, **options)


def test_values_stay_what_they_are() -> None:
    """An image name with a digest, and one that YAML would read otherwise, come out as given."""
    for image in ("registry.example.com:5000/rollway@sha256:0123", "no", "1e3", 'a"b: #c'):
        pod = objects(image=image)["Deployment rollway"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"] == image


def test_the_pod_has_the_least_that_it_needs() -> None:
    """No root, no writable root file system, no capability; two replicas on different nodes; probes at their ports."""
    deployment = objects()["Deployment rollway"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"health": 8080, "metrics": 8090}
    probes = [container[f"{probe}Probe"]["httpGet"] for probe in ("liveness", "readiness")]
    assert probes == [{"path": "/healthz", "port": "health"}, {"path": "/readyz", "port": "health"}]
    assert deployment["replicas"] == 2
    assert {spread["topologyKey"] for spread in pod["topologySpreadConstraints"]} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    assert [variable["name"] for variable in container["env"]] == ["POD_NAME", "POD_NAMESPACE"]
    user = (DEPLOY.parent / "Dockerfile").read_text().split("\nUSER ")[1].split(":")[0]
    assert pod["securityContext"]["runAsUser"] == int(user)


ROUTINGS: list[Any] = [
    {"nginx": {"stableIngress": "web"}},
    {
        "istio": {
            "virtualService": {"name": "web.gateways"},
            "destinationRule": {"name": "web", "stableSubsetName": "stable", "canarySubsetName": "canary"},
        }
    },
    {"istio": {"virtualService": {"name": "web"}}},
    {"smi": {"rootService": "web"}},
    {"smi": {}, "managedRoutes": [{"name": "preview"}]},
    {
        "gatewayAPI": {
            "namespace": "routes",
            **{f"{kind}Route": "web" for kind in ("http", "grpc", "tls", "tcp")},
            **{
                f"{kind}RouteSelector": {"matchLabels": {"a": "b"}} for kind in ("http", "grpc", "tls", "tcp")
            },
        }
    },
]
READ_BY_ALL = {("", "Service"), ("", "Pod"), ("discovery.k8s.io", "EndpointSlice")}
NOT_IN_A_CLUSTER = ("apiextensions.k8s.io", "CustomResourceDefinition")


def test_the_kinds_of_a_backend_are_those_that_it_needs() -> None:
    """What a package declares as its kinds is, with what each backend reads, what its backend needs; no right is too many."""
    order = [Access.READ, Access.SHARED, Access.MANAGED]
    needed: dict[str, dict[tuple[str, str], Access]] = {}
    rollouts = [parse_rollout(m.rollout(routing)) for routing in ROUTINGS]
    rollouts.append(parse_rollout(m.rollout(None, strategy="blueGreen")))
    # A controller asks for the hashes of subsets as well.
    rollouts = [replace(rollout, subsets=SubsetHashes()) for rollout in rollouts]
    for rollout in rollouts:
        (package,) = packages_of(rollout)
        kinds = needed.setdefault(package.name, {})
        for need in needs_of(rollout):
            kind = (need.group, need.kind)
            kinds[kind] = max(need.access, kinds.get(kind, Access.READ), key=order.index)
    for package in PACKAGES:
        declared = {(group, kind): access for group, kind, access in package.kinds}
        extra = {
            kind: access
            for kind, access in needed[package.name].items()
            if kind != NOT_IN_A_CLUSTER and (kind not in READ_BY_ALL or access is not Access.READ)
        }
        assert declared == extra, package.name


def test_the_controller_may_do_with_routing_objects_what_its_backends_do() -> None:
    """Of each kind of routing object the controller has every verb of the least Role of one Rollout, and it watches."""
    allowed = permissions({"rules": [rule.manifest for rule in rights.controller_rules(PACKAGES)]})
    for routing in ROUTINGS:
        for rules in rbac.rules(parse_rollout(m.rollout(routing))).values():
            for rule in rules:
                wanted = {f"{verb} {rule.resource}" for verb in rule.verbs}
                assert wanted - {"list events"} <= allowed
    assert "delete services" not in allowed
    assert not any("secrets" in line for line in allowed)
    resources = [rule.resource for rule in rights.controller_rules(PACKAGES)]
    assert len(set(resources)) == len(resources)


def test_people_get_the_rights_that_go_with_theirs() -> None:
    """Whoever may view a namespace sees Rollouts, whoever may edit it changes them, and an admin may do both."""
    roles = [item for item in shared_objects(PACKAGES) if item["kind"] == "ClusterRole"]
    rights_of: dict[str, set[str]] = {}
    for role in roles:
        for label in role["metadata"]["labels"]:
            rights_of.setdefault(label.rpartition("aggregate-to-")[2], set()).update(permissions(role))
    assert {"get rollouts", "watch experiments", "list rollouts/scale"} <= rights_of["view"]
    assert not any(line.startswith(("patch", "create", "update", "delete")) for line in rights_of["view"])
    assert {"patch rollouts/status", "update rollouts/scale", "get rollouts"} <= rights_of["edit"]
    assert rights_of["edit"] == rights_of["admin"]
