"""What a backend proposes for a Deployment that becomes a Rollout: its stanza, from the routes that lead to a Service now.

A backend that can says so in its module `adoption.py`, with an `ADOPTION`. The codes of all that may stand against it are
here, because `--allow` has to know them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.objects import Kind, Live, LiveObject, Manifest, ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterator


class Proposal(NamedTuple):
    """How a Rollout can share the traffic of a Service.

    `stanza` is the backend's part of `trafficRouting` (None where it has nothing to name), `found` the routes that lead to
    the Service, and `wanted` those of them that lack the canary, with it at weight 0.
    """

    stanza: Manifest | None
    found: tuple[ObjectRef, ...] = ()
    wanted: tuple[Manifest, ...] = ()
    findings: tuple[Finding, ...] = ()


Propose: TypeAlias = Callable[[ObjectRef, str, Live], Proposal]
"""From the Service, the name of the canary Service, and the objects of the kinds, to a proposal. Pure."""


class Adoption(NamedTuple):
    """The kinds of routes that are looked at, and what is made of them."""

    kinds: tuple[Kind, ...]
    propose: Propose


def routes_in(live: Live, group: str, kind: str, namespace: str) -> Iterator[LiveObject]:
    """Yield the objects of a kind in a namespace, in the order of their names."""
    yield from sorted(
        (item for item in live.of(group, kind) if item.ref.namespace == namespace),
        key=lambda item: item.ref.name,
    )


def refusal(code: str, ref: ObjectRef, message: str, remedy: str) -> Finding:
    """Return a finding that stops the move."""
    return Finding(code, Severity.REFUSAL, ref, message, remedy)


FINDINGS = (
    FindingCode(
        "adopt-paused",
        "The Deployment is paused.",
        "Its pods may be of several templates, and the Rollout would take the newest.",
        "Resume it (`kubectl rollout resume`), and let it finish.",
    ),
    FindingCode(
        "adopt-rolling-out",
        "The Deployment is in the middle of an update, or some of its pods are not available.",
        "The Rollout would release a template that the Deployment has not proven.",
        "Wait for it (`kubectl rollout status`), or undo the update.",
    ),
    FindingCode(
        "adopt-recreate",
        "The Deployment has the strategy Recreate: no two of its pods may run at a time.",
        "The pods of the Rollout run beside those of the Deployment.",
        "Use RollingUpdate where that is possible; else move it by hand, with a time of no service.",
    ),
    FindingCode(
        "adopt-owned",
        "The Deployment belongs to another object.",
        "Its owner would scale it up again, or delete it.",
        "Change the owner, or leave the Deployment to it.",
    ),
    FindingCode(
        "adopt-synced",
        "Another tool writes the Deployment, from Git or from a chart.",
        "It scales the Deployment up again behind the Rollout, which never gets rid of the old pods.",
        "Commit what `rollway adopt` prints, and take `replicas` out of the Deployment there.",
    ),
    FindingCode(
        "adopt-flagger",
        "A Canary of Flagger runs the releases of the Deployment.",
        "Two controllers would move the same traffic and scale the same pods.",
        "Delete the Canary first; Flagger then gives the Deployment its pods back.",
    ),
    FindingCode(
        "adopt-no-controller",
        "No controller of rollway holds the Lease for the instance id.",
        "The Rollout gets no pods. The Deployment goes on serving.",
        "Install it (`rollway install --print`), or name its instance id and namespace.",
    ),
    FindingCode(
        "adopt-autoscaler-owned",
        "The HorizontalPodAutoscaler of the Deployment is made by another object.",
        "Its owner would point it back at the Deployment.",
        "Let the owner name the Rollout (for KEDA: `scaleTargetRef` of the ScaledObject).",
    ),
    FindingCode(
        "adopt-shared-service",
        "The Service also leads to pods of another workload.",
        "Those are left out of it as soon as it selects the pods of the Rollout alone.",
        "Give the other workload a Service of its own, or narrow the selector.",
    ),
    FindingCode(
        "adopt-service-in-use",
        "The Service belongs to another Rollout, or selects the pods of one.",
        "Two Rollouts would change its selector.",
        "Name another Service with `--service`.",
    ),
    FindingCode(
        "adopt-second-service",
        "Another Service leads to the same pods, and stays as it is.",
        "During an update it leads to the pods of both versions.",
        "Nothing, if that is what you want.",
    ),
    FindingCode(
        "adopt-canary-service",
        "There is a Service with the name of the new one, and it selects other pods.",
        "The canary would get no traffic, or other pods would get it.",
        "Name another one with `--canary-service`, or correct its selector.",
    ),
    FindingCode(
        "adopt-other-ingress",
        "An Ingress of another class leads to the Service.",
        "Its users are divided by no weight: they all get stable.",
        "Nothing, if that is what you want; or route them by a backend of rollway.",
    ),
    FindingCode(
        "adopt-unnamed-route",
        "Several routes of one section lead to the Service, and not all of them can be named in a Rollout.",
        "The Rollout would not know which of them carry the weights.",
        "Give each http route a name of its own, or write the stanza by hand.",
    ),
    FindingCode(
        "adopt-subset",
        "A route leads to a subset of the Service's pods.",
        "The weight of the canary would not count there.",
        "Route to the Service as a whole, or write the stanza by hand.",
    ),
    FindingCode(
        "adopt-foreign-split",
        "A TrafficSplit of somebody else shares the traffic of the Service.",
        "Two splits would compete for it.",
        "Delete it when all traffic goes to one Service.",
    ),
    FindingCode(
        "adopt-autoscaler",
        "A HorizontalPodAutoscaler scales the Deployment.",
        "It moves to the Rollout together with the pods.",
        "Nothing: the changed object is printed, or written with `--apply`.",
    ),
)
