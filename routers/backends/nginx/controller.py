"""What the ingress-nginx controller makes of a list of Ingress objects: a model of its canary merge, without I/O.

Follows `internal/ingress/controller/controller.go` (createUpstreams, getBackendServers, mergeAlternativeBackends) and
`internal/ingress/annotations/canary` of kubernetes/ingress-nginx v1.15.1, in our own words. What the controller only
logs, `Loaded.log` holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rollway.routers.backends.nginx.policy import TRUE, Policy, read_canary
from rollway.routers.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from rollway.routers.objects import Manifest, ObjectRef

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_UPSTREAM = "upstream-default-backend"
CATCH_ALL = "_"

Location: TypeAlias = tuple[str, str, str]
"""Server name, path and pathType, as the controller keys its locations."""


class IngressPath(NamedTuple):
    """One path of one rule that leads to a Service. `host` and `path` are None when the manifest omits them."""

    rule: int
    host: str | None
    path: str | None
    path_type: str
    service: str
    port: Mapping[str, Any]

    @property
    def location(self) -> Location:
        """The location that a normal Ingress makes of it: an omitted path is `/`, ImplementationSpecific is Prefix."""
        kind = "Prefix" if self.path_type == "ImplementationSpecific" else self.path_type
        return (self.host or CATCH_ALL, self.path or "/", kind)

    def upstream(self, namespace: str) -> str:
        """Return the controller's name of the upstream: namespace, Service and port as it is written."""
        return f"{namespace}-{self.service}-{self.port.get('name') or self.port.get('number')}"


@dataclass
class Upstream:
    """A Service and port; the first Ingress that mentions it decides whether it is a canary, and its policy."""

    name: str
    first: ObjectRef
    no_server: bool = False
    policy: Policy = field(default_factory=Policy)
    alternatives: list[str] = field(default_factory=list)
    affinity: ObjectRef | None = None
    """The Ingress that asks for cookie affinity; a cookie keeps a user with the version that has set it."""
    hash_by: str = ""
    """What chooses one endpoint of this upstream (`upstream-hash-by`), once the version is chosen."""
    through_service: bool = False
    """Whether requests go to the Service instead of its endpoints (`service-upstream`)."""


class Block(NamedTuple):
    """A path in one type that the controller writes into a server of nginx.conf."""

    path: str
    path_type: str
    ref: ObjectRef | None
    """The Ingress that it comes from; None for the root that every server has."""


@dataclass
class Loaded:
    """What the controller would load. `log` holds (upstream, message) of all that it ignores."""

    upstreams: dict[str, Upstream] = field(default_factory=dict)
    locations: dict[Location, tuple[str, ObjectRef]] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, ObjectRef, Location]] = field(default_factory=list)
    """(upstream, Ingress, location) of the locations that no request reaches, because the Service is a canary."""

    blocks: dict[str, dict[str, list[Block]]] = field(default_factory=dict)
    """What the controller writes for each host and path, in its order."""
    regex: set[str] = field(default_factory=set)
    """Hosts whose locations are all regular expressions."""

    def refused(self) -> Iterator[tuple[str, ObjectRef]]:
        """Yield (location, Ingress) where nginx finds a location twice; it refuses the whole configuration then.

        A Prefix is written as two: all below the path, and the path itself unless an Exact one has it
        (location.go, updateServerLocations). Regular expressions may be there twice.
        """
        for host, paths in self.blocks.items():
            blocks = [] if host in self.regex else [block for entries in paths.values() for block in entries]
            exact = {block.path for block in blocks if block.path_type == "Exact"}
            seen: set[str] = set()
            for path, kind, ref in blocks:
                below = path if path.endswith("/") else f"{path}/"
                names = {f"= {path}"} if kind == "Exact" else {below}
                if path != "/" and path not in exact:
                    names.add(f"= {path}")
                for name in sorted(names & seen):
                    assert ref is not None, "the root that every server has comes first"
                    yield f"{host} {name}", ref
                seen |= names

    def reasons(self, upstream: str) -> str:
        """Return what the controller would log of an upstream, once each, in order."""
        return "; ".join(dict.fromkeys(message for name, message in self.log if name == upstream))


def read_paths(ref: ObjectRef, manifest: Manifest) -> Iterator[IngressPath]:
    """Yield every path that leads to a Service; rules without `http` and resource backends have none.

    Raises:
        ManifestError: the Ingress is not of the shape that networking.k8s.io/v1 has.
    """
    for index, rule in enumerate(_expect(ref, manifest, "spec", "rules", kind=list)):
        host = _expect(ref, rule, "host", kind=str, default=None)
        for path in _expect(ref, rule, "http", "paths", kind=list):
            service = _expect(ref, path, "backend", "service", kind=dict)
            if service:
                yield IngressPath(
                    index,
                    host or None,
                    _expect(ref, path, "path", kind=str, default=None) or None,
                    _expect(ref, path, "pathType", kind=str, default="ImplementationSpecific"),
                    _expect(ref, service, "name", kind=str, default=""),
                    _port(ref, service),
                )


