"""The API versions of SMI: which there are, what each can hold, and which one to write.

Specification: https://github.com/servicemeshinterface/smi-spec, apis/traffic-split and apis/traffic-specs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.routers.backends.smi.stanza import SmiTrafficRouting
from rollway.routers.errors import ManifestError, UnsupportedError
from rollway.routers.objects import ObjectRef, dig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, LiveObject

GROUP, SPLIT = "split.smi-spec.io", "TrafficSplit"
SPECS_GROUP, ROUTE_GROUP = "specs.smi-spec.io", "HTTPRouteGroup"
CRD_GROUP, CRD = "apiextensions.k8s.io", "CustomResourceDefinition"
SPLIT_CRD, ROUTE_GROUP_CRD = f"trafficsplits.{GROUP}", f"httproutegroups.{SPECS_GROUP}"

QUANTITY_WEIGHTS = {"v1alpha1": True, "v1alpha2": False, "v1alpha3": False, "v1alpha4": False}
"""The versions of TrafficSplit, and whether a weight is a resource.Quantity (written as text) or an integer."""

MATCHES = ("v1alpha3", "v1alpha4")
"""The versions of TrafficSplit with `matches`, and those of HTTPRouteGroup that they work with, in this order."""

DEFAULT_VERSION = "v1alpha2"
"""Written where the store shows no version: the version that most meshes with SMI support serve (linkerd-smi, OSM)."""


def split_ref(rollout: Rollout) -> ObjectRef:
    """Return the TrafficSplit of a Rollout."""
    name = rollout.stanza(SmiTrafficRouting).traffic_split_name or rollout.name
    return ObjectRef(GROUP, SPLIT, rollout.namespace, name)


def group_ref(rollout: Rollout) -> ObjectRef:
    """Return the HTTPRouteGroup that holds the conditions of a Rollout's header route."""
    name = f"{split_ref(rollout).name}-header-route"
    return ObjectRef(SPECS_GROUP, ROUTE_GROUP, rollout.namespace, name)


def split_version(rollout: Rollout, live: Live) -> str:
    """Return the version of the live split, else one that is served, else that of another split, else the default.

    Raises:
        ManifestError: none of the versions that there are is known.
    """
    candidates = known_versions(split_ref(rollout), SPLIT_CRD, live)
    version = next((name for name in candidates if name in QUANTITY_WEIGHTS), DEFAULT_VERSION)
    if candidates and version not in candidates:
        raise ManifestError(
            split_ref(rollout),
            [f"apiVersion: none of {', '.join(candidates)} is known; known: {', '.join(QUANTITY_WEIGHTS)}"],
        )
    return version


def group_version(rollout: Rollout, live: Live) -> str:
    """Return the version of the live HTTPRouteGroup, else one that is served, else that of the split.

    Raises:
        UnsupportedError: the split, or the group, would have a version that is too old for a header route.
    """
    split = split_version(rollout, live)
    if split not in MATCHES:
        raise _too_old(split_ref(rollout), split)
    candidates = known_versions(group_ref(rollout), ROUTE_GROUP_CRD, live)
    version = next((name for name in candidates if name in MATCHES), split)
    if candidates and version not in candidates:
        raise _too_old(group_ref(rollout), candidates[0])
    return version


def known_versions(ref: ObjectRef, crd: str, live: Live) -> Sequence[str]:
    """Return the version of a live object, else those that are served, else those of others of its kind, newest first."""
    own = live.get(ref)
    if own and own.version:
        return [_version_of(own)]
    served = list(live.served.get(ref.group, ()))
    served += [str(dig(entry, "name")) for entry in _definitions(crd, live) if dig(entry, "served")]
    others = {_version_of(item) for item in live.of(ref.group, ref.kind) if item is not own}
    return served or sorted(others, reverse=True)


def headers_are_listed(version: str, live: Live) -> bool:
    """Return whether a match of an HTTPRouteGroup has a list of headers, each a map with one key, or a single map.

    The text of the specification shows a map, and the CRDs of smi-sdk-go and of the meshes ask for a list.
    """
    for entry in _definitions(ROUTE_GROUP_CRD, live):
        if dig(entry, "name") == version:
            matches = dig(entry, "schema", "openAPIV3Schema", "properties", "spec", "properties", "matches")
            return bool(dig(matches, "items", "properties", "headers", "type") != "object")
    return True


def _definitions(crd: str, live: Live) -> Sequence[Any]:
    """Return the versions that a CustomResourceDefinition lists, where the store has it."""
    found = (item.manifest for item in live.of(CRD_GROUP, CRD) if item.ref.name == crd)
    return dig(next(found, None), "spec", "versions") or ()


def _version_of(item: LiveObject) -> str:
    return str(item.manifest.get("apiVersion")).rpartition("/")[2]


def _too_old(ref: ObjectRef, version: str) -> UnsupportedError:
    return UnsupportedError(
        f"{ref} is written as {version}, which cannot hold header routes: {' and '.join(MATCHES)} can",
        hint=f"let the mesh serve one of those versions of {ref.kind}, and in files keep an object or the CRD of that version",
    )
