"""The CRDs on a real API server: Rollouts are kept as users have them, also those that Argo's CRDs have stored."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.strict import apply, lost, send
from rollway.controller.crds import definitions
from rollway.routers import yaml_loader
from rollway.routers.backends import builtin_packages
from rollway.routers.errors import AdmissionError
from rollway.routers.kube.failures import RequestInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.namespace import Namespace

HERE = Path(__file__).parent
OWN = sorted((HERE / "rollouts").glob("*.yaml"))


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.stem)
def test_a_rollout_is_stored_as_it_is_given(file: Path, namespace: Namespace) -> None:
    """Spec and status come back without a field lost, and nothing in them is unknown to a server that refuses such."""
    given = yaml_loader.load(file.read_text())
    given["metadata"]["namespace"] = namespace.name
    stored = send(namespace.api, "POST", given)
    assert lost(given["spec"], stored["spec"]) == []
    assert "status" not in stored
    if "status" in given:
        namespace.api.put(given)
        live = namespace.get("argoproj.io/v1alpha1", "Rollout", given["metadata"]["name"])
        assert lost(given["status"], live["status"]) == []
        assert live["metadata"]["generation"] == 1


def named_objects(schema: Any, value: Any) -> Iterator[dict[str, Any]]:
    """Yield each object in a value whose fields its schema names."""
    if isinstance(value, list):
        for item in value:
            yield from named_objects(schema.get("items", {}), item)
    elif isinstance(value, dict):
        fields = schema.get("properties", {})
        if fields:
            yield value
        for key, each in value.items():
            yield from named_objects(fields.get(key) or schema.get("additionalProperties", {}), each)


def test_fields_that_nobody_knows_are_kept(namespace: Namespace) -> None:
    """A field of a later version of Argo Rollouts is kept wherever it stands, but for the metadata of the pods."""
    rollout = yaml_loader.load((HERE / "rollouts" / "canary.yaml").read_text())
    rollout["metadata"]["namespace"] = namespace.name
    schema = definitions(builtin_packages())[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    objects = {
        id(value): value
        for part in ("spec", "status")
        for value in named_objects(schema["properties"][part], rollout[part])
    }
    for value in objects.values():
        value["later"] = {"than": ["now"]}
    namespace.api.put(rollout)
    live = namespace.get("argoproj.io/v1alpha1", "Rollout", "canary")
    given = {part: rollout[part] for part in ("spec", "status")}
    assert lost(given, live) == [".spec.template.metadata.later"]
    assert len(objects) > 140


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("replicas",), "three", "spec.replicas"),
        (("strategy", "canary", "steps"), {"setWeight": 5}, "spec.strategy.canary.steps"),
        (("strategy", "blueGreen"), {}, "spec.strategy.blueGreen.activeService"),
        (("template", "spec", "containers"), [{"image": "shop"}], r"spec.template.spec.containers\[0\].name"),
        (("restartAt",), "yesterday", "spec.restartAt"),
    ],
)
def test_a_value_of_another_type_is_refused(
    path: tuple[str, ...], value: Any, message: str, namespace: Namespace
) -> None:
    """What no controller could read is refused when it is applied, with the way to it."""
    rollout = yaml_loader.load((HERE / "rollouts" / "canary.yaml").read_text())
    rollout["metadata"]["namespace"] = namespace.name
    place = rollout["spec"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(AdmissionError, match=message):
        send(namespace.api, "POST", rollout)


def test_the_selector_cannot_be_changed(namespace: Namespace) -> None:
    """As with Argo's CRD, a new selector is refused, because the pods of the old one would belong to nobody."""
    rollout = yaml_loader.load((HERE / "rollouts" / "blue_green.yaml").read_text())
    rollout["metadata"]["namespace"] = namespace.name
    send(namespace.api, "POST", rollout)
    with pytest.raises(AdmissionError, match="selector is immutable"):
        namespace.api.merge(rollout, {"spec": {"selector": {"matchLabels": {"app": "other"}}}})


def test_a_rollout_is_scaled_as_kubectl_and_autoscalers_do(namespace: Namespace) -> None:
    """The scale shows the replicas, those that are there and their labels; writing it changes the spec and no status."""
    rollout = yaml_loader.load((HERE / "rollouts" / "canary.yaml").read_text())
    rollout["metadata"]["namespace"] = namespace.name
    namespace.api.put(rollout)
    path = f"{namespace.api.resource(rollout).path(namespace.name, 'canary', 'v1alpha1')}/scale"
    info = RequestInfo("get", "rollouts/scale")
    scale = namespace.api.connection.request("GET", path, info).body
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 6, "selector": "app=shop"}
    # `kubectl scale` sends a merge patch, an autoscaler the whole scale.
    merge = "application/merge-patch+json"
    namespace.api.connection.request("PATCH", path, info, body={"spec": {"replicas": 3}}, content_type=merge)
    scale = namespace.api.connection.request("GET", path, info).body
    namespace.api.connection.request("PUT", path, info, body={**scale, "spec": {"replicas": 0}})
    live = namespace.get("argoproj.io/v1alpha1", "Rollout", "canary")
    assert live["spec"]["replicas"] == 0
    assert lost(rollout["status"], live["status"]) == []


def test_merging_of_lists_follows_pods(namespace: Namespace) -> None:
    """Two tools that apply different containers of one Rollout keep each other's, as with a Deployment."""
    rollout = yaml_loader.load((HERE / "rollouts" / "blue_green.yaml").read_text())
    rollout["metadata"]["namespace"] = namespace.name
    del rollout["status"]
    apply(namespace.api, rollout)
    sidecar = copy.deepcopy({key: rollout[key] for key in ("apiVersion", "kind", "metadata")})
    container = {"name": "proxy", "image": "proxy:1", "ports": [{"containerPort": 9000}]}
    sidecar["spec"] = {"template": {"spec": {"containers": [container]}}}
    apply(namespace.api, sidecar, fieldManager="injector")
    live = apply(namespace.api, rollout)
    containers = {each["name"]: each for each in live["spec"]["template"]["spec"]["containers"]}
    assert set(containers) == {"app", "proxy"}
    # The default that Argo's CRD sets: it is a part of the pod-template hash.
    assert containers["proxy"]["ports"] == [{"containerPort": 9000, "protocol": "TCP"}]
