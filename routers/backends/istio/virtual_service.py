"""Find the routes of a VirtualService that carry the weights, and read them.

Source: https://istio.io/latest/docs/reference/config/networking/virtual-service/. Among several destinations a missing
weight is 0. Routes are selected as Argo Rollouts does (`utils/istio`), but hosts count with their namespace.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.backends.destinations import Destinations, positions_of
from rollway.routers.backends.istio.stanza import IstioTrafficRouting, TLSRoute
from rollway.routers.errors import AmbiguousError, ManifestError, NotFoundError, together
from rollway.routers.model import CANARY, STABLE
from rollway.routers.objects import ObjectRef, dig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.backends.istio.stanza import IstioVirtualService
    from rollway.routers.errors import RollwayError
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest

GROUP = "networking.istio.io"
SECTIONS = ("http", "tls", "tcp")
FIELDS = {"http": "routes", "tls": "tls_routes", "tcp": "tcp_routes"}
"""The attribute of the stanza that selects routes of a section."""


class Destination(NamedTuple):
    """Where requests go: a host in full, and a subset of its pods (empty: all)."""

    host: str
    subset: str


@dataclass(frozen=True)
class Target(Destinations):
    """One route that carries the weights, and where it stands."""

    section: str
    index: int
    name: str


def stanza_of(rollout: Rollout) -> IstioTrafficRouting:
    """Return the Rollout's Istio stanza."""
    return rollout.stanza(IstioTrafficRouting)


def ref_of(service: IstioVirtualService) -> ObjectRef:
    """Name the VirtualService object."""
    return ObjectRef(GROUP, "VirtualService", service.namespace, service.name)


def rule_ref(rollout: Rollout) -> ObjectRef | None:
    """Name the DestinationRule object, for a split by subsets."""
    rule = stanza_of(rollout).destination_rule
    return ObjectRef(GROUP, "DestinationRule", rollout.namespace, rule.name) if rule else None


@functools.lru_cache(maxsize=4096)
def host_name(host: str, namespace: str) -> str:
    """Write a destination host in full: `svc`, `svc.ns` and `svc.ns.svc` as `svc.ns.svc.cluster.local`."""
    labels = host.rstrip(".").split(".")
    if len(labels) == 1:
        labels.append(namespace)
    if len(labels) == 2:
        labels.append("svc")
    if len(labels) == 3 and labels[2] == "svc":
        labels += ["cluster", "local"]
    return ".".join(labels)


def destination_of(item: Manifest, namespace: str) -> Destination:
    """Read one destination of a VirtualService in that namespace."""
    host, subset = dig(item, "destination", "host"), dig(item, "destination", "subset")
    return Destination(host_name(str(host), namespace), str(subset or ""))


def find_targets(rollout: Rollout, service: IstioVirtualService, live: Live) -> Sequence[Target]:
    """Find the routes of a VirtualService that carry the weights, in all sections.

    Raises:
        NotFoundError: a section that the Rollout names has no such route, or nothing matches at all.
        AmbiguousError: a section that it does not name has several.
        ManifestError: the VirtualService is not of the shape that the API has.
    """
    # By identity: hashing a whole Route would cost as much as looking.
    known: tuple[Rollout | None, Sequence[Target]] = live.memo.get((id(rollout), service), (None, ()))
    if known[0] is not rollout:
        known = live.memo[id(rollout), service] = (rollout, _find(rollout, service, live))
    return known[1]


