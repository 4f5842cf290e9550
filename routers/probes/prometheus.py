"""Evidence `measured` from metrics that exist already: what a Prometheus counts of a busy cluster's own requests.

Sources: ingress-nginx, rootfs/etc/nginx/lua/monitor.lua and internal/ingress/metric/collectors/socket.go; Istio,
"Istio Standard Metrics"; Prometheus, "HTTP API" (instant queries of range selectors).
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from rollway.routers.backends.istio.virtual_service import (
    destination_of,
    find_targets,
    ref_of,
    routes_of,
    rule_ref,
    stanza_of,
)
from rollway.routers.backends.nginx.backend import pairs, policy_of, stable_paths
from rollway.routers.model import CANARY, STABLE, Evidence, Outcome, Verdict, dig
from rollway.routers.probes import worst
from rollway.routers.probes.http import NoAnswerError, fetch
from rollway.routers.probes.requests import REQUESTS, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rollway.routers.backends.istio.stanza import IstioVirtualService
    from rollway.routers.backends.istio.virtual_service import Destination
    from rollway.routers.model import Live, Rollout, Traffic
    from rollway.routers.probes.http import Address

WITHIN_S = 300.0
"""How long that many requests may take; two scrapes of an idle hour tell nothing."""
BATCH_S = 2.0
"""How long a finished request may take to its counter: a worker of ingress-nginx tells its controller once a second."""
_INTERVAL_S = 1.0
_BEFORE_S = 300
"""How far back a series is looked for, to know one that is new from one that came back."""


class Metric(NamedTuple):
    """The series that count the requests of a route, and which version answered the requests of each."""

    selector: str
    role: Callable[[Mapping[str, str]], str | None]
    """From labels: `stable`, `canary`, another's name, or None for requests of other routes."""
    status: str
    """The label with the HTTP status."""


class Count(NamedTuple):
    """How many requests each version answered, and how many of them with a status of 500 and above."""

    answered: collections.Counter[str]
    errors: collections.Counter[str]


@dataclass(frozen=True)
class PrometheusProbe:
    """Wait until a Prometheus has counted a number of requests that came after now, and compare their share.

    Sends nothing to the data plane. What is counted is everything that reaches the Services through it.
    """

    address: Address
    requests: int = REQUESTS
    within: float = WITHIN_S
    """Seconds."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with each query, for one behind a login or with several tenants."""
    evidence: Evidence = Evidence.MEASURED
    backends: frozenset[str] = frozenset({"nginx", "istio"})

    def judge(self, rollout: Rollout, want: Traffic, live: Live) -> Verdict:
        """Count the requests since now, of each router apart."""
        try:
            metrics = [_METRICS[name](rollout, live) for name in rollout.backends]
            begin = self._now()
            return worst([self._measured(metric, begin + BATCH_S, want) for metric in metrics])
        except NoAnswerError as error:
            return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason=f"Prometheus: {error}")

    def _measured(self, metric: Metric, since: float, want: Traffic) -> Verdict:
        end = time.monotonic() + self.within
        counted = self._counted(metric, since)
        while counted.answered.total() < self.requests and time.monotonic() < end:
            time.sleep(_INTERVAL_S)
            # A query that fails among many is made good by the next.
            with contextlib.suppress(NoAnswerError):
                counted = self._counted(metric, since)
        if counted.answered.total() >= self.requests:
            return judge(counted, want)
        raise NoAnswerError(
            f"{counted.answered.total()} of {self.requests} requests were counted in {self.within:g} s by "
            f"{metric.selector}"
        )

    def _counted(self, metric: Metric, since: float) -> Count:
        window = math.ceil(self._now() - since) + _BEFORE_S
        return count(self._query(f"{metric.selector}[{window}s]"), metric, since)

    def _now(self) -> float:
        """Return the time of the clock that stamps the samples."""
        result = _of(self._query("time()"), "scalar")
        if not isinstance(result, list) or not result or not isinstance(result[0], int | float):
            raise NoAnswerError("answered no time")
        return float(result[0])

    def _query(self, text: str) -> Any:
        return fetch(self.address, f"/api/v1/query?query={quote(text)}", headers=dict(self.headers))


