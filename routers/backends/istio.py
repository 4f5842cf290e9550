"""Istio: the weights of stable and canary inside the user's VirtualServices, and nothing else in them.

Sources: https://istio.io/latest/docs/reference/config/networking/virtual-service/ and istio/istio
`pkg/config/validation`. Share = weight / sum of the route; the sum need not be 100. A lone destination gets everything,
whatever its weight; among several, a missing weight is 0. A route whose weights are all 0 makes Envoy reject its
whole route table.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from routers.backends.services import service_needs, unknown_services
from routers.errors import AmbiguousError, ManifestError, NotFoundError, RefusedError
from routers.model import (
    CANARY,
    STABLE,
    Access,
    Capabilities,
    Finding,
    IstioRoute,
    Need,
    ObjectRef,
    Reading,
    Severity,
    TlsMatch,
    Traffic,
    dig,
    divide,
    duplicate,
    nearest_split,
    percent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from routers.model import Live, Manifest, Route, Split, VirtualServiceRoute

GROUP = "networking.istio.io"
_SECTIONS = ("http", "tls", "tcp")


class IstioBackend:
    """Carry weights in VirtualServices, by host or by the subsets of a DestinationRule."""

    name: ClassVar[str] = "istio"
    capabilities: ClassVar[Capabilities] = Capabilities(
        objects="VirtualService",
        versions=tuple(f"{GROUP}/{version}" for version in ("v1", "v1beta1", "v1alpha3")),
        access=Access.SHARED,
    )

    def needs(self, route: Route) -> Sequence[Need]:
        """Share the VirtualServices that the Rollout names; read its DestinationRule and Services."""
        needs = [
            Need(
                GROUP,
                ref.kind,
                ref.name,
                ref.namespace,
                Access.SHARED,
                fields=tuple(f"/spec/{section}/*/route/*/weight" for section in _SECTIONS),
                relies=("/spec/*/*/name", "/spec/*/*/route"),
            )
            for ref in (_ref(service) for service in _stanza(route).virtual_services)
        ]
        rule = _rule_ref(route)
        if rule:
            needs.append(Need(GROUP, rule.kind, rule.name, rule.namespace))
        return [*needs, *service_needs(route)]

    def render(self, route: Route, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return a copy of each VirtualService with the wanted weights in the routes that carry them."""
        wanted = []
        for service in _stanza(route).virtual_services:
            changed = duplicate(live[_ref(service)].manifest)
            for target in _targets(route, service, live):
                destinations = changed["spec"][target.section][target.index]["route"]
                for role, weight in _shares(want.split, target).items():
                    position = getattr(target, role)
                    if target.weights[position] != weight:
                        destinations[position]["weight"] = weight
            wanted.append(changed)
        return wanted

    def observe(self, route: Route, live: Live) -> Sequence[Reading]:
        """Read the weights of each route that carries them."""
        readings = []
        for service in _stanza(route).virtual_services:
            for target in _targets(route, service, live):
                stable, canary = (Fraction(target.weights[at]) for at in (target.stable, target.canary))
                nearest = nearest_split(stable, canary, route.total)
                weights = tuple(zip(target.labels, (str(weight) for weight in target.weights), strict=True))
                traffic = Traffic(nearest[0]) if nearest else None
                readings.append(
                    Reading(target.ref, target.part, weights, traffic, nearest is None or nearest[1])
                )
        return readings

    def check(self, route: Route, want: Traffic, live: Live) -> Sequence[Finding]:
        """Tell of routes that Envoy rejects, of subsets that do not exist, and of shares that come out differently."""
        findings = [*unknown_services(route, live), *_check_subsets(route, want, live)]
        for service in _stanza(route).virtual_services:
            findings += _check_sums(_ref(service), live[_ref(service)].manifest, want)
            findings += _check_sections(service, live[_ref(service)].manifest)
            for target in _targets(route, service, live):
                findings += _check_share(want.split, target)
        return findings


