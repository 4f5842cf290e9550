"""Write the kustomize bases beside this file: what `rollway install --print` prints, for tools that read a repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollway.controller.install import Installation, controller_objects, shared_objects
from rollway.routers.backends import builtin_packages
from rollway.routers.stores.yaml_text import block

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).resolve().parent


def files() -> dict[str, str]:
    """Return the text of each file, by its path below this folder."""
    packages = builtin_packages()
    objects = {
        "crds": shared_objects(packages),
        "cluster": controller_objects(Installation(packages)),
        "namespaced": controller_objects(Installation(packages, namespaced=True)),
    }
    texts = {"kustomization.yaml": _kustomization(["crds", "cluster"])}
    for base, manifests in objects.items():
        texts[f"{base}/install.yaml"] = "---\n".join(f"{_yaml(manifest)}\n" for manifest in manifests)
        texts[f"{base}/kustomization.yaml"] = _kustomization(["install.yaml"])
    return texts


def _kustomization(resources: Sequence[str]) -> str:
    kind = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    return f"{_yaml({**kind, 'resources': list(resources)})}\n"


def _yaml(value: Any) -> str:
    return block(value, 0, literals=True)


if __name__ == "__main__":
    for path, text in files().items():
        (FOLDER / path).parent.mkdir(exist_ok=True)
        (FOLDER / path).write_text(text)
