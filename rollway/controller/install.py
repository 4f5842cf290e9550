"""What a cluster needs for the controller: CRDs, roles, and the controller itself. Pure: options in, objects out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollway import __version__
from rollway.controller import rights
from rollway.controller.crds import definitions
from rollway.routers import rbac
from rollway.routers.errors import InvalidInputError
from rollway.routers.model import INSTANCE_ID
from rollway.routers.render import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollway.routers.backends import BackendPackage
    from rollway.routers.backends.data_plane import PolicyRule
    from rollway.routers.objects import Manifest

NAME = "rollway"
NAMESPACE = "rollway"
IMAGE = f"{NAME}:{__version__}"
"""The name for what `docker build` makes of the Dockerfile."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LONGEST_ID = 40
"""It is a part of the names of objects, which end with words of ours."""


@dataclass(frozen=True)
class Installation:
    """One controller: where it runs, which Rollouts are its own, and which backends it may use.

    `namespaced` limits it to the Rollouts of its own namespace. It serves the Rollouts that have the `instance_id` as their
    label; an empty one stands for those without the label, which Argo's own controller serves too. `data_planes` are the
    namespaces whose pods it may ask what they have loaded.

    Raises:
        InvalidInputError: a word cannot be a part of the names of objects, or the image is empty.
    """

    packages: Sequence[BackendPackage]
    namespace: str = NAMESPACE
    namespaced: bool = False
    instance_id: str = INSTANCE_ID
    image: str = IMAGE
    data_planes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.namespace, *self.data_planes):
            if not _LABEL.fullmatch(name):
                raise InvalidInputError(f"{name!r} is no name of a namespace")
        if self.instance_id and not (
            _LABEL.fullmatch(self.instance_id) and len(self.instance_id) <= _LONGEST_ID
        ):
            raise InvalidInputError(
                f"{self.instance_id!r} is no instance id that names of objects can end with",
                hint=f"use at most {_LONGEST_ID} lower-case letters, digits and dashes",
            )
        if not self.image:
            raise InvalidInputError("the image has no name")

    @property
    def name(self) -> str:
        """The name of its objects, which two controllers in one cluster do not share."""
        return NAME if self.instance_id in ("", INSTANCE_ID) else f"{NAME}-{self.instance_id}"

    @property
    def arguments(self) -> list[str]:
        """What the program is started with. Its own namespace stands there as a variable, which kustomize may change."""
        words = ["controller"]
        if self.namespaced:
            words.append("--namespace=$(POD_NAMESPACE)")
        if self.instance_id != INSTANCE_ID:
            words.append(f"--instance-id={self.instance_id}")
        return words + [f"--data-plane={namespace}" for namespace in self.data_planes]


def shared_objects(packages: Sequence[BackendPackage]) -> list[Manifest]:
    """Return what a cluster has once: the CRDs, and the roles that give people rights to their objects."""
    view = _aggregated("view", ["view", "edit", "admin"], rights.VIEW)
    return [*definitions(packages), view, _aggregated("edit", ["edit", "admin"], rights.EDIT)]


def controller_objects(installation: Installation) -> list[Manifest]:
    """Return one controller with its rights, in the order in which they are created."""
    rules = rights.controller_rules(installation.packages)
    roles = [_role(installation, installation.namespace, [*rules, *rights.LEASES])]
    if not installation.namespaced:
        roles = [
            _role(installation, "", rules),
            _role(installation, installation.namespace, rights.LEASES),
        ]
    data_plane = rbac.data_plane_rules(installation.packages)
    roles += [_role(installation, space, data_plane, "data-plane") for space in installation.data_planes]
    named = ["service_account", "deployment", "metrics_service", "pod_disruption_budget"]
    account, *rest = [_rendered(f"{template}.yaml.j2", installation) for template in named]
    # Any other namespace is somebody's: whoever deletes what was printed must not delete it.
    ours = installation.namespace == NAMESPACE and not installation.namespaced
    namespace = [_rendered("namespace.yaml.j2", installation)] if ours else []
    bound = [item for role in roles for item in (role, _binding(installation, role))]
    return [*namespace, account, *bound, *rest]


def _role(
    installation: Installation, namespace: str, rules: Iterable[PolicyRule], suffix: str = ""
) -> Manifest:
    """Return a Role, or without a namespace a ClusterRole."""
    name = f"{installation.name}-{suffix}" if suffix else installation.name
    return _rendered("role.yaml.j2", installation, name=name, namespace=namespace, rules=_rules(rules))


def _binding(installation: Installation, role: Manifest) -> Manifest:
    metadata = role["metadata"]
    return _rendered(
        "role_binding.yaml.j2",
        installation,
        role=metadata["name"],
        namespace=metadata.get("namespace", ""),
        account={"name": installation.name, "namespace": installation.namespace},
    )


def _aggregated(name: str, to: Sequence[str], rules: Iterable[PolicyRule]) -> Manifest:
    return render("deploy/aggregated_role.yaml.j2", name=f"{NAME}-{name}", to=to, rules=_rules(rules))


def _rules(rules: Iterable[PolicyRule]) -> list[Manifest]:
    return [rule.manifest for rule in rules]


def _rendered(template: str, installation: Installation, **values: Any) -> Manifest:
    labels = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": installation.name}
    given = {
        "name": installation.name,
        "namespace": installation.namespace,
        "image": installation.image,
        "arguments": installation.arguments,
        "labels": labels,
    }
    return render(f"deploy/{template}", **{**given, **values})
