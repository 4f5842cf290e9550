"""What Envoys that istiod configures have loaded: the routes of each, by its admin interface.

istiod's own view is no evidence: it shows "synced" before a change reached any proxy. It is asked only why an Envoy
rejected an update, which Envoy's admin interface does not show. Sources: Envoy, "Administration
interface", /config_dump; Istio, pilot/pkg/networking/core/route (names of clusters and routes).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from rollway.routers.objects import dig
from rollway.routers.probes.http import NoAnswerError, ask_each, fetch
from rollway.routers.probes.loaded import LoadedProbe
from rollway.routers.traffic import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rollway.routers.model import Context
    from rollway.routers.probes.http import Address, Find
    from rollway.routers.traffic import Verdict

_Place = TypeVar("_Place")
_DUMP = "/config_dump?resource=dynamic_route_configs"
_ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_REJECTED = "/stats?filter=%5C.rds%5C..*update_rejected&format=json"


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


@dataclass(frozen=True)
class EnvoyProbe(LoadedProbe[LoadedRoute]):
    """Ask the admin interface (port 15000 on the pod's loopback) of every gateway and sidecar that is given."""

    what: ClassVar[str] = "routes"
    istiod: Find | None = None
    """Where istiod answers (port 8080 on the pod's loopback), which knows why an Envoy rejected an update."""

    def judge(self, context: Context) -> Verdict:
        """Compare the routes that each Envoy has with the routing objects."""

        def look(address: Address) -> Verdict:
            verdict = self.judge_document(fetch(address, _DUMP), context)
            if verdict.outcome is not Outcome.DIFFERS:
                return verdict
            count = _rejections(address)
            if not count:
                return verdict
            rejecting.append(address)
            rejected = f"it has rejected {count} updates of its routes since it started"
            return verdict._replace(reason=f"{verdict.reason} ({rejected})")

        rejecting: list[Address] = []
        verdict = ask_each("Envoy", self.find, context, self.objects(context), look)
        # istiod knows the reasons of all of them, so it is asked once.
        why = self._reasons(context) if rejecting else []
        return verdict._replace(reason="; ".join([verdict.reason, *why]))

    def read(self, document: Any) -> Iterator[LoadedRoute]:
        """Read the routes of an answer to `_DUMP` that come from an object of istiod and lead anywhere."""
        return _routes(document)

    def _reasons(self, context: Context) -> list[str]:
        """Return what istiod knows of rejections now; nothing where it cannot be asked, since it is no evidence."""
        reasons: list[str] = []
        if self.istiod is not None:
            with contextlib.suppress(NoAnswerError):
                for address in self.istiod(context.rollout, context.live):
                    reasons += _rejection_reasons(fetch(address, "/debug/syncz"))
        return reasons


def shares(weights: Mapping[_Place, int]) -> dict[_Place, Fraction]:
    """Return what each destination gets; those that get nothing are left out, as istiod leaves them out."""
    total = sum(weights.values())
    return {place: Fraction(weight, total) for place, weight in weights.items() if weight} if total else {}


def _rejection_reasons(document: Any) -> Iterator[str]:
    """Yield why proxies rejected their routes, of the list that istiod has of its proxies."""
    for proxy in document if isinstance(document, list) else ():
        error = dig(proxy, "resources", _ROUTES, "lastError")
        if isinstance(error, str) and error:
            # Envoy writes the whole route table first, and what is wrong with it in the last line.
            yield f"{dig(proxy, 'proxy')} reports: {error.strip().splitlines()[-1].lstrip(': ')}"


def _routes(document: Any) -> Iterator[LoadedRoute]:
    """Yield the routes of an answer to `_DUMP` that come from an object of istiod and lead anywhere."""
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


def _rejections(address: Address) -> int:
    """Return how many updates of its routes an Envoy has rejected; 0 also where it does not report it."""
    try:
        stats = fetch(address, _REJECTED).get("stats", [])
        return sum(int(entry.get("value", 0)) for entry in stats)
    except (NoAnswerError, AttributeError, TypeError, ValueError):
        return 0
