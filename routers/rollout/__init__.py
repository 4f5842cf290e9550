"""Read a Rollout manifest into a Rollout, and report every fault of it at once, with path, file and line.

The manifest is Argo Rollouts' own (`argoproj.io/v1alpha1`), plus `trafficRouting` under `blueGreen`. A blue-green Rollout
without it has no router: its Services select the pods of one release.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs

from rollway.routers.backends import builtin_packages, packages
from rollway.routers.errors import Fault, ManifestError, UnsupportedError
from rollway.routers.held_weight import held_weight_of
from rollway.routers.model import INSTANCE_LABEL, PingPong, ReleaseHashes, Rollout, RolloutStatus, Strategy
from rollway.routers.objects import dig
from rollway.routers.rollout.schema import COMMON_KEYS, rollout_schema
from rollway.routers.rollout.unused import is_without_router, misspelled_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rollway.routers.backends import BackendPackage
    from rollway.routers.objects import Manifest, Pointer

_STRATEGIES = ("canary", "blueGreen")
_STATUS = ("phase", "currentStepIndex", "pauseConditions", "abort", "stableRS", "currentPodHash")
"""The keys of a status of which no value is a fault."""


class _Faults:
    """Collect faults with their pointer; `unsupported` counts those that only name a backend that there is not."""

    def __init__(self, locate: Callable[[Pointer], str]) -> None:
        self._locate = locate
        self._paths: list[Pointer] = []
        self._misspelled: set[Pointer] = set()
        self._faults: list[Fault] = []
        self.unsupported = 0

    def add(self, path: Sequence[str | int], message: str) -> None:
        """Add a fault, unless it only follows from one that stands above or below it, or from a misspelled key."""
        new = tuple(path)
        if new in self._misspelled or any(
            new != old and (new[: len(old)] == old or old[: len(new)] == new) for old in self._paths
        ):
            return
        self._paths.append(new)
        self._faults.append(Fault(f"{dotted(path)}: {message}", self._locate(new)))

    def add_misspelled(self, path: Pointer, meant: str) -> None:
        """Add the fault of a key that was meant to be another one."""
        self.add(path, f"unknown key; did you mean {meant!r}?")
        self._misspelled.add((*path[:-1], meant))

    @property
    def lines(self) -> list[Fault]:
        """The faults in the order in which they stand in the file."""
        return sorted(self._faults, key=lambda fault: _line(fault.place))


def _line(place: str) -> int:
    number = place.rpartition(":")[2]
    return int(number) if number.isdigit() else 0


def dotted(path: Sequence[str | int]) -> str:
    """Write a pointer as people do: `spec.rules[0].host`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "(the whole object)"


def parse_rollout(
    manifest: Manifest, *, namespace: str = "default", locate: Callable[[Pointer], str] = lambda _path: ""
) -> Rollout:
    """Read a Rollout; `namespace` stands in where the manifest has none, `locate` turns a pointer into file:line.

    Raises:
        ManifestError: the manifest has faults; all of them are listed.
        UnsupportedError: nothing is wrong but the router, which rollway does not have.
    """
    faults = _Faults(locate)
    schema = _Schema.of(tuple(_mentioned(manifest)))
    clean = _check_schema(manifest, schema, faults)
    if clean is not None:
        rollout = _read(clean, namespace, schema.packages, faults)
        if rollout and not faults.lines:
            label = dig(manifest, "metadata", "labels", INSTANCE_LABEL)
            return replace(rollout, instance_id=str(label or ""), held=held_weight_of(manifest))
    name = _name(manifest)
    if faults.unsupported and faults.unsupported == len(faults.lines):
        raise UnsupportedError(
            f"Rollout {name} asks for a backend that rollway does not have:", reasons=faults.lines
        )
    raise ManifestError(f"Rollout {name}", faults.lines)


