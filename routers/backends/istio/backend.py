"""Istio: the weights of stable and canary inside the user's VirtualServices, and nothing else in them.

Sources: https://istio.io/latest/docs/reference/config/networking/virtual-service/ and istio/istio
`pkg/config/validation`. Share = weight / sum of the route; the sum need not be 100. A lone destination gets everything,
whatever its weight; among several, a missing weight is 0. A route whose weights are all 0 makes Envoy reject its
whole route table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rollway.routers.backends.destinations import check_share
from rollway.routers.backends.endpoints import (
    Port,
    check_services,
    check_subsets,
    endpoint_needs,
    pod_need,
    slice_need,
)
from rollway.routers.backends.istio import managed_routes
from rollway.routers.backends.istio.affinity import check_affinity
from rollway.routers.backends.istio.subsets import check_names, read_hashes, rule_need, with_hashes
from rollway.routers.backends.istio.virtual_service import (
    FIELDS,
    GROUP,
    SECTIONS,
    field_of,
    find_targets,
    host_name,
    ref_of,
    routes_of,
    rule_ref,
    stanza_of,
)
from rollway.routers.backends.services import service_needs, unknown_services
from rollway.routers.errors import RefusedError, RollwayError, UnsupportedError, together
from rollway.routers.findings import Finding, Severity
from rollway.routers.model import CANARY, HASH_LABEL, STABLE
from rollway.routers.objects import Access, Need, ObjectRef, dig, item_field
from rollway.routers.traffic import Capabilities, Reading, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.backends.istio.stanza import IstioVirtualService
    from rollway.routers.backends.istio.virtual_service import Target
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest


class IstioBackend:
    """Carry weights in VirtualServices, by host or by the subsets of a DestinationRule."""

    name: ClassVar[str] = "istio"
    capabilities: ClassVar[Capabilities] = Capabilities(
        objects="VirtualService",
        versions=tuple(f"{GROUP}/{version}" for version in ("v1", "v1beta1", "v1alpha3")),
        access=Access.SHARED,
        header_routes=True,
        mirror_routes=True,
    )

    def needs(self, rollout: Rollout) -> Sequence[Need]:
        """Share the VirtualServices that the Rollout names; read its DestinationRule, or share its subsets, and its Services."""
        needs = [
            Need(
                GROUP,
                ref.kind,
                ref.name,
                ref.namespace,
                Access.SHARED,
                fields=(
                    *(f"/spec/{section}/*/route/*/weight" for section in SECTIONS),
                    *(item_field("/spec/http", name) for name in rollout.managed_routes),
                ),
                # All of the route: one without a name is told from others, a mirror route of it, by nothing less.
                relies=("/spec/*/*",),
            )
            for ref in (ref_of(service) for service in stanza_of(rollout).virtual_services)
        ]
        rule = rule_ref(rollout)
        if rule:
            needs.append(rule_need(rollout, rule))
            # Which Service the subsets belong to stands in the rule, so all slices of its namespace are asked for.
            # The pods of a controller's releases have the hash, and are watched by it.
            labelled = "" if rollout.subsets is None else HASH_LABEL
            needs += [slice_need(rule.namespace), pod_need(rule.namespace)._replace(selector=labelled)]
            return [*needs, *service_needs(rollout)]
        return [*needs, *service_needs(rollout), *endpoint_needs(rollout)]

    def render(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return the DestinationRule with the wanted hashes, and each VirtualService with the wanted weights."""
        # A subset is written before the weight that may lead to it.
        wanted: list[Manifest] = list(with_hashes(rollout, live))
        errors: list[RollwayError] = []
        for service in stanza_of(rollout).virtual_services:
            try:
                wanted.append(_wanted(rollout, service, want, live))
            except RollwayError as error:
                errors.append(error)
        if errors:
            raise together(errors)
        _refuse_without_http(rollout, want, live)
        return wanted

    def observe(self, rollout: Rollout, live: Live) -> Sequence[Reading]:
        """Read the weights and the live routes of each route that carries weights."""
        subsets = read_hashes(rollout, live)
        return [reading._replace(subsets=subsets) for reading in managed_routes.readings(rollout, live)]

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Finding]:
        """Report routes that Envoy rejects, of subsets that do not exist, and of shares that come out differently."""
        findings = [
            *unknown_services(rollout, live),
            *check_names(rollout, want, live),
            *_check_ready(rollout, want, live),
            *check_affinity(rollout, want, live),
        ]
        for service in stanza_of(rollout).virtual_services:
            ref = ref_of(service)
            manifest = live[ref].manifest
            findings += _check_sums(ref, manifest, want)
            findings += _check_sections(service, manifest)
            for target in find_targets(rollout, service, live):
                findings += check_share(self.name, want.split, target)
                findings += _check_no_http(target, want)
        return findings


