"""The schema of a Rollout. Names and types of the fields: Argo Rollouts, `pkg/apis/rollouts/v1alpha1/types.go`."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from rollway.controller.crds.fields import (
    METADATA,
    SELECTOR,
    described,
    number,
    switch,
    text,
    time,
)
from rollway.controller.crds.rollout_status import STATUS
from rollway.controller.crds.strategy import strategy
from rollway.controller.crds.structural import structural
from rollway.routers.backends.stanzas import mapping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.backends import BackendPackage
    from rollway.routers.backends.stanzas import Schema

_IMMUTABLE = [{"rule": "self == oldSelf", "message": ".spec.selector is immutable"}]


@functools.cache
def _pod_template() -> dict[str, Any]:
    """Return the schema of a pod template, by the types of core/v1 (`integration/programs/pod_template.py`).

    Its metadata lose unknown fields as in the CRD of Argo Rollouts: their name would else be part of the pod-template
    hash, and the same manifest would have another hash with each of the two CRDs.
    """
    types = json.loads((files(__package__) / "pod_template.json").read_text())
    template = structural(mapping(metadata=METADATA, spec={"$ref": "PodSpec"}), types)
    template["properties"]["metadata"] = structural(METADATA, closed=True)
    return described(template, "The pods. Empty where workloadRef names a workload that has them.")


def _spec(packages: Sequence[BackendPackage]) -> Schema:
    return mapping(
        (),
        replicas=number("How many pods are wanted; 1 by default."),
        selector={
            **described(SELECTOR, "The labels of the pods; it cannot be changed."),
            "x-kubernetes-validations": _IMMUTABLE,
        },
        workloadRef=described(
            mapping(
                apiVersion=text("apps/v1, or v1 for a PodTemplate."),
                kind=text("Deployment, ReplicaSet or PodTemplate."),
                name=text("Its name."),
                scaleDown=text("When the pods of a Deployment go: never, onsuccess or progressively."),
            ),
            "The workload whose pod template is used.",
        ),
        strategy=strategy(packages),
        minReadySeconds=number("How long a pod is ready before it counts as available; 0 by default."),
        revisionHistoryLimit=number("How many old ReplicaSets stay; 10 by default."),
        progressDeadlineSeconds=number(
            "After how long without progress an update counts as failed; 600 by default."
        ),
        progressDeadlineAbort=switch("Whether an update that failed so is aborted."),
        paused=switch("Whether nothing is to be changed."),
        restartAt=time("Pods that are older than this are restarted."),
        rollbackWindow=described(
            mapping(revisions=number("How many revisions back.")),
            "Revisions to which a way back needs no steps.",
        ),
        analysis=described(
            mapping(
                successfulRunHistoryLimit=number("How many successful AnalysisRuns stay; 5 by default."),
                unsuccessfulRunHistoryLimit=number("How many others stay; 5 by default."),
            ),
            "How many AnalysisRuns and Experiments stay.",
        ),
    )


def rollout(packages: Sequence[BackendPackage]) -> dict[str, Any]:
    """Return the structural schema of a Rollout that may have the stanzas of these backends."""
    spec = structural(_spec(packages))
    spec["properties"]["template"] = _pod_template()
    return {"spec": spec, "status": structural(STATUS)}