@dataclass(frozen=True)
class _Target:
    """One route that carries the weights: where it stands, and which of its destinations are stable and canary."""

    ref: ObjectRef
    section: str
    index: int
    name: str
    stable: int
    canary: int
    weights: tuple[int, ...]
    labels: tuple[str, ...]

    @property
    def part(self) -> str:
        return f"{self.section} route {self.name}" if self.name else f"{self.section}[{self.index}]"

    @property
    def pair(self) -> int:
        """What stable and canary have together: the rollout's own traffic."""
        return self.weights[self.stable] + self.weights[self.canary]

    @property
    def foreign(self) -> int:
        return sum(self.weights) - self.pair


def _stanza(route: Route) -> IstioRoute:
    assert route.istio is not None, "the engine asks only the backends that the route names"
    return route.istio


def _ref(service: VirtualServiceRoute) -> ObjectRef:
    return ObjectRef(GROUP, "VirtualService", service.namespace, service.name)


def _rule_ref(route: Route) -> ObjectRef | None:
    rule = _stanza(route).destination_rule
    return ObjectRef(GROUP, "DestinationRule", route.namespace, rule.name) if rule else None


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


def _shares(split: Split, target: _Target) -> dict[str, int]:
    """Return the weights of stable and canary in this route.

    The sum of the route stays what it was. Only where that cannot express the share, and no other destination takes
    part, the two are written out of the total instead.
    """
    exact = target.pair > 0 and split.canary * target.pair % split.total == 0
    if not exact and not target.foreign:
        return {STABLE: split.stable, CANARY: split.canary}
    if not target.pair and split.canary:
        raise RefusedError(
            f"{target.ref}, {target.part}: stable and canary get no traffic there, only other destinations do",
            hint="give the stable destination the weight that this Rollout is to share",
        )
    stable, canary = divide(split, target.pair)
    return {STABLE: stable, CANARY: canary}


def _targets(route: Route, service: VirtualServiceRoute, live: Live) -> list[_Target]:
    """Find the routes of a VirtualService that carry the weights, in all sections.

    Raises:
        NotFoundError: a section that the Rollout names has no such route, or nothing matches at all.
        AmbiguousError: a section that it does not name has several.
        ManifestError: the VirtualService is not of the shape that the API has.
    """
    ref = _ref(service)
    manifest = live[ref].manifest
    found: list[_Target] = []
    for section in _SECTIONS:
        entries = _routes(ref, manifest, section)
        selectors: Sequence[Any] = getattr(service, section)
        if not entries:
            continue
        if selectors:
            found += _selected(route, ref, section, entries, selectors, live)
            continue
        skip = route.managed_routes if section == "http" else ()
        candidates = [
            target
            for index, entry in enumerate(entries)
            if entry.get("name") not in skip and (target := _target(route, ref, section, index, entry, live))
        ]
        if len(candidates) > 1:
            listed = ", ".join(target.part for target in candidates)
            raise AmbiguousError(
                f"{ref}: {listed} all hold stable and canary, and the Rollout does not say which ones carry the weights",
                hint=f"name them in {_field(section)}",
            )
        found += candidates
    if not found:
        delegates = [
            dig(entry, "delegate", "name") for entry in _routes(ref, manifest, "http") if "delegate" in entry
        ]
        hint = "add both destinations to one route (the canary with weight 0)"
        if delegates:
            hint = (
                f"the weights live in a delegate: name VirtualService {delegates[0]} in the Rollout instead"
            )
        raise NotFoundError(f"{ref}: no route holds both {_roles(route)}", hint=hint)
    return found


def _field(section: str) -> str:
    return {"http": "routes", "tls": "tlsRoutes", "tcp": "tcpRoutes"}[section]


def _roles(route: Route) -> str:
    rule = _stanza(route).destination_rule
    if rule:
        return f"subset {rule.stable_subset} and subset {rule.canary_subset} of DestinationRule {rule.name}"
    return f"stable Service {route.stable_service} and canary Service {route.canary_service}"


