"""What the controller keeps in memory of the objects that it watches. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.controller.world import Pod
from rollway.routers.backends.endpoints import SERVICE_LABEL
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest


class Endpoints(frozenset[str]):
    """The names of the ready pods in an EndpointSlice, and the Service that it is of."""

    service: str = ""


def service_names(rollout: Manifest) -> list[str]:
    """Return the Services that a Rollout names."""
    strategy = dig(rollout, "spec", "strategy") or {}
    body = strategy.get("canary") or strategy.get("blueGreen") or {}
    keys = ("stableService", "canaryService", "activeService", "previewService")
    pair = body.get("pingPong") or {}
    return [name for name in (*map(body.get, keys), pair.get("pingService"), pair.get("pongService")) if name]


def without_managers(manifest: Manifest) -> Manifest:
    """Keep an object without the record of who wrote which field."""
    manifest["metadata"].pop("managedFields", None)
    return manifest


def kept_service(manifest: Manifest) -> Manifest:
    """Keep what a Service selects, and whose it is."""
    metadata = manifest["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "annotations") if key in metadata}
    selector = dig(manifest, "spec", "selector") or {}
    return {"kind": "Service", "metadata": kept, "spec": {"selector": selector}}


def kept_pod(manifest: Manifest) -> Pod:
    """Keep what decisions need of a pod."""
    metadata = manifest["metadata"]
    conditions = dig(manifest, "status", "conditions") or ()
    ready = any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)
    labels = metadata.get("labels") or {}
    return Pod(
        metadata["name"],
        labels.get(HASH_LABEL, ""),
        metadata.get("creationTimestamp", ""),
        ready,
        labels,
        metadata.get("annotations") or {},
        deleting="deletionTimestamp" in metadata,
    )


def kept_endpoints(manifest: Manifest) -> Endpoints:
    """Keep the names of the ready pods of an EndpointSlice."""
    kept = Endpoints(
        str(dig(endpoint, "targetRef", "name"))
        for endpoint in manifest.get("endpoints") or ()
        if dig(endpoint, "conditions", "ready") is not False and dig(endpoint, "targetRef", "kind") == "Pod"
    )
    kept.service = str(dig(manifest, "metadata", "labels", SERVICE_LABEL) or "")
    return kept
