"""A Rollout and all that belongs to it as one tree, as `kubectl argo rollouts get rollout` shows it. Pure.

Source: Argo Rollouts v1.10, `pkg/kubectl-argo-rollouts/info`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.releases.phase import Phase, phase_of, replicas_of, time_of
from rollway.releases.pods import PodState, state_of
from rollway.releases.position import Position, position_of, set_weight_of, strategy_of, total_of
from rollway.releases.revisions import annotation, hash_of, number_of, owned_by, roles_of
from rollway.routers.held_weight import held_weight_of
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from rollway.routers.held_weight import HeldWeight
    from rollway.routers.objects import Manifest

DEADLINE = "scale-down-deadline"
_TEMPLATE = "experiment.argoproj.io/template-name"
_JOB = "job-name"


class Related(NamedTuple):
    """The objects of a Rollout's namespace; those of others are left out by their owners."""

    replica_sets: Sequence[Manifest] = ()
    pods: Sequence[Manifest] = ()
    analysis_runs: Sequence[Manifest] = ()
    experiments: Sequence[Manifest] = ()


class PodNode(NamedTuple):
    """One pod."""

    name: str
    created: datetime | None
    state: PodState


class ReplicaSetNode(NamedTuple):
    """One ReplicaSet, and its pods. `deadline` is when it is scaled down, where that is delayed."""

    name: str
    created: datetime | None
    status: str
    revision: int
    roles: tuple[str, ...]
    replicas: int
    available: int
    images: tuple[str, ...]
    deadline: datetime | None
    pods: tuple[PodNode, ...]


class JobNode(NamedTuple):
    """One Job that a metric of an AnalysisRun has started."""

    name: str
    started: datetime | None
    status: str


class AnalysisNode(NamedTuple):
    """One AnalysisRun; the counts are those of its measurements, over all metrics."""

    name: str
    created: datetime | None
    status: str
    message: str
    revision: int
    jobs: tuple[JobNode, ...]
    successful: int
    failed: int
    inconclusive: int
    errors: int


class ExperimentNode(NamedTuple):
    """One Experiment, with its ReplicaSets and AnalysisRuns."""

    name: str
    created: datetime | None
    status: str
    message: str
    revision: int
    replica_sets: tuple[ReplicaSetNode, ...]
    analysis_runs: tuple[AnalysisNode, ...]


class RevisionNode(NamedTuple):
    """What belongs to one revision."""

    number: int
    replica_sets: tuple[ReplicaSetNode, ...]
    experiments: tuple[ExperimentNode, ...]
    analysis_runs: tuple[AnalysisNode, ...]


class Replicas(NamedTuple):
    """How many pods there are, of all revisions where it is not said otherwise."""

    desired: int
    current: int
    updated: int
    ready: int
    available: int


class Tree(NamedTuple):
    """A Rollout and what belongs to it, the latest revision first.

    `actual_weight` is what the status reports, which a controller writes when it has set a weight; without traffic
    routing it is the canary's share of the available pods.
    """

    namespace: str
    name: str
    created: datetime | None
    phase: Phase
    strategy: str
    position: Position | None
    set_weight: int
    actual_weight: int
    held: HeldWeight | None
    """The weight that is held by hand in place of that of the steps."""
    images: tuple[tuple[str, tuple[str, ...]], ...]
    """Each image that runs, with the roles of its pods."""
    replicas: Replicas
    revisions: tuple[RevisionNode, ...]


def tree_of(rollout: Manifest, related: Related) -> Tree:
    """Return the tree of a Rollout."""
    replica_sets = _replica_sets(rollout, rollout, related)
    experiments = [_experiment(item, related) for item in owned_by(rollout, related.experiments)]
    analysis_runs = _analysis_runs(rollout, related)
    experiments.sort(key=lambda node: (-node.revision, _order(node)))
    numbers = {
        *(node.revision for node in replica_sets),
        *(node.revision for node in experiments),
        *(node.revision for node in analysis_runs),
    }
    metadata = rollout["metadata"]
    return Tree(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        created=time_of(metadata.get("creationTimestamp")),
        phase=phase_of(rollout),
        strategy=strategy_of(rollout),
        position=position_of(rollout),
        set_weight=set_weight_of(rollout),
        actual_weight=actual_weight_of(rollout, replica_sets),
        held=held_weight_of(rollout),
        images=_images(replica_sets, experiments, related),
        replicas=replica_counts(rollout),
        revisions=tuple(
            RevisionNode(
                number,
                tuple(node for node in replica_sets if node.revision == number),
                tuple(node for node in experiments if node.revision == number),
                tuple(node for node in analysis_runs if node.revision == number),
            )
            for number in sorted(numbers, reverse=True)
        ),
    )


def replica_counts(rollout: Manifest) -> Replicas:
    """Return how many pods the status reports."""
    keys = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return Replicas(replicas_of(rollout), *(dig(rollout, "status", key) or 0 for key in keys))


