"""What the spec of a Rollout says about its analyses and experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.controller.crds.fields import METADATA, SELECTOR, described, number, switch, text
from rollway.routers.backends.stanzas import array, mapping

if TYPE_CHECKING:
    from rollway.routers.backends.stanzas import Schema

_ARGUMENTS = array(
    mapping(
        ["name"],
        name=text("The name by which the templates use it."),
        value=text("Its value."),
        valueFrom=described(
            mapping(
                podTemplateHashValue=text("Stable or Latest: the pod-template hash of that version."),
                fieldRef=described(
                    mapping(["fieldPath"], fieldPath=text("The way to the field.")), "A field of the Rollout."
                ),
            ),
            "Where its value comes from.",
        ),
    )
)
_DRY_RUN = described(
    array(mapping(["metricName"], metricName=text("A regular expression of names of metrics."))),
    "The metrics that are measured and do not count.",
)
_RETENTION = described(
    array(
        mapping(
            ["metricName", "limit"],
            metricName=text("A regular expression of names of metrics."),
            limit=number("How many measurements stay."),
        )
    ),
    "How many measurements of a metric stay in the status.",
)
_FIELDS: dict[str, Schema] = {
    "templates": described(
        array(
            mapping(
                templateName=text("The name of the template."),
                clusterScope=switch("Whether it is a ClusterAnalysisTemplate."),
            )
        ),
        "The templates whose metrics are measured.",
    ),
    "args": described(_ARGUMENTS, "Values for the arguments of the templates."),
    "dryRun": _DRY_RUN,
    "measurementRetention": _RETENTION,
    "analysisRunMetadata": described(METADATA, "Labels and annotations of the AnalysisRuns."),
}

ANALYSIS: Schema = mapping((), **_FIELDS)
"""An analysis of a step, or before or after the promotion of a blue-green release."""

BACKGROUND_ANALYSIS: Schema = mapping(
    (), **_FIELDS, startingStep=number("The index of the step at which the analysis starts.")
)
"""The analysis that runs during the whole update of a canary release."""

_EXPERIMENT_TEMPLATE = mapping(
    ["name", "specRef"],
    name=text("The name of the template, and a part of the name of its ReplicaSet."),
    specRef=text("stable or canary: whose pod template it has."),
    replicas=number("How many pods; 1 by default."),
    weight=number("The share of the traffic that its pods get."),
    service=described(
        mapping(name=text("Its name; that of the ReplicaSet by default.")), "The Service of its pods."
    ),
    metadata=described(METADATA, "Labels and annotations of its pods."),
    selector=described(SELECTOR, "The selector of its pods; that of the version by default."),
)
_EXPERIMENT_ANALYSIS = mapping(
    ["name", "templateName"],
    name=text("The name of the analysis."),
    templateName=text("The name of the template."),
    clusterScope=switch("Whether it is a ClusterAnalysisTemplate."),
    args=described(_ARGUMENTS, "Values for the arguments of the template."),
    requiredForCompletion=switch("Whether the experiment ends when this analysis has ended."),
)

EXPERIMENT: Schema = mapping(
    ["templates"],
    templates=described(array(_EXPERIMENT_TEMPLATE), "The versions that run beside each other."),
    analyses=described(array(_EXPERIMENT_ANALYSIS), "What is measured of them."),
    duration=text("How long the experiment runs, for example 10m; by default until its analyses have ended."),
    scaleDownDelaySeconds=number("How long the pods stay after the end."),
    dryRun=_DRY_RUN,
    analysisRunMetadata=described(METADATA, "Labels and annotations of the AnalysisRuns."),
)
"""An experiment step."""
