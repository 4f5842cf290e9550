"""What a backend defines about its data plane: which pods run it, what shows that it loaded a change, and what that needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rollway.routers.objects import Manifest
    from rollway.routers.probes import Probe
    from rollway.routers.probes.http import Find
    from rollway.routers.probes.pods import FindPods
    from rollway.routers.probes.prometheus import MetricOf

ProbeOf: TypeAlias = "Callable[[Mapping[str, Find]], Probe]"
"""Makes the probe, from where the instances answer, by the name of the address option; there may be none for some."""


class PolicyRule(NamedTuple):
    """One rule of a Role; without names it holds for every object of the resource."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()

    @property
    def manifest(self) -> Manifest:
        """The rule as RBAC writes it."""
        names = {"resourceNames": list(self.names)} if self.names else {}
        return {"apiGroups": [self.group], "resources": [self.resource], "verbs": list(self.verbs), **names}


class DataPlane(NamedTuple):
    """One kind of data plane."""

    probe: ProbeOf
    """Shows the evidence `loaded`."""
    pods: Mapping[str, FindPods]
    """By the name of the address option: finds the pods and the ports that the option would name."""
    rules: tuple[PolicyRule, ...] = ()
    """Rights in the namespace of its pods, beside those to list and to reach pods."""
    metric: MetricOf | None = None
    """What it counts of a Rollout's requests, where it is scraped by a Prometheus."""
