"""Make container images of Debian packages, Go programs and our own files, so that no image registry is needed.

Each is a docker archive of one layer, kept in the cache by content: `docker load` takes it, and so does containerd.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containers import engine
from containers.docker import docker
from harness import debian, tools
from harness.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FILES = Path(__file__).resolve().parent
_PROJECT = Path(__file__).resolve().parent.parent.parent
_NOBODY = 65532
_FOR_DEBIAN = ("--python-version", "3.11", "--implementation", "cp", "--only-binary", ":all:")
"""Wheels for Debian's Python, the oldest that rollway takes, whichever runs this."""
_USELESS_FOLDERS = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
)
"""Folders that no program of a container reads."""
_NODE_PACKAGES = (
    "bash",
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "dbus",
    "ethtool",
    "iproute2",
    "iptables",
    "kmod",
    "mount",
    "nftables",
    "procps",
    "runc",
    "systemd",
    "util-linux",
)
_USELESS_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "systemd-binfmt.service",
    "systemd-logind.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tmpfiles-setup.service",
)
"""Units of no use in a container, and those that clear folders which Docker has filled."""


@dataclass(frozen=True)
class Image:
    """One image: its name, what `fill` makes its files of, for the cache, and how it starts.

    `name` may have a tag; without one, the tag is a digest of what the image is made of.
    """

    name: str
    sources: tuple[str, ...]
    fill: Callable[[Path], None]
    start: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """What the image is made of, in few characters."""
        parts = [
            self.name,
            *self.sources,
            inspect.getsource(self.fill),
            json.dumps(self.start, sort_keys=True),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def reference(self) -> str:
        """The name and tag."""
        return self.name if ":" in self.name else f"{self.name}:{self.digest}"

    def archive(self) -> Path:
        """Return the docker archive, made now unless the cache has it.

        Raises:
            MissingToolError: something that it is made of, or made with, cannot be had here.
        """
        family = self.name.rpartition("/")[2].replace(":", "-")
        target = tools.cache() / "images" / f"{family}-{self.digest}.tar"
        if target.exists():
            return target
        if engine.INSIDE in os.environ:
            raise tools.MissingToolError(
                f"image {self.reference} is not made yet, and here nothing can be downloaded: make kind-images"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / f"{family}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                self._make(target)
                # A node is a gigabyte.
                for older in target.parent.glob(f"{family}-{'?' * len(self.digest)}.tar"):
                    if older != target:
                        older.unlink()
        return target

    def _make(self, target: Path) -> None:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            root = Path(folder) / "root"
            root.mkdir()
            self.fill(root)
            for useless in _USELESS_FOLDERS:
                shutil.rmtree(root / useless, ignore_errors=True)
            unfinished = Path(folder) / target.name
            _pack(root, unfinished, self.reference, self.start)
            unfinished.rename(target)
        size, took = target.stat().st_size / 1e6, time.monotonic() - began
        print(f"made image {self.reference}: {size:.0f} MB in {took:.0f} s", file=sys.stderr)


def _pack(root: Path, target: Path, reference: str, start: Mapping[str, Any]) -> None:
    """Write a docker archive (github.com/moby/docker-image-spec, v1.2) of a root file system."""
    layer = target.with_suffix(".layer")
    words = ["--sort=name", "--numeric-owner", "--owner=0", "--group=0"]
    if os.geteuid() == 0:
        words = ["--sort=name", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
    subprocess.run(["tar", "--create", *words, "-C", str(root), "-f", str(layer), "."], check=True)
    with layer.open("rb") as content:
        name = hashlib.file_digest(content, "sha256").hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(start),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{name}"]},
        "history": [{"created_by": "rollway"}],
    }
    encoded = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [reference], "Layers": [f"{name}/layer.tar"]}]
    with tarfile.open(target, "w") as archive:
        for path, body in ((config_name, encoded), ("manifest.json", json.dumps(manifest).encode())):
            entry = tarfile.TarInfo(path)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
        archive.add(layer, f"{name}/layer.tar")
    layer.unlink()


def _program(tool: tools.Tool, reference: str = "", at: str = "usr/local/bin", **start: Any) -> Image:
    """Return an image with one static program, in the folder `at`."""

    def fill(root: Path) -> None:
        (root / at).mkdir(parents=True, exist_ok=True)
        shutil.copy(tool.path(), root / at / tool.name)

    return Image(reference or f"rollway.dev/{tool.name}", (str(tool.path()), at), fill, start)


