"""Compute what has to change for a wish: what is needed, what the objects show, and the plan. Pure: no store is seen here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers import guards, ownership
from rollway.routers.backends import backends_of, packages
from rollway.routers.errors import (
    ManifestError,
    RefusedError,
    RollwayError,
    UnsupportedError,
    WeightError,
)
from rollway.routers.findings import Finding, Severity
from rollway.routers.in_charge import controller_findings, controller_in_charge
from rollway.routers.model import Context
from rollway.routers.objects import Access, LiveObject, Need, without_server_fields
from rollway.routers.observation import observe
from rollway.routers.plan import Action, Change, Plan, change_for, removal_of
from rollway.routers.traffic import BESIDE, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from rollway.routers.backends import Backend
    from rollway.routers.guards import Limits
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef
    from rollway.routers.plan import TrafficWish


class Proposal(NamedTuple):
    """What planning comes to: the plan (None when nothing has to change), and what the data planes do with the objects.

    `context.live` holds the objects that it was computed from.
    """

    context: Context
    plan: Plan | None
    findings: tuple[Finding, ...] = ()


class _Needs(NamedTuple):
    """What the backends of a Rollout need: all of it, what carries weights, and what each backend may write.

    An object that a backend selects by label is under a reference with an empty name.
    """

    every: tuple[Need, ...]
    targets: tuple[Need, ...]
    writable: dict[str, dict[ObjectRef, Need]]


class Simulation(NamedTuple):
    """What a wish comes to: the changes, the objects as they would be then, and what the data planes do with those."""

    changes: tuple[Change, ...]
    after: Live
    findings: tuple[Finding, ...]


def needs_of(rollout: Rollout) -> tuple[Need, ...]:
    """Return what the backends of a Rollout need, each object once, with the strongest access that was asked for."""
    return _needs(rollout).every


def target_needs(rollout: Rollout) -> tuple[Need, ...]:
    """Ask for the objects that carry weights, by name or by label, as they are at this moment."""
    return _needs(rollout).targets


def _needs(rollout: Rollout) -> _Needs:
    """Ask the backends once for what they need: it follows from the Rollout alone."""
    known: _Needs | None = rollout.memo.get("needs")
    if known is not None:
        return known
    strength = [Access.READ, Access.SHARED, Access.MANAGED]
    needs: dict[tuple[str, str, str, str, str], Need] = {}
    writable: dict[str, dict[ObjectRef, Need]] = {}
    for backend in backends_of(rollout):
        own = backend.needs(rollout)
        writable[backend.name] = {need.ref: need for need in own if need.access is not Access.READ}
        for need in own:
            key = (need.group, need.kind, need.namespace, need.name, need.selector)
            if key not in needs or strength.index(need.access) > strength.index(needs[key].access):
                needs[key] = need
    every = tuple(needs.values())
    targets = tuple(
        need._replace(required=False, fresh=True) for need in every if need.access is not Access.READ
    )
    known = rollout.memo["needs"] = _Needs(every, targets, writable)
    return known


def wanted_traffic(rollout: Rollout, wish: TrafficWish, live: Live) -> Traffic:
    """Return the traffic that a wish means beside the live objects, its routes in the order of `managedRoutes`.

    Raises what observing raises.
    """
    want = wish if isinstance(wish, Traffic) else wish(live)
    return want.ordered(rollout.managed_routes) if want.routes else want


def settled_traffic(rollout: Rollout, live: Live) -> Traffic | None:
    """Return the traffic that the objects have in whole, each of them all routes; None when they do not agree."""
    traffic = observe(rollout, live).traffic
    if traffic is None or not traffic.routes:
        return traffic
    return None if simulate(Context(rollout, traffic, live), adopt=True).changes else traffic


def check(context: Context) -> tuple[Finding, ...]:
    """Return what the data planes would report if the wish were written, and whether a controller moves the Rollout."""
    return (*controller_findings(context.rollout), *simulate(context, adopt=True).findings)


def wanted_objects(context: Context) -> list[Manifest]:
    """Return the objects as the wish wants them, stamped, whatever the live ones are."""
    return [
        ownership.stamp(wanted, context.rollout)
        if need.access is Access.MANAGED
        else without_server_fields(wanted)
        for backend in backends_of(context.rollout)
        for need, wanted in _rendered(backend, context)
    ]


def wanted_changes(context: Context, access: Access) -> list[Change]:
    """Return what the wish would change in the objects of one access, whatever the data planes do with it."""
    return [
        change
        for backend in backends_of(context.rollout)
        for need, wanted in _rendered(backend, context)
        if need.access is access
        and (change := change_for(need, context.live.get(need.ref), wanted, context.rollout, adopt=True))
    ]


def simulate(
    context: Context,
    *,
    adopt: bool,
    backends: Sequence[Backend] | None = None,
    unwritten: Collection[ObjectRef] = (),
) -> Simulation:
    """Compute the changes for a wish, and judge the objects as they would be after them.

    `backends` are those of the Rollout that are asked (None: all). Changes of objects in `unwritten` are not for a store,
    so what it would have to remember is not found out. Managed objects that the wish has no use for are deleted last,
    when no other object refers to them any more.

    Raises what `propose` raises.
    """
    rollout, want, live = context
    chosen = backends_of(rollout) if backends is None else backends
    changes: list[Change] = []
    superfluous: list[Change] = []
    for backend in chosen:
        wanted_needs = list(_rendered(backend, context))
        superfluous += _superfluous(backend, context, {need.ref for need, _ in wanted_needs})
        for need, rendered in wanted_needs:
            present = live.get(need.ref)
            wanted = _as_it_was(backend, context, present, rendered)
            change = change_for(need, present, wanted, rollout, adopt=adopt)
            if change and change.action is Action.PATCH and need.ref not in unwritten:
                original = _to_remember(backend, context, change, present)
                change = change._replace(original=original) if original else change
            if change:
                changes.append(change)
    changes += superfluous
    after = [LiveObject(change.ref, change.after, change.version) for change in changes if change.after]
    simulated = live.after(after, [change.ref for change in changes if not change.after])
    findings = [finding for backend in chosen for finding in backend.check(rollout, want, simulated)]
    return Simulation(tuple(changes), simulated, (*dict.fromkeys(findings), *store_notes(want, live)))


def _superfluous(backend: Backend, context: Context, wanted: set[ObjectRef]) -> Iterator[Change]:
    """Yield the removal of each managed object of the Rollout that is there and was not rendered."""
    rollout, _, live = context
    for ref, need in _needs(rollout).writable[backend.name].items():
        present = live.get(ref) if need.access is Access.MANAGED and ref not in wanted else None
        if present and ownership.owned_by(present.manifest, rollout):
            yield removal_of(present, need)


def _as_it_was(backend: Backend, context: Context, present: LiveObject | None, wanted: Manifest) -> Manifest:
    """Return a shared object as it was at first, where that gives all traffic to stable as well."""
    if present is None or present.original is None or not context.want.is_all_stable:
        return wanted
    again = _all_stable(backend, context, present.ref, present.original)
    return present.original if again == present.original else wanted


def _to_remember(
    backend: Backend, context: Context, change: Change, present: LiveObject | None
) -> Manifest | None:
    """Return what a shared object was at first, where a reset could not find it out from what the change makes of it."""
    if context.live.running or context.want.is_all_stable or change.before is None or change.after is None:
        return None  # a cluster remembers nothing, so there is no need to find out
    first = present.original if present else None
    if first is None:
        first = _all_stable(backend, context, change.ref, change.before)
    return None if _all_stable(backend, context, change.ref, change.after) == first else first


def _all_stable(backend: Backend, context: Context, ref: ObjectRef, manifest: Manifest) -> Manifest | None:
    """Return what all traffic to stable would make of an object; None where that is not known."""
    rollout, _, live = context
    there = Context(rollout, Traffic(Split(0, rollout.total)), live.after([LiveObject(ref, manifest, "")]))
    try:
        return next((wanted for need, wanted in _rendered(backend, there) if need.ref == ref), None)
    except RollwayError:
        return None


def propose(
    context: Context,
    wish: TrafficWish | None = None,
    *,
    adopt: bool = False,
    create: bool = True,
    everything: bool = False,
) -> Proposal:
    """Return what has to change for the wanted traffic; `wish` is what it was found out from, if that was another one.

    With `create` off, absent objects stay absent, except those without which stable does not get all traffic; with
    `everything` as well, those too.

    Raises:
        UnsupportedError: a backend lacks a feature of the wish.
        NotFoundError, AmbiguousError, ManifestError: the objects do not fit the Rollout.
        ForeignOwnerError: an object of ours by name belongs to somebody else.
    """
    refuse_unsupported(context.rollout, context.want)
    simulation = simulate(context, adopt=adopt)
    if not create:
        kept = set() if everything else keeping_stable(context.rollout)
        made = tuple(
            change
            for change in simulation.changes
            if change.action is not Action.CREATE or change.ref in kept
        )
        simulation = simulation._replace(changes=made)
    if not simulation.changes:
        return Proposal(context, None, simulation.findings)
    findings = (*controller_in_charge(context.rollout), *simulation.findings)
    simulation = simulation._replace(findings=findings)
    plan = plan_of(context, simulation, wish=wish, adopt=adopt, create=create)
    return Proposal(context, plan, findings)


def keeping_stable(rollout: Rollout) -> set[ObjectRef]:
    """Return the managed objects without which stable does not get all traffic."""
    return {need.ref for need in needs_of(rollout) if need.keeps_stable}


def store_notes(want: Traffic, live: Live) -> tuple[Finding, ...]:
    """Return what the store could not see; it refuses no wish that sends all traffic to stable."""
    if not want.is_all_stable:
        return live.notes
    return tuple(note._replace(severity=Severity.NOTE) for note in live.notes)


def refuse_idle(proposal: Proposal, limits: Limits) -> None:
    """Raise RefusedError when nothing has to change, and yet a data plane would not do what the objects ask for."""
    if proposal.plan is None:
        ref = proposal.context.rollout.ref
        guards.refuse(f"nothing to change for {ref}, and yet it does not work:", proposal.findings, limits)


def refuse_unsupported(rollout: Rollout, want: Traffic) -> None:
    """Raise what keeps a wish from this Rollout, whatever its objects are.

    Raises:
        UnsupportedError: a backend of the Rollout lacks a feature of the wish.
        WeightError: the wish counts out of another total.
        RefusedError: a route of the wish is not in `managedRoutes`.
    """
    if want.split.total != rollout.total:
        raise WeightError(
            f"the wish counts out of {want.split.total}, and {rollout.ref} out of {rollout.total}"
        )
    for backend in backends_of(rollout):
        missing = backend.capabilities.missing(want)
        if missing:
            able = [package.name for package in packages() if not package.backend.capabilities.missing(want)]
            obstacle = backend.capabilities.obstacles.get(missing, "")
            why = f": {obstacle}" if obstacle else ""
            raise UnsupportedError(
                f"backend {backend.name} cannot do {missing}, which {rollout.ref} asks for{why}",
                hint=f"{_way_out(rollout, missing)}backends that can: {', '.join(able) or 'none yet'}",
            )
    for route in want.routes:
        refuse_unmanaged(rollout, route.name)


def _way_out(rollout: Rollout, missing: str) -> str:
    """Return what to do with the same backend, where there is anything."""
    if missing != BESIDE:
        return ""
    name = rollout.name
    return f"set the weight to 0 (`rollway set-weight {name} 0`), or remove the route (`rollway header-route {name} remove --all`); "


def refuse_unmanaged(rollout: Rollout, name: str) -> None:
    """Raise RefusedError for the name of a route that nobody could tell from the user's own."""
    if name in rollout.managed_routes:
        return
    path = f"spec.strategy.{rollout.strategy.value}.trafficRouting.managedRoutes"
    known = f" ({', '.join(rollout.managed_routes)})" if rollout.managed_routes else ""
    raise RefusedError(
        f"route {name!r} is not among the managedRoutes of {rollout.ref}{known}",
        hint=f"add `- name: {name}` to {path}: the routes of these names belong to the Rollout",
        value=name,
    )