def actual_weight_of(rollout: Manifest, replica_sets: Iterable[ReplicaSetNode]) -> int:
    """Return the weight that the status reports; see `Tree`."""
    position = position_of(rollout)
    if position is None or position.index >= position.count:
        return total_of(rollout)
    available = dig(rollout, "status", "availableReplicas") or 0
    if not available:
        return 0
    if dig(rollout, "spec", "strategy", "canary", "trafficRouting") is None:
        canary = sum(node.available for node in replica_sets if "canary" in node.roles)
        return int(canary * total_of(rollout) // available)
    if dig(rollout, "status", "canary", "weights") is None:
        return set_weight_of(rollout)
    return dig(rollout, "status", "canary", "weights", "canary", "weight") or 0


def _order(node: PodNode | ExperimentNode | AnalysisNode) -> tuple[float, str]:
    return (node.created.timestamp() if node.created else 0.0, node.name)


def _replica_sets(owner: Manifest, rollout: Manifest | None, related: Related) -> list[ReplicaSetNode]:
    """Return the ReplicaSets of a Rollout, or those of an Experiment, which play no role."""
    nodes = [
        ReplicaSetNode(
            name=item["metadata"]["name"],
            created=time_of(item["metadata"].get("creationTimestamp")),
            status=health_of(item),
            revision=number_of(item),
            roles=roles_of(rollout, hash_of(item)) if rollout else (),
            replicas=dig(item, "status", "replicas") or 0,
            available=dig(item, "status", "availableReplicas") or 0,
            images=tuple(
                str(container.get("image"))
                for container in dig(item, "spec", "template", "spec", "containers") or ()
            ),
            deadline=time_of(annotation(item, DEADLINE)),
            pods=_pods(item, related),
        )
        for item in owned_by(owner, related.replica_sets)
    ]
    return sorted(nodes, key=lambda node: (-node.revision, node.name))


def health_of(replica_set: Manifest) -> str:
    """Return what a ReplicaSet is doing: `Healthy`, `Progressing`, `ScaledDown`, `ReplicaFailure`."""
    status = replica_set.get("status") or {}
    wanted = dig(replica_set, "spec", "replicas")
    if (dig(replica_set, "metadata", "generation") or 0) > status.get("observedGeneration", 0):
        return "Progressing"
    for condition in status.get("conditions") or ():
        if (condition.get("type"), condition.get("status")) == ("ReplicaFailure", "True"):
            return "ReplicaFailure"
    if wanted is not None and status.get("availableReplicas", 0) < wanted:
        return "Progressing"
    return "ScaledDown" if wanted == 0 else "Healthy"


def _pods(replica_set: Manifest, related: Related) -> tuple[PodNode, ...]:
    nodes = [
        PodNode(pod["metadata"]["name"], time_of(pod["metadata"].get("creationTimestamp")), state_of(pod))
        for pod in owned_by(replica_set, related.pods)
    ]
    return tuple(sorted(nodes, key=_order))


def _analysis_runs(owner: Manifest, related: Related) -> list[AnalysisNode]:
    nodes = []
    for item in owned_by(owner, related.analysis_runs):
        metadata, status = item["metadata"], item.get("status") or {}
        metrics = status.get("metricResults") or []
        counts = [
            sum(metric.get(key, 0) for metric in metrics)
            for key in ("successful", "failed", "inconclusive", "error")
        ]
        nodes.append(
            AnalysisNode(
                metadata["name"],
                time_of(metadata.get("creationTimestamp")),
                str(status.get("phase", "")),
                str(status.get("message", "")),
                number_of(item),
                _jobs(metrics),
                *counts,
            )
        )
    return sorted(nodes, key=_order)


def _jobs(metrics: Iterable[dict[str, Any]]) -> tuple[JobNode, ...]:
    nodes = []
    for metric in metrics:
        for measurement in metric.get("measurements") or ():
            name = dig(measurement, "metadata", _JOB)
            if name:
                started = time_of(measurement.get("startedAt"))
                nodes.append(JobNode(str(name), started, str(measurement.get("phase", ""))))
    return tuple(nodes)


def _experiment(item: Manifest, related: Related) -> ExperimentNode:
    metadata, status = item["metadata"], item.get("status") or {}
    return ExperimentNode(
        metadata["name"],
        time_of(metadata.get("creationTimestamp")),
        str(status.get("phase", "")),
        str(status.get("message", "")),
        number_of(item),
        tuple(_replica_sets(item, None, related)),
        tuple(_analysis_runs(item, related)),
    )


def _images(
    replica_sets: Iterable[ReplicaSetNode], experiments: Iterable[ExperimentNode], related: Related
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the images that run, in order, each with its roles; `Σ:NAME` is the template of an Experiment."""
    found: dict[str, set[str]] = {}
    templates = {item["metadata"]["name"]: annotation(item, _TEMPLATE) for item in related.replica_sets}
    for node in replica_sets:
        for image in node.images if node.replicas else ():
            found.setdefault(image, set()).update(node.roles)
    for node in (each for experiment in experiments for each in experiment.replica_sets):
        template = templates.get(node.name)
        for image in node.images if node.replicas else ():
            found.setdefault(image, set()).update([f"Σ:{template}"] if template else ())
    order = ("stable", "canary", "active", "preview", "ping", "pong")
    return tuple(
        (image, tuple(sorted(roles, key=lambda role: (order.index(role) if role in order else 99, role))))
        for image, roles in sorted(found.items())
    )
