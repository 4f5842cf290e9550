"""As much of an API server as the client needs, on loopback: objects with versions, watches, and failures on purpose.

What a real one does is the matter of `integration/`; here it is what the client makes of answers, also of none.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import jsonpatch
import yaml

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from rollway.routers.objects import Manifest

_PATH = re.compile(
    r"/api(?:s/(?P<group>[^/]+))?/(?P<version>[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?"
)
Kinds: TypeAlias = "dict[str, dict[str, dict[str, tuple[str, bool]]]]"
KINDS: Kinds = {
    "discovery.k8s.io": {"v1": {"EndpointSlice": ("endpointslices", True)}},
    "networking.k8s.io": {"v1": {"Ingress": ("ingresses", True), "IngressClass": ("ingressclasses", False)}},
    "networking.istio.io": {"v1": {"VirtualService": ("virtualservices", True)}},
    "apps": {"v1": {"Deployment": ("deployments", True), "ReplicaSet": ("replicasets", True)}},
    "coordination.k8s.io": {"v1": {"Lease": ("leases", True)}},
}
ROLLOUTS: Kinds = {"argoproj.io": {"v1alpha1": {"Rollout": ("rollouts", True)}}}
"""Add it to the `kinds` of a server that is to serve Rollouts."""


@dataclass
class Fault:
    """What goes wrong with the next requests of these methods whose path holds `path`.

    `kind` is `reset` (before anything is done), `lost` (done, then the connection is reset), `truncated` (done, then half
    of the answer), `garbled` (done, then a page instead of JSON), `status` (an error instead of doing it), `done-status`
    (done, then that error), or `closed` (a watch that the server ends at once).
    """

    kind: str
    status: int = 500
    message: str = "made up"
    times: int = 1
    methods: tuple[str, ...] = ("POST", "PUT", "PATCH", "DELETE")
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class _Refused(Exception):  # noqa: N818 - an answer, not a failure of the server
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class ApiServer:
    """Objects by path; `requests` lists (method, path with query) of every request."""

    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}
        self.faults: list[Fault] = []
        self.kinds: Kinds = KINDS
        self.requests: list[tuple[str, str]] = []
        self.address = ""
        self.headers: dict[str, str] = {}
        """The headers of the last request."""
        self._version = 100
        self._events: list[tuple[int, str, str, Manifest]] = []
        self._watches = 0
        self._changed = threading.Condition()

    # -- what a test does

    def put(self, manifest: Manifest, plural: str) -> Manifest:
        """Create or replace an object, as somebody else would; return it as it is stored."""
        return self._store(self._place(manifest, plural), manifest)

    def delete(self, manifest: Manifest, plural: str) -> None:
        """Delete an object, as somebody else would."""
        self._remove(self._place(manifest, plural))

    def count(self, *methods: str) -> int:
        """Return how many requests there were, of some methods, watches apart."""
        return sum(
            method in (methods or (method,)) and "watch=true" not in path for method, path in self.requests
        )

    def break_watches(self) -> None:
        """End every watch that is open now with a reset."""
        with self._changed:
            self._watches += 1
            self._changed.notify_all()

    def kubeconfig(self, folder: Path) -> str:
        """Write a kubeconfig for this server and return its path."""
        config = {
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.address}}],
            "users": [{"name": "fake", "user": {"token": "secret"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    # -- what the handler does

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault for a request, if there is one, and count both."""
        with self._changed:
            self.requests.append((method, path))
            for fault in self.faults:
                if fault.times and method in fault.methods and fault.path in path:
                    fault.times -= 1
                    return fault
        return None

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Any:
        """Do what a request asks for, and return the status and the body."""
        if path == "/apis":
            return 200, _discovery(self.kinds)
        match = _PATH.fullmatch(path)
        assert match, path
        if method == "GET":
            return 200, self._existing(path) if match["name"] else self._list(path, query)
        if method == "POST":
            return 201, self._create(path, body)
        if method == "DELETE":
            self._check_version(path, (body or {}).get("preconditions", {}))
            self._remove(path)
            return 200, {"kind": "Status", "status": "Success"}
        place = path.removesuffix(f"/{match['subresource']}")
        status = 200 if place in self.objects else 201
        return status, self._store(place, self._changed_object(method, place, body, content_type))

    def _create(self, path: str, body: Any) -> Manifest:
        if path.endswith("reviews"):
            return {"kind": body["kind"], "status": {"allowed": True, "userInfo": {"username": "ann"}}}
        place = f"{path}/{body['metadata']['name']}"
        if place in self.objects:
            raise _Refused(409, "AlreadyExists", f"{place} already exists")
        return self._store(place, body)

    def _changed_object(self, method: str, place: str, body: Any, content_type: str) -> Manifest:
        if "json-patch" in content_type:
            return _patched(self._existing(place), body)
        if "merge-patch" in content_type:
            self._existing(place)
        if method == "PUT" or place in self.objects:
            self._check_version(place, body.get("metadata", {}))
        known = self.objects.get(place)
        return body if method == "PUT" or known is None else _merged(known, body)  # type: ignore[no-any-return]

    def events(self, path: str, version: int) -> Iterator[tuple[str, Manifest]]:
        """Yield the events after a version until the watches are broken."""
        with self._changed:
            mine, position = self._watches, 0
            while mine == self._watches:
                for number, kind, place, manifest in self._events[position:]:
                    position += 1
                    if number > version and self._within(place, path):
                        yield kind, manifest
                self._changed.wait(0.05)

    def _list(self, path: str, query: dict[str, str]) -> Manifest:
        selector = re.fullmatch(r"(\S+) in \(([^)]*)\)", query.get("labelSelector", ""))
        items = [
            item
            for place, item in self.objects.items()
            if self._within(place, path)
            and (
                selector is None
                or item["metadata"].get("labels", {}).get(selector[1]) in selector[2].split(",")
            )
        ]
        return {"kind": "List", "metadata": {"resourceVersion": str(self._version)}, "items": items}

    def _within(self, place: str, path: str) -> bool:
        """Return whether an object is one of a list, which may be that of all namespaces."""
        return (
            re.sub(r"/namespaces/[^/]+", "", place).rpartition("/")[0] == path
            or place.rpartition("/")[0] == path
        )

    def _store(self, place: str, manifest: Manifest) -> Manifest:
        with self._changed:
            self._version += 1
            known = self.objects.get(place)
            metadata = {**manifest["metadata"], "resourceVersion": str(self._version)}
            metadata.setdefault("uid", known["metadata"]["uid"] if known else f"uid-{self._version}")
            stored = {**manifest, "metadata": metadata}
            self.objects[place] = stored
            self._tell("MODIFIED" if known else "ADDED", place, stored)
            return json.loads(json.dumps(stored))  # type: ignore[no-any-return]

    def _remove(self, place: str) -> None:
        with self._changed:
            gone = self.objects.pop(place)
            self._version += 1
            metadata = {**gone["metadata"], "resourceVersion": str(self._version)}
            self._tell("DELETED", place, {**gone, "metadata": metadata})

    def _tell(self, kind: str, place: str, manifest: Manifest) -> None:
        self._events.append((self._version, kind, place, manifest))
        self._changed.notify_all()

    def _existing(self, place: str) -> Manifest:
        if place not in self.objects:
            raise _Refused(404, "NotFound", f"{place} not found")
        return self.objects[place]

    def _check_version(self, place: str, wanted: dict[str, Any]) -> None:
        version = wanted.get("resourceVersion")
        if version and version != self._existing(place)["metadata"]["resourceVersion"]:
            raise _Refused(409, "Conflict", "the object has been modified")

    def _place(self, manifest: Manifest, plural: str) -> str:
        group = manifest["apiVersion"]
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        namespace = manifest["metadata"].get("namespace")
        inside = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{inside}/{plural}/{manifest['metadata']['name']}"


