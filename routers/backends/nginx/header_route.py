"""A header route in the annotations of a canary Ingress: one header, with an exact value, a prefix or a regex.

nginx searches a pattern (PCRE) in the value. A regex of a route has to match the whole value, so it is written
`^(?:REGEX)$`; a prefix is written `^PREFIX`, its special characters escaped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rollway.routers import ownership
from rollway.routers.backends.nginx.policy import (
    HEADER,
    HEADER_NAME,
    HEADER_PATTERN,
    HEADER_VALUE,
    Policy,
    read_canary,
)
from rollway.routers.backends.patterns import (
    QUOTED,
    quoted,
    regex_fault,
    regex_of,
    split_flags,
    unquoted,
    whole,
)
from rollway.routers.errors import RefusedError, UnsupportedError
from rollway.routers.objects import dig
from rollway.routers.traffic import HeaderRoute, RequestMatch, StringMatch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rollway.routers.objects import Manifest, ObjectRef

ROUTE_ANNOTATION = "rollway.dev/header-route"
"""The name of the header route that the header of a canary Ingress stands for."""
_PREFIX = rf"\^({QUOTED})"


def annotations_of(routes: Sequence[HeaderRoute], prefix: str) -> dict[str, str]:
    """Return the annotations that carry the header routes: none, or those of a single one.

    Raises:
        UnsupportedError: there are several, or ingress-nginx cannot do what the one asks for.
    """
    if not routes:
        return {}
    if len(routes) > 1:
        names = ", ".join(route.name for route in routes)
        raise UnsupportedError(
            f"ingress-nginx has one header for each canary Ingress, and the header routes {names} are wanted",
            hint="remove all but one of them",
        )
    route = routes[0]
    wanted = _policy(route)
    values = {
        HEADER: wanted.header,
        HEADER_VALUE: wanted.header_value,
        HEADER_PATTERN: wanted.header_pattern,
    }
    annotations = {f"{prefix}/{key}": value for key, value in values.items() if value}
    _, policy, problems = read_canary(annotations, prefix)
    if policy != wanted:
        reason = "; ".join(problems) or "the controller takes away the spaces at the ends of a value"
        raise _unsupported(route, reason)
    return {ROUTE_ANNOTATION: route.name, **annotations}


def route_of(
    annotations: Mapping[str, str], policy: Policy, managed: Collection[str], prefix: str
) -> HeaderRoute | None:
    """Return the header route that a canary Ingress has, the inverse of `annotations_of`.

    None where there is no header, or one without the name of a managed route beside it, or one that does not choose by a
    value: it is then no header route of the Rollout.
    """
    name = annotations.get(ROUTE_ANNOTATION, "")
    if name not in managed or not policy.header or not (policy.header_value or policy.header_pattern):
        return None
    match = StringMatch("exact", policy.header_value) if policy.header_value else _read(policy.header_pattern)
    route = HeaderRoute(name, (RequestMatch(((policy.header, match),)),))
    try:
        annotations_of([route], prefix)
    except UnsupportedError:
        return None
    return route


def refuse_conflict(
    route: HeaderRoute, stanza: Mapping[str, str], canary: ObjectRef, live: Manifest | None, prefix: str
) -> None:
    """Raise RefusedError when the Rollout's stanza, or somebody else on the canary Ingress, chooses by a header already."""
    ours = ownership.recorded(live, "annotations") if live else frozenset()
    present = dig(live, "metadata", "annotations") or {}
    for key in (f"{prefix}/{name}" for name in (HEADER, HEADER_VALUE, HEADER_PATTERN)):
        if key in stanza:
            where, hint = "the nginx stanza of the Rollout sets", "take it out of the stanza"
        elif key in present and key not in ours:
            where, hint = f"{canary} has, from somebody else,", "remove that annotation"
        else:
            continue
        raise RefusedError(
            f"header route {route.name} cannot be written: a canary Ingress chooses by one header, and {where} {key}",
            hint=f"{hint}, or do without the header route",
            ref=canary,
        )


def _policy(route: HeaderRoute) -> Policy:
    """Return the policy that does what a route asks for."""
    header, match = _condition(route)
    if match.kind == "prefix":
        return Policy(header=header, header_pattern="^" + quoted(match.value))
    if match.kind == "regex":
        fault = regex_fault(match.value)
        if fault:
            raise _unsupported(
                route, f"nginx cannot read the regex {match.value!r}, and would ignore it ({fault})"
            )
        return Policy(header=header, header_pattern=whole(match.value))
    if not match.value:
        raise _unsupported(route, "without a value the controller looks for the words `always` and `never`")
    return Policy(header=header, header_value=match.value)


def _condition(route: HeaderRoute) -> tuple[str, StringMatch]:
    """Return the one header of a route, and what its value is compared with."""
    if len(route.matches) != 1:
        raise _unsupported(route, f"it has {len(route.matches)} matches")
    headers, path, method = route.matches[0]
    if path or method:
        raise _unsupported(route, f"it matches the {'path' if path else 'method'} of a request")
    if len(headers) != 1:
        raise _unsupported(route, f"its match has {len(headers)} headers")
    if not HEADER_NAME.fullmatch(headers[0][0]):
        raise _unsupported(route, f"nginx drops a header with the name {headers[0][0]!r}")
    return headers[0]


def _read(pattern: str) -> StringMatch:
    """Return the comparison that a pattern does; one that is not written by rollway is found anywhere in the value."""
    prefix = re.fullmatch(_PREFIX, pattern)
    if prefix:
        return StringMatch("prefix", unquoted(prefix[1]))
    regex = regex_of(pattern)
    if regex is None:
        flags, body = split_flags(pattern)
        regex = f"{flags}.*(?:{body}).*"
    return StringMatch("regex", regex)


def _unsupported(route: HeaderRoute, reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"ingress-nginx cannot do header route {route.name}: {reason}",
        hint="a canary Ingress has room for one match with one header: an exact value, a prefix or a regex, of the "
        "characters that ingress-nginx accepts",
    )
