"""A header route as an HTTPRouteGroup of ours, and the `matches` of a TrafficSplit that refer to it.

With `matches`, a TrafficSplit splits the requests that match, and the root Service answers all others. So there is room for
one header route, with all of the split's weight on the canary, and for no weight beside it.

A pattern (a regex) may be searched in a value or compared with the whole of it, and a mesh may take a header that is not there
for an empty one: what is written here means the same in both ways.
Specification: https://github.com/servicemeshinterface/smi-spec, apis/traffic-specs, "HTTP header filters".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rollway.routers.backends.patterns import (
    QUOTED,
    compiled,
    quoted,
    regex_fault,
    regex_of,
    unquoted,
    whole,
)
from rollway.routers.backends.smi.versions import (
    ROUTE_GROUP,
    SPECS_GROUP,
    group_ref,
    group_version,
    headers_are_listed,
)
from rollway.routers.errors import InvalidInputError, UnsupportedError
from rollway.routers.objects import dig
from rollway.routers.render import render
from rollway.routers.traffic import HeaderRoute, RequestMatch, StringMatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest

ROUTE_ANNOTATION = "rollway.dev/header-route"
"""The name of the header route that an HTTPRouteGroup stands for."""
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
"""The methods that the CRD of HTTPRouteGroup allows."""
_HEADER_NAME = re.compile(r"[-a-zA-Z0-9]+")
_EXACT = re.compile(rf"\^({QUOTED})\$")
_PREFIX = re.compile(rf"\^({QUOTED})\.\*\$")
_PATH = re.compile(rf"(/{QUOTED})\.\*")
_DELIMITERS = "`{}"
"""Traefik Mesh puts patterns between backticks in a rule, and a path between braces."""


MESHES = {
    "Traefik Mesh 1.4": "pkg/provider/rule.go, and its requests in integration/traffic/test_smi_header_routes.py",
    "NGINX Service Mesh": 'its documentation, "SMI Traffic Policies", "Traffic Split Matches"',
}
"""The meshes that are known to act on `matches`, with the source.