def plan_of(
    context: Context,
    simulation: Simulation,
    *,
    wish: TrafficWish | None = None,
    adopt: bool = False,
    create: bool = True,
    removal: bool = False,
) -> Plan:
    """Return the plan with some changes, or raise what reading the objects raises."""
    rollout, want, live = context
    try:
        before = observe(rollout, live).readings
    except ManifestError:
        before = ()  # our own object is garbage, which this plan repairs
    after = observe(rollout, simulation.after).readings
    # An object that only a whole-kind need asked for counts by what was found out from it, not by its version.
    versions = {
        need.ref: present.version
        for need in needs_of(rollout)
        if need.name and (present := live.get(need.ref))
    }
    changes, findings = simulation.changes, simulation.findings
    versions |= {change.ref: change.version for change in changes if change.ref in live}
    return Plan(
        rollout, want, changes, before, after, findings, versions, adopt, create, removal, wish, observed=live
    )


def _rendered(backend: Backend, context: Context) -> Iterator[tuple[Need, Manifest]]:
    """Render with one backend, and pair each object with the need that allows it to be written."""
    writable = _needs(context.rollout).writable[backend.name]
    for wanted in backend.render(*context):
        metadata = wanted["metadata"]
        kind, name = wanted["kind"], metadata["name"]
        need = next(
            (
                need
                for ref, need in writable.items()
                if ref.kind == kind
                and ref.name in ("", name)
                and ref.namespace == metadata.get("namespace", ref.namespace)
            ),
            None,
        )
        if need is None:
            raise RollwayError(
                f"backend {backend.name} rendered {kind} {name}, which it did not ask to write"
            )
        yield (need if need.name else need._replace(name=name)), wanted
