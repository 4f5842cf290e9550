"""The rules of ours in a route: clones of the user's rules that a header or mirror route narrows.

A clone has the name of its route (`NAME`, then `NAME-1` and so on for further rules) and stands directly before the rule
that it was made from, so that it goes first where both have as many header conditions. Everything else of the rule
survives in it: filters, timeouts, retries. Header routes stand before mirror routes, each in the order of `managedRoutes`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rollway.routers.backends.gateway.matches import Narrowing, conditions
from rollway.routers.backends.gateway.routes import backend_refs, find_targets, is_ours, role_of, rules_of
from rollway.routers.errors import InvalidInputError, ManifestError, UnsupportedError
from rollway.routers.model import CANARY
from rollway.routers.objects import dig, duplicate
from rollway.routers.traffic import HeaderRoute, MirrorRoute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.backends.gateway.routes import Route, Target
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef
    from rollway.routers.traffic import Traffic

MIRROR = "RequestMirror"
_NAMEABLE = ("HTTPRoute", "GRPCRoute")
_RULE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""What a rule may be called: `SectionName` of Gateway API."""


def refuse_unroutable(routes: Sequence[Route], want: Traffic) -> None:
    """Raise UnsupportedError for header and mirror routes that no object of the Rollout can have, or that one cannot."""
    if not want.routes:
        return
    kind = "header routes" if want.header_routes else "mirror routes"
    unable = [str(ref) for ref, wanted in routes if wanted and ref.kind not in _NAMEABLE]
    if unable:
        raise UnsupportedError(
            f"{', '.join(unable)} cannot have {kind}: connections are routed there, not requests",
            hint="take useHeaderRoutes away from them",
        )
    if not any(wanted for _, wanted in routes):
        names = ", ".join(str(ref) for ref, _ in routes)
        raise UnsupportedError(
            f"{names}: none of them may get {kind}, which {want.routes[0].name!r} needs",
            hint="name an HTTPRoute or GRPCRoute in httpRoute or grpcRoute, or give it `useHeaderRoutes: true` in a list",
        )
    for route in want.routes:
        if not _RULE_NAME.fullmatch(route.name):
            raise UnsupportedError(
                f"{route.name!r} cannot be the name of a rule (lower case letters, digits, - and .)",
                hint="give the route another name in managedRoutes",
            )


def with_routes(rollout: Rollout, route: Route, weighted: Manifest, want: Traffic, live: Live) -> None:
    """Put the wanted clones into a route whose weights are written already, and take every other clone out.

    Raises:
        UnsupportedError: a rule cannot be narrowed by what a route asks for, or none of the rules has such requests.
    """
    ref = route.ref
    rules = rules_of(ref, weighted)
    targets = {target.index: target for target in find_targets(rollout, ref, live)}
    wanted = want.routes if route.use_header_routes else ()
    made = dict.fromkeys((item.name for item in wanted), 0)
    names = {rule.get("name") for rule in rules if not is_ours(rollout, ref, rule, rules)}
    # Header rules that another tool has put behind all others stay there: by their headers they go first all the same.
    behind = {rule["name"] for rule in rules[max(targets) :] if is_ours(rollout, ref, rule, rules)}
    kept: dict[Any, Manifest] = {}
    after: list[Manifest] = []
    for index, rule in enumerate(rules):
        for item in wanted if index in targets else ():
            clone = _clone(targets[index], rule, item)
            if clone:
                made[item.name] = _next_number(rollout, item.name, made[item.name], names)
                named = {"name": _name(item.name, made[item.name] - 1), **clone}
                if isinstance(item, HeaderRoute) and named["name"] in behind:
                    kept[named["name"]] = named
                else:
                    after.append(named)
        if not is_ours(rollout, ref, rule, rules):
            after.append(rule)
        elif rule["name"] in kept:
            after.append(kept.pop(rule["name"]))
    for item in wanted:
        if not made[item.name]:
            raise UnsupportedError(
                f"{ref}: no request of its rules is one of {item}", hint="correct its path or its method"
            )
    weighted["spec"]["rules"] = after


