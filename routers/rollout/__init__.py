"""Read a Rollout manifest into a Rollout, and tell every fault of it at once, with path, file and line.

The manifest is Argo Rollouts' own (`argoproj.io/v1alpha1`), plus `trafficRouting` under `blueGreen`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs

from rollway.routers.errors import ManifestError, UnsupportedError
from rollway.routers.model import (
    DestinationRuleRoute,
    IstioRoute,
    NginxRoute,
    Rollout,
    SmiRoute,
    Strategy,
    TlsMatch,
    VirtualServiceRoute,
    dig,
)
from rollway.routers.rollout.schema import ROLLOUT, ROUTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollway.routers.model import Manifest, Pointer

DEFAULT_PREFIX = "nginx.ingress.kubernetes.io"
_ROUTING_KEYS = {*ROUTERS, "maxTrafficWeight", "managedRoutes"}
_validator = jsonschema_rs.Draft202012Validator(ROLLOUT)


class _Faults:
    """Collect faults with their pointer; `unsupported` counts those that only name another router."""

    def __init__(self, locate: Callable[[Pointer], str]) -> None:
        self._locate = locate
        self._paths: list[Pointer] = []
        self._lines: list[tuple[int, str]] = []
        self.unsupported = 0

    def add(self, path: Sequence[str | int], message: str) -> None:
        """Add a fault, unless it only follows from one that stands above or below it."""
        new = tuple(path)
        if any(new != old and (new[: len(old)] == old or old[: len(new)] == new) for old in self._paths):
            return
        self._paths.append(new)
        place = self._locate(new)
        line = place.rpartition(":")[2]
        text = f"{place + ': ' if place else ''}{dotted(path)}: {message}"
        self._lines.append((int(line) if line.isdigit() else 0, text))

    @property
    def lines(self) -> list[str]:
        """The faults in the order in which they stand in the file."""
        return [text for _, text in sorted(self._lines, key=lambda item: item[0])]


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
    clean = _check_schema(manifest, faults)
    if clean is not None:
        rollout = _read(clean, namespace, faults)
        if rollout and not faults.lines:
            return rollout
    name = _name(manifest)
    if faults.unsupported and faults.unsupported == len(faults.lines):
        raise UnsupportedError(
            f"Rollout {name} asks for a router that rollway does not have:", reasons=faults.lines
        )
    raise ManifestError(f"Rollout {name}", faults.lines)


def _name(manifest: Any) -> str:
    return str(dig(manifest, "metadata", "name") or "(unnamed)")


def _without_nulls(value: Any) -> Any:
    """Drop null fields, as the API server does, and make every key a string."""
    if isinstance(value, dict):
        return {str(key): _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _check_schema(manifest: Any, faults: _Faults) -> Any:
    """Add the faults that the schema finds; return the manifest without them, or None when too little is left."""
    view = _without_nulls(_relevant(manifest))
    faulty: list[Pointer] = []
    for error in _validator.iter_errors(view):
        kind = error.kind
        faulty.append(tuple(error.instance_path))
        if isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
            known = _known_keys(error.schema_path)
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
    for strategy in ("canary", "blueGreen"):
        path = ("spec", "strategy", strategy, "trafficRouting")
        routing = dig(view, *path)
        for key in routing if isinstance(routing, dict) else ():
            if key not in _ROUTING_KEYS:
                faults.unsupported += 1
                supported = ", ".join(ROUTERS)
                close = _closest(key, sorted(_ROUTING_KEYS), 0.6)
                hint = f"; did you mean {close!r}?" if close else ""
                faults.add([*path, key], f"router {key!r} is not supported (supported: {supported}){hint}")
    return _without(view, faulty)


def _without(view: Any, faulty: Sequence[Pointer]) -> Any:
    """Take the faulty values out, the deepest and last ones first; None when the rest is still not valid."""
    for path in sorted(set(faulty), key=lambda steps: [str(step).zfill(9) for step in steps], reverse=True):
        parent = dig(view, *path[:-1])
        if path and isinstance(parent, list):
            del parent[int(path[-1])]
        elif path:
            parent.pop(path[-1], None)
    return view if _validator.is_valid(view) else None


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
        ("status", ("canary",)),
    ):
        if isinstance(view.get(key), dict):
            view[key] = {inner: view[key][inner] for inner in keep if inner in view[key]}
    return view


def _known_keys(schema_path: Sequence[str | int]) -> list[str]:
    node: Any = ROLLOUT
    for step in schema_path[:-1]:
        node = node[step]
    return list(node["properties"])


def _nearest(key: str, known: Sequence[str]) -> str:
    close = _closest(key, known, 0.4)
    return f"; did you mean {close!r}?" if close else f"; known: {', '.join(sorted(known))}"


def _closest(key: str, known: Sequence[str], cutoff: float) -> str:
    import difflib  # noqa: PLC0415 - only a fault needs it

    return "".join(difflib.get_close_matches(key, known, n=1, cutoff=cutoff))


def _read(rollout: Manifest, namespace: str, faults: _Faults) -> Rollout | None:
    strategies = [name for name in ("canary", "blueGreen") if name in rollout["spec"]["strategy"]]
    if len(strategies) != 1:
        both = "both canary and blueGreen are given: keep one" if strategies else "give canary or blueGreen"
        faults.add(("spec", "strategy"), both)
        return None
    path = ("spec", "strategy", strategies[0])
    body = rollout["spec"]["strategy"][strategies[0]]
    routing = body.get("trafficRouting", {})
    namespace = rollout["metadata"].get("namespace") or namespace
    stable, canary = _services(rollout, body, strategies[0])
    named = [name for name in ROUTERS if name in routing]
    where = (*path, "trafficRouting")
    if not named and not faults.unsupported:
        faults.add(where, f"names no router: add one of {', '.join(ROUTERS)}")
    nginx = _nginx(routing["nginx"], (*where, "nginx"), faults) if "nginx" in routing else None
    istio = _istio(routing["istio"], (*where, "istio"), namespace, faults) if "istio" in routing else None
    _check_services((stable, canary), body, path, faults, needed=_needs_services(named, istio))
    if faults.lines:
        return None
    smi = routing.get("smi")
    name = rollout["metadata"]["name"]
    return Rollout(
        name=name,
        namespace=namespace,
        stable_service=stable,
        canary_service=canary,
        strategy=Strategy(strategies[0]),
        total=routing.get("maxTrafficWeight", 100),
        uid=rollout["metadata"].get("uid", ""),
        api_version=rollout.get("apiVersion", "argoproj.io/v1alpha1"),
        managed_routes=tuple(entry["name"] for entry in routing.get("managedRoutes", [])),
        nginx=nginx,
        istio=istio,
        smi=None
        if smi is None
        else SmiRoute(smi.get("rootService") or stable, smi.get("trafficSplitName") or name),
    )


def _services(rollout: Manifest, body: Manifest, strategy: str) -> tuple[str, str]:
    """Return (stable, canary). Ping-pong counts only where neither service is named, as in Argo Rollouts."""
    if strategy == "blueGreen":
        return body["activeService"], body["previewService"]
    stable, canary = body.get("stableService", ""), body.get("canaryService", "")
    ping_pong = body.get("pingPong")
    if ping_pong and not stable and not canary:
        ping, pong = ping_pong["pingService"], ping_pong["pongService"]
        return (ping, pong) if dig(rollout, "status", "canary", "stablePingPong") == "ping" else (pong, ping)
    return stable, canary


def _needs_services(named: Sequence[str], istio: IstioRoute | None) -> bool:
    return named != ["istio"] or (istio is not None and istio.destination_rule is None)


def _check_services(
    pair: tuple[str, str], body: Manifest, path: tuple[str, ...], faults: _Faults, *, needed: bool
) -> None:
    stable, canary = pair
    for key, value, other in (("stableService", stable, canary), ("canaryService", canary, stable)):
        if not value and (needed or other):
            faults.add(
                (*path, key), "is required" + (" beside the other one" if other else " for this router")
            )
    if stable and stable == canary:
        key = next(name for name in ("canaryService", "previewService", "pingPong") if name in body)
        faults.add(
            (*path, key),
            f"Service {canary!r} is already the stable one; the canary needs a Service of its own",
        )


def _nginx(stanza: Manifest, path: tuple[str, ...], faults: _Faults) -> NginxRoute:
    single, several = stanza.get("stableIngress", ""), stanza.get("stableIngresses", [])
    if bool(single) == bool(several):
        what = "both are given" if single else "neither is given"
        faults.add(
            (*path, "stableIngress"), f"exactly one of stableIngress and stableIngresses is needed; {what}"
        )
    for index, name in enumerate(several):
        if name in several[:index]:
            faults.add((*path, "stableIngresses", index), f"Ingress {name!r} is listed twice")
    prefix = stanza.get("annotationPrefix") or DEFAULT_PREFIX
    additional = stanza.get("additionalIngressAnnotations", {})
    annotations = {
        key if key.startswith(prefix) else f"{prefix}/{key}": value for key, value in additional.items()
    }
    annotations |= stanza.get("canaryIngressAnnotations", {})
    return NginxRoute(tuple(several or [single]), prefix, tuple(sorted(annotations.items())))


def _istio(stanza: Manifest, path: tuple[str, ...], namespace: str, faults: _Faults) -> IstioRoute:
    single, several = stanza.get("virtualService"), stanza.get("virtualServices", [])
    if (single is not None) == bool(several):
        what = "both are given" if single else "neither is given"
        faults.add(
            (*path, "virtualService"), f"exactly one of virtualService and virtualServices is needed; {what}"
        )
    services = [_virtual_service(entry, namespace) for entry in ([single] if single else several)]
    for index, entry in enumerate(services):
        if (entry.name, entry.namespace) in [(other.name, other.namespace) for other in services[:index]]:
            faults.add(
                (*path, "virtualServices", index),
                f"VirtualService {entry.namespace}/{entry.name} is listed twice",
            )
    rule = stanza.get("destinationRule")
    if rule and rule["stableSubsetName"] == rule["canarySubsetName"]:
        faults.add(
            (*path, "destinationRule", "canarySubsetName"),
            f"subset {rule['canarySubsetName']!r} is already the stable one; the canary needs a subset of its own",
        )
    return IstioRoute(
        tuple(services),
        rule
        and DestinationRuleRoute(
            rule["name"],
            rule["stableSubsetName"],
            rule["canarySubsetName"],
            tuple(rule.get("additionalSubsetNames", [])),
        ),
    )


def _virtual_service(entry: Manifest, namespace: str) -> VirtualServiceRoute:
    """Split `name.namespace` at the last dot, `.cluster.local` dropped (Argo Rollouts, utils/istio, #4709)."""
    name, dot, home = entry["name"].removesuffix(".cluster.local").removesuffix(".svc").rpartition(".")
    tls = tuple(
        TlsMatch(item.get("port", 0), tuple(item.get("sniHosts", []))) for item in entry.get("tlsRoutes", [])
    )
    return VirtualServiceRoute(
        name if dot else home,
        home if dot else namespace,
        tuple(entry.get("routes", [])),
        tls,
        tuple(item["port"] for item in entry.get("tcpRoutes", [])),
    )
