"""Header and mirror routes in a VirtualService: clones of the http routes that they narrow, and the reading of them.

A route of the Rollout is one whose name is in its `managedRoutes`. It stands just before the route that it narrows, so
it takes requests from that one only, and everything else of it (rewrites, timeouts, retries, headers) is the same.
Source: Istio, VirtualService, HTTPRoute: the first route that matches gets the request.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.backends.istio.matches import added, narrowed
from rollway.routers.backends.istio.virtual_service import (
    destination_of,
    find_targets,
    ref_of,
    routes_of,
    stanza_of,
    target_of,
)
from rollway.routers.errors import ManifestError, UnsupportedError
from rollway.routers.objects import dig, duplicate
from rollway.routers.traffic import HeaderRoute, MirrorRoute, Reading, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.backends.istio.stanza import IstioVirtualService
    from rollway.routers.backends.istio.virtual_service import Destination, Target
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef
    from rollway.routers.traffic import RequestMatch

_EVERYTHING = 100


class Narrowing(NamedTuple):
    """A live route of the Rollout, and the route whose requests it takes."""

    target: Target
    base: Manifest
    position: int
    entry: Manifest


def with_routes(
    rollout: Rollout, want: Traffic, targets: Sequence[Target], entries: Sequence[Manifest]
) -> list[Manifest]:
    """Return the http routes of a VirtualService with the wanted routes of the Rollout, and without any others of it.

    The entries have the wanted weights already, which mirror routes share.

    Raises:
        UnsupportedError: one of the routes cannot be expressed beside what the route that it narrows has.
    """
    narrows = {target.index: target for target in targets if target.section == "http"}
    wanted: list[Manifest] = []
    for index, entry in enumerate(entries):
        if index in narrows:
            wanted += [_clone(route, narrows[index], entry) for route in want.routes]
        if entry.get("name") not in rollout.managed_routes:
            wanted.append(entry)
    return wanted


def _clone(route: HeaderRoute | MirrorRoute, target: Target, entry: Manifest) -> Manifest:
    """Return an http route that takes some requests from another one."""
    base = _blocks(target.ref, target.index, entry)
    try:
        blocks = narrowed(base, route.matches)
        _refuse_other_rewrite(entry, base, blocks)
        clone = {key: duplicate(value) for key, value in entry.items() if key not in ("name", "match")}
        canary = clone["route"][target.canary]
        if isinstance(route, HeaderRoute):
            clone["route"] = [{**canary, "weight": _EVERYTHING}]
        else:
            clone |= _mirroring(target.ref, clone, canary["destination"], route.percentage)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{target.ref}, {target.part}: route {route.name} cannot be made of it: {error.message}",
            hint=error.hint,
            ref=target.ref,
        ) from error
    return {"name": route.name, **({"match": blocks} if blocks else {}), **clone}


def _refuse_other_rewrite(entry: Manifest, base: Sequence[Manifest], blocks: Sequence[Manifest]) -> None:
    """Refuse another match of the path where it is rewritten: Istio replaces just what the match names."""
    paths = [block.get("uri") for block in base or [{}]]
    if dig(entry, "rewrite", "uri") and any(block.get("uri") not in paths for block in blocks):
        raise UnsupportedError(
            "its rewrite.uri replaces the part of the path that a match names, so another match of the path means another rewrite",
            hint="leave the path out of the match, or write the rewrite as rewrite.uriRegexRewrite",
        )


def _mirroring(ref: ObjectRef, entry: Manifest, canary: Manifest, percentage: int) -> Manifest:
    """Return the fields by which a route copies requests to the canary, beside the mirrors that it has."""
    if entry.get("mirror"):
        raise UnsupportedError(
            f"it has a mirror already, to {dig(entry, 'mirror', 'host')}, and Istio takes either one mirror or a list",
            hint="write that mirror as an item of `mirrors`, which Istio has since 1.20",
        )
    share, destination = {"value": percentage}, duplicate(canary)
    mirrors = entry.get("mirrors")
    if not mirrors:
        return {"mirror": destination, "mirrorPercentage": share}
    place = destination_of({"destination": canary}, ref.namespace)
    if any(destination_of(item, ref.namespace) == place for item in mirrors):
        raise UnsupportedError("it copies requests to the canary already", hint="remove that mirror")
    return {"mirrors": [*mirrors, {"destination": destination, "percentage": share}]}


def readings(rollout: Rollout, live: Live) -> Iterator[Reading]:
    """Read the weights of each route that carries them, and of the mirror routes that share them, with the live routes.

    Raises:
        ManifestError: a route has a name of `managedRoutes`, and is no header or mirror route.
    """
    services = stanza_of(rollout).virtual_services
    narrowings = [item for service in services for item in live_routes(rollout, service, live)]
    pairs = list(zip(narrowings, _routes(narrowings), strict=True))
    for service in services:
        for target in find_targets(rollout, service, live):
            own = [(narrowing, route) for narrowing, route in pairs if narrowing.target is target]
            shown = [route for _, route in own]
            yield _with_routes(target.reading(rollout.total), rollout, shown)
            for narrowing, route in own:
                if isinstance(route, MirrorRoute):
                    yield _with_routes(_sharing(rollout, narrowing, live), rollout, shown)


def _sharing(rollout: Rollout, narrowing: Narrowing, live: Live) -> Reading:
    """Read the weights of a mirror route."""
    target = target_of(rollout, narrowing.target.ref, "http", narrowing.position, narrowing.entry, live)
    assert target is not None, "a mirror route holds both destinations"
    return target.reading(rollout.total)


def _with_routes(reading: Reading, rollout: Rollout, routes: Sequence[HeaderRoute | MirrorRoute]) -> Reading:
    if not routes:
        return reading
    split = reading.traffic.split if reading.traffic else Split(0, rollout.total)
    headers = tuple(route for route in routes if isinstance(route, HeaderRoute))
    mirrors = tuple(route for route in routes if isinstance(route, MirrorRoute))
    traffic = Traffic(split, headers, mirrors).ordered(rollout.managed_routes)
    return reading._replace(traffic=traffic)


def live_routes(rollout: Rollout, service: IstioVirtualService, live: Live) -> Iterator[Narrowing]:
    """Yield the routes of the Rollout that a VirtualService has, each with the next route behind it that carries weights.

    Of several with one name that narrow the same route only the first counts.
    """
    if not rollout.managed_routes:
        return  # no route could be the Rollout's own
    ref = ref_of(service)
    entries = routes_of(ref, live[ref].manifest, "http")
    targets = [target for target in find_targets(rollout, service, live) if target.section == "http"]
    seen: set[tuple[str, int]] = set()
    for index, entry in enumerate(entries):
        name = entry.get("name")
        if name not in rollout.managed_routes or not targets:
            continue
        target = next((target for target in targets if target.index > index), targets[-1])
        if (name, target.index) not in seen:
            seen.add((name, target.index))
            yield Narrowing(target, entries[target.index], index, entry)


def _routes(narrowings: Sequence[Narrowing]) -> list[HeaderRoute | MirrorRoute]:
    """Read what each of some live routes is; those of one name are the same route where one reading fits them all."""
    routes = [_route(narrowing) for narrowing in narrowings]
    for index, route in enumerate(routes):
        alike = [
            narrowing for narrowing, other in zip(narrowings, routes, strict=True) if other.name == route.name
        ]
        for candidate in routes:
            if candidate.name == route.name and all(_fits(candidate.matches, item) for item in alike):
                routes[index] = replace(route, matches=candidate.matches)
                break
    return routes


def _fits(matches: Sequence[RequestMatch], narrowing: Narrowing) -> bool:
    """Return whether a live route is what these matches make of the route that it narrows."""
    ref, target = narrowing.target.ref, narrowing.target
    try:
        wanted = narrowed(_blocks(ref, target.index, narrowing.base), matches)
    except UnsupportedError:
        return False
    return wanted == _blocks(ref, narrowing.position, narrowing.entry)


def _route(narrowing: Narrowing) -> HeaderRoute | MirrorRoute:
    """Read one live route."""
    ref, name = narrowing.target.ref, str(narrowing.entry["name"])
    blocks, base = (
        _blocks(ref, narrowing.position, narrowing.entry),
        _blocks(ref, narrowing.target.index, narrowing.base),
    )
    # What another tool wrote has no conditions but those of the route.
    candidates = [matches for matches in (added(blocks, base), added(blocks, [])) if matches is not None]
    destinations = _destinations(narrowing.entry, ref)
    if destinations == [_canary(narrowing)]:
        for matches in candidates:
            if all(match.headers for match in matches):
                return HeaderRoute(name, matches)
    percentage = _percentage(narrowing)
    if candidates and percentage is not None and destinations == _destinations(narrowing.base, ref):
        return MirrorRoute(name, candidates[0], percentage)
    part = f"spec.http[{narrowing.position}]: {name} is one of the managedRoutes"
    what = f"neither a header nor a mirror route for requests of {narrowing.target.part}"
    raise ManifestError(ref, [f"{part}, and this is {what}; give it another name, or remove it"])


def _blocks(ref: ObjectRef, index: int, entry: Manifest) -> list[Manifest]:
    """Return the match blocks of an http route."""
    blocks = entry.get("match") or []
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise ManifestError(ref, [f"spec.http[{index}].match: a list of match blocks belongs here"])
    return blocks


def _destinations(entry: Manifest, ref: ObjectRef) -> list[Destination]:
    items = entry.get("route")
    return [destination_of(item, ref.namespace) for item in items] if isinstance(items, list) else []


def _canary(narrowing: Narrowing) -> Destination:
    return _destinations(narrowing.base, narrowing.target.ref)[narrowing.target.canary]


def _percentage(narrowing: Narrowing) -> int | None:
    """Return how many percent of its requests a route copies to the canary; None for none, or for no whole number."""
    entry, mirrors = narrowing.entry, narrowing.entry.get("mirrors")
    policies = [{"destination": entry.get("mirror"), "percentage": entry.get("mirrorPercentage")}]
    for policy in mirrors if isinstance(mirrors, list) and mirrors else policies:
        if destination_of(policy, narrowing.target.ref.namespace) == _canary(narrowing):
            share = dig(policy, "percentage")
            value = _EVERYTHING if share is None else dig(share, "value") or 0
            whole = isinstance(value, int | float) and value == int(value) and 0 <= value <= _EVERYTHING
            return int(value) if whole else None
    return None
