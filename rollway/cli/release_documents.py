"""The documents of the verbs about releases; their schemas are in `docs/schema/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.cli.documents import (
    finding_document,
    held_document,
    object_document,
    object_verdict_document,
    reading_document,
    traffic_document,
)
from rollway.releases.phase import phase_of
from rollway.releases.position import position_of, set_weight_of, step_text, steps_of, strategy_of
from rollway.releases.revisions import CHANGE_CAUSE, annotation, hash_of
from rollway.releases.tree import replica_counts

if TYPE_CHECKING:
    from datetime import datetime

    from rollway.adoption.planning import AdoptionPlan
    from rollway.cli.live import LiveTraffic
    from rollway.releases.acting import Aim
    from rollway.releases.phase import Phase
    from rollway.releases.position import Position
    from rollway.releases.revisions import Revision
    from rollway.releases.tree import AnalysisNode, ExperimentNode, ReplicaSetNode, Tree
    from rollway.routers.objects import Manifest
    from rollway.routers.plan import DryRun


def verb_document(word: str, aim: Aim, dry_run: DryRun) -> dict[str, Any]:
    """Describe what a verb did."""
    return {
        "rollout": {"namespace": aim.rollout.ref.namespace, "name": aim.rollout.ref.name},
        "verb": word,
        "object": object_document(aim.target.ref),
        "changed": aim.effect.changes and not dry_run,
        "dryRun": bool(dry_run),
        "message": aim.effect.text,
    }


def adoption_document(plan: AdoptionPlan, *, dry_run: bool, moved: bool) -> dict[str, Any]:
    """Describe a Deployment that became a Rollout, or would."""
    return {
        "deployment": object_document(plan.deployment.ref),
        "rollout": _name_document(plan.rollout),
        "written": [] if dry_run else [object_document(change.ref) for change in plan.changes],
        "changes": [
            {
                "action": change.action.value,
                "object": object_document(change.ref),
                "patch": list(change.patch),
                "after": change.after,
            }
            for change in plan.changes
        ],
        "dryRun": dry_run,
        "moved": moved,
        "findings": [finding_document(finding) for finding in plan.findings],
    }


def release_document(rollout: Manifest) -> dict[str, Any]:
    """Describe where one Rollout is, as its status reports it."""
    position = position_of(rollout)
    return {
        "rollout": _name_document(rollout),
        "strategy": strategy_of(rollout),
        **_phase_document(phase_of(rollout)),
        "step": _position_document(position),
        "currentStep": step_text(steps_of(rollout)[position.index])
        if position and position.index < position.count
        else None,
        "setWeight": set_weight_of(rollout) if strategy_of(rollout) == "Canary" else None,
        "replicas": replica_counts(rollout)._asdict(),
    }


def tree_document(tree: Tree, rollout: Manifest, live: LiveTraffic | None) -> dict[str, Any]:
    """Describe a Rollout and what belongs to it."""
    return {
        **release_document(rollout),
        "actualWeight": tree.actual_weight if tree.strategy == "Canary" else None,
        "held": held_document(tree.held) if tree.held else None,
        "live": _live_document(live) if live else None,
        "images": [{"image": image, "roles": list(roles)} for image, roles in tree.images],
        "revisions": [
            {
                "revision": each.number,
                "replicaSets": [_replica_set_document(node) for node in each.replica_sets],
                "experiments": [_experiment_document(node) for node in each.experiments],
                "analysisRuns": [_analysis_document(node) for node in each.analysis_runs],
            }
            for each in tree.revisions
        ],
    }


def history_document(revision: Revision) -> dict[str, Any]:
    """Describe one revision."""
    replica_set = revision.replica_set
    status, template = replica_set.get("status") or {}, replica_set["spec"].get("template") or {}
    return {
        "revision": revision.number,
        "earlier": list(revision.earlier),
        "replicaSet": revision.name,
        "hash": hash_of(replica_set),
        "roles": list(revision.roles),
        "replicas": status.get("replicas", 0),
        "available": status.get("availableReplicas", 0),
        "created": replica_set["metadata"].get("creationTimestamp"),
        "changeCause": annotation(replica_set, CHANGE_CAUSE),
        "images": [item.get("image") for item in (template.get("spec") or {}).get("containers") or ()],
    }


def _name_document(manifest: Manifest) -> dict[str, Any]:
    metadata = manifest["metadata"]
    return {"namespace": metadata.get("namespace", ""), "name": metadata["name"]}


def _phase_document(phase: Phase) -> dict[str, Any]:
    return {"phase": phase.name, "message": phase.message}


def _position_document(position: Position | None) -> dict[str, Any] | None:
    return {"index": position.index, "count": position.count} if position else None


def _live_document(live: LiveTraffic) -> dict[str, Any]:
    seen = live.seen
    return {
        "traffic": traffic_document(seen.traffic) if seen else None,
        "evidence": live.evidence,
        "reason": live.reason,
        "readings": [reading_document(reading) for reading in seen.readings] if seen else [],
        "loaded": [object_verdict_document(verdict) for verdict in seen.loaded] if seen else [],
        "findings": [finding_document(finding) for finding in seen.findings] if seen else [],
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _replica_set_document(node: ReplicaSetNode) -> dict[str, Any]:
    return {
        "name": node.name,
        "created": _time(node.created),
        "status": node.status,
        "roles": list(node.roles),
        "replicas": node.replicas,
        "available": node.available,
        "images": list(node.images),
        "scaleDownDeadline": _time(node.deadline),
        "pods": [
            {
                "name": pod.name,
                "created": _time(pod.created),
                "status": pod.state.word,
                "ready": pod.state.ready,
                "containers": pod.state.containers,
                "restarts": pod.state.restarts,
            }
            for pod in node.pods
        ],
    }


def _analysis_document(node: AnalysisNode) -> dict[str, Any]:
    return {
        "name": node.name,
        "created": _time(node.created),
        "status": node.status,
        "message": node.message,
        "successful": node.successful,
        "failed": node.failed,
        "inconclusive": node.inconclusive,
        "errors": node.errors,
        "jobs": [
            {"name": job.name, "started": _time(job.started), "status": job.status} for job in node.jobs
        ],
    }


def _experiment_document(node: ExperimentNode) -> dict[str, Any]:
    return {
        "name": node.name,
        "created": _time(node.created),
        "status": node.status,
        "message": node.message,
        "replicaSets": [_replica_set_document(each) for each in node.replica_sets],
        "analysisRuns": [_analysis_document(each) for each in node.analysis_runs],
    }