def default_backend(ref: ObjectRef, manifest: Manifest) -> IngressPath | None:
    """Return `spec.defaultBackend` as a path, or None when there is none that leads to a Service."""
    service = _expect(ref, manifest, "spec", "defaultBackend", "service", kind=dict)
    if not service:
        return None
    port = _port(ref, service)
    return IngressPath(-1, None, None, "Prefix", _expect(ref, service, "name", kind=str, default=""), port)


def _port(ref: ObjectRef, service: Mapping[str, Any]) -> Mapping[str, Any]:
    port: Mapping[str, Any] = _expect(ref, service, "port", kind=dict)
    _expect(ref, port, "name", kind=str, default="")
    _expect(ref, port, "number", kind=int, default=0)
    return port


def annotations_of(ref: ObjectRef, manifest: Manifest) -> Mapping[str, str]:
    """Return the annotations of an Ingress; values that are not text are left out, as the API server has none."""
    annotations = _expect(ref, manifest, "metadata", "annotations", kind=dict)
    return {key: value for key, value in annotations.items() if isinstance(value, str)}


def class_of(ref: ObjectRef, manifest: Manifest) -> str | None:
    """Return the Ingress class, from the field or from the old annotation; None when neither is given."""
    name: str | None = _expect(ref, manifest, "spec", "ingressClassName", kind=str, default=None)
    return name or annotations_of(ref, manifest).get(CLASS_ANNOTATION)


def _expect(ref: ObjectRef, value: Any, *path: str, kind: type, default: Any = ()) -> Any:
    """Return the value at a path, `default` (an empty one of its kind) when it is absent or null."""
    for step in path:
        if not isinstance(value, dict):
            raise ManifestError(
                ref, [f"{'.'.join(path)}: found {type(value).__name__} where a mapping belongs"]
            )
        value = value.get(step)
        if value is None:
            return kind() if default == () else default
    if not isinstance(value, kind):
        raise ManifestError(
            ref, [f"{'.'.join(path)}: found {type(value).__name__} where {kind.__name__} belongs"]
        )
    return value


def load(ingresses: Sequence[tuple[ObjectRef, Manifest]], prefix: str) -> Loaded:
    """Return what the controller loads from these Ingresses, given oldest first."""
    loaded = Loaded()
    read = [_read(ref, manifest, prefix) for ref, manifest in ingresses]
    for ingress in read:
        for path in (*ingress.default, *ingress.paths):
            name = path.upstream(ingress.ref.namespace)
            if name not in loaded.upstreams:
                upstream = Upstream(name, ingress.ref, ingress.canary, ingress.policy)
                upstream.hash_by = ingress.annotations.get(f"{prefix}/upstream-hash-by", "").strip()
                upstream.through_service = ingress.annotations.get(f"{prefix}/service-upstream") in TRUE
                loaded.upstreams[name] = upstream
    normal = [ingress for ingress in read if not ingress.canary]
    hosts = {path.location[0] for ingress in normal for path in ingress.paths} | {CATCH_ALL}
    for ingress in read:
        _add_locations(loaded, ingress, prefix, hosts)
    if normal:
        servers = {host: _Server(loaded, host) for host in hosts}
        for ingress in read:
            if ingress.canary:
                _merge(loaded, servers, ingress, prefix)
    return loaded


class _Ingress(NamedTuple):
    """One Ingress as the controller reads it: once for all that it makes of it."""

    ref: ObjectRef
    annotations: Mapping[str, str]
    default: Sequence[IngressPath]
    """Its default backend, if it has one."""
    paths: Sequence[IngressPath]
    has_rules: bool
    canary: bool
    policy: Policy


def _read(ref: ObjectRef, manifest: Manifest, prefix: str) -> _Ingress:
    annotations = annotations_of(ref, manifest)
    canary, policy, _ = read_canary(annotations, prefix)
    default, paths = default_backend(ref, manifest), tuple(read_paths(ref, manifest))
    has_rules = bool(_expect(ref, manifest, "spec", "rules", kind=list))
    defaults = (default,) if default else ()
    return _Ingress(ref, annotations, defaults, paths, has_rules, canary, policy if canary else Policy())


def all_paths(ref: ObjectRef, manifest: Manifest) -> Iterable[IngressPath]:
    """Return the default backend and every path; raises what `read_paths` raises."""
    default = default_backend(ref, manifest)
    return [*([default] if default else []), *read_paths(ref, manifest)]