def echo(version: str = "") -> Image:
    """Return one version of the shop: it answers on port 8080 with the VERSION of its environment, or the one given here."""
    start: dict[str, Any] = {"Entrypoint": ["/usr/local/bin/echo"]}
    if version:
        start["Env"] = [f"VERSION={version}"]
    return _program(tools.pod("echo"), f"rollway.dev/echo:{version}" if version else "", **start)


def traefik() -> Image:
    """Return Traefik, as its release's image starts it."""
    return _program(tools.traefik(), Entrypoint=["/usr/local/bin/traefik"], User=str(_NOBODY))


def rollway() -> Image:
    """Return rollway itself: Debian's Python and our wheel, for an unprivileged user and a read-only root file system.

    The Dockerfile of the project makes the same where there is a registry.
    """
    packages = ("python3",)
    ours = [_PROJECT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    ours += sorted(
        path for name in ("rollway", "routers", "templates") for path in (_PROJECT / name).rglob("*.*")
    )
    files = [path for path in ours if path.is_file() and path.suffix != ".pyc"]

    def fill(root: Path) -> None:
        debian.root_file_system(packages, root, whole=False)
        site = "usr/local/lib/python3.11/dist-packages"
        with tempfile.TemporaryDirectory() as folder:
            _python("build", "--wheel", "--no-isolation", "--outdir", folder, str(_PROJECT))
            (wheel,) = Path(folder).glob("*.whl")
            _python("pip", "install", "--no-compile", "--target", str(root / site), *_FOR_DEBIAN, str(wheel))
        # Scripts for another Python, and the asynchronous half of the client, which rollway does not import.
        for useless in ("bin", "kubernetes/aio"):
            shutil.rmtree(root / site / useless, ignore_errors=True)
        # Nothing can be written later. The client's thousands of models are not loaded, and half of the size.
        compile_all = ["-m", "compileall", "-q", "-x", "kubernetes/client/(api|models)/", f"/{site}"]
        subprocess.run(["chroot", str(root), "/usr/bin/python3", *compile_all], check=True)
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/passwd").write_text(f"nobody:x:{_NOBODY}:{_NOBODY}::/:\n")

    start = {
        "Entrypoint": ["/usr/bin/python3", "-m", "rollway.cli"],
        "User": str(_NOBODY),
        "Env": ["LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"],
    }
    sources = (
        debian.RELEASE,
        *packages,
        *(f"{path.relative_to(_PROJECT)}\n{path.read_text()}" for path in files),
    )
    return Image("rollway.dev/rollway", sources, fill, start)


def _python(module: str, *words: str) -> None:
    """Run a module of the Python that runs this."""
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise tools.MissingToolError(
            f"{' '.join(command)} failed:\n{done.stdout[-500:]}{done.stderr[-2000:]}"
        )


def rollway_of_dockerfile(target: Path, base: str = "") -> str:
    """Let Docker make rollway's image as its users do, on another base if there is one, and save it; return its name.

    Raises:
        DockerError: it cannot be built, as where the base cannot be pulled.
    """
    reference = f"rollway.dev/built:{target.stem}"
    on = ["--build-arg", f"PYTHON={base}"] if base else []
    docker("build", "--quiet", *on, "--tag", reference, str(_PROJECT))
    docker("save", "--output", str(target), reference)
    docker("rmi", reference)
    return reference


def python() -> Image:
    """Return a Python to build the project's Dockerfile on where no registry has one, with what pip would download."""
    packages = ("python3-pip", "python3-venv")
    project = tomllib.loads((_PROJECT / "pyproject.toml").read_text())
    wheels = [*project["project"]["dependencies"], *project["build-system"]["requires"]]

    def fill(root: Path) -> None:
        debian.root_file_system(packages, root, whole=True)
        _python("pip", "download", "--dest", str(root / "wheels"), *_FOR_DEBIAN, *wheels)

    # What is built on it runs once, so compiling every module would take longer than it saves.
    pip = ["PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels", "PIP_NO_COMPILE=0"]
    start = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *pip]}
    return Image("rollway.dev/python", (debian.RELEASE, *packages, *wheels), fill, start)


