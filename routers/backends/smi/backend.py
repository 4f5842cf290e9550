"""SMI: one TrafficSplit of ours that shares the traffic of a root Service.

Specification: https://github.com/servicemeshinterface/smi-spec, apis/traffic-split. The project is archived (2023).
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from rollway.routers.backends.affinity import client_ip_services, unused_client_ip
from rollway.routers.backends.endpoints import addresses, check_services, slice_need
from rollway.routers.backends.services import service_needs, service_refs, unknown_services
from rollway.routers.backends.smi.stanza import SmiTrafficRouting
from rollway.routers.errors import ManifestError, RefusedError
from rollway.routers.findings import Finding, Severity
from rollway.routers.objects import Access, Need, ObjectRef, dig
from rollway.routers.render import render
from rollway.routers.snapshot import Groups
from rollway.routers.traffic import Capabilities, Outcome, Reading, Traffic
from rollway.routers.weights import divide, nearest_split, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, LiveObject, Manifest

GROUP = "split.smi-spec.io"
_CRD_GROUP, _CRD = "apiextensions.k8s.io", "CustomResourceDefinition"

QUANTITY_WEIGHTS = {"v1alpha1": True, "v1alpha2": False, "v1alpha3": False, "v1alpha4": False}
"""The versions, and whether a weight is a resource.Quantity (written as text) or an integer."""

DEFAULT_VERSION = "v1alpha2"
"""Written where the store shows no version: the version that most meshes with SMI support serve (linkerd-smi, OSM)."""

_QUANTITY = re.compile(
    r"([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))(?:[eE]([+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def quantity(text: str) -> Fraction | None:
    """Read a resource.Quantity exactly (`500m` is 1/2); None when it is none.

    Source: apimachinery, `pkg/api/resource/quantity.go`.
    """
    quantity = _QUANTITY.fullmatch(text)
    if not quantity:
        return None
    number, exponent, suffix = Fraction(quantity[1]), quantity[2], quantity[3] or ""
    if suffix.endswith("i"):
        return number * Fraction(1024 ** ("KMGTPE".index(suffix[0]) + 1))
    power = int(exponent) if exponent else _DECIMAL[suffix]
    return number * Fraction(10**power) if power >= 0 else number / Fraction(10**-power)


class SmiBackend:
    """Carry weights in a TrafficSplit."""

    name: ClassVar[str] = "smi"
    capabilities: ClassVar[Capabilities] = Capabilities(
        objects="TrafficSplit",
        versions=tuple(f"{GROUP}/{version}" for version in QUANTITY_WEIGHTS),
        access=Access.MANAGED,
        obstacles={
            "header routes": "a TrafficSplit with `matches` splits the requests that match and no others, so it has no room for a "
            "weight beside them, and a mesh that does not act on `matches` would send everybody to the canary",
            "mirror routes": "a TrafficSplit has none",
        },
    )

    def needs(self, rollout: Rollout) -> Sequence[Need]:
        """Manage the TrafficSplit; read the others, the CRD if it is there, and the Services."""
        ref, root = _ref(rollout), _root_ref(rollout)
        services = [service.name for service in service_refs(rollout)]
        outside = root not in service_refs(rollout)
        return [
            Need(
                GROUP,
                ref.kind,
                ref.name,
                ref.namespace,
                Access.MANAGED,
                required=False,
                keeps_stable=root.name != rollout.stable_service,
                derived_from=rollout.ref,
            ),
            Need(GROUP, ref.kind, namespace=ref.namespace, required=False),
            Need(_CRD_GROUP, _CRD, f"trafficsplits.{GROUP}", required=False),
            *service_needs(rollout),
            *([Need("", "Service", root.name, root.namespace, required=False)] if outside else []),
            slice_need(rollout.namespace, [*services, root.name]),
        ]

    def render(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return the TrafficSplit: stable and canary out of the total, foreign backends with what they have."""
        ref = _ref(rollout)
        version = _version(rollout, live)
        split = live.manifest(ref)
        backends = _backends(ref, split) if split else []
        stable, canary = _shares(rollout, want, ref, backends)
        wanted = {rollout.canary_service: canary, rollout.stable_service: stable}
        names = [name for name, _, _ in backends]
        order = [*names, *(name for name in wanted if name not in names)]
        raw = {name: (text, weight) for name, text, weight in backends}
        return [
            render(
                "smi/trafficsplit.yaml.j2",
                api_version=f"{GROUP}/{version}",
                name=ref.name,
                namespace=ref.namespace,
                root_service=_root(rollout),
                backends=[{"service": name, "weight": _write(name, wanted, raw, version)} for name in order],
            )
        ]

    def observe(self, rollout: Rollout, live: Live) -> Sequence[Reading]:
        """Read the weights of the TrafficSplit; an absent one has none."""
        ref = _ref(rollout)
        split = live.manifest(ref)
        if split is None:
            return [_absent(rollout, live)]
        backends = _backends(ref, split)
        pair = {name: weight for name, _, weight in backends}
        nearest = nearest_split(
            pair.get(rollout.stable_service, Fraction(0)),
            pair.get(rollout.canary_service, Fraction(0)),
            rollout.total,
        )
        weights = tuple((name, str(text)) for name, text, _ in backends)
        return [
            Reading(ref, "", weights, Traffic(nearest[0]) if nearest else None, nearest is None or nearest[1])
        ]

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Finding]:
        """Report overlapping splits, of a guessed API version and of a share that the integers cannot hold."""
        return [
            *unknown_services(rollout, live),
            *check_services(rollout, want, live, {}),
            *unused_client_ip(client_ip_services(rollout, live), "a mesh"),
            *_overlaps(rollout, want, live),
            *_notes(rollout, want, live),
        ]


