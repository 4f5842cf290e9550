"""Templates and runs of analyses as values. Pure.

Source: Argo Rollouts, `pkg/apis/rollouts/v1alpha1/analysis_types.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from typing import Any

    from rollway.analysis.conditions import Condition
    from rollway.routers.objects import Manifest, Pointer

TEMPLATE, CLUSTER_TEMPLATE, RUN = "AnalysisTemplate", "ClusterAnalysisTemplate", "AnalysisRun"
CONSECUTIVE_ERROR_LIMIT = 4
RETENTION = 10
"""How many measurements of a metric stay, unless `measurementRetention` has another number."""


class Fault(NamedTuple):
    """One thing that is wrong with a manifest, and the way to it."""

    path: Pointer
    message: str


class SecretKey(NamedTuple):
    """The place of a secret value: the name of a Secret and a key in it."""

    name: str
    key: str


class Argument(NamedTuple):
    """One argument: its value, or where that comes from, or neither where whoever uses the template gives it.

    `field` is a path in the object that the analysis is for, as the downward API writes it.
    """

    name: str
    value: str | None = None
    secret: SecretKey | None = None
    field: str = ""

    @property
    def resolved(self) -> bool:
        """Whether the value, or its source, is known."""
        return self.value is not None or self.secret is not None or self.field != ""


class Reference(NamedTuple):
    """One template that another one takes in."""

    name: str
    cluster: bool

    def __str__(self) -> str:
        return f"{CLUSTER_TEMPLATE if self.cluster else TEMPLATE} {self.name}"


class Retention(NamedTuple):
    """How many measurements stay of the metrics whose names match a regular expression."""

    pattern: str
    limit: int


@dataclass(frozen=True)
class Analysis:
    """What a template or a run asks for; the metrics are as written, with the placeholders of their arguments."""

    metrics: tuple[Manifest, ...] = ()
    arguments: tuple[Argument, ...] = ()
    dry_run: tuple[str, ...] = ()
    """Regular expressions of names of metrics that are measured and do not count."""
    retention: tuple[Retention, ...] = ()
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Metric:
    """One metric, with the values of its arguments and the defaults of Argo Rollouts.

    `count` is None where it is measured until the run ends; a `failure_limit` of -1 is none.
    """

    name: str
    provider: str
    settings: Mapping[str, Any]
    success: Condition | None = None
    failure: Condition | None = None
    interval: timedelta | None = None
    initial_delay: timedelta | None = None
    count: int | None = 1
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = CONSECUTIVE_ERROR_LIMIT
    consecutive_success_limit: int = 0
    dry_run: bool = False
    retention: int = RETENTION
