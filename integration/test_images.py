"""The images of the tests, and the engine that they are loaded into."""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from containers import container_runtime, engine, images, kind
from containers.docker import docker
from data_planes import ingress_nginx_files
from harness import tools

if TYPE_CHECKING:
    from pathlib import Path

    from harness.providers import Cluster


def test_an_image_is_a_docker_archive_of_one_layer_and_made_once() -> None:
    """The archive names the image by its content, has its program and how to start it, and is not made again."""
    image = images.echo()
    archive = image.archive()
    with tarfile.open(archive) as opened:
        (manifest,) = json.load(_file(opened, "manifest.json"))
        assert manifest["RepoTags"] == [image.reference]
        (layer,) = manifest["Layers"]
        config = json.load(_file(opened, manifest["Config"]))
        with tarfile.open(fileobj=_file(opened, layer)) as files:
            (program,) = [member for member in files.getmembers() if member.isfile()]
    assert config["config"]["Entrypoint"] == [program.name.removeprefix(".")]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{layer.partition('/')[0]}"]
    made = archive.stat().st_mtime_ns
    assert images.echo().archive().stat().st_mtime_ns == made


def _file(archive: tarfile.TarFile, name: str) -> Any:
    found = archive.extractfile(name)
    assert found is not None
    return found


def test_images_of_registries_are_pinned_by_digest() -> None:
    """Images of a registry are named by digest: kind's node, and the images of ingress-nginx' release."""
    pinned = re.compile(r"\S+:v[\d.]+@sha256:[0-9a-f]{64}")
    assert pinned.fullmatch(kind.own_image())
    used = re.findall(r"image: (\S+)", ingress_nginx_files.release().read_text())
    assert used
    assert all(pinned.fullmatch(image) for image in used)
    assert f":v{tools.INGRESS_NGINX}@" in used[0]


def test_a_registry_needs_an_engine_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine of our own reaches no registry, and the error says so when one is asked for."""
    monkeypatch.setenv(engine.INSIDE, "1")
    with pytest.raises(tools.MissingToolError, match="need a Docker engine that runs already"):
        kind.node_image("registry")


def test_beside_an_engine_of_ours_an_image_that_is_missing_says_how_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be downloaded there, so the error states this before a download fails."""
    monkeypatch.setenv("ROLLWAY_CACHE", str(tmp_path))
    monkeypatch.setenv(engine.INSIDE, "1")
    image = images.Image("rollway.dev/nothing", (), lambda _root: None)
    with pytest.raises(tools.MissingToolError, match="make kind-images"):
        image.archive()


@pytest.mark.parametrize(("flag", "file"), [("--bundle", "config.json"), ("--process", "process.json")])
def test_runc_is_asked_for_no_capability_that_the_machine_lacks(
    flag: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's configuration, and a process that starts in one, lose what is missing and keep the rest."""
    process = {"capabilities": {"bounding": ["CAP_KILL", "CAP_SYS_RESOURCE"], "ambient": []}, "cwd": "/"}
    document = {"process": process} if flag == "--bundle" else process
    (tmp_path / file).write_text(json.dumps(document))
    given = str(tmp_path if flag == "--bundle" else tmp_path / file)
    became: list[Any] = []
    monkeypatch.setattr(container_runtime, "missing", lambda: {"CAP_SYS_RESOURCE"})
    monkeypatch.setattr(os, "execv", lambda *words: became.append(words))
    monkeypatch.setattr(sys, "argv", ["container_runtime.py", "/runc", "run", flag, given, "name"])
    container_runtime.main()
    assert became == [("/runc", ["/runc", "run", flag, given, "name"])]
    left = json.loads((tmp_path / file).read_text())
    assert left.get("process", left) == {
        "capabilities": {"bounding": ["CAP_KILL"], "ambient": []},
        "cwd": "/",
    }


@pytest.mark.kubelets
def test_the_dockerfile_makes_an_image_that_runs_as_nobody(cluster: Cluster, tmp_path: Path) -> None:
    """It builds (without a registry on a Python that has the wheels), and runs on a read-only root file system."""
    if cluster.node is None:
        pytest.skip("Docker is not used by this run: make integration-kind")
    base = images.python() if cluster.made_here else None
    if base:
        docker("load", "--quiet", "--input", str(base.archive()))
    archive = tmp_path / "image.tar"
    reference = images.rollway_of_dockerfile(archive, base.reference if base else "")
    docker("load", "--quiet", "--input", str(archive))
    try:
        ran = docker("run", "--rm", "--read-only", "--network", "none", reference, "--version")
        assert ran.startswith("rollway ")
        user = docker("image", "inspect", "--format", "{{.Config.User}}", reference)
        assert user.strip() == "65532:65532"
    finally:
        docker("rmi", "--force", reference, *([base.reference] if base else []))


def test_an_engine_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Docker, and without the root that an engine of ours needs, both reasons are shown."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (line,) = engine.unavailable().splitlines()
    assert "Cannot connect to the Docker daemon" in line or "docker is not on the PATH" in line
    assert "needs root" in line