def _find(rollout: Rollout, service: IstioVirtualService, live: Live) -> Sequence[Target]:
    ref = ref_of(service)
    manifest = live[ref].manifest
    targets: list[Target] = []
    for section in SECTIONS:
        entries = routes_of(ref, manifest, section)
        if not entries:
            continue
        selectors: Sequence[Any] = getattr(service, FIELDS[section])
        if selectors:
            targets += _selected(rollout, ref, section, entries, selectors, live)
            continue
        # Mirror routes hold both destinations as well, and get the weights of the route that they narrow.
        skip = rollout.managed_routes if section == "http" else ()
        candidates = [
            target
            for index, entry in enumerate(entries)
            if entry.get("name") not in skip
            and (target := target_of(rollout, ref, section, index, entry, live))
        ]
        if len(candidates) > 1:
            listed = ", ".join(target.part for target in candidates)
            raise AmbiguousError(
                f"{ref}: {listed} all hold stable and canary, and the Rollout does not name the ones that carry the weights",
                hint=f"name them in {field_of(section)}",
                ref=ref,
            )
        targets += candidates
    if not targets:
        delegates = [
            dig(entry, "delegate", "name")
            for entry in routes_of(ref, manifest, "http")
            if "delegate" in entry
        ]
        hint = "add both destinations to one route (the canary with weight 0)"
        if delegates:
            hint = (
                f"the weights live in a delegate: name VirtualService {delegates[0]} in the Rollout instead"
            )
        raise NotFoundError(f"{ref}: no route holds both {_roles(rollout)}", hint=hint, ref=ref)
    return targets


def field_of(section: str) -> str:
    """Return the Rollout's field that selects routes of a section."""
    return {"http": "routes", "tls": "tlsRoutes", "tcp": "tcpRoutes"}[section]


def _roles(rollout: Rollout) -> str:
    rule = stanza_of(rollout).destination_rule
    if rule:
        return f"subset {rule.stable_subset_name} and subset {rule.canary_subset_name} of DestinationRule {rule.name}"
    return f"stable Service {rollout.stable_service} and canary Service {rollout.canary_service}"


def routes_of(ref: ObjectRef, manifest: Manifest, section: str) -> list[Manifest]:
    """Return the routes of a section, none where it is absent.

    Raises:
        ManifestError: it is no list of mappings.
    """
    entries = dig(manifest, "spec", section)
    if not entries:
        return []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ManifestError(ref, [f"spec.{section}: a list of routes belongs here"])
    return entries


def _selected(
    rollout: Rollout,
    ref: ObjectRef,
    section: str,
    entries: list[Manifest],
    selectors: Sequence[Any],
    live: Live,
) -> list[Target]:
    """Return the routes that the Rollout names in this section; each selector must match, and what matches must hold both."""
    chosen: dict[int, Target] = {}
    errors: list[RollwayError] = []
    for selector in selectors:
        try:
            for target in _named(rollout, ref, section, entries, selector, live):
                chosen[target.index] = target
        except (NotFoundError, AmbiguousError) as error:
            errors.append(error)
    if errors and all(error.value for error in errors) and not _is_held(rollout, ref, section, entries, live):
        # A wrong name of a route hides no wrong name of a Service.
        errors.append(NotFoundError(f"{ref}: no {section} route holds both {_roles(rollout)}", ref=ref))
    if errors:
        raise together(errors)
    return [chosen[index] for index in sorted(chosen)]


def _named(
    rollout: Rollout, ref: ObjectRef, section: str, entries: list[Manifest], selector: Any, live: Live
) -> list[Target]:
    """Return the routes that one selector names."""
    matching = [index for index, entry in enumerate(entries) if _matches(section, entry, selector)]
    what = f"{section} route {_describe(selector)}"
    if section == "http" and selector in rollout.managed_routes:
        raise AmbiguousError(
            f"{ref}, {what}: the Rollout names it both as one that carries the weights and in managedRoutes",
            hint="take it out of one of the two",
        )
    if not matching:
        known = ", ".join(str(entry.get("name", f"[{index}]")) for index, entry in enumerate(entries))
        raise NotFoundError(
            f"{ref} has no {what}", hint=f"its {section} routes are: {known}", value=str(selector)
        )
    if section == "http" and len(matching) > 1:
        raise AmbiguousError(
            f"{ref} has {len(matching)} http routes with the name {selector}",
            hint="give each route a name of its own",
            ref=ref,
        )
    targets = [target_of(rollout, ref, section, index, entries[index], live) for index in matching]
    held = [target for target in targets if target]
    if len(held) < len(targets):
        raise NotFoundError(
            f"{ref}, {what}: does not hold both {_roles(rollout)}",
            hint="add the missing destination with weight 0",
            ref=ref,
        )
    return held


