"""Our CRDs beside those of Argo Rollouts: they take what those take, and objects survive the change from one to the other."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness import crds, tools
from harness.strict import apply, lost, send
from harness.waiting import until
from rollway.controller.crds import definitions
from rollway.controller.crds.structural import INT_OR_STRING, PRESERVE
from rollway.routers import yaml_loader
from rollway.routers.backends import builtin_packages
from rollway.routers.errors import AdmissionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.api import Api
    from harness.namespace import Namespace
    from rollway.routers.objects import Manifest

HERE = Path(__file__).parent
PACKAGES = builtin_packages()
OWN = sorted((HERE / "rollouts").glob("*.yaml"))
ARGO = "github.com/argoproj/argo-rollouts"


def schema(definition: Manifest) -> Any:
    """Return the schema of a CRD."""
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def fields(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each part of a schema with the way to it."""
    yield path, part
    for name, each in part.get("properties", {}).items():
        yield from fields(each, f"{path}.{name}")
    for key, step in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(part.get(key), dict):
            yield from fields(part[key], f"{path}{step}")


def argo_definitions() -> list[Manifest]:
    """Return the five CRDs of Argo Rollouts."""
    folder = tools.module_folder(ARGO) / "manifests" / "crds"
    loaded = [yaml_loader.load(file.read_text()) for file in sorted(folder.glob("*-crd.yaml"))]
    assert len(loaded) == 5
    return loaded


def test_the_crd_takes_every_rollout_that_the_one_of_argo_takes() -> None:
    """Field by field: no other type, nothing more that must be there, the same defaults, the same way to merge lists."""
    (argo,) = crds.definitions(["argo"])
    ours = dict(fields(schema(definitions(PACKAGES)[0])))
    compared = 0
    for path, part in fields(schema(argo)):
        own = ours.get(path)
        above = re.sub(r"(\[\]|\{\}|\.\w+)$", "", path)
        if own is None:
            # A whole stanza that is not ours, or a map that is left open.
            while above not in ours:
                above = re.sub(r"(\[\]|\{\}|\.\w+)$", "", above)
            assert ours[above].get(PRESERVE), path
            continue
        compared += 1
        kind = "" if part.get(INT_OR_STRING) else part.get("type", "")
        assert own.get("type", "") == kind or (kind == "" and PRESERVE in own), path
        assert bool(own.get(INT_OR_STRING)) == bool(part.get(INT_OR_STRING)), path
        assert set(own.get("required", ())) <= set(part.get("required", ())), path
        assert own.get("default") == part.get("default"), path
        assert own.get("format") in (None, part.get("format")), path
        assert own.get("x-kubernetes-validations") == part.get("x-kubernetes-validations"), path
        for key in ("x-kubernetes-list-type", "x-kubernetes-list-map-keys"):
            merging = part.get(key)
            assert own.get(key) in (merging, None if merging == "atomic" else merging), path
    assert compared > 900


def test_the_columns_and_names_are_those_of_argo() -> None:
    """Each kind has the same columns, short name, scope and subresources, so kubectl shows the same."""
    ours = {item["metadata"]["name"]: item["spec"] for item in definitions(PACKAGES)}
    for argo in argo_definitions():
        own, theirs = ours[argo["metadata"]["name"]], argo["spec"]
        assert {key: own["names"].get(key) for key in theirs["names"]} == theirs["names"]
        assert own["scope"] == theirs["scope"]
        (version,), (wanted,) = own["versions"], theirs["versions"]
        assert version.get("subresources", {}) == wanted["subresources"]
        columns = [
            [
                {key: column[key] for key in ("name", "type", "jsonPath")}
                for column in each["additionalPrinterColumns"]
            ]
            for each in (version, wanted)
        ]
        assert columns[0] == columns[1]


def test_our_rollouts_have_every_field_of_argo() -> None:
    """The files of `rollouts/` have each field of spec and status that Argo's CRD names, so none of them goes untested."""
    (argo,) = crds.definitions(["argo"])
    present: set[str] = set()

    def see(value: Any, path: str) -> None:
        present.add(path)
        if isinstance(value, dict):
            for key, each in value.items():
                see(each, f"{path}.{key}")
                see(each, f"{path}{{}}")
        elif isinstance(value, list):
            for each in value:
                see(each, f"{path}[]")

    for file in OWN:
        see(yaml_loader.load(file.read_text()), "")
    named = {path for path, _ in fields(schema(argo)) if not path.startswith(".spec.template.")}
    assert sorted(named - present) == []


