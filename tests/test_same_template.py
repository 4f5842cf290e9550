"""A ReplicaSet is recognised by its pod template, whatever the API server and a controller have put into it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rollway.controller.templates import (
    equal,
    other_images,
    same_template,
    without_ephemeral_metadata,
)
from rollway.routers.errors import ManifestError
from rollway.routers.objects import duplicate

HASH = "rollouts-pod-template-hash"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
EPHEMERAL = "rollout.argoproj.io/ephemeral-metadata"


def template(**pod: Any) -> dict[str, Any]:
    """Return a pod template with the API server's defaults."""
    container = {
        "name": "web",
        "image": "web:1",
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "500m"}},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    defaults = {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {}}
    return {
        "metadata": {"labels": {"app": "web"}, "creationTimestamp": None},
        "spec": {"containers": [container], **defaults, **pod},
    }


def replica_set(pods: dict[str, Any], record: str | None = None) -> dict[str, Any]:
    """Return a live ReplicaSet of a pod template."""
    pods = duplicate(pods)
    pods["metadata"].setdefault("labels", {})[HASH] = "abc"
    annotations = {} if record is None else {"annotations": {EPHEMERAL: record}}
    return {"metadata": {"name": "web-abc", **annotations}, "spec": {"template": pods}}


def hash_term(operator: str = "In") -> dict[str, Any]:
    """Return the term that keeps pods off the nodes of a hash."""
    return {
        "labelSelector": {"matchExpressions": [{"key": HASH, "operator": operator, "values": ["def"]}]},
        "namespaces": ["shop"],
        "topologyKey": "kubernetes.io/hostname",
    }


def apart(**lists: Any) -> dict[str, Any]:
    """Return an anti-affinity as the field `affinity`."""
    return {"affinity": {"podAntiAffinity": lists}}


def test_the_hash_label_and_the_old_name_of_the_service_account_do_not_count() -> None:
    """The API server fills in `serviceAccount`, and a controller adds its label."""
    live = replica_set(template(serviceAccountName="web", serviceAccount="web"))
    assert same_template(live, template(serviceAccountName="web"))
    assert not same_template(live, template())


def test_another_image_is_another_template() -> None:
    """What users change is seen."""
    changed = template()
    changed["spec"]["containers"][0]["image"] = "web:2"
    assert not same_template(replica_set(template()), changed)


def test_another_image_shows_without_the_defaults() -> None:
    """Defaults, an injected container and the image of another container are no other image; a new container is one."""
    live = template()
    live["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"})
    live["spec"]["initContainers"] = [{"name": "setup", "image": "setup:1"}]
    bare: dict[str, Any] = {"spec": {"containers": [{"name": "web", "image": "web:1"}, {"name": "none"}]}}
    assert not other_images(replica_set(live), bare)
    for field, name in (("containers", "web"), ("initContainers", "setup"), ("containers", "further")):
        changed = {"spec": {**bare["spec"], field: [{"name": name, "image": "web:2"}]}}
        assert other_images(replica_set(live), changed)


def test_nothing_is_changed_in_what_is_compared() -> None:
    """The manifests stay as they are."""
    record = json.dumps({"labels": {"app": "x"}})
    live = replica_set(template(serviceAccount="web", **apart(**{REQUIRED: [hash_term()]})), record)
    wanted = template(serviceAccount="web", affinity={})
    before = json.dumps([live, wanted])
    same_template(live, wanted)
    assert json.dumps([live, wanted]) == before


def test_recorded_metadata_of_a_role_does_not_count() -> None:
    """Labels and annotations that the ReplicaSet's record names are left out, and others are not."""
    pods = template()
    pods["metadata"]["labels"]["role"] = "canary"
    pods["metadata"]["annotations"] = {"role": "canary"}
    record = {"labels": {"role": "stable", "absent": "x"}, "annotations": {"role": "canary"}}
    assert same_template(replica_set(pods, json.dumps(record)), template())
    del record["annotations"]
    assert not same_template(replica_set(pods, json.dumps(record)), template())


@pytest.mark.parametrize(
    "record",
    [
        "",
        "{",
        "null",
        "[]",
        "5",
        '{"labels": null}',
        '{"labels": 5}',
        '{"labels": ["app"]}',
        '{"labels": {"app": 5}}',
    ],
)
def test_a_record_that_cannot_be_read_names_nothing(record: str) -> None:
    """As for Argo Rollouts, the pods then have what they have."""
    assert without_ephemeral_metadata(replica_set(template(), record))["metadata"]["labels"]["app"] == "web"


@pytest.mark.parametrize(
    "lists", [{REQUIRED: [hash_term()]}, {PREFERRED: [{"weight": 5, "podAffinityTerm": hash_term()}]}]
)
def test_an_injected_anti_affinity_does_not_count(lists: dict[str, Any]) -> None:
    """The term is left out, and with it the affinity that it alone made."""
    live = replica_set(template(**apart(**lists)))
    assert same_template(live, template())
    assert same_template(live, template(affinity={}))
    assert not same_template(live, template(affinity={"nodeAffinity": {}}))


def test_an_anti_affinity_of_the_user_counts() -> None:
    """Only the injected term is left out: the user's own terms stay, also one about the hash label."""
    own = {**hash_term(), "labelSelector": {"matchLabels": {"app": "db"}}}
    live = replica_set(template(**apart(**{REQUIRED: [own, hash_term()]})))
    assert same_template(live, template(**apart(**{REQUIRED: [own]})))
    assert not same_template(live, template())
    written = template(**apart(**{REQUIRED: [hash_term()]}))
    assert same_template(replica_set(written), written)
    assert not same_template(replica_set(template()), written)
    exists = template(**apart(**{REQUIRED: [hash_term("Exists")]}))
    assert not same_template(replica_set(exists), template())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"nodeSelector": {}}, {}),
        ({"containers": []}, {}),
        ({"tolerations": []}, {"tolerations": None}),
        ({"hostNetwork": False}, {}),
        ({"overhead": {"cpu": "1000m", "memory": "1Gi"}}, {"overhead": {"cpu": 1, "memory": "1024Mi"}}),
        ({"containers": [{"name": "a", "resources": {}}]}, {"containers": [{"name": "a"}]}),
        ({"newerThanTheLibraries": 1}, {}),
    ],
)
def test_what_means_the_same_is_equal(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Absent and empty are one, and so are equal amounts."""
    assert equal({"spec": left}, {"spec": right})


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"securityContext": {}}, {}),
        ({"terminationGracePeriodSeconds": 0}, {}),
        ({"tolerations": [{}]}, {}),
        ({"overhead": {"cpu": "1"}}, {"overhead": {"cpu": "1m"}}),
        ({"nodeSelector": {"a": ""}}, {}),
        (
            {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
            {"volumes": [{"name": "v", "hostPath": {"path": "/", "type": ""}}]},
        ),
    ],
)
def test_what_means_something_else_is_not_equal(left: dict[str, Any], right: dict[str, Any]) -> None:
    """A pointer to a zero value is not an absent one, and an entry counts whatever it holds."""
    assert not equal({"spec": left}, {"spec": right})


def test_a_template_that_kubernetes_cannot_hold_is_refused() -> None:
    """The error names the place."""
    with pytest.raises(ManifestError, match=r"spec\.hostNetwork: 'yes' is not true or false"):
        same_template(replica_set(template(hostNetwork="yes")), template())