def judge(counted: Count, want: Traffic) -> Verdict:
    """Compare what was counted with the split that is wanted; UNKNOWN when a third version answered."""
    answered = counted.answered
    strange = ", ".join(sorted(name for name in answered if name not in (STABLE, CANARY) and answered[name]))
    if strange:
        reason = f"of {answered.total()} requests, some were answered by neither version but {strange}"
        return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason=reason)
    verdict = compare(answered[CANARY], answered.total(), want.split)
    failed = ", ".join(
        f"{counted.errors[role]} of {role}" for role in (CANARY, STABLE) if counted.errors[role]
    )
    return verdict._replace(reason=f"{verdict.reason}; HTTP 5xx: {failed}") if failed else verdict


def count(document: Any, metric: Metric, since: float) -> Count:
    """Count the requests of a range of samples from the first scrape after `since` (seconds of Prometheus' clock) on.

    All series of one target begin at the same scrape, so that none counts longer than another. A series that is new
    since then began at 0; PromQL's `increase` would lose what its first sample counts.

    Raises:
        NoAnswerError: it is no matrix of counters.
    """
    series = _series(document)
    first: dict[tuple[str, str], float] = {}
    for labels, samples in series:
        later = [moment for moment, _ in samples if moment >= since]
        if later:
            first[_target(labels)] = min(later[0], first.get(_target(labels), math.inf))
    counted = Count(collections.Counter(), collections.Counter())
    for labels, samples in series:
        role = metric.role(labels)
        start = first.get(_target(labels))
        if role is None or start is None:
            continue
        requests = _increase(samples, start)
        counted.answered[role] += requests
        if labels.get(metric.status, "").startswith("5"):
            counted.errors[role] += requests
    return counted