def _kube_proxy(reference: str) -> Image:
    """Return kube-proxy with the iptables that it calls."""
    tool = tools.kubernetes("kube-proxy")
    packages = ("iptables", "kmod", "libc-bin")

    def fill(root: Path) -> None:
        debian.root_file_system(packages, root, whole=False)
        for name in ("iptables", "ip6tables"):
            for action in ("", "-save", "-restore"):
                (root / "usr/sbin" / f"{name}{action}").symlink_to("xtables-nft-multi")
        (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
        shutil.copy(tool.path(), root / "usr/local/bin/kube-proxy")

    return Image(reference, (str(tool.path()), *packages, debian.RELEASE), fill)


def _components() -> list[Image]:
    """Return the images that kubeadm starts, under the names that it calls them by; the last is the pause image."""
    command = [str(tools.kubernetes("kubeadm").path()), "config", "images", "list"]
    done = subprocess.run(
        [*command, f"--kubernetes-version={tools.kubernetes_version()}"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Image] = {}
    for reference in done.stdout.split():
        name = reference.rpartition("/")[2].partition(":")[0]
        if name == "kube-proxy":
            found[name] = _kube_proxy(reference)
        elif name == "pause":
            found[name] = _program(tools.pod(name), reference, at="", Entrypoint=["/pause"])
        elif name == "etcd":
            found[name] = _program(tools.etcd(), reference)
        elif name.startswith("kube-"):
            found[name] = _program(tools.kubernetes(name), reference)
    pause = found.pop("pause")
    return [*found.values(), pause]


def node() -> Image:
    """Return the image of a node of kind, with all that kubeadm starts in its containerd."""
    images = _components()
    binaries = [tools.kubernetes(name).path() for name in ("kubeadm", "kubelet", "kubectl")]
    files = sorted(path for path in (_FILES / "node").rglob("*") if path.is_file())
    sources = [debian.RELEASE, *_NODE_PACKAGES, *_USELESS_UNITS, *map(str, binaries)]
    sources += [image.digest for image in images]
    sources += [f"{path.relative_to(_FILES)}\n{path.read_text()}" for path in files]

    def fill(root: Path) -> None:
        debian.root_file_system(_NODE_PACKAGES, root, whole=True)
        shutil.copytree(_FILES / "node", root, dirs_exist_ok=True)
        for binary in binaries:
            shutil.copy(binary, root / "usr/bin" / binary.name)
        settings = root / "etc/containerd/config.toml"
        settings.write_text(settings.read_text().replace("@PAUSE@", images[-1].reference))
        (root / "kind/version").write_text(tools.kubernetes_version())
        (root / "etc/kubernetes/manifests").mkdir(parents=True)
        with (root / "etc/systemd/journald.conf").open("a") as journald:
            journald.write("ReadKMsg=no\n")
        (root / "sbin/init").symlink_to("/lib/systemd/systemd")
        for words in (("enable", "containerd.service", "kubelet.service"), ("mask", *_USELESS_UNITS)):
            subprocess.run(["chroot", str(root), "systemctl", *words], check=True, capture_output=True)
        _import(images, root / "var/lib/containerd")

    start = {
        "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
        "Env": ["container=docker", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "StopSignal": "SIGRTMIN+3",
    }
    return Image("rollway.dev/kind-node", tuple(sources), fill, start)


def _import(images: list[Image], place: Path) -> None:
    """Let a containerd of this machine fill the folder that the node's will start with."""
    if os.geteuid() != 0:
        raise tools.MissingToolError(
            "making the node image needs root: its containerd unpacks images with mounts"
        )
    root = debian.unpacked(debian.ENGINE)
    with tempfile.TemporaryDirectory(prefix="rollway-containerd-") as folder:
        socket = f"{folder}/containerd.sock"
        words = ["--root", str(place), "--state", f"{folder}/state", "--address", socket]
        settings = Path(folder) / "config.toml"
        settings.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        containerd = Daemon(
            "containerd", [f"{root}/usr/bin/containerd", "--config", str(settings), *words], Path(folder)
        )
        containerd.start()
        try:
            containerd.wait(lambda: Path(socket).exists())
            ctr = [f"{root}/usr/bin/ctr", "--address", socket, "--namespace", "k8s.io"]
            for image in images:
                command = [*ctr, "images", "import", "--snapshotter", "overlayfs", str(image.archive())]
                subprocess.run(command, check=True, capture_output=True)
        finally:
            containerd.stop()
