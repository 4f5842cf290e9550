"""The Rollout for a Deployment, and what is written before it, in an order in which every beginning is safe. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.adoption.checks import (
    autoscaler_findings,
    autoscalers_of,
    deployment_findings,
    refuse_existing,
)
from rollway.adoption.services import canary_service, choose_service, service_findings, services_of
from rollway.adoption.wish import NO_ROUTER, read_steps
from rollway.releases.phase import replicas_of
from rollway.routers.backends import packages
from rollway.routers.errors import InvalidInputError, NotFoundError, RefusedError
from rollway.routers.findings import Severity
from rollway.routers.model import INSTANCE_LABEL, ROLLOUT_GROUP, ROLLOUT_KIND
from rollway.routers.objects import Access, Need, ObjectRef, dig, duplicate, without_server_fields
from rollway.routers.plan import Action, Change, shared_change

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rollway.adoption.reading import Surroundings
    from rollway.adoption.wish import AdoptionWish
    from rollway.routers.backends.adoption import Proposal
    from rollway.routers.findings import Finding
    from rollway.routers.objects import LiveObject, Manifest

_COPIED = {"minReadySeconds": 0, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
"""Fields of the Deployment that a Rollout has too, with the defaults of both."""


class AdoptionPlan(NamedTuple):
    """What a Deployment becomes: the writes in their order, of which the Rollout is the last, and what was found."""

    deployment: LiveObject
    rollout: Manifest
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    stable_service: str = ""

    @property
    def manifests(self) -> list[Manifest]:
        """The objects as `kubectl apply -f -` takes them."""
        somewhere = "namespace" not in self.deployment.manifest["metadata"]
        return [_as_applied(change.after, somewhere=somewhere) for change in self.changes if change.after]

    def refuse(self, allowed: Collection[str] = ()) -> None:
        """Raise RefusedError where a finding stops the move and is not allowed."""
        reasons = [
            finding
            for finding in self.findings
            if finding.severity is Severity.REFUSAL and finding.code not in allowed
        ]
        if reasons:
            raise RefusedError(
                f"{self.deployment.ref} was not moved:",
                reasons=reasons,
                hint="nothing was written; --allow CODE goes on in spite of a finding",
                ref=self.deployment.ref,
            )


def plan_adoption(wish: AdoptionWish, around: Surroundings, managers: Sequence[str] = ()) -> AdoptionPlan:
    """Return the plan for a wish. `managers` are who has written fields of the Deployment.

    Raises:
        RefusedError: a Rollout is there already.
        NotFoundError, AmbiguousError: the Service, or a route that the wish names, cannot be found.
        InvalidInputError: the wish contradicts itself.
    """
    refuse_existing(around)
    routed = [item.ref for item in services_of(around) if _found(item.ref, around)]
    stable = choose_service(around, wish.service, routed)
    if stable is None:
        _refuse_without_service(wish, around)
        return _plan(around, _rollout(wish, around, {"canary": _pods_strategy(wish, around)}), managers)
    name = wish.canary_service or f"{stable.ref.name}-{'preview' if wish.blue_green else 'canary'}"
    proposals = _proposals(wish, stable.ref, name, around)
    routing = _routing(proposals)
    rollout = _rollout(wish, around, _strategy(wish, around, stable.ref.name, name, routing))
    findings = [finding for proposal in proposals.values() for finding in proposal.findings]
    if not (routing or wish.blue_green):
        return _plan(around, rollout, managers, findings=findings)
    canary = canary_service(stable, name)
    findings += service_findings(around, stable, canary)
    changes: list[Change] = []
    if ObjectRef("", "Service", stable.ref.namespace, name) not in around.live:
        changes.append(_creation(canary, stable.ref))
    changes += [_shared(around, wanted) for proposal in proposals.values() for wanted in proposal.wanted]
    return _plan(around, rollout, managers, changes, findings)._replace(stable_service=stable.ref.name)


def _plan(
    around: Surroundings,
    rollout: Manifest,
    managers: Sequence[str],
    changes: Sequence[Change] = (),
    findings: Sequence[Finding] = (),
) -> AdoptionPlan:
    """Return the plan: the autoscalers and the Rollout come behind the Services and routes."""
    changes = list(changes)
    for item in autoscalers_of(around):
        moved: Manifest = duplicate(item.manifest)
        moved["spec"]["scaleTargetRef"] = {
            "apiVersion": rollout["apiVersion"],
            "kind": ROLLOUT_KIND,
            "name": rollout["metadata"]["name"],
        }
        changes.append(_shared(around, moved))
    found = (*deployment_findings(around, managers), *autoscaler_findings(around), *findings)
    changes.append(_creation(rollout, around.deployment.ref))
    return AdoptionPlan(around.deployment, rollout, tuple(changes), found)


def _refuse_without_service(wish: AdoptionWish, around: Surroundings) -> None:
    given = [
        word
        for word, value in (("--blue-green", wish.blue_green), ("--router", set(wish.routers) - {NO_ROUTER}))
        if value
    ]
    if given:
        raise NotFoundError(
            f"no Service leads to the pods of {around.deployment.ref}, and {' and '.join(given)} needs one",
            hint="create a Service, or leave it out: then pods alone are the weight",
        )


def _found(service: ObjectRef, around: Surroundings) -> bool:
    """Return whether a route of any backend leads to a Service."""
    return any(
        package.adoption and package.adoption.propose(service, "", around.live).found
        for package in packages()
    )


def _proposals(
    wish: AdoptionWish, service: ObjectRef, canary: str, around: Surroundings
) -> dict[str, Proposal]:
    """Return the proposals of the backends that the wish names, or of those whose routes lead to the Service.

    Blue-green moves its Services, so it has a router only where one is named.
    """
    known = {package.name: package for package in packages() if package.adoption}
    unknown = [name for name in wish.routers if name not in (*known, NO_ROUTER)]
    if unknown:
        raise InvalidInputError(
            f"{', '.join(unknown)} is no backend with routes", hint=f"there are {', '.join(known)}, and none"
        )
    chosen: dict[str, Proposal] = {}
    for name, package in known.items():
        if not package.adoption or (wish.routers and name not in wish.routers):
            continue
        proposal = package.adoption.propose(service, canary, around.live)
        if name in wish.routers and proposal.stanza is None:
            raise NotFoundError(
                f"no object of {name} leads to Service {service.name}",
                hint="route to the Service first, or leave --router out",
            )
        if name in wish.routers or (proposal.found and not wish.routers and not wish.blue_green):
            chosen[name] = proposal
        elif proposal.findings and not wish.routers and not wish.blue_green:
            chosen[name] = proposal._replace(stanza=None)
    return chosen


def _routing(proposals: dict[str, Proposal]) -> Manifest:
    """Return `trafficRouting`, with each stanza at its place."""
    routing: Manifest = {}
    for package in packages():
        proposal = proposals.get(package.name)
        if proposal and proposal.stanza is not None:
            at = routing
            *above, last = package.places[0]
            for key in above:
                at = at.setdefault(key, {})
            at[last] = proposal.stanza
    return routing


def _strategy(
    wish: AdoptionWish, around: Surroundings, stable: str, canary: str, routing: Manifest
) -> dict[str, Any]:
    routed: dict[str, Any] = {"trafficRouting": routing} if routing else {}
    if wish.scale_down_delay is not None:
        routed["scaleDownDelaySeconds"] = wish.scale_down_delay
    if wish.blue_green:
        services = {"activeService": stable, "previewService": canary}
        return {"blueGreen": {**services, **routed, "autoPromotionEnabled": False}}
    if not routing:
        # The share of pods behind the one Service is the weight, so no Service is narrowed.
        return {"canary": _pods_strategy(wish, around)}
    steps = read_steps(wish.steps)
    return {"canary": {"stableService": stable, "canaryService": canary, **routed, "steps": steps}}


def _pods_strategy(wish: AdoptionWish, around: Surroundings) -> dict[str, Any]:
    """Return a canary whose weight is its share of the pods, within what the Deployment allows.

    Raises:
        InvalidInputError: it is to have a delay, which is for pods that a Service has left.
    """
    if wish.scale_down_delay is not None:
        raise InvalidInputError(
            "--scale-down-delay needs a router or --blue-green: else no Service leaves the old pods before they go",
            hint="leave it out",
        )
    limits = dig(around.deployment.manifest, "spec", "strategy", "rollingUpdate") or {}
    return {**duplicate(limits), "steps": read_steps(wish.steps)}


def _rollout(wish: AdoptionWish, around: Surroundings, strategy: dict[str, Any]) -> Manifest:
    """Return the Rollout."""
    ref, manifest = around.deployment.ref, around.deployment.manifest
    spec: dict[str, Any] = {"replicas": replicas_of(manifest)}
    for key, default in _COPIED.items():
        if manifest["spec"].get(key, default) != default:
            spec[key] = manifest["spec"][key]
    if wish.template:
        spec |= {key: duplicate(manifest["spec"][key]) for key in ("selector", "template")}
    else:
        reference = {"apiVersion": "apps/v1", "kind": ref.kind, "name": ref.name}
        spec["workloadRef"] = {**reference, "scaleDown": wish.scale_down}
    labels = {"labels": {INSTANCE_LABEL: wish.instance_id}} if wish.instance_id else {}
    return {
        "apiVersion": f"{ROLLOUT_GROUP}/v1alpha1",
        "kind": ROLLOUT_KIND,
        "metadata": {"name": ref.name, "namespace": ref.namespace, **labels},
        "spec": {**spec, "strategy": strategy},
    }


def _as_applied(manifest: Manifest, *, somewhere: bool) -> Manifest:
    """Return an object as its user would apply it: without kubectl's record, and without a namespace that nothing names."""
    clean: Manifest = duplicate(without_server_fields(manifest))
    annotations = clean["metadata"].get("annotations") or {}
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    for key in (*(() if annotations else ("annotations",)), *(("namespace",) if somewhere else ())):
        clean["metadata"].pop(key, None)
    return clean


