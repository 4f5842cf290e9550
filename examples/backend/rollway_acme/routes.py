"""Header and mirror routes: entries of `spec.routes`, a list that other entries stand in as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rollway.routers.errors import ManifestError
from rollway.routers.objects import dig
from rollway.routers.traffic import HeaderRoute, MirrorRoute, RequestMatch, StringMatch

if TYPE_CHECKING:
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest, ObjectRef
    from rollway.routers.traffic import MatchKind, Traffic


def with_routes(manifest: Manifest, ref: ObjectRef, rollout: Rollout, want: Traffic) -> None:
    """Write the wanted routes into a WeightedRoute, first and in the order of `managedRoutes`; others stay as they are."""
    foreign = [entry for entry in _entries(manifest, ref) if dig(entry, "name") not in rollout.managed_routes]
    wanted = sorted(want.routes, key=lambda route: rollout.managed_routes.index(route.name))
    if wanted or len(foreign) < len(_entries(manifest, ref)):
        manifest["spec"]["routes"] = [*(_entry(route, rollout) for route in wanted), *foreign]


def routes_of(
    manifest: Manifest, ref: ObjectRef, rollout: Rollout
) -> tuple[tuple[HeaderRoute, ...], tuple[MirrorRoute, ...]]:
    """Read the routes of a Rollout.

    Raises:
        ManifestError: one of them is not of the shape that the API has.
    """
    header_routes: list[HeaderRoute] = []
    mirror_routes: list[MirrorRoute] = []
    for entry in _entries(manifest, ref):
        if dig(entry, "name") not in rollout.managed_routes:
            continue
        try:
            matches = tuple(map(_match, entry["matches"]))
            if "mirror" in entry:
                mirror_routes.append(MirrorRoute(entry["name"], matches, entry["percentage"]))
            else:
                header_routes.append(HeaderRoute(entry["name"], matches))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ManifestError(ref, [f"spec.routes: {entry['name']} cannot be read"]) from error
    return tuple(header_routes), tuple(mirror_routes)


def _entries(manifest: Manifest, ref: ObjectRef) -> list[Any]:
    entries = dig(manifest, "spec", "routes") or []
    if not isinstance(entries, list):
        raise ManifestError(ref, ["spec.routes: a list of routes belongs here"])
    return entries


def _entry(route: HeaderRoute | MirrorRoute, rollout: Rollout) -> Manifest:
    matches = [match.conditions for match in route.matches]
    if isinstance(route, HeaderRoute):
        return {"name": route.name, "service": rollout.canary_service, "matches": matches}
    return {
        "name": route.name,
        "mirror": rollout.canary_service,
        "percentage": route.percentage,
        "matches": matches,
    }


def _match(conditions: Manifest) -> RequestMatch:
    headers = tuple((name, _text(value)) for name, value in conditions.get("headers", {}).items())
    path, method = (_text(conditions[key]) if key in conditions else None for key in ("path", "method"))
    return RequestMatch(headers, path, method)


def _text(value: dict[str, str]) -> StringMatch:
    ((kind, text),) = value.items()
    return StringMatch(cast("MatchKind", kind), text)