def _patched(known: Manifest, patch: Any) -> Manifest:
    try:
        found: Manifest = jsonpatch.apply_patch(known, patch)
    except jsonpatch.JsonPatchException as error:
        raise _Refused(
            422, "Invalid", "the server rejected our request due to an error in our request"
        ) from error
    return found


def _merged(known: Any, body: Any) -> Any:
    if not isinstance(known, dict) or not isinstance(body, dict):
        return body
    return {**known, **{key: _merged(known.get(key), value) for key, value in body.items()}}


def _discovery(kinds_of_groups: Kinds) -> Manifest:
    return {
        "kind": "APIGroupDiscoveryList",
        "items": [
            {
                "metadata": {"name": group},
                "versions": [
                    {
                        "version": version,
                        "resources": [
                            {
                                "resource": plural,
                                "responseKind": {"kind": kind},
                                "scope": "Namespaced" if namespaced else "Cluster",
                            }
                            for kind, (plural, namespaced) in kinds.items()
                        ],
                    }
                    for version, kinds in versions.items()
                ],
            }
            for group, versions in kinds_of_groups.items()
        ],
    }


@contextlib.contextmanager
def api_server(tls: ssl.SSLContext | None = None) -> Iterator[ApiServer]:
    """Run a server on loopback, with TLS where there is a context for it."""
    fake = ApiServer()

    class Handler(_Handler):
        server_of_objects = fake

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    fake.address = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.break_watches()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of_objects: ApiServer

    def log_message(self, *_words: Any) -> None:
        """Print nothing."""

    def handle_one_request(self) -> None:
        """Serve a client that may go away."""
        with contextlib.suppress(ConnectionError, ValueError):
            super().handle_one_request()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        self.server_of_objects.headers = dict(self.headers)
        fault = self.server_of_objects.take(self.command, self.path)
        if fault and fault.kind in ("reset", "status"):
            self._fail(fault)
        elif query.get("watch"):
            self._stream(url.path, query, fault)
        else:
            content_type = self.headers.get("Content-Type", "")
            bare = "PartialObjectMetadata" in self.headers.get("Accept", "")
            try:
                status, found = self.server_of_objects.answer(
                    self.command, url.path, query, body, content_type
                )
            except _Refused as error:
                status = error.status
                found = {
                    "kind": "Status",
                    "message": str(error),
                    "reason": error.reason,
                    "details": {"name": "x"},
                }
            if bare:
                found = {**found, "items": [{"metadata": item["metadata"]} for item in found["items"]]}
            if fault:
                self._fail(fault, json.dumps(found).encode())
            else:
                self._answer(status, json.dumps(found).encode())

    def _fail(self, fault: Fault, content: bytes = b"") -> None:
        if fault.kind in ("reset", "lost"):
            self._reset()
        elif fault.kind == "garbled":
            self._answer(200, b"<html>a page of a proxy</html>")
        elif fault.kind == "truncated":
            self._answer(200, content, half=True)
            self._reset()
        else:
            status = {"kind": "Status", "message": fault.message}
            self._answer(fault.status, json.dumps(status).encode(), fault.headers)

    def _answer(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, *, half: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if half else content)
        self.wfile.flush()

    def _stream(self, path: str, query: dict[str, str], fault: Fault | None) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not (fault and fault.kind == "closed"):
            for kind, manifest in self.server_of_objects.events(path, int(query["resourceVersion"])):
                line = json.dumps({"type": kind, "object": manifest}).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self._reset()
            return
        self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server calls