def _routes(ref: ObjectRef, manifest: Manifest, section: str) -> list[Manifest]:
    entries = dig(manifest, "spec", section) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ManifestError(str(ref), [f"spec.{section}: a list of routes belongs here"])
    return entries


def _selected(
    route: Route, ref: ObjectRef, section: str, entries: list[Manifest], selectors: Sequence[Any], live: Live
) -> list[_Target]:
    """Return the routes that the Rollout names in this section; each selector must match, and what matches must hold both."""
    chosen: dict[int, _Target] = {}
    for selector in selectors:
        matching = [index for index, entry in enumerate(entries) if _matches(section, entry, selector)]
        what = f"{section} route {_describe(selector)}"
        if not matching:
            known = ", ".join(str(entry.get("name", f"[{index}]")) for index, entry in enumerate(entries))
            raise NotFoundError(f"{ref} has no {what}", hint=f"its {section} routes are: {known}")
        if section == "http" and len(matching) > 1:
            raise AmbiguousError(
                f"{ref} has {len(matching)} http routes with the name {selector}",
                hint="give each route a name of its own",
            )
        for index in matching:
            target = _target(route, ref, section, index, entries[index], live)
            if target is None:
                raise NotFoundError(
                    f"{ref}, {what}: does not hold both {_roles(route)}",
                    hint="add the missing destination with weight 0",
                )
            chosen[index] = target
    return [chosen[index] for index in sorted(chosen)]


def _describe(selector: Any) -> str:
    if isinstance(selector, TlsMatch):
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
    if not isinstance(selector, TlsMatch):
        return ports == {str(selector)}
    hosts = {
        str(host) for block in blocks if isinstance(block.get("sniHosts"), list) for host in block["sniHosts"]
    }
    same_port = not selector.port or ports == {str(selector.port)}
    return same_port and (not selector.sni_hosts or hosts == set(selector.sni_hosts))


def _target(
    route: Route, ref: ObjectRef, section: str, index: int, entry: Manifest, live: Live
) -> _Target | None:
    """Return the route as a target when it holds both roles, else None."""
    destinations = entry.get("route") or []
    place = f"spec.{section}[{index}].route"
    if not isinstance(destinations, list) or not all(isinstance(item, dict) for item in destinations):
        raise ManifestError(str(ref), [f"{place}: a list of destinations belongs here"])
    roles: dict[str, list[int]] = {STABLE: [], CANARY: []}
    for position, item in enumerate(destinations):
        role = _role(route, ref, item, live)
        if role:
            roles[role].append(position)
    if not roles[STABLE] or not roles[CANARY]:
        return None
    name = str(entry.get("name") or "")
    for role, positions in roles.items():
        if len(positions) > 1:
            raise AmbiguousError(
                f"{ref}, {place}: {len(positions)} destinations are the {role} one", hint="keep one of them"
            )
    return _Target(
        ref,
        section,
        index,
        name,
        roles[STABLE][0],
        roles[CANARY][0],
        tuple(
            _weight(ref, f"{place}[{position}].weight", item) for position, item in enumerate(destinations)
        ),
        tuple(_label(item) for item in destinations),
    )


def _role(route: Route, ref: ObjectRef, item: Manifest, live: Live) -> str | None:
    """Tell whether a destination is stable, canary or somebody else's. Hosts count with their namespace."""
    host, subset = dig(item, "destination", "host"), dig(item, "destination", "subset")
    if not isinstance(host, str) or not host:
        return None
    full = host_name(host, ref.namespace)
    rule, rule_ref = _stanza(route).destination_rule, _rule_ref(route)
    if rule and rule_ref:
        rule_host = str(dig(live[rule_ref].manifest, "spec", "host"))
        suffix = rule_host.removeprefix("*") if rule_host.startswith("*") else None
        same = (
            full.endswith(suffix) if suffix is not None else full == host_name(rule_host, rule_ref.namespace)
        )
        names = {rule.stable_subset: STABLE, rule.canary_subset: CANARY}
        return names.get(str(subset)) if same else None
    hosts = {
        host_name(route.stable_service, route.namespace): STABLE,
        host_name(route.canary_service, route.namespace): CANARY,
    }
    return hosts.get(full)