class _Schema(NamedTuple):
    """The schema of a Rollout with the stanzas of some backends."""

    packages: tuple[BackendPackage, ...]
    document: dict[str, Any]
    validator: jsonschema_rs.Draft202012Validator

    @classmethod
    @functools.cache
    def of(cls, mentioned: tuple[BackendPackage, ...]) -> _Schema:
        """Compile it, once for each set of backends; a manifest has one or two of them."""
        document = rollout_schema(mentioned)
        return cls(mentioned, document, jsonschema_rs.Draft202012Validator(document))


def _mentioned(manifest: Any) -> Iterator[BackendPackage]:
    """Yield the backends whose stanza the manifest has."""
    routings = [dig(manifest, "spec", "strategy", strategy, "trafficRouting") for strategy in _STRATEGIES]
    for package in {package: None for routing in routings for package in _enough(routing)}:
        if any(_has(routing, place) for routing in routings for place in package.places):
            yield package


def _enough(routing: Any) -> tuple[BackendPackage, ...]:
    """Return the backends among which each stanza of a `trafficRouting` is, if it is anybody's."""
    known = builtin_packages()
    # Only a stanza of nobody here makes it worth looking for other backends.
    return packages() if next(_unknown(routing, known), None) else known


def _has(routing: Any, place: tuple[str, ...]) -> bool:
    parent = dig(routing, *place[:-1])
    return isinstance(parent, dict) and place[-1] in parent


def _name(manifest: Any) -> str:
    return str(dig(manifest, "metadata", "name") or "(unnamed)")