def _is_held(rollout: Rollout, ref: ObjectRef, section: str, entries: list[Manifest], live: Live) -> bool:
    """Return whether any route of a section holds both destinations."""
    try:
        return any(
            target_of(rollout, ref, section, index, entry, live) for index, entry in enumerate(entries)
        )
    except (AmbiguousError, ManifestError):
        return True


def _describe(selector: Any) -> str:
    if isinstance(selector, TLSRoute):
        port = [f"port {selector.port}"] if selector.port else []
        return " and ".join(
            [*port, *([f"SNI hosts {', '.join(selector.sni_hosts)}"] if selector.sni_hosts else [])]
        )
    return f"port {selector}" if isinstance(selector, int) else repr(selector)


def _matches(section: str, entry: Manifest, selector: Any) -> bool:
    """Compare as Argo Rollouts does: by name, or by the one port and the whole set of SNI hosts of all match blocks."""
    if section == "http":
        return bool(entry.get("name") == selector)
    blocks = entry.get("match")
    blocks = [block for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    ports = {str(block.get("port")) for block in blocks}
    if not isinstance(selector, TLSRoute):
        return ports == {str(selector)}
    hosts = {
        str(host) for block in blocks if isinstance(block.get("sniHosts"), list) for host in block["sniHosts"]
    }
    same_port = not selector.port or ports == {str(selector.port)}
    return same_port and (not selector.sni_hosts or hosts == set(selector.sni_hosts))


def target_of(
    rollout: Rollout, ref: ObjectRef, section: str, index: int, entry: Manifest, live: Live
) -> Target | None:
    """Return the route as a target when it holds both roles, else None."""
    destinations = entry.get("route") or []
    place = f"spec.{section}[{index}].route"
    if not isinstance(destinations, list) or not all(isinstance(item, dict) for item in destinations):
        raise ManifestError(ref, [f"{place}: a list of destinations belongs here"])
    named = [(dig(item, "destination", "host"), dig(item, "destination", "subset")) for item in destinations]
    roles = [_role(rollout, ref, host, subset, live) for host, subset in named]
    positions = positions_of(roles, ref, place)
    if positions is None:
        return None
    name = str(entry.get("name") or "")
    return Target(
        ref,
        f"{section} route {name}" if name else f"{section}[{index}]",
        *positions,
        tuple(
            _weight(ref, f"{place}[{position}].weight", item) for position, item in enumerate(destinations)
        ),
        tuple(f"{host}/{subset}" if subset else str(host) for host, subset in named),
        section,
        index,
        name,
    )


def _role(rollout: Rollout, ref: ObjectRef, host: Any, subset: Any, live: Live) -> str | None:
    """Return whether a destination is stable, canary or somebody else's. Hosts count with their namespace."""
    if not isinstance(host, str) or not host:
        return None
    full = host_name(host, ref.namespace)
    rule = stanza_of(rollout).destination_rule
    if rule and (destination_rule := rule_ref(rollout)):
        rule_host = str(dig(live[destination_rule].manifest, "spec", "host"))
        suffix = rule_host.removeprefix("*") if rule_host.startswith("*") else None
        same = (
            full.endswith(suffix)
            if suffix is not None
            else full == host_name(rule_host, destination_rule.namespace)
        )
        names = {rule.stable_subset_name: STABLE, rule.canary_subset_name: CANARY}
        return names.get(str(subset)) if same else None
    if full == host_name(rollout.canary_service, rollout.namespace):
        return CANARY
    return STABLE if full == host_name(rollout.stable_service, rollout.namespace) else None


def _weight(ref: ObjectRef, place: str, item: Manifest) -> int:
    weight = item.get("weight")
    if weight is None:
        return 0
    if type(weight) is not int or not 0 <= weight < 2**31:
        raise ManifestError(ref, [f"{place}: {weight!r} is no weight (a whole number from 0)"])
    return weight