def test_the_types_of_pods_are_those_of_the_pinned_kubernetes() -> None:
    """The file that the CRD takes them from is what its script writes now."""
    written = runpy.run_path(str(HERE / "programs" / "pod_template.py"))
    assert written["TARGET"].read_text() == written["text"]()


def documented() -> Iterator[tuple[str, Manifest]]:
    """Yield the objects in the examples, the end-to-end tests and the documentation of Argo Rollouts."""
    folder = tools.module_folder(ARGO)
    for file in sorted([*folder.glob("examples/**/*.yaml"), *folder.glob("test/e2e/**/*.yaml")]):
        yield from objects_in(file.read_text(), str(file.relative_to(folder)))
    for file in sorted(folder.glob("docs/**/*.md")):
        for block in re.findall(r"^```ya?ml\n(.*?)^```", file.read_text(), re.DOTALL | re.MULTILINE):
            yield from objects_in(block, str(file.relative_to(folder)))


def objects_in(text: str, place: str) -> Iterator[tuple[str, Manifest]]:
    """Yield the objects of Argo's kinds in a text; what is no YAML is left out."""
    try:
        loaded = yaml_loader.load_all(text)
    except yaml.YAMLError:
        return
    for item in loaded:
        if isinstance(item, dict) and item.get("apiVersion") == "argoproj.io/v1alpha1" and item.get("spec"):
            yield place, item


@pytest.mark.local
def test_objects_survive_the_change_of_the_crds(namespace: Namespace) -> None:
    """What Argo's CRDs have stored is there field by field under ours, can be written, and would be taken anew."""
    api = namespace.api
    kinds = {item["spec"]["names"]["kind"] for item in definitions(PACKAGES)}
    ours = [item["metadata"]["name"] for item in definitions(PACKAGES)]
    try:
        reinstall(api, ours, argo_definitions())
        stored: list[Manifest] = []
        for place, item in documented():
            if item["kind"] not in kinds:
                continue
            metadata = {
                "name": f"case-{len(stored)}",
                "labels": {"case": re.sub(r"[^\w.-]", "_", place)[-60:].strip("_.-")},
            }
            manifest = {**item, "metadata": metadata}
            if item["kind"] != "ClusterAnalysisTemplate":
                metadata["namespace"] = namespace.name
            try:
                stored.append(send(api, "POST", manifest, fieldValidation="Ignore"))
            except AdmissionError:
                continue  # It is an excerpt, or no example of what works.
        assert len(stored) > 150
        assert sum(item["kind"] == "Rollout" for item in stored) > 100
        api.install(definitions(PACKAGES))
        for item in stored:
            live = api.get(item)
            assert live is not None
            assert lost(item, live) == [], item["metadata"]["labels"]
            touched = api.merge(item, {"metadata": {"annotations": {"touched": "yes"}}})
            assert lost(item["spec"], touched["spec"]) == []
            fresh = {key: item[key] for key in ("apiVersion", "kind", "spec")}
            fresh["metadata"] = {**metadata_of(item), "name": f"again-{item['metadata']['name']}"}
            assert lost(item["spec"], send(api, "POST", fresh, dryRun="All")["spec"]) == []
    finally:
        reinstall(api, ours, definitions(PACKAGES))


def metadata_of(item: Manifest) -> dict[str, Any]:
    """Return where an object stands."""
    return {key: value for key, value in item["metadata"].items() if key == "namespace"}


def reinstall(api: Api, names: list[str], wanted: list[Manifest]) -> None:
    """Delete the CRDs of those names with all their objects, and install others."""
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    found = [{**crd, "metadata": {"name": name}} for name in names]
    for each in found:
        api.delete(each)
    until(lambda: not any(map(api.get, found)), "the CRDs are deleted")
    api.install(wanted)


@pytest.mark.local
def test_the_crds_can_be_applied_over_those_of_argo_in_every_way(namespace: Namespace) -> None:
    """Forced on the server, replaced, or merged into what Helm left: the mixture that results is a valid CRD."""
    api = namespace.api
    ours = {item["metadata"]["name"]: item for item in definitions(PACKAGES)}
    try:
        reinstall(api, list(ours), argo_definitions())
        for argo in argo_definitions():
            own = ours[argo["metadata"]["name"]]
            apply(api, own, dryRun="All")
            live = api.get(own)
            assert live is not None
            replaced = {
                **own,
                "metadata": {**own["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]},
            }
            send(api, "PUT", replaced, dryRun="All")
            merged = api.merge(own, own, manager="kubectl-client-side-apply")
            assert not lost(own["spec"], merged["spec"])
    finally:
        reinstall(api, list(ours), list(ours.values()))
