"""What Envoys that istiod configures have loaded: the routes, listeners and endpoints of each, by its admin interface.

istiod's own view is no evidence: it shows "synced" before a change reached any proxy. It is asked only why an Envoy
rejected an update, which Envoy's admin interface does not show. Sources: Envoy, "Administration
interface", /config_dump; Istio, pilot/pkg/networking/core/route (names of clusters and routes) and gateway.go (listeners).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from rollway.routers.objects import dig
from rollway.routers.probes.http import NoAnswerError, ask_each, fetch
from rollway.routers.probes.loaded import Loaded, LoadedProbe
from rollway.routers.traffic import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rollway.routers.model import Context
    from rollway.routers.probes.http import Address, Find
    from rollway.routers.traffic import Verdict

_Place = TypeVar("_Place")
_TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


class Cluster(NamedTuple):
    """Where an Envoy of Istio sends requests, as the name of its cluster has it."""

    host: str
    subset: str
    port: str


class LoadedRoute(NamedTuple):
    """One route of Envoy: its host names, the Istio object that it comes from, its name, what it matches, where it leads.

    `match` and each of `mirrors` are as Envoy writes them (RouteMatch, RouteAction.RequestMirrorPolicy).
    """

    domains: Sequence[str]
    source: str
    name: str
    match: Mapping[str, Any]
    weights: Mapping[Cluster, int]
    mirrors: Sequence[Mapping[str, Any]]
    table: str = ""
    """The name of the route configuration, of which there is one for each port."""


class LoadedChain(NamedTuple):
    """One filter chain of a listener that leads connections to clusters of Istio."""

    name: str
    """The prefix of its statistics."""
    server_names: Sequence[str]
    """For which names that clients ask for (SNI); empty: for any."""
    weights: Mapping[Cluster, int]
    ends_tls: bool


class LoadedEndpoints(NamedTuple):
    """The addresses behind one cluster of Istio."""

    cluster: Cluster
    addresses: frozenset[str]


class Resource(NamedTuple):
    """One kind of dynamic resource of Envoy."""

    dump: str
    """What `/config_dump` calls it."""
    rejected: str
    """The pattern of the statistics that count rejected updates of it."""
    type_url: str
    """The name of its type, as istiod's `/debug/syncz` has it."""


ROUTES = Resource(
    "dynamic_route_configs",
    "%5C.rds%5C..*update_rejected",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
)
LISTENERS = Resource(
    "dynamic_listeners", "%5C.lds%5C.update_rejected", "type.googleapis.com/envoy.config.listener.v3.Listener"
)
ENDPOINTS = Resource(
    "dynamic_endpoint_configs&include_eds",
    "%5C.eds%5C..*update_rejected",
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
)


@dataclass(frozen=True)
class EnvoyResourceProbe(LoadedProbe[Loaded]):
    """Ask the admin interface (port 15000 on the pod's loopback) of every gateway and sidecar that is given."""

    resource: ClassVar[Resource]
    istiod: Find | None = None
    """Where istiod answers (port 8080 on the pod's loopback), which knows why an Envoy rejected an update."""

    def judge(self, context: Context) -> Verdict:
        """Compare the routes that each Envoy has with the routing objects."""

        def look(address: Address) -> Verdict:
            verdict = self.judge_document(
                fetch(address, f"/config_dump?resource={self.resource.dump}"), context
            )
            if verdict.outcome is not Outcome.DIFFERS:
                return verdict
            count = _rejections(address, self.resource)
            if not count:
                return verdict
            rejecting.append(address)
            rejected = f"it has rejected {count} updates of its {self.what} since it started"
            return verdict._replace(reason=f"{verdict.reason} ({rejected})")

        rejecting: list[Address] = []
        verdict = ask_each("Envoy", self.find, context, self.objects(context), look)
        # istiod knows the reasons of all of them, so it is asked once.
        why = self._reasons(context) if rejecting else []
        return verdict._replace(reason="; ".join([verdict.reason, *why]))

    def _reasons(self, context: Context) -> list[str]:
        """Return what istiod knows of rejections now; nothing where it cannot be asked, since it is no evidence."""
        reasons: list[str] = []
        if self.istiod is not None:
            with contextlib.suppress(NoAnswerError):
                for address in self.istiod(context.rollout, context.live):
                    reasons += _rejection_reasons(fetch(address, "/debug/syncz"), self.resource)
        return reasons


class EnvoyProbe(EnvoyResourceProbe[LoadedRoute]):
    """Ask every Envoy for its routes of requests."""

    what: ClassVar[str] = "routes"
    resource: ClassVar[Resource] = ROUTES

    def read(self, document: Any) -> Iterator[LoadedRoute]:
        """Read the routes of a dump that come from an object of istiod and lead anywhere."""
        return _routes(document)


