"""Kustomizations: what they make of the objects in a directory is read, or refused by name."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import manifests as m
from rollway.routers.errors import AmbiguousError, NotFoundError, UnsupportedError, UnwritableError
from rollway.routers.linting import lint
from rollway.routers.lookup import read_rollout, read_rollouts
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.directory import DirectoryStore
from rollway.routers.stores.stream import StreamStore
from rollway.routers.traffic import Outcome, Traffic
from rollway.routers.weights import Split
from running import rollway

if TYPE_CHECKING:
    from pathlib import Path

    from rollway.routers.objects import Manifest

ISTIO = {"istio": {"virtualService": {"name": "web"}}}
NGINX = {"nginx": {"stableIngress": "web"}}
SMI: dict[str, Any] = {"smi": {}}
BASE = ["rollout.yaml", "web.yaml"]


def write(path: Path, *documents: Any) -> None:
    """Write documents to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump_all(documents))


def without_namespace(manifest: Manifest) -> Manifest:
    """Return a manifest as bases have it."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
    return {**manifest, "metadata": metadata}


def base(folder: Path, routing: Any = ISTIO, **fields: Any) -> None:
    """Write the base of a shop, with a kustomization that has these fields as well."""
    routed = m.ingress() if "nginx" in routing else m.virtual_service()
    write(folder / "base" / "rollout.yaml", without_namespace(m.rollout(routing)))
    write(folder / "base" / "web.yaml", without_namespace(routed))
    write(folder / "base" / "kustomization.yaml", {"resources": BASE, **fields})


def overlay(folder: Path, name: str, **fields: Any) -> None:
    """Write an overlay of the base."""
    write(folder / "overlays" / name / "kustomization.yaml", {"resources": ["../../base"], **fields})


def router(folder: Path, namespace: str = "", **words: Any) -> TrafficRouter:
    """Return the router of the shop in a folder."""
    store = DirectoryStore(folder, namespace or "default", **words)
    return TrafficRouter(read_rollout(store, "shop", namespace), store)


def test_a_namespace_that_a_kustomization_replaces_is_refused(tmp_path: Path) -> None:
    """An object that names a namespace of its own gets another one from the overlay, and is refused by name."""
    base(tmp_path)
    write(tmp_path / "base" / "web.yaml", m.virtual_service())
    overlay(tmp_path, "one", namespace="one")
    with pytest.raises(
        UnsupportedError, match=r"one/web .*names the namespace default, which a kustomization"
    ):
        router(tmp_path, "one").plan(10)
    assert ("refusal", "unsupported") in {
        (problem.severity, problem.code) for problem in lint(DirectoryStore(tmp_path))
    }


@pytest.mark.parametrize("where", ["base", "overlay", "both", "component"])
def test_the_namespace_of_a_kustomization_is_that_of_its_objects(tmp_path: Path, where: str) -> None:
    """Objects are in the namespace that the outermost kustomization gives; new ones name it as their origin does."""
    base(
        tmp_path,
        NGINX,
        **({"namespace": "inner" if where == "both" else "prod"} if where in ("base", "both") else {}),
    )
    if where == "component":
        component = {
            "apiVersion": "kustomize.config.k8s.io/v1alpha1",
            "kind": "Component",
            "namespace": "prod",
        }
        write(tmp_path / "component" / "kustomization.yaml", component)
        overlay(tmp_path, "prod", components=["../../component"])
    else:
        overlay(tmp_path, "prod", **({"namespace": "prod"} if where in ("overlay", "both") else {}))
    found = router(tmp_path)
    assert found.rollout.namespace == "prod"
    found.set_weight(20)
    assert router(tmp_path, "prod").observe().traffic == Traffic(Split(20))
    assert "namespace" not in (tmp_path / "base" / "ingress-shop-web-canary.yaml").read_text()
    with pytest.raises(NotFoundError, match=r"has argoproj\.io/v1alpha1 Rollout prod/shop"):
        router(tmp_path, "test")
    router(tmp_path).reset()
    assert yaml.safe_load((tmp_path / "base" / "kustomization.yaml").read_text())["resources"] == BASE


def test_a_base_of_two_namespaces_is_read_and_not_written(tmp_path: Path) -> None:
    """Two overlays make two Rollouts of one file: both are shown, and a write to the file is refused by name."""
    base(tmp_path)
    overlay(tmp_path, "prod", namespace="prod")
    overlay(tmp_path, "staging", namespace="staging")
    refs = [str(item.ref) for item, _ in read_rollouts(DirectoryStore(tmp_path))]
    assert refs == ["Rollout prod/shop", "Rollout staging/shop"]
    with pytest.raises(AmbiguousError):
        router(tmp_path)
    prod = router(tmp_path, "prod")
    assert prod.verify(0).outcome is Outcome.MATCHES
    message = r"VirtualService prod/web is made from .*web\.yaml, and so are other .*overlays/staging"
    for call in (prod.plan, prod.set_weight):
        with pytest.raises(UnsupportedError, match=message):
            call(20)
    assert router(tmp_path / "base").set_weight(20).changed


@pytest.mark.parametrize("field", ["namePrefix", "nameSuffix"])
def test_an_overlay_that_renames_is_refused_by_name(tmp_path: Path, field: str) -> None:
    """Objects that get another name are not acted on under the one in the file, and lint reports it as well."""
    base(tmp_path)
    overlay(tmp_path, "eu", **{field: "eu"})
    with pytest.raises(
        UnsupportedError, match=rf"Rollout default/shop in .*overlays/eu/kustomization.yaml \({field}: eu\)"
    ):
        router(tmp_path)
    assert any("gets another name" in problem.message for problem in lint(DirectoryStore(tmp_path)))
    assert router(tmp_path / "base").set_weight(20).changed


STRATEGIC = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Rollout",
    "metadata": {"name": "shop"},
    "spec": {"replicas": 5},
}
SERVICES = {**STRATEGIC, "spec": {"strategy": {"canary": {"stableService": "other"}}}}
REPLACE = [{"op": "replace", "path": "/spec/strategy/canary/canaryService", "value": "x"}]
HOSTS = [{"op": "add", "path": "/spec/hosts/-", "value": "x"}]
TARGET = {"kind": "Rollout", "name": "sho."}


@pytest.mark.parametrize(
    ("patches", "content", "refused"),
    [
        ({"patches": [{"path": "patch.yaml"}]}, STRATEGIC, ""),
        ({"patches": [{"path": "patch.yaml"}]}, SERVICES, "Rollout"),
        ({"patchesStrategicMerge": ["patch.yaml"]}, SERVICES, "Rollout"),
        ({"patchesStrategicMerge": [yaml.safe_dump(SERVICES)]}, None, "Rollout"),
        ({"patches": [{"path": "patch.yaml", "target": TARGET}]}, REPLACE, "Rollout"),
        ({"patches": [{"patch": yaml.safe_dump(REPLACE), "target": TARGET}]}, None, "Rollout"),
        ({"patches": [{"path": "patch.yaml", "target": {"kind": "Rollout", "name": "x"}}]}, REPLACE, ""),
        ({"patches": [{"path": "patch.yaml", "target": {"kind": "Rollout", "name": "("}}]}, REPLACE, "Rollout"),
        ({"patchesJson6902": [{"path": "patch.yaml", "target": {"kind": "VirtualService", "name": "web"}}]}, HOSTS, "VirtualService"),
    ],
)  # fmt: skip
def test_a_patch_is_no_object_and_is_refused_where_it_matters(
    tmp_path: Path, patches: Any, content: Any, refused: str
) -> None:
    """A patch of replicas changes nothing; one of what rollway reads is refused with the object and the kustomization."""
    base(tmp_path)
    overlay(tmp_path, "prod", **patches)
    if content:
        write(tmp_path / "overlays" / "prod" / "patch.yaml", content)
    if refused:
        with pytest.raises(
            UnsupportedError, match=rf"{refused} .* is patched by .*overlays/prod/kustomization"
        ):
            router(tmp_path).plan(20)
    else:
        assert router(tmp_path).set_weight(20).changed


def test_other_objects_of_an_overlay_are_judged_as_written_with_a_note(tmp_path: Path) -> None:
    """Another app that an overlay renames does not stop this one; a note reports that it was judged as it is written."""
    base(tmp_path, NGINX)
    write(tmp_path / "other" / "web.yaml", m.ingress("other", "other.example.com", m.path("other")))
    write(tmp_path / "other" / "kustomization.yaml", {"resources": ["web.yaml"], "namePrefix": "x-"})
    notes = [str(found) for found in router(tmp_path).set_weight(20).findings]
    assert any("Ingress default/other" in note and "[kustomize-overlay]" in note for note in notes)


def test_an_object_without_a_place_in_an_overlay_is_refused(tmp_path: Path) -> None:
    """With the Rollout of a base outside of the directory, nothing is strewn into the overlay."""
    base(tmp_path, SMI)
    overlay(tmp_path, "prod", namespace="prod")
    prod = tmp_path / "overlays" / "prod"
    file = DirectoryStore(tmp_path / "base" / "rollout.yaml", within=prod)
    rollout = read_rollout(file, "shop")
    assert rollout.namespace == "prod"
    with pytest.raises(UnwritableError, match="TrafficSplit shop has no place in"):
        TrafficRouter(rollout, DirectoryStore(prod)).set_weight(20)
    assert [path.name for path in prod.iterdir()] == ["kustomization.yaml"]


def test_other_files_of_that_name_are_no_kustomizations(tmp_path: Path) -> None:
    """A Kustomization of Flux, a broken file and a list change nothing."""
    base(tmp_path)
    flux = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "namePrefix": "x"}
    write(tmp_path / "flux" / "kustomization.yaml", {**flux, "resources": ["../base"]})
    write(tmp_path / "list" / "kustomization.yaml", ["namePrefix"])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "kustomization.yaml").write_text("namePrefix: {{ x }}\n")
    (tmp_path / "Kustomization").write_text("resources: [base, flux, nowhere, 'https://example.com/x']\n")
    assert router(tmp_path).set_weight(20).changed


def test_kustomizations_that_list_each_other_end(tmp_path: Path) -> None:
    """A loop of kustomizations, which kustomize refuses, is followed once."""
    write(tmp_path / "a" / "kustomization.yaml", {"resources": ["../b", "rollout.yaml"], "namespace": "prod"})
    write(tmp_path / "b" / "kustomization.yaml", {"resources": ["../a"]})
    write(tmp_path / "a" / "rollout.yaml", without_namespace(m.rollout(ISTIO)))
    assert {item.ref.namespace for item, _ in read_rollouts(DirectoryStore(tmp_path))} == {"prod"}


def test_a_stream_is_read_and_not_written() -> None:
    """What a build prints can be planned and verified, with places in it; a write is refused with the way out."""
    built = yaml.safe_dump_all([m.rollout(ISTIO), m.virtual_service()])
    store = StreamStore(built.encode())
    streamed = TrafficRouter(read_rollout(store, "shop"), store)
    assert streamed.verify(0).outcome is Outcome.MATCHES
    plan = streamed.plan(20)
    assert plan is not None
    assert streamed.set_weight(20, dry_run=True).plan == plan
    live = plan.observed[plan.changes[0].ref]
    assert live.locate(()).startswith("standard input:")
    with pytest.raises(UnwritableError, match="comes from standard input, which cannot be written"):
        streamed.set_weight(20)
    with pytest.raises(NotFoundError, match="not found in standard input"):
        read_rollout(store, "other")


def piped(built: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run rollway with something on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "rollway.cli", *words], input=built, capture_output=True, check=False
    )


def test_what_kustomize_builds_is_read_from_a_pipe() -> None:
    """`kustomize build | rollway VERB --dir -` works for what reads, and gives the reason why it does not write."""
    services = [m.service("shop-stable"), m.service("shop-canary")]
    built = yaml.safe_dump_all([m.rollout(ISTIO), m.virtual_service(), *services]).encode()
    assert (
        b"  http route primary  shop-stable 100, shop-canary 0"
        in piped(built, "status", "--dir", "-", "-o", "wide").stdout
    )
    assert piped(built, "lint", "--dir", "-").returncode == 0
    assert piped(built, "plan", "shop", "20", "--dir", "-").returncode == 3
    assert piped(built, "verify", "shop", "0", "--dir", "-").returncode == 0
    assert b"weight: 20" in piped(built, "render", "shop", "20", "--dir", "-").stdout
    refused = piped(built, "set-weight", "shop", "20", "--dir", "-")
    assert refused.returncode == 1
    assert b"comes from standard input, which cannot be written" in refused.stderr
    both = piped(built, "plan", "shop", "20", "--dir", "-", "-f", "-")
    assert both.returncode == 2
    assert b"--dir and -f both name standard input" in both.stderr


def test_the_file_of_the_rollout_decides_on_the_command_line(tmp_path: Path) -> None:
    """With -f, objects that each folder has are taken from the folder of that file, in its kustomization's namespace."""
    for place in ("prod", "staging"):
        folder = tmp_path / place
        write(folder / "rollout.yaml", without_namespace(m.rollout(ISTIO)))
        write(folder / "web.yaml", without_namespace(m.virtual_service()))
        write(folder / "kustomization.yaml", {"resources": BASE, "namespace": "shop"})
    words = ("set-weight", "shop", "20", "--dir", str(tmp_path))
    assert rollway(*words).code == 2
    done = rollway(*words, "-f", str(tmp_path / "prod" / "rollout.yaml"))
    assert (done.code, "patched VirtualService shop/web" in done.stdout) == (0, True), done.stderr
    weights = {
        place: "weight: 20" in (tmp_path / place / "web.yaml").read_text() for place in ("prod", "staging")
    }
    assert weights == {"prod": True, "staging": False}
