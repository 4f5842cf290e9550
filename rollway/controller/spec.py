"""The spec of a Rollout as a value, with the defaults of Argo Rollouts (`utils/defaults/defaults.go`). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rollway.controller.canary_scale import SetCanaryScale
from rollway.routers.route_steps import RemoveRoute, SetRoute
from rollway.routers.steps import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from rollway.routers.objects import Manifest

CanaryStep: TypeAlias = Step | SetCanaryScale

REPLICAS = 1
REVISION_HISTORY_LIMIT = 10
PROGRESS_DEADLINE_S = 600
SCALE_DOWN_DELAY_S = 30
ABORT_SCALE_DOWN_DELAY_S = 30
MAX_SURGE = "25%"
MAX_UNAVAILABLE = "25%"


@dataclass(frozen=True)
class PodMetadata:
    """Labels and annotations that pods have only while they play a role."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.labels or self.annotations)


class ProgressThreshold(NamedTuple):
    """How many of the wanted pods have to be available before a release goes on (`replicaProgressThreshold`)."""

    percent: int = 100
    pods: int | None = None

    def needed(self, wanted: int) -> int:
        """Return how many of so many pods have to be available."""
        return min(self.pods, wanted) if self.pods is not None else -(-wanted * self.percent // 100)


ALL_PODS = ProgressThreshold()


@dataclass(frozen=True)
class Common:
    """What both strategies have. `stable_service` is the active one of blue-green, and `canary_service` its preview.

    The delays are seconds; None where the manifest does not give one.
    """

    stable_service: str
    canary_service: str
    routed: bool
    """Whether the Rollout has `trafficRouting`."""
    total: int
    scale_down_delay: int | None
    scale_down_revision_limit: int | None
    abort_delay: int | None
    anti_affinity: Mapping[str, Any] | None
    stable_metadata: PodMetadata
    canary_metadata: PodMetadata
    max_unavailable: int


@dataclass(frozen=True)
class Canary(Common):
    """The canary strategy; `max_surge` and `max_unavailable` are numbers of pods."""

    steps: tuple[CanaryStep, ...] = ()
    step_manifests: tuple[Manifest, ...] | None = None
    """The steps as written; None where the manifest has no list of them."""
    max_surge: int = 1
    dynamic_stable_scale: bool = False
    min_pods: int = 1
    threshold: ProgressThreshold = ALL_PODS
    ping_pong: tuple[str, str] | None = None
    """The ping and the pong Service, where they and not the two others share the traffic."""
    managed_routes: tuple[str, ...] = ()
    """The names of routes that steps may set, in the order in which a router tries them."""

    @property
    def has_routes(self) -> bool:
        """Whether any step sets or removes a header or mirror route."""
        return any(isinstance(step, SetRoute | RemoveRoute) for step in self.steps)


@dataclass(frozen=True)
class BlueGreen(Common):
    """The blue-green strategy."""

    preview_replicas: int | None = None
    auto_promotion: bool = True
    auto_promotion_seconds: int = 0


@dataclass(frozen=True)
class RolloutSpec:
    """A Rollout's spec with its defaults."""

    name: str
    namespace: str
    uid: str
    generation: int
    replicas: int
    paused: bool
    selector: Manifest
    template: Manifest
    strategy: Canary | BlueGreen
    min_ready_seconds: int
    history_limit: int
    progress_deadline: int
    progress_deadline_abort: bool
    restart_at: datetime | None
    rollback_window: int
    workload_ref: Mapping[str, Any] | None


def scaled_value(value: Any, total: int, *, round_up: bool) -> int:
    """Return a number of pods: a number as it is, a percentage of the total rounded up or down; 0 where unreadable.

    A text without `%` is a percentage too, as in Argo Rollouts (`utils/defaults`).
    """
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return value
    digits = str(value).strip().removesuffix("%")
    if not digits.isdigit():
        return 0
    product = int(digits) * total
    return -(-product // 100) if round_up else product // 100


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector of Kubernetes selects what has these labels."""
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "In": lambda value, values: value in values,
        "NotIn": lambda value, values: value not in values,
        "Exists": lambda value, _values: value is not None,
        "DoesNotExist": lambda value, _values: value is None,
    }
    return all(
        tests.get(entry.get("operator"), lambda _value, _values: False)(
            labels.get(entry.get("key")), entry.get("values") or ()
        )
        for entry in selector.get("matchExpressions") or ()
    )