class EnvoyListenersProbe(EnvoyResourceProbe[LoadedChain]):
    """Ask every Envoy for the filter chains of its listeners."""

    what: ClassVar[str] = "listeners"
    resource: ClassVar[Resource] = LISTENERS

    def read(self, document: Any) -> Iterator[LoadedChain]:
        """Read the filter chains of a dump that take new connections and lead to clusters of Istio."""
        return _chains(document)


class EnvoyEndpointsProbe(EnvoyResourceProbe[LoadedEndpoints]):
    """Ask every Envoy for the addresses behind its clusters."""

    what: ClassVar[str] = "endpoints"
    resource: ClassVar[Resource] = ENDPOINTS

    def read(self, document: Any) -> Iterator[LoadedEndpoints]:
        """Read the clusters of Istio in a dump, with the addresses of each."""
        return _endpoints(document)


def shares(weights: Mapping[_Place, int]) -> dict[_Place, Fraction]:
    """Return what each destination gets; those that get nothing are left out, as istiod leaves them out."""
    total = sum(weights.values())
    return {place: Fraction(weight, total) for place, weight in weights.items() if weight} if total else {}


def _rejection_reasons(document: Any, resource: Resource) -> Iterator[str]:
    """Yield why proxies rejected an update, of the list that istiod has of its proxies."""
    for proxy in document if isinstance(document, list) else ():
        error = dig(proxy, "resources", resource.type_url, "lastError")
        if isinstance(error, str) and error:
            # Envoy writes all that was rejected first, and what is wrong with it in the last line.
            yield f"{dig(proxy, 'proxy')} reports: {error.strip().splitlines()[-1].lstrip(': ')}"


def _routes(document: Any) -> Iterator[LoadedRoute]:
    for config in document.get("configs", []):
        for host in config["route_config"].get("virtual_hosts", []):
            for entry in host.get("routes", []):
                source = dig(entry, "metadata", "filter_metadata", "istio", "config")
                action = entry.get("route")
                if not isinstance(source, str) or action is None:
                    continue
                yield LoadedRoute(
                    host.get("domains", []),
                    source,
                    str(entry.get("name") or ""),
                    entry.get("match", {}),
                    _weights(action),
                    action.get("request_mirror_policies", []),
                    str(config["route_config"].get("name") or ""),
                )


def _chains(document: Any) -> Iterator[LoadedChain]:
    for config in document.get("configs", []):
        # A listener that is still warming up takes no connections.
        for chain in dig(config, "active_state", "listener", "filter_chains") or ():
            for entry in chain.get("filters", []):
                proxy = entry.get("typed_config", {})
                if proxy.get("@type") != _TCP_PROXY:
                    continue
                with contextlib.suppress(ValueError):  # a cluster that is none of Istio's
                    yield LoadedChain(
                        str(proxy.get("stat_prefix") or ""),
                        dig(chain, "filter_chain_match", "server_names") or [],
                        _weights(proxy),
                        "transport_socket" in chain,
                    )


def _endpoints(document: Any) -> Iterator[LoadedEndpoints]:
    for config in document.get("configs", []):
        assignment = config["endpoint_config"]
        addresses = [
            dig(entry, "endpoint", "address", "socket_address", "address")
            for locality in assignment.get("endpoints", [])
            for entry in locality.get("lb_endpoints", [])
        ]
        with contextlib.suppress(ValueError):  # a cluster that is none of Istio's
            cluster = cluster_of(str(assignment["cluster_name"]))
            yield LoadedEndpoints(cluster, frozenset(map(str, filter(None, addresses))))


def _weights(action: Any) -> dict[Cluster, int]:
    if "cluster" in action:
        return {cluster_of(action["cluster"]): 1}
    weights: dict[Cluster, int] = {}
    for entry in action["weighted_clusters"]["clusters"]:
        cluster = cluster_of(entry["name"])
        weights[cluster] = weights.get(cluster, 0) + int(entry.get("weight", 0))
    return weights


def cluster_of(name: str) -> Cluster:
    """Read the name of an Envoy cluster of Istio: `outbound|PORT|SUBSET|HOST`.

    Raises:
        ValueError: it is none.
    """
    _direction, port, subset, host = name.split("|")
    return Cluster(host, subset, port)


def _rejections(address: Address, resource: Resource) -> int:
    """Return how many updates of a resource an Envoy has rejected; 0 also where it does not report it."""
    try:
        stats = fetch(address, f"/stats?filter={resource.rejected}&format=json").get("stats", [])
        return sum(int(entry.get("value", 0)) for entry in stats)
    except (NoAnswerError, AttributeError, TypeError, ValueError):
        return 0
