"""Evidence `measured` from metrics that exist already: what a Prometheus counts of a busy cluster's own requests.

Each backend defines the series of its own data plane. Source: Prometheus, "HTTP API" (instant queries of
range selectors).
"""

from __future__ import annotations

import collections
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import quote

from rollway.routers.model import CANARY, STABLE
from rollway.routers.objects import dig
from rollway.routers.probes import worst
from rollway.routers.probes.http import NoAnswerError, fetch
from rollway.routers.probes.requests import REQUESTS, compare
from rollway.routers.traffic import Evidence, Outcome, RequestSample, Verdict
from rollway.routers.waiting import looks_within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rollway.routers.model import Context, Rollout
    from rollway.routers.objects import Live
    from rollway.routers.probes.http import Address
    from rollway.routers.traffic import Traffic

WITHIN_S = 300.0
"""How long that many requests may take; two scrapes of an idle hour show nothing."""
BATCH_S = 2.0
"""How long a finished request may take to its counter: a worker of ingress-nginx reports to its controller once a second."""
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


MetricOf: TypeAlias = "Callable[[Rollout, Live], Metric]"
"""Returns what counts the requests of a Rollout; raises NoAnswerError where they cannot be distinguished."""


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
    metrics: Mapping[str, MetricOf]
    """By backend."""
    requests: int = REQUESTS
    within: float = WITHIN_S
    """Seconds."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with each query, for one behind a login or with several tenants."""
    evidence: Evidence = Evidence.MEASURED

    @property
    def backends(self) -> frozenset[str]:
        """The backends whose requests are counted."""
        return frozenset(self.metrics)

    def judge(self, context: Context) -> Verdict:
        """Count the requests since now, of each backend apart."""
        rollout, want, live = context
        try:
            metrics = [self.metrics[name](rollout, live) for name in rollout.backends]
            begin = self._now()
            return worst([self._measured(metric, begin + BATCH_S, want) for metric in metrics])
        except NoAnswerError as error:
            return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason=f"Prometheus: {error}")

    def _measured(self, metric: Metric, since: float, want: Traffic) -> Verdict:
        counted: Count | None = None
        for _ in looks_within(self.within, _INTERVAL_S):
            try:
                counted = self._counted(metric, since)
            except NoAnswerError:
                # A query that fails among many is made good by the next.
                if counted is None:
                    raise
            if counted.answered.total() >= self.requests:
                return judge(counted, want)
        assert counted is not None, "there is always one look"
        raise NoAnswerError(
            f"{counted.answered.total()} of {self.requests} requests were counted in {self.within:g} s by "
            f"{metric.selector}"
        )

    def _counted(self, metric: Metric, since: float) -> Count:
        window = math.ceil(self._now() - since) + _BEFORE_S
        return count(self._query(f"{metric.selector}[{window}s]"), metric, since)

    def _now(self) -> float:
        """Return the time of the clock that stamps the samples."""
        result = _result(self._query("time()"), "scalar")
        if not isinstance(result, list) or not result or not isinstance(result[0], int | float):
            raise NoAnswerError("answered no time")
        return float(result[0])

    def _query(self, text: str) -> Any:
        return fetch(self.address, f"/api/v1/query?query={quote(text)}", headers=dict(self.headers))


def judge(counted: Count, want: Traffic) -> Verdict:
    """Compare what was counted with the split that is wanted; UNKNOWN when a third version answered."""
    answered, errors = counted
    sample = RequestSample(
        answered[STABLE] - errors[STABLE],
        answered[CANARY] - errors[CANARY],
        answered.total() - answered[STABLE] - answered[CANARY],
        errors[STABLE],
        errors[CANARY],
    )
    strange = ", ".join(sorted(name for name in answered if name not in (STABLE, CANARY) and answered[name]))
    if strange:
        reason = f"of {answered.total()} requests, some were answered by neither version but {strange}"
        return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason=reason, samples=(sample,))
    verdict = compare(answered[CANARY], answered.total(), want.split)._replace(samples=(sample,))
    failed = ", ".join(f"{errors[role]} of {role}" for role in (CANARY, STABLE) if errors[role])
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
                {str(name): str(value) for name, value in series["metric"].items()},
                [(float(moment), float(value)) for moment, value in series["values"]],
            )
            for series in _result(document, "matrix")
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


def _result(document: Any, kind: str) -> Any:
    """Return the result of a query.

    Raises:
        NoAnswerError: it is no result of that type, or only a part of one.
    """
    if dig(document, "status") != "success" or dig(document, "data", "resultType") != kind:
        raise NoAnswerError(f"answered no {kind}")
    if document.get("warnings"):
        raise NoAnswerError(f"warns: {document['warnings']}")
    return document["data"]["result"]