def _name(name: str, number: int) -> str:
    return f"{name}-{number}" if number else name


def _next_number(rollout: Rollout, name: str, number: int, taken: set[Any]) -> int:
    """Return how many numbers are used up with the next free one: those of the user's rules and of other routes are not."""
    while number and (_name(name, number) in taken or _name(name, number) in rollout.managed_routes):
        number += 1
    return number + 1


def _clone(target: Target, rule: Manifest, route: HeaderRoute | MirrorRoute) -> Manifest | None:
    """Return a rule narrowed by a route, without a name; None when no request can fulfil both."""
    subject = f"{target.ref}, {target.part}: {route}"
    matches = Narrowing(target.ref.kind, rule, subject).by(route.matches)
    if not matches:
        return None
    clone: Manifest = {key: value for key, value in duplicate(rule).items() if key != "name"}
    canary = clone["backendRefs"][target.canary]
    clone["matches"] = matches
    if isinstance(route, HeaderRoute):
        return {**clone, "backendRefs": [{**canary, "weight": 1}]}
    return {**clone, "filters": [*(clone.get("filters") or []), _mirror(canary, route.percentage)]}


def _mirror(canary: Manifest, percentage: int) -> Manifest:
    place = {key: canary[key] for key in ("name", "namespace", "port") if key in canary}
    share = {"percent": percentage} if percentage < 100 else {}
    return {
        "type": MIRROR,
        "requestMirror": {"backendRef": {"group": "", "kind": "Service", **place}, **share},
    }


def routes_in(rollout: Rollout, ref: ObjectRef, live: Live) -> list[HeaderRoute | MirrorRoute]:
    """Return the header and mirror routes whose clones an object has, in the order of `managedRoutes`.

    Raises:
        ManifestError: a rule has the name of such a route, and is none.
    """
    rules = rules_of(ref, live[ref].manifest)
    targets = [target.index for target in find_targets(rollout, ref, live)]
    found: dict[str, HeaderRoute | MirrorRoute] = {}
    for index, rule in enumerate(rules):
        name = is_ours(rollout, ref, rule, rules)
        if not name or name in found:
            continue
        base = next((target for target in targets if target > index), targets[-1])
        place = f"spec.rules[{index}]"
        try:
            found[name] = _read(rollout, ref, name, rule, rules[base])
        except (InvalidInputError, AttributeError, TypeError) as error:
            message = f"{place}: {rule.get('name')} is a name of managedRoutes, and the rule is no header or mirror route"
            raise ManifestError(ref, [message]) from error
    return [found[name] for name in rollout.managed_routes if name in found]


def _read(
    rollout: Rollout, ref: ObjectRef, name: str, rule: Manifest, base: Manifest
) -> HeaderRoute | MirrorRoute:
    """Read a rule of ours by its shape: one reference to the canary, or a mirror to it as the last filter.

    Raises:
        InvalidInputError: it is neither.
    """
    matches = conditions(ref.kind, base, rule)
    entries = backend_refs(ref, 0, rule)
    if [role_of(rollout, ref, entry) for entry in entries] == [CANARY]:
        if not all(match.headers for match in matches):
            matches = conditions(ref.kind, {}, rule)  # by now the user's rule has the same header
        return HeaderRoute(name, tuple(matches))
    last = dig(rule, "filters", -1)
    if dig(last, "type") != MIRROR:
        raise InvalidInputError(f"{name} is neither a header route nor a mirror route")
    percentage = dig(last, "requestMirror", "percent")
    return MirrorRoute(name, tuple(matches), 100 if percentage is None else percentage)


def clone_names(rollout: Rollout, most: int) -> list[str]:
    """Return every name that a rule of ours may have, of which a route has at most so many."""
    return [_name(name, number) for name in rollout.managed_routes for number in range(most)]
