"""SMI: one TrafficSplit of ours that shares the traffic of a root Service, and an HTTPRouteGroup where it has a header route.

Specification: https://github.com/servicemeshinterface/smi-spec, apis/traffic-split. The project is archived (2023).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from rollway.routers.backends.affinity import client_ip_services, unused_client_ip
from rollway.routers.backends.endpoints import addresses, check_services, slice_need
from rollway.routers.backends.services import service_needs, service_refs, unknown_services
from rollway.routers.backends.smi import checks
from rollway.routers.backends.smi.header_route import (
    read_route,
    reference,
    refers_to_ours,
    route_group,
)
from rollway.routers.backends.smi.split import (
    backends_of,
    kept_matches,
    refuse_beside_route,
    root_is_stable,
    root_ref,
    shares,
    write,
)
from rollway.routers.backends.smi.versions import (
    CRD,
    CRD_GROUP,
    GROUP,
    MATCHES,
    QUANTITY_WEIGHTS,
    ROUTE_GROUP_CRD,
    SPLIT_CRD,
    group_ref,
    split_ref,
    split_version,
)
from rollway.routers.objects import Access, Need, ObjectRef, dig
from rollway.routers.render import render
from rollway.routers.traffic import BESIDE, Capabilities, Outcome, Reading, Traffic
from rollway.routers.weights import Split, nearest_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.findings import Finding
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest
    from rollway.routers.traffic import HeaderRoute


class SmiBackend:
    """Carry weights, or one header route, in a TrafficSplit."""

    name: ClassVar[str] = "smi"
    capabilities: ClassVar[Capabilities] = Capabilities(
        objects="TrafficSplit",
        versions=tuple(f"{GROUP}/{version}" for version in QUANTITY_WEIGHTS),
        access=Access.MANAGED,
        header_routes=True,
        weights_beside_header_routes=False,
        obstacles={
            BESIDE: "a TrafficSplit with `matches` splits the requests that match, and no others",
            "mirror routes": "a TrafficSplit has none",
        },
    )

    def needs(self, rollout: Rollout) -> Sequence[Need]:
        """Manage the TrafficSplit and the HTTPRouteGroup; read the other splits, the CRDs if they are there, and the Services."""
        root = root_ref(rollout)
        services = [service.name for service in service_refs(rollout)]
        outside = root not in service_refs(rollout)
        return [
            _managed(split_ref(rollout), rollout, keeps_stable=root.name != rollout.stable_service),
            *([_managed(group_ref(rollout), rollout)] if rollout.managed_routes else []),
            Need(GROUP, split_ref(rollout).kind, namespace=rollout.namespace, required=False),
            Need(CRD_GROUP, CRD, SPLIT_CRD, required=False),
            *([Need(CRD_GROUP, CRD, ROUTE_GROUP_CRD, required=False)] if rollout.managed_routes else []),
            *service_needs(rollout),
            *([Need("", "Service", root.name, root.namespace, required=False)] if outside else []),
            slice_need(rollout.namespace, [*services, root.name]),
        ]

    def render(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return the TrafficSplit: stable and canary out of the total, foreign backends with what they have.

        For a header route, the HTTPRouteGroup comes before the split that refers to it, and all weight is the canary's.

        Raises:
            UnsupportedError: the header routes cannot be expressed, or would reach other requests than those that match.
            RefusedError: the split has matches of somebody else beside a header route.
        """
        ref, version, split = (
            split_ref(rollout),
            split_version(rollout, live),
            live.manifest(split_ref(rollout)),
        )
        groups: list[Manifest] = []
        matches = kept_matches(rollout, split)
        if want.header_routes:
            groups = [route_group(rollout, want.header_routes, live)]
            refuse_beside_route(rollout, want, split, live)
            matches = [reference(rollout)]
            want = Traffic(Split(want.split.total, want.split.total))
        backends = backends_of(ref, split or {})
        stable, canary = shares(rollout, want, ref, backends)
        wanted = {rollout.canary_service: canary, rollout.stable_service: stable}
        names = [name for name, _, _ in backends]
        order = [*names, *(name for name in wanted if name not in names)]
        raw = {name: (text, weight) for name, text, weight in backends}
        rendered = render(
            "smi/trafficsplit.yaml.j2",
            api_version=f"{GROUP}/{version}",
            name=ref.name,
            namespace=ref.namespace,
            root_service=root_ref(rollout).name,
            matches=matches,
            backends=[{"service": name, "weight": write(name, wanted, raw, version)} for name in order],
        )
        return [*groups, rendered]

    def observe(self, rollout: Rollout, live: Live) -> Sequence[Reading]:
        """Read the weights of the TrafficSplit, or its header route, beside which nobody else gets the canary."""
        ref = split_ref(rollout)
        split = live.manifest(ref)
        if split is None:
            return [_absent(rollout, live)]
        backends = backends_of(ref, split)
        pair = {name: weight for name, _, weight in backends}
        weights = tuple((name, str(text)) for name, text, _ in backends)
        route = _header_route(rollout, split, live)
        if route and [name for name, _, weight in backends if weight] == [rollout.canary_service]:
            if root_is_stable(rollout, live):
                return [Reading(ref, "", weights, Traffic(Split(0, rollout.total), (route,)))]
            reason = f"Service {root_ref(rollout).name} answers the requests that do not match, and may select pods of the canary"
            return [Reading(ref, "", weights, outcome=Outcome.UNKNOWN, reason=reason)]
        nearest = nearest_split(
            pair.get(rollout.stable_service, Fraction(0)),
            pair.get(rollout.canary_service, Fraction(0)),
            rollout.total,
        )
        return [
            Reading(ref, "", weights, Traffic(nearest[0]) if nearest else None, nearest is None or nearest[1])
        ]

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Finding]:
        """Report overlapping splits, what a header route rests on, a guessed version and a share that integers cannot hold."""
        return [
            *unknown_services(rollout, live),
            *check_services(rollout, want, live, {}),
            *unused_client_ip(client_ip_services(rollout, live), "a mesh"),
            *checks.header_route_findings(rollout, want, live),
            *checks.overlaps(rollout, want, live),
            *checks.notes(rollout, want, live),
        ]


