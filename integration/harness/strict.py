"""What kubectl sends when it asks the server to refuse fields that it does not know, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.routers.kube.failures import RequestInfo

if TYPE_CHECKING:
    from harness.api import Api
    from rollway.routers.objects import Manifest


def send(api: Api, method: str, manifest: Manifest, **query: str) -> Manifest:
    """Send a whole object as kubectl does, which asks the server to refuse fields that it does not know."""
    resource = api.resource(manifest)
    namespace = manifest["metadata"].get("namespace", "")
    name = manifest["metadata"]["name"] if method != "POST" else ""
    version = manifest["apiVersion"].rpartition("/")[2]
    path = resource.path(namespace, name, version)
    info = RequestInfo("create", resource.plural, resource.group, namespace, name)
    form = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    words = {"fieldValidation": "Strict", "fieldManager": "kubectl", **query}
    return api.connection.request(method, path, info, query=words, body=manifest, content_type=form).body


def apply(api: Api, manifest: Manifest, **query: str) -> Manifest:
    """Apply an object as `kubectl apply --server-side --force-conflicts` does."""
    return send(api, "PATCH", manifest, force="true", **query)


def lost(given: Any, stored: Any, path: str = "") -> list[str]:
    """Return the ways to values that are not stored as they were given."""
    if isinstance(given, dict) and isinstance(stored, dict):
        parts = [lost(value, stored.get(key), f"{path}.{key}") for key, value in given.items()]
        return [each for part in parts for each in part]
    if isinstance(given, list) and isinstance(stored, list) and len(given) == len(stored):
        pairs = zip(given, stored, strict=True)
        return [each for index, pair in enumerate(pairs) for each in lost(*pair, f"{path}[{index}]")]
    return [] if given == stored else [path]
