"""The documents of `-o json` and `-o yaml`; their schemas are in `docs/schema/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.routers.weights import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollway.routers.applying import Result
    from rollway.routers.events import Wish
    from rollway.routers.findings import Finding
    from rollway.routers.held_weight import HeldWeight
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest, ObjectRef
    from rollway.routers.observation import Observation
    from rollway.routers.plan import Plan
    from rollway.routers.traffic import (
        HeaderRoute,
        MirrorRoute,
        ObjectVerdict,
        Reading,
        Traffic,
        Verdict,
    )
    from rollway.routers.weights import Split


def object_document(ref: ObjectRef) -> dict[str, Any]:
    """Name an object."""
    return {"group": ref.group, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def rollout_document(rollout: Rollout) -> dict[str, Any]:
    """Name a Rollout."""
    return {"namespace": rollout.namespace, "name": rollout.name}


def split_document(split: Split) -> dict[str, Any]:
    """Describe a split in all readings: weights, total, percentage."""
    share = percent(split.canary, split.total)
    return {"canary": split.canary, "stable": split.stable, "total": split.total, "share": share}


def traffic_document(traffic: Traffic | None) -> dict[str, Any] | None:
    """Describe a traffic, its routes in the words of Argo Rollouts' steps; or null."""
    if traffic is None:
        return None
    return {
        **split_document(traffic.split),
        "headerRoutes": [_route_document(route) for route in traffic.header_routes],
        "mirrorRoutes": [
            {**_route_document(route), "percentage": route.percentage} for route in traffic.mirror_routes
        ],
    }


def _route_document(route: HeaderRoute | MirrorRoute) -> dict[str, Any]:
    return {"name": route.name, "match": [match.conditions for match in route.matches]}


def reading_document(reading: Reading) -> dict[str, Any]:
    """Describe what one object shows."""
    return {
        "object": object_document(reading.ref),
        "part": reading.part,
        "weights": [{"destination": name, "weight": weight} for name, weight in reading.weights],
        "traffic": traffic_document(reading.traffic),
        "exact": reading.exact,
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """Describe one finding."""
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "object": object_document(finding.ref) if finding.ref else None,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def plan_document(rollout: Rollout, wanted: Traffic, plan: Plan | None) -> dict[str, Any]:
    """Describe a plan; without one, the same keys with nothing in them."""
    return {
        "rollout": rollout_document(rollout),
        "wanted": traffic_document(wanted),
        "fingerprint": plan.fingerprint if plan else None,
        "changes": [
            {
                "action": change.action.value,
                "object": object_document(change.ref),
                "patch": list(change.patch),
                "after": change.after,
            }
            for change in (plan.changes if plan else ())
        ],
        "before": [reading_document(reading) for reading in (plan.before if plan else ())],
        "after": [reading_document(reading) for reading in (plan.after if plan else ())],
        "findings": [finding_document(finding) for finding in (plan.findings if plan else ())],
    }


def result_document(result: Result, held: HeldWeight | None = None) -> dict[str, Any]:
    """Describe what a writing verb did, and the weight that the controller holds by it."""
    document = {
        "rollout": rollout_document(result.rollout),
        "wanted": traffic_document(result.want),
        "changed": result.changed,
        "dryRun": bool(result.dry_run),
        "written": [object_document(ref) for ref in result.written],
        "fingerprint": result.plan.fingerprint if result.plan else None,
        "evidence": result.verdict.evidence.name.lower() if result.verdict else None,
        "samples": samples_document(result.verdict),
        "findings": [finding_document(finding) for finding in result.findings],
    }
    return document | ({"held": held_document(held)} if held else {})


def held_document(held: HeldWeight) -> dict[str, Any]:
    """Describe a weight that is held by hand."""
    return {
        "weight": held.weight,
        "hash": held.pod_hash,
        "step": held.step,
        "by": held.by,
        "since": held.since_text,
    }


def samples_document(verdict: Verdict | None) -> list[dict[str, Any]]:
    """Describe the samples of requests that were counted."""
    return [
        {
            "canary": sample.canary,
            "stable": sample.stable,
            "other": sample.other,
            "failed": {
                "canary": sample.canary_failed,
                "stable": sample.stable_failed,
                "unknown": sample.failed,
            },
        }
        for sample in (verdict.samples if verdict else ())
    ]


def reset_document(rollout: Rollout, results: Sequence[Result]) -> dict[str, Any]:
    """Describe what `reset` did: the way to stable, and the deletion, each if there was something to do."""
    return {
        "rollout": rollout_document(rollout),
        "changed": any(result.changed for result in results),
        "steps": [result_document(result) for result in results],
    }


def gitops_document(rollout: Rollout, tool: str, parts: Sequence[tuple[str, Manifest]]) -> dict[str, Any]:
    """Describe what a GitOps tool must leave alone, and where that is written."""
    return {
        "rollout": rollout_document(rollout),
        "tool": tool,
        "stanzas": [{"into": owner, "manifest": manifest} for owner, manifest in parts],
    }


def object_verdict_document(verdict: ObjectVerdict) -> dict[str, Any]:
    """Return whether the data planes have what one object shows."""
    return {
        "object": object_document(verdict.ref),
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
    }


def wish_document(wish: Wish | None) -> dict[str, Any] | None:
    """Describe what was asked for last, the evidence that was reached, and when; or null."""
    if wish is None:
        return None
    return {
        "traffic": split_document(wish.split),
        "evidence": wish.evidence.name.lower(),
        "time": wish.time.isoformat(timespec="seconds"),
    }


def status_document(entries: Iterable[Observation], wish: Wish | None = None) -> list[dict[str, Any]]:
    """Describe what the objects of each Rollout show; of a single one, also what was asked and what is loaded."""
    return [
        {
            "rollout": rollout_document(seen.rollout),
            "traffic": traffic_document(seen.traffic),
            "evidence": seen.evidence.name.lower(),
            "asked": wish_document(wish),
            "readings": [reading_document(reading) for reading in seen.readings],
            "loaded": [object_verdict_document(verdict) for verdict in seen.loaded],
            "findings": [finding_document(finding) for finding in seen.findings],
        }
        for seen in entries
    ]


def verdict_document(rollout: Rollout, verdict: Verdict) -> dict[str, Any]:
    """Describe the answer of `verify`."""
    return {
        "rollout": rollout_document(rollout),
        "outcome": verdict.outcome.value,
        "evidence": verdict.evidence.name.lower(),
        "reason": verdict.reason,
        "readings": [reading_document(reading) for reading in verdict.readings],
        "loaded": [object_verdict_document(each) for each in verdict.objects],
        "samples": samples_document(verdict),
    }