def _overlaps(rollout: Rollout, want: Traffic, live: Live) -> Iterator[Finding]:
    """Report other TrafficSplits of the same root Service."""
    ref, root = _ref(rollout), _root(rollout)
    by_root = live.all_of(GROUP, ref.kind).index("root", lambda: Groups(_root_of))
    for other in by_root.of((ref.namespace, root)):
        if other.ref != ref:
            message = f"splits Service {root} too, and SMI does not define which of two splits counts"
            refusal = Severity.REFUSAL if want.split.canary else Severity.NOTE
            yield Finding("smi-overlap", refusal, other.ref, message, "remove one of them")


def _notes(rollout: Rollout, want: Traffic, live: Live) -> Iterator[Finding]:
    """Report what a reader of the weights should know: who is split, and by which share."""
    ref, root = _ref(rollout), _root(rollout)
    manifest = live[ref].manifest
    if dig(manifest, "spec", "matches"):
        message = f"has matches: the weight is the share of the requests that match, and all others go to Service {root}"
        yield Finding("smi-matches", Severity.NOTE, ref, message)
    if root != rollout.stable_service and not want.split.canary:
        message = f"without it, clients of {root} get whatever pods it selects, so `reset` keeps it unless --delete-all is given"
        yield Finding("smi-root-service", Severity.NOTE, ref, message)
    pair = {name: weight for name, _, weight in _backends(ref, manifest)}
    budget = pair[rollout.stable_service] + pair[rollout.canary_service]
    if budget != want.split.total and len(pair) > 2:
        share = (pair[rollout.canary_service] / Fraction(budget)).as_integer_ratio()
        message = f"other backends keep their weights, so the canary has {pair[rollout.canary_service]} of {budget}, {percent(*share)}"
        yield Finding("smi-effective-share", Severity.NOTE, ref, message)
    if not _known_versions(rollout, live):
        message = (
            f"is written as {DEFAULT_VERSION}, because the store does not show which versions the mesh serves"
        )
        remedy = "keep a TrafficSplit or its CRD in the store"
        yield Finding("smi-version-guessed", Severity.NOTE, ref, message, remedy)


def _root_of(split: LiveObject) -> tuple[str, str]:
    """Return the namespace and the name of the Service that a TrafficSplit splits."""
    return split.ref.namespace, str(dig(split.manifest, "spec", "service"))


def _absent(rollout: Rollout, live: Live) -> Reading:
    """Return what holds without the TrafficSplit: clients get the pods that the root Service selects."""
    ref, root = _ref(rollout), _root_ref(rollout)
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