def _without_nulls(value: Any) -> Any:
    """Drop null fields, as the API server does, and make every key a string."""
    if isinstance(value, dict):
        return {str(key): _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _check_schema(manifest: Any, schema: _Schema, faults: _Faults) -> Any:
    """Add the faults that the schema finds; return the manifest without them, or None when too little is left."""
    view = _without_nulls(_relevant(manifest))
    faulty: list[Pointer] = []
    for misspelled, meant in misspelled_fields(view, schema.document):
        faults.add_misspelled(misspelled, meant)
    for error in schema.validator.iter_errors(view):
        kind = error.kind
        faulty.append(tuple(error.instance_path))
        if isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
            known = _known_keys(schema.document, error.schema_path)
            faulty[-1:] = [(*error.instance_path, key) for key in kind.unexpected]
            for key in kind.unexpected:
                faults.add([*error.instance_path, key], f"unknown key{_nearest(key, known)}")
        elif isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
            faults.add([*error.instance_path, kind.property], "is required")
        elif isinstance(kind, jsonschema_rs.ValidationErrorKind.Pattern):
            faults.add(
                error.instance_path, f"{error.instance!r} is not a name that Kubernetes accepts (RFC 1123)"
            )
        else:
            quote = " (put it in quotes)" if error.message.endswith('type "string"') else ""
            faults.add(error.instance_path, error.message + quote)
    for strategy in _STRATEGIES:
        path = ("spec", "strategy", strategy, "trafficRouting")
        _refuse_unknown(dig(view, *path), path, faults)
    return _without(view, faulty, schema.validator)


def _refuse_unknown(routing: Any, path: tuple[str, ...], faults: _Faults) -> None:
    """Add a fault for each stanza of `trafficRouting` that is no backend's."""
    known = _enough(routing)
    for place in _unknown(routing, known):
        faults.unsupported += 1
        supported = ", ".join(package.name for package in known if package.places)
        heads = sorted({*COMMON_KEYS, *(place[0] for package in known for place in package.places)})
        close = _closest(place[-1], heads, 0.6)
        hint = f"; did you mean {close!r}?" if close else ""
        name = ".".join(place)
        faults.add([*path, *place], f"backend {name!r} is not supported (supported: {supported}){hint}")


def _unknown(routing: Any, known: Sequence[BackendPackage]) -> Iterator[tuple[str, ...]]:
    """Yield the places in a `trafficRouting` where none of these backends has its stanza."""
    places = {(key,) for key in COMMON_KEYS} | {place for package in known for place in package.places}
    return _beside(routing, places, ())


def _beside(value: Any, places: set[tuple[str, ...]], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of mappings that lead to none of some places."""
    for key in value if isinstance(value, dict) else ():
        path = (*above, key)
        if path in places:
            continue
        if any(place[: len(path)] == path for place in places):
            yield from _beside(value[key], places, path)
        else:
            yield path


def _without(view: Any, faulty: Sequence[Pointer], validator: jsonschema_rs.Draft202012Validator) -> Any:
    """Take the faulty values out, the deepest and last ones first; None when the rest is still not valid."""
    for path in sorted(set(faulty), key=lambda steps: [str(step).zfill(9) for step in steps], reverse=True):
        parent = dig(view, *path[:-1])
        if path and isinstance(parent, list):
            del parent[int(path[-1])]
        elif path:
            parent.pop(path[-1], None)
    return view if validator.is_valid(view) else None


def _relevant(manifest: Any) -> Any:
    """Keep only what the schema speaks of, so that the rest of a Rollout cannot be a fault."""
    if not isinstance(manifest, dict):
        return manifest
    view: dict[str, Any] = {
        key: manifest[key] for key in ("apiVersion", "metadata", "spec", "status") if key in manifest
    }
    for key, keep in (
        ("metadata", ("name", "namespace", "uid")),
        ("spec", ("strategy",)),
        ("status", ("canary", *_STATUS)),
    ):
        if isinstance(view.get(key), dict):
            view[key] = {inner: view[key][inner] for inner in keep if inner in view[key]}
    return view


def _known_keys(schema: Mapping[str, Any], schema_path: Sequence[str | int]) -> list[str]:
    node: Any = schema
    for step in schema_path[:-1]:
        node = node[step]
    return list(node["properties"])


def _nearest(key: str, known: Sequence[str]) -> str:
    close = _closest(key, known, 0.4)
    return f"; did you mean {close!r}?" if close else f"; known: {', '.join(sorted(known))}"


def _closest(key: str, known: Sequence[str], cutoff: float) -> str:
    import difflib  # noqa: PLC0415 - only a fault needs it

    return "".join(difflib.get_close_matches(key, known, n=1, cutoff=cutoff))


def _read(
    rollout: Manifest, namespace: str, known: Sequence[BackendPackage], faults: _Faults
) -> Rollout | None:
    strategies = [name for name in _STRATEGIES if name in rollout["spec"]["strategy"]]
    if len(strategies) != 1:
        both = "both canary and blueGreen are given: keep one" if strategies else "give canary or blueGreen"
        faults.add(("spec", "strategy"), both)
        return None
    strategy = strategies[0]
    path = ("spec", "strategy", strategy)
    body = rollout["spec"]["strategy"][strategy]
    routing = body.get("trafficRouting", {})
    namespace = rollout["metadata"].get("namespace") or namespace
    stable, canary, ping_pong = _services(rollout, body, strategy)
    without_router = is_without_router(rollout)
    if without_router:
        stanzas = {
            package.name: package.stanza.read({}, namespace, faults.add)
            for package in builtin_packages()
            if package.without_router
        }
    else:
        stanzas = _stanzas(routing, (*path, "trafficRouting"), namespace, known, faults)
    needed = not stanzas or any(
        package.stanza.needs_services(stanzas[package.name]) for package in known if package.name in stanzas
    )
    _check_services((stable, canary), body, path, faults, needed=needed, alone=without_router)
    if faults.lines:
        return None
    return Rollout(
        name=rollout["metadata"]["name"],
        namespace=namespace,
        stable_service=stable,
        canary_service=canary,
        strategy=Strategy(strategy),
        total=routing.get("maxTrafficWeight", 100),
        uid=rollout["metadata"].get("uid", ""),
        api_version=rollout.get("apiVersion", "argoproj.io/v1alpha1"),
        managed_routes=tuple(entry["name"] for entry in routing.get("managedRoutes", [])),
        stanzas=stanzas,
        ping_pong=ping_pong,
        hashes=_hashes(rollout) if without_router else None,
        status=_status(rollout),
        steps=_steps(body),
    )


def _stanzas(
    routing: Manifest,
    path: tuple[str, ...],
    namespace: str,
    known: Sequence[BackendPackage],
    faults: _Faults,
) -> dict[str, Any]:
    """Read the stanza of each backend that the manifest names."""
    stanzas: dict[str, Any] = {}
    for package in known:
        given = [place for place in package.places if _has(routing, place)]
        for place in given[:1]:
            where = (*path, *place)

            def fault(below: Sequence[str | int], message: str, where: tuple[str, ...] = where) -> None:
                faults.add((*where, *below), message)

            stanzas[package.name] = package.stanza.read(dig(routing, *place), namespace, fault)
        for place in given[1:]:
            faults.add(
                (*path, *place), f"{'.'.join(given[0])} is given as well, and means the same: keep one"
            )
    if not stanzas and not faults.unsupported:
        names = ", ".join(package.name for package in packages() if package.places)
        faults.add(path, f"names no backend: add one of {names}")
    return stanzas


def _services(rollout: Manifest, body: Manifest, strategy: str) -> tuple[str, str, PingPong | None]:
    """Return (stable, canary, ping-pong), which counts only where neither service is named, as in Argo Rollouts."""
    if strategy == "blueGreen":
        return body["activeService"], body.get("previewService", ""), None
    stable, canary = body.get("stableService", ""), body.get("canaryService", "")
    services = body.get("pingPong")
    if not services or stable or canary:
        return stable, canary, None
    ping, pong = services["pingService"], services["pongService"]
    named = dig(rollout, "status", "canary", "stablePingPong") or ""
    roles = (ping, pong) if named == "ping" else (pong, ping)
    return *roles, PingPong(ping, pong, named)


def _status(rollout: Manifest) -> RolloutStatus:
    """Read what a controller reports. A status is never a fault: what is not of the right type counts as absent."""
    status = rollout.get("status", {})
    phase, step = status.get("phase"), status.get("currentStepIndex")
    conditions = status.get("pauseConditions")
    reasons = [dig(entry, "reason") for entry in conditions] if isinstance(conditions, list) else []
    return RolloutStatus(
        phase if isinstance(phase, str) else "",
        step if type(step) is int else None,
        tuple(reason for reason in reasons if isinstance(reason, str)),
        status.get("abort") is True,
    )


def _hashes(rollout: Manifest) -> ReleaseHashes:
    """Read the pod-template hashes that a controller reports; as for `_status`, one of another type counts as absent."""
    reported = [rollout.get("status", {}).get(key) for key in ("stableRS", "currentPodHash")]
    stable, newest = (pod_hash if isinstance(pod_hash, str) else "" for pod_hash in reported)
    return ReleaseHashes(reported_stable=stable, reported_newest=newest)


def _steps(body: Manifest) -> tuple[Manifest, ...]:
    steps = body.get("steps")
    return tuple(step for step in steps if isinstance(step, dict)) if isinstance(steps, list) else ()


def _check_services(
    pair: tuple[str, str],
    body: Manifest,
    path: tuple[str, ...],
    faults: _Faults,
    *,
    needed: bool,
    alone: bool,
) -> None:
    """Add the faults of the two names; the stable Service may stand `alone` where there is no router."""
    stable, canary = pair
    keys = (
        ("activeService", "previewService") if "activeService" in body else ("stableService", "canaryService")
    )
    for key, value, other in ((keys[0], stable, canary), (keys[1], canary, stable)):
        if not value and (needed or other) and not alone:
            reason = " beside the other one" if other else " for this backend"
            faults.add((*path, key), f"is required{reason}")
    if stable and stable == canary:
        key = next(name for name in ("canaryService", "previewService", "pingPong") if name in body)
        faults.add(
            (*path, key),
            f"Service {canary!r} is already the stable one; the canary needs a Service of its own",
        )
