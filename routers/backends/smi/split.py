"""The content of a TrafficSplit: its backends with their weights, its matches, and the root Service."""

from __future__ import annotations

import functools
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from rollway.routers import ownership
from rollway.routers.backends.smi.header_route import refers_to_ours
from rollway.routers.backends.smi.stanza import SmiTrafficRouting
from rollway.routers.backends.smi.versions import QUANTITY_WEIGHTS, split_ref
from rollway.routers.errors import ManifestError, RefusedError, UnsupportedError
from rollway.routers.objects import ObjectRef, dig
from rollway.routers.weights import divide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest
    from rollway.routers.traffic import Traffic

_QUANTITY = re.compile(
    r"([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))(?:[eE]([+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


@functools.lru_cache(maxsize=1024)
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


def root_ref(rollout: Rollout) -> ObjectRef:
    """Return the Service that clients call."""
    name = rollout.stanza(SmiTrafficRouting).root_service or rollout.stable_service
    return ObjectRef("", "Service", rollout.namespace, name)


def root_is_stable(rollout: Rollout, live: Live) -> bool:
    """Return whether the root Service certainly selects stable pods alone: it is the stable one, or at least as narrow."""
    stable = ObjectRef("", "Service", rollout.namespace, rollout.stable_service)
    if root_ref(rollout) == stable:
        return True
    narrow, wide = (dig(live.manifest(ref), "spec", "selector") for ref in (root_ref(rollout), stable))
    return (
        isinstance(narrow, dict) and isinstance(wide, dict) and bool(wide) and wide.items() <= narrow.items()
    )


def foreign_matches(rollout: Rollout, split: Manifest | None) -> list[Any]:
    """Return the items of `matches` that are not ours."""
    entries = dig(split, "spec", "matches")
    if not entries:
        return []
    if not isinstance(entries, list):
        raise ManifestError(
            split_ref(rollout), [f"spec.matches: found {type(entries).__name__} where a list belongs"]
        )
    return [entry for entry in entries if not refers_to_ours(rollout, entry)]


def kept_matches(rollout: Rollout, split: Manifest | None) -> list[Any]:
    """Return the items of `matches` that are to stay beside a weight, where nothing but writing them keeps them."""
    written = split is not None and "matches" in ownership.recorded(split, "spec")
    return foreign_matches(rollout, split) if written else []


def refuse_beside_route(rollout: Rollout, want: Traffic, split: Manifest | None, live: Live) -> None:
    """Refuse what has no room beside a header route, and a route that would reach other requests than those that match.

    Raises:
        UnsupportedError: the canary is to have a weight, others than stable would answer the requests that do not match, or
            others than the canary those that do.
        RefusedError: the split has matches of somebody else.
    """
    ref, root = split_ref(rollout), root_ref(rollout)
    if want.split.canary:
        raise UnsupportedError(
            f"{ref} cannot carry weight {want.split} beside a header route",
            hint="set the weight to 0, or remove the route",
        )
    if not root_is_stable(rollout, live):
        raise UnsupportedError(
            f"{ref} cannot carry a header route: Service {root.name} answers the requests that do not match, and nothing shows "
            "that it selects stable pods alone",
            hint=f"leave out smi.rootService, or let {root.name} select everything that {rollout.stable_service} selects",
        )
    pair = (rollout.stable_service, rollout.canary_service)
    others = [name for name, _, weight in backends_of(ref, split or {}) if weight and name not in pair]
    if others:
        raise UnsupportedError(
            f"{ref} cannot carry a header route: its other backends ({', '.join(others)}) would get requests that match",
            hint="give them weight 0, or do without the header route",
        )
    if foreign_matches(rollout, split):
        raise RefusedError(
            f"{ref} cannot carry a header route: somebody else has added matches to it, and all of them count",
            hint="take them out of spec.matches, or do without the header route",
            ref=ref,
        )


def backends_of(ref: ObjectRef, manifest: Manifest) -> list[tuple[str, Any, Fraction]]:
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


def shares(
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


def write(name: str, wanted: dict[str, int], raw: dict[str, tuple[Any, Fraction]], version: str) -> Any:
    """Keep the live text of a weight whose value stays; else a plain integer, as text where the version wants that."""
    if name in raw and raw[name][1] == wanted.get(name, raw[name][1]):
        return raw[name][0]
    return str(wanted[name]) if QUANTITY_WEIGHTS[version] else wanted[name]
