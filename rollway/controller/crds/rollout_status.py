"""The schema of the status of a Rollout: what the controller writes, and clients of Argo Rollouts read and write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.controller.crds.fields import OPEN, described, number, switch, text, time
from rollway.routers.backends.stanzas import array, mapping

if TYPE_CHECKING:
    from rollway.routers.backends.stanzas import Schema

_CONDITION = mapping(
    ["type", "status", "reason", "message", "lastUpdateTime", "lastTransitionTime"],
    type=text("Progressing, Available, Paused, Completed, Healthy, InvalidSpec or ReplicaFailure."),
    status=text("True, False or Unknown."),
    reason=text("Why, in one word."),
    message=text("Why, in a sentence."),
    lastUpdateTime=time("When it was written last."),
    lastTransitionTime=time("When its status changed last."),
)
_PAUSE = mapping(
    ["reason", "startTime"],
    reason=text("What asked for the pause."),
    startTime=time("When it began."),
)
_RUN = mapping(
    ["name", "status"],
    name=text("The name of the AnalysisRun."),
    status=text("Its phase."),
    message=text("Why."),
)
_DESTINATION = mapping(
    ["weight"],
    weight=number("The weight that it has."),
    serviceName=text("The Service that gets it."),
    podTemplateHash=text("The pods behind it."),
)
_WEIGHTS = mapping(
    ["canary", "stable"],
    canary=described(_DESTINATION, "What the canary gets."),
    stable=described(_DESTINATION, "What the stable version gets."),
    additional=described(array(_DESTINATION), "What experiments get."),
    verified=described({"type": "boolean"}, "Whether the data planes have them, where that can be known."),
)
_PLUGIN_STEP = mapping(
    ["index", "name", "operation"],
    index=number("The index of the step."),
    name=text("The name of the plugin."),
    operation=text("Run, Terminate or Abort."),
    phase=text("Running, Successful, Failed or Error."),
    message=text("Why."),
    startedAt=time("When it began."),
    updatedAt=time("When it was called last."),
    finishedAt=time("When it ended."),
    backoff=text("How long until it is called again."),
    executions=number("How often it was called."),
    disabled=switch("Whether the plugin is switched off."),
    status=described(OPEN, "What the plugin remembers."),
)
_CANARY = mapping(
    weights=described(_WEIGHTS, "The shares of the traffic."),
    stablePingPong=text("ping or pong: which of the two Services is the stable one."),
    currentStepAnalysisRunStatus=described(_RUN, "The analysis of the step."),
    currentBackgroundAnalysisRunStatus=described(_RUN, "The analysis of the whole update."),
    currentExperiment=text("The name of the Experiment that runs."),
    stepPluginStatuses=described(array(_PLUGIN_STEP), "The steps that plugins carried out."),
)
_BLUE_GREEN = mapping(
    activeSelector=text("The pod-template hash that the active Service selects."),
    previewSelector=text("The pod-template hash that the preview Service selects."),
    scaleUpPreviewCheckPoint=switch("Whether the new version may grow beyond previewReplicaCount."),
    prePromotionAnalysisRunStatus=described(_RUN, "The analysis before the switch."),
    postPromotionAnalysisRunStatus=described(_RUN, "The analysis after it."),
)
_AWS = mapping(
    ["arn", "name"], arn=text("Its ARN."), name=text("Its name."), fullName=text("Its whole name.")
)
_LOAD_BALANCER = mapping(
    ingress=text("The Ingress."),
    loadBalancer=described(_AWS, "The load balancer."),
    canaryTargetGroup=described(_AWS, "The target group of the canary."),
    stableTargetGroup=described(_AWS, "The target group of the stable version."),
)
_DURATION = mapping(
    rolloutStartedAt=time("When the update began."),
    finishedAt=time("When it ended."),
    completionStatus=text("How it ended."),
    manualPauseStartedAt=time("Since when a person is waited for."),
    totalManualPauseDurationSeconds={
        "type": "integer",
        "format": "int64",
        "description": "How long persons were waited for.",
    },
)

STATUS: Schema = mapping(
    (),
    phase=text("Healthy, Progressing, Paused or Degraded."),
    message=text("Why, or what is waited for."),
    observedGeneration=text("The generation of the spec that this status belongs to."),
    workloadObservedGeneration=text("The generation of the workload that workloadRef names."),
    conditions=described(array(_CONDITION), "The conditions, each type once."),
    currentPodHash=text("The pod-template hash of the newest version."),
    stableRS=text("The pod-template hash of the stable version."),
    currentStepIndex=number("The step that is carried out, from 0."),
    currentStepHash=text("A hash of the steps, which shows that they were changed."),
    pauseConditions=described(array(_PAUSE), "Why the update waits."),
    controllerPause=switch("Whether the controller paused the update."),
    abort=switch("Whether the update is aborted."),
    abortedAt=time("When it was aborted."),
    promoteFull=switch("Whether the rest of the steps is to be skipped."),
    restartedAt=time("The last restart that is done."),
    replicas=number("How many pods there are."),
    updatedReplicas=number("How many of them are of the newest version."),
    readyReplicas=number("How many are ready."),
    availableReplicas=number("How many have been ready for minReadySeconds."),
    HPAReplicas=number("How many pods an autoscaler counts."),
    selector=text("The labels of those pods."),
    collisionCount=number("How often a ReplicaSet of somebody else had the name that was wanted."),
    canary=described(_CANARY, "What a canary release has reached."),
    blueGreen=described(_BLUE_GREEN, "What a blue-green release has reached."),
    duration=described(_DURATION, "How long the update took."),
    alb=described(_LOAD_BALANCER, "The AWS load balancer, where Argo Rollouts wrote it."),
    albs=described(array(_LOAD_BALANCER), "The AWS load balancers, where Argo Rollouts wrote them."),
)
"""The status of a Rollout."""