linkerd-smi (v1alpha1, v1alpha2) and Open Service Mesh (v1alpha2) serve no version of TrafficSplit that has them.
"""


def reference(rollout: Rollout) -> Manifest:
    """Return the item of `matches` that refers to the HTTPRouteGroup of a Rollout."""
    return {"kind": ROUTE_GROUP, "name": group_ref(rollout).name}


def refers_to_ours(rollout: Rollout, entry: Any) -> bool:
    """Return whether an item of `matches` refers to the HTTPRouteGroup of a Rollout."""
    return all(dig(entry, key) == value for key, value in reference(rollout).items())


def route_group(rollout: Rollout, routes: Sequence[HeaderRoute], live: Live) -> Manifest:
    """Return the HTTPRouteGroup that holds the conditions of the one header route there is.

    Raises:
        UnsupportedError: there are several, it cannot be expressed, or no version that is served can hold it.
    """
    if len(routes) > 1:
        names = ", ".join(route.name for route in routes)
        raise UnsupportedError(
            f"a TrafficSplit sends all requests that match to the same backends, and the header routes {names} are wanted",
            hint="remove all but one of them, or give one several matches",
        )
    route, ref = routes[0], group_ref(rollout)
    version = group_version(rollout, live)
    return render(
        "smi/httproutegroup.yaml.j2",
        api_version=f"{SPECS_GROUP}/{version}",
        name=ref.name,
        namespace=ref.namespace,
        route=route.name,
        matches=_matches(route, listed=headers_are_listed(version, live)),
    )


def read_route(rollout: Rollout, live: Live) -> HeaderRoute | None:
    """Return the header route that the HTTPRouteGroup holds: the inverse of `route_group`.

    None where it is not there, has no name of a managed route, or holds anything that rollway would not write.
    """
    group = live.manifest(group_ref(rollout))
    name = dig(group, "metadata", "annotations", ROUTE_ANNOTATION)
    entries = dig(group, "spec", "matches")
    if name not in rollout.managed_routes or not isinstance(entries, list) or not entries:
        return None
    matches = [_read_match(entry) for entry in entries]
    try:
        route = HeaderRoute(str(name), tuple(match for match in matches if match))
        return route if [_plain(entry) for entry in entries] == _conditions(route) else None
    except (InvalidInputError, UnsupportedError):
        return None


def _matches(route: HeaderRoute, *, listed: bool) -> list[dict[str, Any]]:
    matches = []
    for number, conditions in enumerate(_conditions(route), 1):
        headers: Any = conditions["headers"]
        if listed:
            headers = [{name: pattern} for name, pattern in headers.items()]
        matches.append({**conditions, "name": f"{route.name}-{number}", "headers": headers})
    return matches


def _conditions(route: HeaderRoute) -> list[dict[str, Any]]:
    """Return the conditions of each match, with the headers as a map."""
    return [
        {
            "path_regex": _path_pattern(route, match.path),
            "methods": _methods(route, match.method),
            "headers": {name: _header_pattern(route, name, value) for name, value in match.headers},
        }
        for match in route.matches
    ]


def _plain(entry: Any) -> dict[str, Any]:
    """Return the conditions of a match as it is written, in the form of `_conditions`."""
    return {
        "path_regex": dig(entry, "pathRegex") or "",
        "methods": dig(entry, "methods") or [],
        "headers": _headers(dig(entry, "headers")),
    }


def _headers(written: Any) -> Mapping[str, Any]:
    """Return headers as a map, whether they are written as one or as a list of maps; empty where they are neither."""
    if isinstance(written, dict):
        return written
    items = written if isinstance(written, list) else []
    if not all(isinstance(item, dict) for item in items):
        return {}
    pairs = [pair for item in items for pair in item.items()]
    return dict(pairs) if len(dict(pairs)) == len(pairs) else {}


def _read_match(entry: Any) -> RequestMatch | None:
    """Return what a match asks for; None where it is of a form that rollway does not write."""
    found = _plain(entry)
    headers = tuple((str(name), _read(str(pattern))) for name, pattern in found["headers"].items())
    path = _PATH.fullmatch(str(found["path_regex"]))
    method = dig(found["methods"], 0)
    if not headers:
        return None
    return RequestMatch(
        headers,
        StringMatch("prefix", unquoted(path[1])) if path else None,
        StringMatch("exact", str(method)) if method else None,
    )


def _read(pattern: str) -> StringMatch:
    for kind, form in (("exact", _EXACT), ("prefix", _PREFIX)):
        found = form.fullmatch(pattern)
        if found:
            return StringMatch("exact" if kind == "exact" else "prefix", unquoted(found[1]))
    return StringMatch("regex", regex_of(pattern) or "")


def _header_pattern(route: HeaderRoute, name: str, match: StringMatch) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise _unsupported(route, f"a mesh may not find a header with the name {name!r}")
    _refuse_delimiters(route, match.value, "`")
    if match.kind == "regex":
        fault = regex_fault(match.value)
        if fault:
            raise _unsupported(route, f"a mesh may not be able to read the regex {match.value!r} ({fault})")
    if not match.value or (match.kind == "regex" and compiled(match.value).fullmatch("")):
        raise _unsupported(
            route,
            f"an empty value of header {name} fulfils it, and a mesh may take a header that is not there for an empty one",
        )
    inside = {"exact": match.value.strip(), "prefix": match.value.lstrip()}.get(match.kind, match.value)
    if inside != match.value:
        raise _unsupported(
            route, f"no request has a header value with blanks at its ends, as {match.value!r} has"
        )
    patterns = {"exact": f"^{quoted(match.value)}$", "prefix": f"^{quoted(match.value)}.*$"}
    return patterns.get(match.kind) or whole(match.value)


def _path_pattern(route: HeaderRoute, path: StringMatch | None) -> str:
    if path is None:
        return ""
    if path.kind != "prefix" or not path.value.startswith("/"):
        raise _unsupported(
            route,
            f"SMI leaves open whether a pathRegex has to match to the end of a path, so it can express no other path than a prefix that begins with /: {path}",
        )
    _refuse_delimiters(route, path.value, _DELIMITERS)
    return f"{quoted(path.value)}.*"


def _methods(route: HeaderRoute, method: StringMatch | None) -> list[str]:
    if method is None:
        return []
    if method.kind != "exact" or method.value not in METHODS:
        raise _unsupported(route, f"a match has one of the methods {', '.join(METHODS)}, and not {method}")
    return [method.value]


def _refuse_delimiters(route: HeaderRoute, value: str, characters: str) -> None:
    found = [character for character in characters if character in value]
    if found:
        raise _unsupported(route, f"meshes end a pattern at {found[0]!r}, which {value!r} has")


def _unsupported(route: HeaderRoute, reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"an HTTPRouteGroup cannot hold header route {route.name}: {reason}",
        hint="a match has headers (an exact value, a prefix or a regex), at most one method, and at most the prefix of a path",
    )