def _refuse_without_http(rollout: Rollout, want: Traffic, live: Live) -> None:
    """Raise UnsupportedError for header and mirror routes where no http route carries the weights."""
    if not want.routes:
        return
    targets = [
        target
        for service in stanza_of(rollout).virtual_services
        for target in find_targets(rollout, service, live)
    ]
    if not any(target.section == "http" for target in targets):
        named = ", ".join(f"{target.part} of {target.ref}" for target in targets)
        raise UnsupportedError(
            f"route {want.routes[0].name} needs an http route that carries the weights of {rollout.ref}; there is only {named}",
            hint="only http routes see the headers, the path and the method of a request",
        )


def _check_no_http(target: Target, want: Traffic) -> Iterator[Finding]:
    """Note the routes whose requests no header or mirror route can take."""
    names = [route.name for route in want.routes]
    if names and target.section != "http":
        message = f"{target.part}: its connections take no part in {', '.join(names)}, because only http routes see requests"
        yield Finding("istio-not-http", Severity.NOTE, target.ref, message)


def _wanted(rollout: Rollout, service: IstioVirtualService, want: Traffic, live: Live) -> Manifest:
    manifest = live[ref_of(service)].manifest
    targets = find_targets(rollout, service, live)
    spec = dict(manifest["spec"])  # what does not change is shared with the live object
    for target in targets:
        entries = spec[target.section] = list(spec[target.section])
        destinations = list(entries[target.index]["route"])
        for role, weight in target.shares(want.split).items():
            position = getattr(target, role)
            if target.weights[position] != weight:
                destinations[position] = {**destinations[position], "weight": weight}
        entries[target.index] = {**entries[target.index], "route": destinations}
    if spec.get("http"):
        spec["http"] = managed_routes.with_routes(rollout, want, targets, spec["http"])
        if not spec["http"]:
            raise RefusedError(
                f"{ref_of(service)}: all its http routes are in managedRoutes, so none would be left, which Istio refuses",
                hint="remove the http section, or add the route that they narrow",
                ref=ref_of(service),
            )
    return {**manifest, "spec": spec}


def _check_ready(rollout: Rollout, want: Traffic, live: Live) -> Iterator[Finding]:
    """Report destinations without a ready endpoint, by Service or by the labels of a subset."""
    rule, ref = stanza_of(rollout).destination_rule, rule_ref(rollout)
    if rule is None or ref is None:
        ports: dict[str, list[Port]] = {STABLE: [], CANARY: []}
        for service in stanza_of(rollout).virtual_services:
            for target in find_targets(rollout, service, live):
                destinations = live[target.ref].manifest["spec"][target.section][target.index]["route"]
                for role, used in ports.items():
                    number = dig(destinations[getattr(target, role)], "destination", "port", "number")
                    if number and number not in used:
                        used.append(number)
        yield from check_services(rollout, want, live, ports)
        return
    manifest = live[ref].manifest
    subsets = {
        str(dig(entry, "name")): dig(entry, "labels") for entry in dig(manifest, "spec", "subsets") or ()
    }
    name, namespace, *_ = host_name(str(dig(manifest, "spec", "host")), ref.namespace).split(".")
    roles = {STABLE: rule.stable_subset_name, CANARY: rule.canary_subset_name}
    # A missing subset is a finding of its own; slices of another namespace were not asked for.
    if namespace == ref.namespace and all(subset in subsets for subset in roles.values()):
        host = ObjectRef("", "Service", namespace, name)
        yield from check_subsets(
            ref, host, want, live, {role: subsets[subset] for role, subset in roles.items()}
        )


def _check_sums(ref: ObjectRef, manifest: Manifest, want: Traffic) -> Iterator[Finding]:
    """Report every route whose weights are all 0, also those that are not ours: Envoy rejects the table for them."""
    severity = Severity.REFUSAL if want.split.canary else Severity.NOTE
    for section in SECTIONS:
        for index, entry in enumerate(routes_of(ref, manifest, section)):
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


def _check_sections(service: IstioVirtualService, manifest: Manifest) -> Iterator[Finding]:
    for section in SECTIONS:
        selectors = getattr(service, FIELDS[section])
        if selectors and not dig(manifest, "spec", section):
            message = f"has no {section} section, so {field_of(section)} of the Rollout names nothing there"
            yield Finding("istio-section-missing", Severity.NOTE, ref_of(service), message)


BACKEND = IstioBackend()
