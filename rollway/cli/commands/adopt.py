"""`rollway adopt`: a running Deployment becomes a Rollout."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import click

from rollway.adoption import applying
from rollway.adoption.planning import plan_adoption
from rollway.adoption.reading import controller_findings, read_surroundings
from rollway.adoption.wish import ON_SUCCESS, STEPS, AdoptionWish
from rollway.cli import output as out
from rollway.cli.answers import diff
from rollway.cli.group import Command
from rollway.cli.options import GUARDS, ROLLOUT, WRITING, StoreOptions, dry_run_option, output_option
from rollway.cli.parameters import Options, argument, contains, option, options
from rollway.cli.release_documents import adoption_document
from rollway.cli.stores import open_store
from rollway.cli.values import DEPLOYMENT_NAME, DURATION
from rollway.controller.install import NAMESPACE
from rollway.releases.phase import DEGRADED, phase_of, replicas_of
from rollway.routers.errors import DegradedError, InvalidInputError, NotReachedError
from rollway.routers.finding_codes import refuse_unknown
from rollway.routers.findings import Severity
from rollway.routers.model import INSTANCE_ID
from rollway.routers.stores import ClusterAccess, FileStore

if TYPE_CHECKING:
    from rollway.adoption.planning import AdoptionPlan
    from rollway.routers.objects import LiveObject, Manifest
    from rollway.routers.plan import DryRun
    from rollway.routers.stores import Store

_ONLY_WRITTEN = frozenset({"adopt-synced", "adopt-no-controller"})
"""What stands against writing to the cluster, and not against objects that go to Git."""
_DEGRADED_S = 10.0
"""How long a Rollout may be degraded at first: a controller may see it before its Services."""


class _Wish(Options):
    """What the Rollout is to be."""

    name: str = argument(type=DEPLOYMENT_NAME, metavar="deployment/NAME")
    service: str | None = option(
        "--service",
        heading=ROLLOUT,
        metavar="NAME",
        help="The Service that users reach, where there are several.",
    )
    canary_service: str | None = option(
        "--canary-service",
        heading=ROLLOUT,
        metavar="NAME",
        help="Name of the Service for the new version (default: SERVICE-canary, or SERVICE-preview).",
    )
    blue_green: bool = option(
        "--blue-green", heading=ROLLOUT, is_flag=True, help="Switch Services instead of moving weights."
    )
    routers: tuple[str, ...] = option(
        "--router",
        heading=ROLLOUT,
        metavar="BACKEND|none",
        multiple=True,
        help="Backend that carries the weights (repeatable; default: those whose routes lead to the Service).",
    )
    steps: str = option(
        "--steps",
        heading=ROLLOUT,
        default=STEPS,
        show_default=True,
        metavar="WEIGHT[:TIME],...",
        help="Weights, and how long each stays; without a time until `rollway promote`.",
    )
    scale_down: str = option(
        "--scale-down",
        heading=ROLLOUT,
        type=click.Choice([ON_SUCCESS, "progressively", "never"]),
        default=ON_SUCCESS,
        show_default=True,
        help="When the pods of the Deployment go.",
    )
    scale_down_delay: float | None = option(
        "--scale-down-delay",
        heading=ROLLOUT,
        type=DURATION,
        metavar="TIME",
        help="How long pods are kept that no Service leads to any more (30s).",
    )
    template: bool = option(
        "--template",
        heading=ROLLOUT,
        is_flag=True,
        help="Take the pod template over, so that the Deployment can go.",
    )
    instance_id: str = option(
        "--instance-id",
        heading=ROLLOUT,
        default=INSTANCE_ID,
        show_default=True,
        metavar="ID",
        help="Instance id of the controller; '' for one that serves Rollouts without any.",
    )


class _Writing(Options):
    """Whether and how it is written."""

    apply: bool = option(
        "--apply",
        heading=WRITING,
        is_flag=True,
        help="Write it to the cluster, and wait until the pods have moved.",
    )
    dry_run: DryRun = dry_run_option("Show what --apply would write, and write nothing")
    timeout: float = option(
        "-t",
        "--timeout",
        heading=WRITING,
        type=DURATION,
        default=600.0,
        metavar="TIME",
        help="How long to wait (10m).",
    )
    controller_namespace: str = option(
        "--controller-namespace",
        heading=WRITING,
        default=NAMESPACE,
        show_default=True,
        metavar="NAMESPACE",
        help="Where the controller has its Lease.",
    )
    allow: tuple[str, ...] = option(
        "--allow",
        heading=GUARDS,
        metavar="CODE",
        multiple=True,
        help="Show a refusal with this code as a note (repeatable).",
    )
    store: StoreOptions = contains(StoreOptions)


@click.command(
    cls=Command,
    examples="""
    rollway adopt deployment/shop                     # print it, for Git or `kubectl apply -f -`
    rollway adopt deployment/shop --apply --dry-run   # show what would be written
    rollway adopt deployment/shop --apply             # move it, and wait until its pods have moved
    rollway adopt deployment/shop --blue-green --template --apply
    """,
)
@options(wanted=_Wish, writing=_Writing)
@output_option()
def adopt(wanted: _Wish, writing: _Writing, *, output: str) -> None:
    """Print or apply the Rollout for a running Deployment, with its Services, routes and autoscaler.

    Users are served at every moment: the Deployment's pods go when the Rollout's are ready behind the same Service.
    """
    refuse_unknown(writing.allow)
    store, namespace = open_store(writing.store)
    in_cluster = not isinstance(store, FileStore)
    apply = writing.apply or bool(writing.dry_run)
    around = read_surroundings(store, wanted.name, namespace, out.note)
    # The template is taken over behind the move: a Rollout that has it cannot scale the Deployment down.
    later = wanted.template and apply and in_cluster
    managers = store.field_managers(around.deployment.ref) if isinstance(store, ClusterAccess) else ()
    plan = plan_adoption(_wish(wanted, template=wanted.template and not later), around, managers)
    if in_cluster and wanted.instance_id:
        spaces = {writing.controller_namespace, around.deployment.ref.namespace}
        missing = controller_findings(store, wanted.instance_id, sorted(spaces), out.note)
        plan = plan._replace(findings=(*plan.findings, *missing))
    allowed = frozenset(writing.allow) | (frozenset() if apply and in_cluster else _ONLY_WRITTEN)
    plan.refuse(allowed)
    out.findings(finding._replace(severity=Severity.NOTE) for finding in plan.findings)
    if not apply:
        if wanted.template:
            out.note(
                f"{around.deployment.ref} keeps its pods: scale it to 0 when the Rollout is Healthy and its Services select its pods"
            )
        out.manifests(plan.manifests, output)
        return
    _apply(store, plan, writing, output, template=later)


def _wish(wanted: _Wish, *, template: bool) -> AdoptionWish:
    if wanted.blue_green and wanted.steps != STEPS:
        raise InvalidInputError(
            "--steps is for a canary, and --blue-green has none", hint="leave one of them out"
        )
    delay = wanted.scale_down_delay
    return AdoptionWish(
        blue_green=wanted.blue_green,
        service=wanted.service or "",
        canary_service=wanted.canary_service or "",
        routers=wanted.routers,
        steps=wanted.steps,
        scale_down=wanted.scale_down,
        scale_down_delay=None if delay is None else math.ceil(delay),
        template=template,
        instance_id=wanted.instance_id,
    )


def _apply(store: Store, plan: AdoptionPlan, writing: _Writing, output: str, *, template: bool) -> None:
    """Write the plan, wait until the pods have moved, and print what was done."""
    text = output == "text"
    applying.write(store, plan, writing.dry_run)
    if text and writing.dry_run:
        diff(plan.changes)
        checked = ", and the cluster would take it" if writing.dry_run == "server" else ""
        out.echo(f"dry run: nothing was written{checked}")
    elif text:
        for change in plan.changes:
            out.echo(f"{change.ref}: {'created' if change.before is None else 'changed'}")
    moves = not writing.dry_run and not isinstance(store, FileStore)
    if moves:
        _wait(store, plan, writing.timeout, text=text)
        if template:
            applying.take_template(store, plan)
        if text:
            rest = (
                f"it has the pod template now, and {plan.deployment.ref} can be deleted"
                if template
                else "done"
            )
            out.echo(
                f"Rollout {plan.rollout['metadata']['namespace']}/{plan.rollout['metadata']['name']}: {rest}"
            )
    if not text:
        out.document(adoption_document(plan, dry_run=bool(writing.dry_run), moved=moves), output)


def _wait(store: Any, plan: AdoptionPlan, timeout: float, *, text: bool) -> None:
    """Wait until users have the pods of the Rollout alone, and print each change on the way."""
    from rollway.cli.watching import looks  # noqa: PLC0415 - printing needs no watch

    def see(watching: Store) -> tuple[LiveObject, Manifest, bool]:
        rollout, deployment = applying.look(watching, plan)
        return rollout, deployment, applying.is_moved(watching, plan, rollout.manifest, deployment)

    shown, since = "", None
    for rollout, deployment, moved in looks(store, plan.deployment.ref.namespace, see, timeout):
        phase = phase_of(rollout.manifest)
        line = f"{rollout.ref}: {phase}; {plan.deployment.ref} is to have {replicas_of(deployment)} pods"
        if text and line != shown:
            out.echo(line)
            out.finish()
        shown = line
        if moved:
            return
        since = (since or time.monotonic()) if phase.name == DEGRADED else None
        if since and time.monotonic() - since > _DEGRADED_S:
            raise DegradedError(
                f"{rollout.ref} is {phase}",
                hint=f"{plan.deployment.ref} goes on serving; mend what is named, or delete the Rollout",
                ref=rollout.ref,
            )
    raise NotReachedError(
        f"{plan.deployment.ref} has not moved in time",
        hint=f"it goes on serving; `rollway get {plan.rollout['metadata']['name']}` shows what is waited for",
    )
