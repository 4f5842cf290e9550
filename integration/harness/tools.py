"""Build the programs under test from their Go modules, once: cached outside the repository by content.

Each folder of `../tools` is a small Go module that pins one program by go.mod and go.sum. The key of the cache is what
the result depends on: its files, the flags, and the Go version.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent / "tools"
KUBERNETES = ("1.35", "1.34")
"""The minors of Kubernetes that can be asked for, newest first; each has a folder in `../tools`."""

INGRESS_NGINX = "1.11.0"
"""The newest controller that the module proxy serves."""

_BASE = "k8s.io/component-base/version"


class MissingToolError(RuntimeError):
    """A program that the build needs is not on this machine."""


@dataclass(frozen=True)
class Tool:
    """One program: the folder of its Go module, its package, the flags of the linker, and the file that pins its modules."""

    module: str
    package: str
    name: str
    ldflags: str = "-s -w"
    modfile: str = "go.mod"

    def path(self) -> Path:
        """Return the program, built now unless the cache has it. A build takes minutes, and prints this before it starts."""
        target = cache() / self.module / self._digest() / self.name
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                print(
                    f"building {self.name} ({self.module}) from its Go modules: minutes, once",
                    file=sys.stderr,
                )
                unfinished = target.with_suffix(".unfinished")
                command = ["go", "build", f"-modfile={self.modfile}", "-trimpath", "-ldflags", self.ldflags]
                _go([*command, "-o", str(unfinished), self.package], TOOLS / self.module)
                unfinished.rename(target)
        return target

    def _digest(self) -> str:
        folder = TOOLS / self.module
        pins = folder / self.modfile
        sources = [pins, pins.with_suffix(".sum"), *sorted(folder.rglob("*.go"))]
        parts = [file.read_bytes() for file in sources]
        parts += [self.ldflags.encode(), _go(["go", "version"], folder).encode()]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def etcd() -> Tool:
    """Return etcd."""
    return Tool("etcd", "go.etcd.io/etcd/server/v3", "etcd")


def kubernetes(program: str, minor: str = KUBERNETES[0]) -> Tool:
    """Return a program of Kubernetes, with its version linked in as a release has it."""
    module = f"kubernetes-{minor}"
    major, number = minor.split(".")
    values = {
        "gitVersion": kubernetes_version(minor),
        "gitMajor": major,
        "gitMinor": number,
        "gitTreeState": "clean",
    }
    flags = " ".join(f"-X {_BASE}.{name}={value}" for name, value in values.items())
    return Tool(
        module, f"k8s.io/kubernetes/cmd/{program}", program, f"-s -w {flags} -X {_BASE}.gitCommit=unknown"
    )


def kubernetes_version(minor: str = KUBERNETES[0]) -> str:
    """Return the whole version of a minor, as `v1.35.4`."""
    return _go(
        ["go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"], TOOLS / f"kubernetes-{minor}"
    ).strip()


def kwok() -> Tool:
    """Return kwok, which plays the kubelets of nodes that do not exist."""
    return Tool("kwok", "sigs.k8s.io/kwok/cmd/kwok", "kwok")


def kind() -> Tool:
    """Return kind itself."""
    return Tool("kind", "sigs.k8s.io/kind", "kind")


def pod(name: str) -> Tool:
    """Return a program that runs in a pod: `echo` or `pause`."""
    return Tool("pods", f"./{name}", name)


def ingress_nginx() -> Tool:
    """Return the controller of ingress-nginx."""
    return Tool("ingress-nginx", "k8s.io/ingress-nginx/cmd/nginx", "nginx-ingress-controller")


def istiod() -> Tool:
    """Return Istio's control plane."""
    return Tool("istio", "istio.io/istio/pilot/cmd/pilot-discovery", "pilot-discovery")


def traefik_mesh() -> Tool:
    """Return the controller of Traefik Mesh, which reads TrafficSplits."""
    return Tool("traefik-mesh", "github.com/traefik/mesh/cmd/mesh", "mesh")


def traefik() -> Tool:
    """Return Traefik: the proxy of Traefik Mesh, and an implementation of Gateway API."""
    return Tool("traefik", "github.com/traefik/traefik/v3/cmd/traefik", "traefik")


def kubelet() -> Tool:
    """Return the part of a kubelet that forwards ports; see its `main.go`."""
    return Tool("kubelet", ".", "kubelet")


def hashes(flavour: str) -> Tool:
    """Return the program that computes the hashes of Argo Rollouts with its own code, of a flavour; see its `main.go`."""
    pins = {"current": "go.mod", "old": "old.mod"}
    return Tool("hashes", ".", "hashes", modfile=pins[flavour])


def argo_rollouts(program: str) -> Tool:
    """Return a program of Argo Rollouts: `rollouts-controller` or `kubectl-argo-rollouts`."""
    return Tool("argo-rollouts", f"github.com/argoproj/argo-rollouts/cmd/{program}", program)


def conditions(release: str) -> Tool:
    """Return the program that decides conditions with the code of Argo Rollouts `1.9` or `1.10`; see its `main.go`."""
    pins = {"1.9": "go.mod", "1.10": "new.mod"}
    return Tool("conditions", ".", "conditions", modfile=pins[release])


def module_folder(path: str, pinned_by: str = "crds") -> Path:
    """Return the folder of a module that a folder of `../tools` pins, downloaded now unless Go's cache has it."""
    _go(["go", "mod", "download", path], TOOLS / pinned_by)
    found = json.loads(_go(["go", "list", "-m", "-json", path], TOOLS / pinned_by))
    return Path(found["Dir"])


def cache() -> Path:
    """Return the folder that keeps what was built: ROLLWAY_CACHE, else the user's cache."""
    given = os.environ.get("ROLLWAY_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "rollway-integration"


def _go(command: list[str], folder: Path) -> str:
    if not shutil.which("go"):
        raise MissingToolError(
            "Go is not on the PATH; the API server is built from its Go modules (https://go.dev/dl)"
        )
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MissingToolError(f"{' '.join(command)} in {folder} failed:\n{done.stderr[-4000:]}")
    return done.stdout
