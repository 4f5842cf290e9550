"""What a Traefik has loaded of routes of any kind, compared with the routes. Pure.

Source: Traefik 3.6, pkg/provider/kubernetes/gateway (names and rules of routers).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rollway.routers.backends.gateway.loaded_rules import REQUESTS, matches_of, path_of, weight_of
from rollway.routers.backends.gateway.routes import backend_refs, rules_of
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.backends.gateway.loaded_rules import Rule
    from rollway.routers.objects import Manifest, ObjectRef
    from rollway.routers.probes.traefik import LoadedRouter


def differences(
    loaded: Sequence[LoadedRouter], ref: ObjectRef, manifest: Manifest, rules: Sequence[Rule]
) -> Iterator[str]:
    """Yield what one Traefik has not as the rules of a route have it."""
    ours = _routers_of(loaded, ref, manifest)
    for rule in rules:
        routers = ours.get(rule.position, [])
        if not routers:
            yield f"has no {rule.part} of {ref}"
        for router in routers:
            yield from _differences_of_router(router, ref, rule)
        # Traefik has no conditions of rules of connections.
        for match in matches_of(rule.manifest) if routers and ref.kind in REQUESTS else ():
            if not any(_asks(router.rule, ref, match) for router in routers):
                yield f"has not all matches of {rule.part} of {ref}"
    count = len(rules_of(ref, manifest))
    yield from (f"still has rules[{position}] of {ref}" for position in sorted(ours) if position >= count)


def _routers_of(
    loaded: Sequence[LoadedRouter], ref: ObjectRef, manifest: Manifest
) -> dict[int, list[LoadedRouter]]:
    """Return the routers of a route, by the position of the rule that each comes from."""
    gateways = "|".join(
        re.escape(_normal(f"{parent.get('namespace') or ref.namespace}-{parent.get('name')}"))
        for parent in dig(manifest, "spec", "parentRefs") or ()
    )
    start = re.escape(_normal(f"{ref.kind}-{ref.namespace}-{ref.name}".lower()))
    # The last part is a digest of what the router matches.
    pattern = re.compile(rf"{start}-gw-(?:{gateways})-ep-.+-(\d+)-[0-9a-f]+@kubernetesgateway")
    routers: dict[int, list[LoadedRouter]] = {}
    for router in loaded:
        place = pattern.fullmatch(router.name)
        if place:
            routers.setdefault(int(place[1]), []).append(router)
    return routers


def _differences_of_router(router: LoadedRouter, ref: ObjectRef, rule: Rule) -> Iterator[str]:
    if router.service.endswith("-err-wrr"):
        yield f"answers HTTP 500 for {rule.part} of {ref}: it does not support one of its filters"
    elif list(router.weights) != [
        _part_of_traefik(ref, entry) for entry in backend_refs(ref, rule.position, rule.manifest)
    ]:
        listed = ", ".join(f"{name} {weight}" for name, weight in router.weights)
        yield f"has {listed or 'no weights'} for {rule.part} of {ref}"


def _normal(text: str) -> str:
    """Write a name as Traefik's provider.Normalize does."""
    return "-".join(re.findall(r"[^\W_]+", text))


def _part_of_traefik(ref: ObjectRef, entry: Manifest) -> tuple[str, int]:
    """Return how Traefik names a Service of a rule, and its weight."""
    start = f"{entry.get('namespace') or ref.namespace}-{entry.get('name')}"
    port = entry.get("port")
    names = {"HTTPRoute": f"{start}-http-{port}", "GRPCRoute": f"{start}-{port}-grpc"}
    name = names.get(ref.kind, f"{start}-{port}")
    return _normal(name), weight_of(entry)


def _asks(rule: str, ref: ObjectRef, match: Manifest) -> bool:
    """Return whether a router's rule has the conditions of a match, and none of other headers."""
    rule = rule.replace("`", '"')
    headers = match.get("headers") or []
    words = [f'"{header["name"]}","{header["value"]}"' for header in headers]
    if ref.kind == "GRPCRoute":
        words.append(f'"{_path_of_call(match)}"')
    else:
        words.append(f'"{path_of(match)}"')
        words += [f'Method("{match["method"]}")'] if match.get("method") else []
    return all(word in rule for word in words) and len(re.findall(r"Header(?:Regexp)?\(", rule)) == len(
        headers
    )


def _path_of_call(match: Manifest) -> str:
    """Return the path of the calls that a match of a GRPCRoute means, as Traefik writes it."""
    service, method = (dig(match, "method", key) for key in ("service", "method"))
    return f"/{service or '[^/]+'}/{method or '[^/]+'}" if service or method else "/"
