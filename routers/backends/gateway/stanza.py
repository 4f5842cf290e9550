"""The `trafficRouting.gatewayAPI` stanza, with the keys of Argo Rollouts' Gateway API plugin, whose place it may have too.

Sources: rollouts-plugin-trafficrouter-gatewayapi v0.15.0, `GatewayAPITrafficRouting` in pkg/plugin/types.go; Kubernetes,
`LabelSelector` in apimachinery, pkg/apis/meta/v1/types.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rollway.routers.backends.stanzas import (
    OBJECT_NAME,
    OPTIONAL_NAME,
    TEXT,
    TEXT_MAP,
    Stanza,
    array,
    mapping,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.routers.backends.stanzas import Fault
    from rollway.routers.objects import Manifest

KEYS = {"http": "HTTPRoute", "grpc": "GRPCRoute", "tcp": "TCPRoute", "tls": "TLSRoute"}
"""The kind of route by what its keys begin with: `httpRoute`, `httpRoutes`, `httpRouteSelector`."""

UNUSED = ("configMap", "disableInProgressLabel", "inProgressLabelKey", "inProgressLabelValue")
"""Keys of the plugin that rollway reads and does not act on."""


class RouteName(NamedTuple):
    """One route that carries the weights, and whether it may get header and mirror rules as well."""

    kind: str
    name: str
    use_header_routes: bool = False


class Requirement(NamedTuple):
    """One condition of a label selector."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()

    def fits(self, labels: Mapping[str, Any]) -> bool:
        """Return whether the labels of an object meet the condition."""
        if self.operator in ("In", "NotIn"):
            return (labels.get(self.key) in self.values) is (self.operator == "In")
        return (self.key in labels) is (self.operator == "Exists")

    def __str__(self) -> str:
        if self.operator == "Exists":
            return self.key
        if self.operator == "DoesNotExist":
            return f"!{self.key}"
        return f"{self.key} {self.operator.lower()} ({','.join(self.values)})"


class RouteSelector(NamedTuple):
    """All routes of a kind whose labels meet every requirement."""

    kind: str
    requirements: tuple[Requirement, ...]

    def fits(self, labels: Mapping[str, Any]) -> bool:
        """Return whether a route with these labels is selected."""
        return all(requirement.fits(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


class GatewayTrafficRouting(NamedTuple):
    """The routes that carry the weights, all in one namespace: by name, and those that selectors find."""

    namespace: str
    routes: tuple[RouteName, ...]
    selectors: tuple[RouteSelector, ...] = ()
    unused: tuple[str, ...] = ()
    """The keys that were given and are not acted on."""


def read(stanza: Manifest, namespace: str, fault: Fault) -> GatewayTrafficRouting:
    """Read a stanza that fits the schema."""
    names: list[RouteName] = []
    selectors: list[RouteSelector] = []
    for key, kind in KEYS.items():
        for path, route in _names(stanza, key, kind):
            if (kind, route.name) in [(other.kind, other.name) for other in names]:
                fault(path, f"{kind} {route.name} is listed twice")
            names.append(route)
        selector = stanza.get(f"{key}RouteSelector")
        if selector is not None:
            selectors.append(
                RouteSelector(kind, tuple(_requirements(selector, f"{key}RouteSelector", fault)))
            )
    if not names and not selectors:
        fault([], "names no route: add httpRoute, grpcRoute, tlsRoute or tcpRoute, or a selector")
    unused = tuple(key for key in UNUSED if key in stanza)
    return GatewayTrafficRouting(stanza.get("namespace") or namespace, tuple(names), tuple(selectors), unused)


def _names(stanza: Manifest, key: str, kind: str) -> Iterator[tuple[list[str | int], RouteName]]:
    """Yield the routes of a kind and where each is named; the key for a single one lets it have header routes."""
    single = stanza.get(f"{key}Route")
    if single:
        yield [f"{key}Route"], RouteName(kind, single, use_header_routes=key in ("http", "grpc"))
    for index, entry in enumerate(stanza.get(f"{key}Routes", [])):
        route = RouteName(kind, entry["name"], entry.get("useHeaderRoutes", False))
        yield [f"{key}Routes", index, "name"], route


def _requirements(selector: Manifest, key: str, fault: Fault) -> Iterator[Requirement]:
    labels, expressions = selector.get("matchLabels", {}), selector.get("matchExpressions", [])
    if not labels and not expressions:
        fault([key], "selects every route of the namespace: give matchLabels or matchExpressions")
    for name, value in labels.items():
        yield Requirement(name, "In", (value,))
    for index, entry in enumerate(expressions):
        operator, values = entry["operator"], tuple(entry.get("values", []))
        if bool(values) is not (operator in ("In", "NotIn")):
            needs = "needs values" if not values else "takes no values"
            fault([key, "matchExpressions", index], f"operator {operator} {needs}")
        yield Requirement(entry["key"], operator, values)


_SELECTOR = mapping(
    matchLabels=TEXT_MAP,
    matchExpressions=array(
        mapping(
            ["key", "operator"],
            key=TEXT,
            operator={"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
            values=array({"type": "string"}),
        )
    ),
)
_BOOLEAN = {"type": "boolean"}
_ROUTE = mapping(["name"], name=OBJECT_NAME, useHeaderRoutes=_BOOLEAN)

STANZA = Stanza(
    mapping(
        (),
        namespace=OPTIONAL_NAME,
        **{f"{key}Route": OPTIONAL_NAME for key in KEYS},
        **{f"{key}Routes": array(_ROUTE) for key in KEYS},
        **{f"{key}RouteSelector": _SELECTOR for key in KEYS},
        configMap={"type": "string"},
        disableInProgressLabel=_BOOLEAN,
        inProgressLabelKey={"type": "string"},
        inProgressLabelValue={"type": "string"},
    ),
    read,
)