def _add_locations(loaded: Loaded, ingress: _Ingress, prefix: str, hosts: Collection[str]) -> None:
    """Make the locations of one Ingress.

    Whether a path gets one is decided by its upstream: a canary Ingress whose Service an older normal Ingress uses gets
    locations too, and those of a host that no normal Ingress has go to the catch-all server
    (controller.go, getBackendServers).
    """
    ref, annotations, canary = ingress.ref, ingress.annotations, ingress.canary
    rewritten = annotations.get(f"{prefix}/rewrite-target", "")
    for path in ingress.paths:
        name = path.upstream(ref.namespace)
        upstream = loaded.upstreams[name]
        regex = annotations.get(f"{prefix}/use-regex") in TRUE or rewritten not in ("", path.location[1])
        host, location_path, kind = path.location
        host = host if host in hosts else CATCH_ALL
        location = (host, location_path, kind)
        if upstream.no_server:
            if not canary:
                loaded.skipped.append((name, ref, location))
                address = "".join(location[:2])
                loaded.log.append(
                    (
                        name,
                        f"{ref} gets no location {address}: {upstream.first} made its Service a canary first",
                    )
                )
            continue
        if annotations.get(f"{prefix}/affinity", "").strip() == "cookie":
            upstream.affinity = ref
        by_path = loaded.blocks.setdefault(host, {"/": [Block("/", "Prefix", None)]})
        blocks = by_path.setdefault(location_path, [])
        # Only the first type of a path is looked at, so a second one can come in twice.
        if not blocks or blocks[0].path_type != kind:
            blocks.append(Block(location_path, kind, ref))
        if regex:
            loaded.regex.add(host)
        if location not in loaded.locations:
            loaded.locations[location] = (name, ref)
        elif not canary:
            owner = loaded.locations[location][1]
            loaded.log.append(
                (name, f"{ref} gets no location {''.join(location[:2])}: {owner} has it already")
            )
    for default in () if canary or ingress.has_rules else ingress.default:
        loaded.locations.setdefault((CATCH_ALL, "/", "Prefix"), (default.upstream(ref.namespace), ref))


class _Server:
    """The locations of one host in the order in which the controller walks them: the root comes first."""

    def __init__(self, loaded: Loaded, host: str) -> None:
        entries = [(key, name) for key, (name, _) in loaded.locations.items() if key[0] == host]
        self.locations = sorted(entries, key=lambda item: item[0][1:] != ("/", "Prefix"))
        self.position = {key: index for index, (key, _) in enumerate(self.locations)}
        self.primary: dict[str, int] = {}
        for index, (_, name) in enumerate(self.locations):
            self.primary.setdefault(name, index)


def _merge(loaded: Loaded, servers: Mapping[str, _Server], ingress: _Ingress, prefix: str) -> None:
    """Attach a canary Ingress to the primary upstreams of the locations that it matches."""
    ref = ingress.ref
    behaviour = ingress.annotations.get(f"{prefix}/affinity-canary-behavior", "").strip()
    canary = _Canary(ref, sticky=behaviour != "legacy")
    for default in ingress.default:
        _attach(loaded, default.upstream(ref.namespace), servers[CATCH_ALL], None, canary)
    for path in ingress.paths:
        name = path.upstream(ref.namespace)
        host = path.location[0]
        if name not in loaded.upstreams:
            continue  # an earlier path of this canary was not matched, so the controller has deleted it
        if host not in servers:
            loaded.log.append((name, f"host {host} of {ref} is served by no other Ingress"))
            continue
        _attach(loaded, name, servers[host], path.location, canary)


class _Canary(NamedTuple):
    """A canary Ingress that is merged, and whether its users are kept as those of the primary are."""

    ref: ObjectRef
    sticky: bool


def _attach(loaded: Loaded, name: str, server: _Server, wanted: Location | None, canary: _Canary) -> None:
    """Merge into the location wanted (a default backend: into all), up to the first that the Service itself serves."""
    end = server.primary.get(name, len(server.locations))
    if wanted is None:
        merged = server.locations[:end]
    else:
        position = server.position.get(wanted, end)
        merged = server.locations[position : position + 1] if position < end else []
    for _, primary in merged:
        upstream = loaded.upstreams.get(primary)  # another canary Ingress may have had it deleted
        if upstream and name not in upstream.alternatives:
            upstream.alternatives.append(name)
            if canary.sticky and name in loaded.upstreams:
                loaded.upstreams[name].affinity = upstream.affinity
    if name in server.primary:
        host = server.locations[end][0][0]
        loaded.log.append(
            (name, f"the Service of {canary.ref} is a primary of host {host} already, so it is not merged")
        )
    elif not merged:
        loaded.log.append(
            (name, f"a path of {canary.ref} matches no location, so the controller deletes the whole canary")
        )
        del loaded.upstreams[name]