def _managed(ref: ObjectRef, rollout: Rollout, *, keeps_stable: bool = False) -> Need:
    return Need(
        ref.group,
        ref.kind,
        ref.name,
        ref.namespace,
        Access.MANAGED,
        required=False,
        keeps_stable=keeps_stable,
        derived_from=rollout.ref,
    )


def _header_route(rollout: Rollout, split: Manifest, live: Live) -> HeaderRoute | None:
    """Return the header route of a split whose only match is ours, in a version that has matches."""
    matches = dig(split, "spec", "matches")
    version = str(split.get("apiVersion")).rpartition("/")[2]
    ours = isinstance(matches, list) and len(matches) == 1 and refers_to_ours(rollout, matches[0])
    same_root = dig(split, "spec", "service") == root_ref(rollout).name
    return read_route(rollout, live) if ours and same_root and version in MATCHES else None


def _absent(rollout: Rollout, live: Live) -> Reading:
    """Return what holds without the TrafficSplit: clients get the pods that the root Service selects."""
    ref, root = split_ref(rollout), root_ref(rollout)
    if root.name == rollout.stable_service:
        return Reading(ref)
    canary = ObjectRef("", "Service", rollout.namespace, rollout.canary_service)
    if _shares_pods(root, canary, live):
        reason = f"there is none, so clients of {root.name} get pods of the canary as well"
        return Reading(ref, outcome=Outcome.DIFFERS, reason=reason)
    reason = f"there is none, so clients of {root.name} get whatever pods it selects"
    return Reading(ref, outcome=Outcome.UNKNOWN, reason=reason)


def _shares_pods(root: ObjectRef, canary: ObjectRef, live: Live) -> bool:
    """Return whether the root Service certainly selects pods of the canary: by their addresses, in files by the labels."""
    if live.running:
        return not addresses(root, live).isdisjoint(addresses(canary, live))
    wide, narrow = (dig(live.manifest(ref), "spec", "selector") for ref in (root, canary))
    if not isinstance(wide, dict) or not isinstance(narrow, dict):
        return False
    return bool(wide) and wide.items() <= narrow.items()


BACKEND = SmiBackend()