def _weight(ref: ObjectRef, place: str, item: Manifest) -> int:
    weight = item.get("weight")
    if weight is None:
        return 0
    if type(weight) is not int or not 0 <= weight < 2**31:
        raise ManifestError(str(ref), [f"{place}: {weight!r} is no weight (a whole number from 0)"])
    return weight


def _label(item: Manifest) -> str:
    host, subset = dig(item, "destination", "host"), dig(item, "destination", "subset")
    return f"{host}/{subset}" if subset else str(host)


def _check_subsets(route: Route, want: Traffic, live: Live) -> Iterator[Finding]:
    rule, ref = _stanza(route).destination_rule, _rule_ref(route)
    if rule is None or ref is None:
        return
    subsets = dig(live[ref].manifest, "spec", "subsets")
    listed = subsets if isinstance(subsets, list) else []
    labels = {str(dig(entry, "name")): dig(entry, "labels") for entry in listed}
    for name, weight in ((rule.stable_subset, want.split.stable), (rule.canary_subset, want.split.canary)):
        if name not in labels:
            severity = Severity.REFUSAL if weight else Severity.NOTE
            message = f"has no subset {name}: requests for it would be answered with 503"
            yield Finding("istio-subset-missing", severity, ref, message, "add the subset")
    if rule.stable_subset in labels and labels[rule.stable_subset] == labels.get(rule.canary_subset):
        message = f"subsets {rule.stable_subset} and {rule.canary_subset} have the same labels, so both select the same pods"
        yield Finding("istio-subsets-alike", Severity.NOTE, ref, message)


def _check_sums(ref: ObjectRef, manifest: Manifest, want: Traffic) -> Iterator[Finding]:
    """Report every route whose weights are all 0, also those that are not ours: Envoy rejects the table for them."""
    severity = Severity.REFUSAL if want.split.canary else Severity.NOTE
    for section in _SECTIONS:
        for index, entry in enumerate(_routes(ref, manifest, section)):
            destinations = entry.get("route")
            if (
                isinstance(destinations, list)
                and len(destinations) > 1
                and not any(dig(item, "weight") for item in destinations)
            ):
                message = (
                    f"spec.{section}[{index}]: all weights are 0, so Envoy rejects the whole route table"
                )
                yield Finding("istio-zero-sum", severity, ref, message, "give one destination a weight")


def _check_sections(service: VirtualServiceRoute, manifest: Manifest) -> Iterator[Finding]:
    for section in _SECTIONS:
        selectors = getattr(service, section)
        if selectors and not dig(manifest, "spec", section):
            message = f"has no {section} section, so {_field(section)} of the Rollout names nothing there"
            yield Finding("istio-section-missing", Severity.NOTE, _ref(service), message)


def _check_share(split: Split, target: _Target) -> Iterator[Finding]:
    """Note a share that whole numbers cannot hold; refuse one that leaves a version without any of its traffic."""
    canary = target.weights[target.canary]
    if target.foreign:
        share = f", {percent(Fraction(canary, target.pair))}" if target.pair else ""
        message = (
            f"{target.part}: other destinations keep {target.foreign} of {sum(target.weights)}; "
            f"of the rollout's own {target.pair} the canary gets {canary}{share}"
        )
        yield Finding("istio-effective-share", Severity.NOTE, target.ref, message)
    lost = 0 < split.canary < split.total and canary in (0, target.pair)
    if lost and target.pair:
        message = (
            f"{target.part}: {split} of {target.pair} comes out as {canary}, so one version would get nothing"
        )
        yield Finding(
            "istio-share-lost",
            Severity.REFUSAL,
            target.ref,
            message,
            "write the route's weights out of a larger sum",
        )