def _series(document: Any) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
    """Return the labels and the samples (seconds, count) of each series."""
    try:
        series = [
            (
                {str(name): str(value) for name, value in found["metric"].items()},
                [(float(moment), float(value)) for moment, value in found["values"]],
            )
            for found in _of(document, "matrix")
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise NoAnswerError("answered something else than samples") from None
    if not all(math.isfinite(value) for _, samples in series for _, value in samples):
        raise NoAnswerError("answered samples that are no counts")
    return series


def _target(labels: Mapping[str, str]) -> tuple[str, str]:
    """Return what Prometheus scrapes at once."""
    return labels.get("job", ""), labels.get("instance", "")


def _increase(samples: list[tuple[float, float]], start: float) -> int:
    """Return by how much a counter grew from the scrape at `start` on; one that falls began again at 0."""
    known = bool(samples) and samples[0][0] <= start
    counted = [value for moment, value in samples if moment >= start]
    if not known:
        counted.insert(0, 0.0)
    grown = 0.0
    for before, after in itertools.pairwise(counted):
        grown += after - before if after >= before else after
    return round(grown)


def _of(document: Any, kind: str) -> Any:
    """Return the result of a query.

    Raises:
        NoAnswerError: it is no result of that type, or only a part of one.
    """
    if dig(document, "status") != "success" or dig(document, "data", "resultType") != kind:
        raise NoAnswerError(f"answered no {kind}")
    if document.get("warnings"):
        raise NoAnswerError(f"warns: {document['warnings']}")
    return document["data"]["result"]


def ingress_nginx_metric(rollout: Rollout, live: Live) -> Metric:
    """Return what ingress-nginx counts (`--enable-metrics`): `canary` is the upstream that took over, or empty.

    A redirect to https (308) is answered before that is decided.
    """
    names: set[tuple[str, str]] = set()
    canaries: set[str] = set()
    for stable, canary in pairs(rollout):
        policy = policy_of(rollout, canary, live)
        if policy and (policy.header or policy.cookie):
            what = f"header {policy.header}" if policy.header else f"cookie {policy.cookie}"
            raise NoAnswerError(
                f"{canary} sends requests by {what} as well, which the metrics do not tell from those by weight"
            )
        names.add((stable.namespace, stable.name))
        canaries |= {
            path._replace(service=rollout.canary_service).upstream(canary.namespace)
            for path in stable_paths(rollout, stable, live)
        }

    def role(labels: Mapping[str, str]) -> str | None:
        def own(name: str) -> str:
            # Prometheus renames a label that the target has as well, unless it is told to honour it.
            return labels.get(f"exported_{name}", labels.get(name, ""))

        if (own("namespace"), own("ingress")) not in names or own("service") != rollout.stable_service:
            return None
        canary = labels.get("canary", "").strip("-")
        return CANARY if canary in canaries else canary or STABLE

    listed = "|".join(sorted(name for _, name in names)).replace(".", "[.]")
    selector = f'nginx_ingress_controller_requests{{ingress=~"{listed}",status!="308"}}'
    return Metric(selector, role, "status")


def istio_metric(rollout: Rollout, live: Live) -> Metric:
    """Return what gateways and sidecars count of the requests that they send on."""
    roles: dict[Destination, str] = {}
    for service in stanza_of(rollout).virtual_services:
        ref = ref_of(service)
        manifest = live[ref].manifest
        targets = find_targets(rollout, service, live)
        for target in targets:
            if target.section != "http":
                raise NoAnswerError(f"{target.part} of {ref} has no requests to count")
            items = manifest["spec"]["http"][target.index]["route"]
            for position, role in ((target.stable, STABLE), (target.canary, CANARY)):
                roles[destination_of(items[position], ref.namespace)] = role
    for service in stanza_of(rollout).virtual_services:
        _refuse_other_ways(rollout, service, live, roles)
    hosts = {place.host for place in roles}
    versions = _versions(rollout, live) if rule_ref(rollout) else {}

    def role_of(labels: Mapping[str, str]) -> str | None:
        host = labels.get("destination_service", "")
        if host not in hosts:
            return None
        if versions:
            version = labels.get("destination_version", "")
            return versions.get(version, f"version {version!r}")
        return next(role for place, role in roles.items() if place.host == host)

    listed = "|".join(sorted(hosts)).replace(".", "[.]")
    selector = f'istio_requests_total{{reporter="source",destination_service=~"{listed}"}}'
    return Metric(selector, role_of, "response_code")


def _refuse_other_ways(
    rollout: Rollout, service: IstioVirtualService, live: Live, roles: Mapping[Destination, str]
) -> None:
    """Raise NoAnswerError where another route of a VirtualService leads to the same destinations."""
    ref = ref_of(service)
    carrying = {target.index for target in find_targets(rollout, service, live)}
    for index, entry in enumerate(routes_of(ref, live[ref].manifest, "http")):
        places = [destination_of(item, ref.namespace) for item in entry.get("route") or ()]
        if index not in carrying and any(place in roles for place in places):
            name = entry.get("name") or f"http[{index}]"
            raise NoAnswerError(
                f"{ref}: {name} leads to the same destinations, and the metrics do not tell its requests apart"
            )


def _versions(rollout: Rollout, live: Live) -> dict[str, str]:
    """Return the role of each value that `destination_version` has: the label `version` of the pods of a subset."""
    ref, rule = rule_ref(rollout), stanza_of(rollout).destination_rule
    assert ref is not None, "the route splits by subsets"
    assert rule is not None, "the route splits by subsets"
    labels = {
        dig(subset, "name"): dig(subset, "labels", "version")
        for subset in dig(live[ref].manifest, "spec", "subsets") or ()
    }
    found = {
        str(labels.get(rule.stable_subset_name) or ""): STABLE,
        str(labels.get(rule.canary_subset_name) or ""): CANARY,
    }
    if len(found) < 2 or "" in found:
        raise NoAnswerError(
            f"{ref}: the subsets do not differ in the label version, the only one that istio_requests_total tells of pods"
        )
    return found


_METRICS: dict[str, Callable[[Any, Any], Metric]] = {"nginx": ingress_nginx_metric, "istio": istio_metric}
