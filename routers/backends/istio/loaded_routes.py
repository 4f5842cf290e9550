"""What the header and mirror routes of a VirtualService become in Envoy, compared with what it has. Pure.

Sources: Istio, pilot/pkg/networking/core/route: a route of Envoy for each match block, in order, up to the first that
takes every request; Envoy, RouteMatch and RouteAction.RequestMirrorPolicy.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.backends.istio.virtual_service import Destination, destination_of
from rollway.routers.objects import dig
from rollway.routers.probes.envoy import cluster_of, shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rollway.routers.objects import Manifest
    from rollway.routers.probes.envoy import Cluster, LoadedRoute

_PATHS = {"exact": "path", "prefix": "prefix", "regex": "regex"}
_PSEUDO_HEADERS = {"method": ":method", "authority": ":authority", "scheme": ":scheme"}
_OF_THE_PROXY = frozenset({"gateways", "sourceLabels", "sourceNamespace", "port"})
"""A match block with one of these is left out of the proxies that it does not mean."""
_DENOMINATORS = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}

Condition = tuple[str, ...]


class Expected(NamedTuple):
    """One route that Envoy should have: what it matches, where it leads, and what it copies."""

    conditions: frozenset[Condition]
    shares: Mapping[Destination, Fraction]
    mirrors: frozenset[tuple[Destination, Fraction]]
    certain: bool
    """Whether every proxy with this VirtualService should have it."""


def expected(entries: Sequence[Manifest], namespace: str) -> Iterator[tuple[int, Expected]]:
    """Yield what http routes become, with the index of each; nothing that stands behind one that takes every request."""
    for index, entry in enumerate(entries):
        for block in entry.get("match") or [{}]:
            certain = not _OF_THE_PROXY & block.keys()
            conditions = frozenset(_conditions(block))
            yield index, Expected(conditions, _shares(entry, namespace), _mirrors(entry, namespace), certain)
            everything = conditions in ({("prefix", "/")}, {("regex", ".*")})
            if everything and certain and not block.get("queryParams"):
                return


def differs(loaded: Sequence[LoadedRoute], wanted: Sequence[Expected]) -> bool:
    """Return whether the routes of one virtual host are others than these, all of which have one name."""
    try:
        have = [_loaded(entry) for entry in loaded]
    except (AttributeError, KeyError, TypeError, ValueError):
        return True  # nothing that Istio makes of such a route
    known = [item._replace(certain=True) for item in wanted]
    required = [item for item in wanted if item.certain]
    return any(item not in known for item in have) or any(
        have.count(item) < required.count(item) for item in required
    )


def _loaded(entry: LoadedRoute) -> Expected:
    return Expected(
        frozenset(_loaded_conditions(entry.match)),
        shares(destinations(entry.weights)),
        frozenset(map(_loaded_mirror, entry.mirrors)),
        certain=True,
    )


def destinations(weights: Mapping[Cluster, int]) -> dict[Destination, int]:
    """Return the weights by destination, whatever its port."""
    places: dict[Destination, int] = {}
    for cluster, weight in weights.items():
        place = Destination(cluster.host, cluster.subset)
        places[place] = places.get(place, 0) + weight
    return places


def _shares(entry: Manifest, namespace: str) -> dict[Destination, Fraction]:
    items = entry.get("route") or []
    if len(items) == 1:
        return {destination_of(items[0], namespace): Fraction(1)}
    weights: dict[Destination, int] = {}
    for item in items:
        place = destination_of(item, namespace)
        weights[place] = weights.get(place, 0) + (item.get("weight") or 0)
    return shares(weights)


def _mirrors(entry: Manifest, namespace: str) -> frozenset[tuple[Destination, Fraction]]:
    single = {"destination": entry.get("mirror"), "percentage": entry.get("mirrorPercentage")}
    policies = [*([single] if entry.get("mirror") else []), *(entry.get("mirrors") or [])]
    found = [(destination_of(policy, namespace), _fraction(policy)) for policy in policies]
    return frozenset((place, share) for place, share in found if share)


def _fraction(policy: Manifest) -> Fraction:
    percentage = policy.get("percentage")
    # Istio cuts a percentage off at millionths.
    return (
        Fraction(1)
        if percentage is None
        else Fraction(int((percentage.get("value") or 0) * 10_000), 1_000_000)
    )


def _conditions(block: Manifest) -> Iterator[Condition]:
    uri = block.get("uri") or {"prefix": "/"}
    yield next((_PATHS.get(kind, kind), str(value)) for kind, value in uri.items())
    if block.get("ignoreUriCase"):
        yield ("ignoring case",)
    named = {
        **(block.get("headers") or {}),
        **{_PSEUDO_HEADERS[key]: block[key] for key in _PSEUDO_HEADERS if key in block},
    }
    for inverted, headers in (("", named), ("not", block.get("withoutHeaders") or {})):
        for name, match in headers.items():
            if not name.startswith("@"):  # a claim of a token, which Envoy has as metadata
                yield (inverted, name.lower(), *_header(match))


def _header(match: Any) -> tuple[str, str]:
    if not match or match == {"regex": "*"}:
        return ("present", "")
    ((kind, value),) = match.items()
    return (kind, str(value))


def _loaded_conditions(match: Mapping[str, Any]) -> Iterator[Condition]:
    """Yield what Envoy asks of a request, in the words of `_conditions`."""
    path = match.get("path_separated_prefix") or match.get("prefix", "/")
    yield (
        ("path", str(match["path"]))
        if "path" in match
        else (
            ("regex", str(dig(match, "safe_regex", "regex")))
            if "safe_regex" in match
            else ("prefix", str(path))
        )
    )
    if match.get("case_sensitive") is False:
        yield ("ignoring case",)
    for header in match.get("headers", []):
        inverted = "not" if header.get("invert_match") else ""
        yield (inverted, str(header["name"]).lower(), *_loaded_header(header))


def _loaded_header(header: Mapping[str, Any]) -> tuple[str, str]:
    # Before Istio 1.22 the kinds stand in the header itself.
    words = header.get("string_match") or {
        key.removesuffix("_match"): value for key, value in header.items() if key.endswith("_match")
    }
    for kind in ("exact", "prefix"):
        if kind in words:
            return (kind, str(words[kind]))
    if "safe_regex" in words:
        return ("regex", str(dig(words, "safe_regex", "regex")))
    return ("present", "")


def _loaded_mirror(policy: Mapping[str, Any]) -> tuple[Destination, Fraction]:
    cluster = cluster_of(policy["cluster"])
    share = dig(policy, "runtime_fraction", "default_value")
    part = Fraction(1) if share is None else _part(share)
    return Destination(cluster.host, cluster.subset), part


def _part(share: Mapping[str, Any]) -> Fraction:
    return Fraction(int(share.get("numerator", 0)), _DENOMINATORS[share.get("denominator", "HUNDRED")])
