"""The CustomResourceDefinitions that the tests need: our own, and others from the modules of their projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from harness import tools
from rollway.controller.crds import definitions as own_definitions
from rollway.routers.backends import builtin_packages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOURCES = {
    "argo": ("github.com/argoproj/argo-rollouts", ["manifests/crds/rollout-crd.yaml"]),
    "istio": ("istio.io/api", ["kubernetes/customresourcedefinitions.gen.yaml"]),
    "smi": (
        "github.com/traefik/mesh",
        [f"integration/testdata/crds/smi-{name}.yaml" for name in ("split", "specs")],
    ),
    "gateway": (
        "sigs.k8s.io/gateway-api",
        [
            f"config/crd/{channel}/gateway.networking.k8s.io_{kind}.yaml"
            for kind, channel in (
                ("gatewayclasses", "standard"),
                ("gateways", "standard"),
                ("httproutes", "standard"),
                ("grpcroutes", "standard"),
                ("tlsroutes", "experimental"),  # these two also as v1alpha2, which is what Traefik reads
                ("tcproutes", "experimental"),
                ("referencegrants", "standard"),
                ("backendtlspolicies", "standard"),  # Traefik waits for each kind that it watches
            )
        ],
    ),
}
_WANTED = {
    "smi": ("trafficsplits.split.smi-spec.io", "httproutegroups.specs.smi-spec.io"),
    "istio": (
        "virtualservices.networking.istio.io",
        "destinationrules.networking.istio.io",
        "gateways.networking.istio.io",
    ),
}
"""Of a file with very many, the ones that rollway or a data plane of the tests reads: CRDs are slow to serve."""


def own() -> list[dict[str, Any]]:
    """Return our CRDs."""
    return own_definitions(builtin_packages())


def installed() -> Iterator[dict[str, Any]]:
    """Yield the CRDs of the test clusters: that of Rollouts is ours."""
    yield from own()
    yield from definitions([project for project in SOURCES if project != "argo"])


def definitions(projects: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the CRDs of some projects."""
    for project in projects:
        module, files = SOURCES[project]
        folder = tools.module_folder(module)
        for file in files:
            for found in yaml.load_all((folder / file).read_text(), Loader=yaml.CSafeLoader):
                if found and found["metadata"]["name"] in _WANTED.get(project, (found["metadata"]["name"],)):
                    yield found