def _creation(manifest: Manifest, origin: ObjectRef) -> Change:
    metadata = manifest["metadata"]
    group = manifest["apiVersion"].rpartition("/")[0]
    ref = ObjectRef(group, manifest["kind"], metadata["namespace"], metadata["name"])
    return Change(Action.CREATE, ref, None, manifest, derived_from=origin, lasting=True)


def _shared(around: Surroundings, wanted: Manifest) -> Change:
    """Return the patch that brings a user's object to what is wanted, with tests on what it relies on."""
    group, metadata = wanted["apiVersion"].rpartition("/")[0], wanted["metadata"]
    namespace = metadata.get("namespace") or around.deployment.ref.namespace
    need = Need(group, wanted["kind"], metadata["name"], namespace, Access.SHARED, fields=("/spec",))
    change = shared_change(need, around.live[need.ref], wanted)
    assert change, "only what differs is asked for"
    return change._replace(lasting=True)


def taken_over(rollout: LiveObject, deployment: Manifest) -> Change:
    """Return the patch by which a Rollout that refers to a Deployment has its selector and pod template itself."""
    after: Manifest = duplicate(rollout.manifest)
    reference = after["spec"].pop("workloadRef")
    parts = {key: duplicate(deployment["spec"][key]) for key in ("selector", "template")}
    after["spec"] |= parts
    patch = (
        {"op": "test", "path": "/spec/workloadRef", "value": reference},
        {"op": "remove", "path": "/spec/workloadRef"},
        *({"op": "add", "path": f"/spec/{key}", "value": value} for key, value in parts.items()),
    )
    return Change(Action.PATCH, rollout.ref, rollout.manifest, after, patch, rollout.version, lasting=True)