def _root_ref(rollout: Rollout) -> ObjectRef:
    return ObjectRef("", "Service", rollout.namespace, _root(rollout))


def _root(rollout: Rollout) -> str:
    """Return the Service that clients call."""
    return rollout.stanza(SmiTrafficRouting).root_service or rollout.stable_service


def _ref(rollout: Rollout) -> ObjectRef:
    name = rollout.stanza(SmiTrafficRouting).traffic_split_name or rollout.name
    return ObjectRef(GROUP, "TrafficSplit", rollout.namespace, name)


def _version(rollout: Rollout, live: Live) -> str:
    """Return the version of the live split, else one that is served, else that of another split, else the default."""
    candidates = _known_versions(rollout, live)
    version = next((name for name in candidates if name in QUANTITY_WEIGHTS), DEFAULT_VERSION)
    if candidates and version not in candidates:
        raise ManifestError(
            _ref(rollout),
            [f"apiVersion: none of {', '.join(candidates)} is known; known: {', '.join(QUANTITY_WEIGHTS)}"],
        )
    return version


def _known_versions(rollout: Rollout, live: Live) -> list[str]:
    own = live.get(_ref(rollout))
    if own and own.version:
        return [str(own.manifest.get("apiVersion")).rpartition("/")[2]]
    served = list(live.served.get(GROUP, ()))
    for crd in live.of(_CRD_GROUP, _CRD):
        versions = dig(crd.manifest, "spec", "versions")
        served += [str(dig(entry, "name")) for entry in versions or () if dig(entry, "served")]
    others = {
        str(item.manifest.get("apiVersion")).rpartition("/")[2]
        for item in live.of(GROUP, "TrafficSplit")
        if item is not own
    }
    return served or sorted(others, reverse=True)


def _backends(ref: ObjectRef, manifest: Manifest) -> list[tuple[str, Any, Fraction]]:
    """Return (service, weight as written, weight) of each backend.

    Raises:
        ManifestError: a backend without a service, listed twice, or with a weight that is no number or negative.
    """
    backends: list[tuple[str, Any, Fraction]] = []
    entries = dig(manifest, "spec", "backends") or []
    if not isinstance(entries, list):
        raise ManifestError(ref, [f"spec.backends: found {type(entries).__name__} where a list belongs"])
    for index, entry in enumerate(entries):
        service, raw = dig(entry, "service"), dig(entry, "weight")
        weight = quantity(str(0 if raw is None else raw)) if not isinstance(raw, bool) else None
        if not isinstance(service, str) or any(service == name for name, _, _ in backends):
            raise ManifestError(
                ref,
                [f"spec.backends[{index}].service: {service!r} is no Service name or is listed twice"],
            )
        if weight is None or weight < 0:
            raise ManifestError(ref, [f"spec.backends[{index}].weight: {raw!r} is no weight"])
        backends.append((service, 0 if raw is None else raw, weight))
    return backends


def _shares(
    rollout: Rollout, want: Traffic, ref: ObjectRef, backends: Sequence[tuple[str, Any, Fraction]]
) -> tuple[int, int]:
    """Return (stable, canary): out of the total, or out of what the pair has where foreign backends take part."""
    pair = (rollout.stable_service, rollout.canary_service)
    foreign = sum((weight for name, _, weight in backends if name not in pair), Fraction(0))
    if not foreign:
        return want.split.stable, want.split.canary
    budget = sum((weight for name, _, weight in backends if name in pair), Fraction(0))
    if budget < 1 or budget.denominator != 1:
        raise RefusedError(
            f"{ref} has other backends with weight {foreign}, and stable and canary together have {budget}, which cannot be shared in whole numbers",
            hint="give the stable Service the weight that this Rollout is to share",
        )
    return divide(want.split, int(budget))


def _write(name: str, wanted: dict[str, int], raw: dict[str, tuple[Any, Fraction]], version: str) -> Any:
    """Keep the live text of a weight whose value stays; else a plain integer, as text where the version wants that."""
    if name in raw and raw[name][1] == wanted.get(name, raw[name][1]):
        return raw[name][0]
    return str(wanted[name]) if QUANTITY_WEIGHTS[version] else wanted[name]


BACKEND = SmiBackend()
