"""Everything that was observed about one Rollout, as values; what was decided before is read from these alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.releases.phase import time_of
from rollway.releases.revisions import REVISION
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import dig
from rollway.routers.traffic import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.routers.objects import Manifest
    from rollway.routers.traffic import SubsetHashes, Traffic

REVISION_HISTORY = "rollout.argoproj.io/revision-history"
DESIRED_REPLICAS = "rollout.argoproj.io/desired-replicas"
EPHEMERAL_METADATA = "rollout.argoproj.io/ephemeral-metadata"
WORKLOAD_GENERATION = "rollout.argoproj.io/workload-generation"
SCALE_DOWN_DEADLINE = "scale-down-deadline"
"""The labels and annotations of Argo Rollouts (its `utils/annotations` and `pkg/apis/rollouts/v1alpha1`)."""


def whole_second(when: datetime) -> datetime:
    """Return the first whole second from a time on, so that what counts from it is never shorter once it is written."""
    return when.replace(microsecond=0) + timedelta(seconds=1) if when.microsecond else when


def _number(text: Any) -> int:
    try:
        return int(text)
    except (TypeError, ValueError):
        return 0


@dataclass(frozen=True)
class ReplicaSet:
    """One ReplicaSet of a Rollout, as it was observed."""

    manifest: Manifest

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.manifest["metadata"]["name"])

    @property
    def pod_hash(self) -> str:
        """The value of its hash label, which its pods have as well."""
        return str(dig(self.manifest, "metadata", "labels", HASH_LABEL) or "")

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations."""
        return dig(self.manifest, "metadata", "annotations") or {}

    @property
    def revision(self) -> int:
        """Its revision; 0 where it has none yet."""
        return _number(self.annotations.get(REVISION))

    @property
    def created(self) -> str:
        """When it was created, as Kubernetes writes it, so that texts compare as times do."""
        return str(dig(self.manifest, "metadata", "creationTimestamp") or "")

    @property
    def template(self) -> Manifest:
        """Its pod template."""
        template: Manifest = dig(self.manifest, "spec", "template") or {}
        return template

    @property
    def desired(self) -> int:
        """How many pods it was asked for; 1 where nothing is written, as in Kubernetes."""
        replicas = dig(self.manifest, "spec", "replicas")
        return 1 if replicas is None else int(replicas)

    @property
    def replicas(self) -> int:
        """How many pods it has, as its status reports."""
        return _number(dig(self.manifest, "status", "replicas"))

    @property
    def ready(self) -> int:
        """How many of its pods are ready."""
        return _number(dig(self.manifest, "status", "readyReplicas"))

    @property
    def available(self) -> int:
        """How many of its pods are available: ready for `minReadySeconds`. Never more than it was asked for."""
        return min(_number(dig(self.manifest, "status", "availableReplicas")), self.desired)

    @property
    def settled(self) -> bool:
        """Whether its status speaks of the spec as it is now."""
        generation = dig(self.manifest, "metadata", "generation") or 0
        return _number(dig(self.manifest, "status", "observedGeneration")) >= generation

    @property
    def deadline(self) -> datetime | None:
        """When it may be scaled down; None where nothing was set."""
        return time_of(self.annotations.get(SCALE_DOWN_DEADLINE))


class Pod(NamedTuple):
    """What is kept of a pod."""

    name: str
    pod_hash: str
    created: str
    ready: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    deleting: bool = False


class TrafficState(NamedTuple):
    """What the routing objects of a Rollout show, and how much is known about the last wish.

    `shown` is None where the objects are absent, disagree, or cannot be read. `level` is the evidence that a step needs here:
    LOADED where a data plane can be asked, else WRITTEN.
    """

    shown: Traffic | None = None
    wish: Traffic | None = None
    """What was written, or answered for, last; None after a restart, until there is an answer."""
    proven_at: datetime | None = None
    """Since when the evidence for `wish` is there; None while it is not."""
    drain: timedelta = timedelta()
    """How long requests that are under way may still take where the weight was, once it is elsewhere."""
    level: Evidence = Evidence.WRITTEN
    problem: str = ""
    """Why the wish could not be written, or is not shown: for people."""
    subsets: SubsetHashes | None = None
    """What the subsets of the router select; None where it leads to Services."""
    incomplete: bool = False
    """Whether the objects lack something that a write of what they show would set."""

    @property
    def is_proven(self) -> bool:
        """Whether the evidence is there for what the objects show."""
        return self.shown is not None and self.wish == self.shown and self.proven_at is not None

    def shows(self, wish: Traffic, subsets: SubsetHashes | None = None) -> bool:
        """Return whether the objects show a wish, as a write of it leaves them, and subsets that select these hashes."""
        return self.shown == wish and self.subsets == subsets and not self.incomplete

    def proves(self, wish: Traffic, subsets: SubsetHashes | None = None) -> bool:
        """Return whether the objects show a wish, and the evidence for it is there."""
        return self.shows(wish, subsets) and self.is_proven


@dataclass(frozen=True)
class World:
    """Everything that was observed about one Rollout.

    `services` holds each Service that the Rollout names and that exists; `endpoints` the names of the ready pods behind
    each of them, as EndpointSlices show it. `traffic` is None without a router. `faults` are what is wrong with the spec,
    or with what it refers to, as found by whoever read it.
    """

    rollout: Manifest
    replica_sets: tuple[ReplicaSet, ...] = ()
    services: Mapping[str, Manifest] = field(default_factory=dict)
    endpoints: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
    workload: Manifest | None = None
    traffic: TrafficState | None = None
    default_template: Manifest | None = None
    """The pod template with the defaults of the API server; None until a Decision asks for it."""
    faults: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "services", MappingProxyType(dict(self.services)))
        object.__setattr__(self, "endpoints", MappingProxyType(dict(self.endpoints)))
